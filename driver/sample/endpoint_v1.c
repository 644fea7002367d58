/* hotswap_v1.sys: counts. Result is the iteration number, Compute adds. */
#include "endpoint_driver.h"

static BOOLEAN NTAPI Worker(PVOID WorkerContext, NTSTATUS WaitStatus)
{
    HS_WORKER_CONTEXT *context = WorkerContext;

    context->Services->SimulateWork(context);
    context->Services->LogWork(context, ENDPOINT_VERSION, WaitStatus, context->Iteration);
    return ENDPOINT_CONTINUE;
}

static ULONG64 NTAPI Compute(ULONG64 A, ULONG64 B, ULONG64 C, ULONG64 D, ULONG64 E, ULONG64 F)
{
    return A + B + C + D + E + F;
}

ENDPOINT_DRIVER(ENDPOINT_VERSION, Worker, Compute, NULL);
