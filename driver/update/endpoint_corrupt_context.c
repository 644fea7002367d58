/* hotswap_corrupt_context.sys, broken on purpose: counts an iteration of worker 1 twice in the shared context (W57). */
#include "endpoint_ordinary.h"

static volatile LONG Corrupted;

static BOOLEAN NTAPI Worker(PVOID WorkerContext, NTSTATUS WaitStatus)
{
    HS_WORKER_CONTEXT *context = WorkerContext;

    EndpointWork(context, WaitStatus);
    if (context->WorkerId == 1 && EndpointOnce(&Corrupted)) {
        context->Iteration++;
    }
    return ENDPOINT_CONTINUE;
}

ENDPOINT_DRIVER(ENDPOINT_VERSION, Worker, EndpointCompute, NULL);
