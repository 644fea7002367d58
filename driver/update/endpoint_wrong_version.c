/* hotswap_wrong_version.sys, broken on purpose: says in each iteration that it is version 9. */
#include "endpoint_ordinary.h"

#define FALSE_VERSION 9

static BOOLEAN NTAPI Worker(PVOID WorkerContext, NTSTATUS WaitStatus)
{
    HS_WORKER_CONTEXT *context = WorkerContext;

    context->Services->SimulateWork(context);
    context->Services->LogWork(context, FALSE_VERSION, WaitStatus, context->Iteration);
    return ENDPOINT_CONTINUE;
}

ENDPOINT_DRIVER(ENDPOINT_VERSION, Worker, EndpointCompute, NULL);
