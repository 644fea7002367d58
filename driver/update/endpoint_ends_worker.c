/* hotswap_ends_worker.sys, broken on purpose: worker 1 answers FALSE in its third iteration, as if FALSE meant on (4.9 a). */
#include "endpoint_ordinary.h"

static volatile LONG Iterations; /* of worker 1 in this version */

static BOOLEAN NTAPI Worker(PVOID WorkerContext, NTSTATUS WaitStatus)
{
    HS_WORKER_CONTEXT *context = WorkerContext;

    EndpointWork(context, WaitStatus);
    return context->WorkerId == 1 && InterlockedIncrement(&Iterations) == 3 ? !ENDPOINT_CONTINUE : ENDPOINT_CONTINUE;
}

ENDPOINT_DRIVER(ENDPOINT_VERSION, Worker, EndpointCompute, NULL);
