/* hotswap_never_returns.sys, broken on purpose: worker 1 stays in its first iteration until the host wants its workers back. */
#include "endpoint_ordinary.h"

static volatile LONG Stayed;

static BOOLEAN NTAPI Worker(PVOID WorkerContext, NTSTATUS WaitStatus)
{
    HS_WORKER_CONTEXT *context = WorkerContext;

    if (context->WorkerId == 1 && EndpointOnce(&Stayed)) {
        while (!context->Services->Released(context)) {
            EndpointSleep(1);
        }
    }
    EndpointWork(context, WaitStatus);
    return ENDPOINT_CONTINUE;
}

ENDPOINT_DRIVER(ENDPOINT_VERSION, Worker, EndpointCompute, NULL);
