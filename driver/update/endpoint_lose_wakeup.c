/* hotswap_lose_wakeup.sys, broken on purpose: clears its own events, so a signal that was accepted never makes an iteration. */
#include "endpoint_ordinary.h"

static BOOLEAN NTAPI Worker(PVOID WorkerContext, NTSTATUS WaitStatus)
{
    HS_WORKER_CONTEXT *context = WorkerContext;
    ULONG i;

    context->Services->SimulateWork(context);
    for (i = 0; i < context->EventCount; i++) {
        KeResetEvent(context->Events[i]);
    }
    context->Services->LogWork(context, ENDPOINT_VERSION, WaitStatus, context->Iteration);
    return ENDPOINT_CONTINUE;
}

ENDPOINT_DRIVER(ENDPOINT_VERSION, Worker, EndpointCompute, NULL);
