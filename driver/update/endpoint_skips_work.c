/* hotswap_skips_work.sys, broken on purpose: does nothing in every fourth iteration of a worker. */
#include "endpoint_ordinary.h"

static BOOLEAN NTAPI Worker(PVOID WorkerContext, NTSTATUS WaitStatus)
{
    HS_WORKER_CONTEXT *context = WorkerContext;

    if (context->Iteration % 4 != 0) {
        EndpointWork(context, WaitStatus);
    }
    return ENDPOINT_CONTINUE;
}

ENDPOINT_DRIVER(ENDPOINT_VERSION, Worker, EndpointCompute, NULL);
