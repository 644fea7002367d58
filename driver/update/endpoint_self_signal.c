/* hotswap_self_signal.sys, broken on purpose: sets its own event 0 in every 16th iteration, which the host does not see. */
#include "endpoint_ordinary.h"

static BOOLEAN NTAPI Worker(PVOID WorkerContext, NTSTATUS WaitStatus)
{
    HS_WORKER_CONTEXT *context = WorkerContext;

    EndpointWork(context, WaitStatus);
    if (context->Iteration % 16 == 0) {
        KeSetEvent(context->Events[0], IO_NO_INCREMENT, FALSE);
    }
    return ENDPOINT_CONTINUE;
}

ENDPOINT_DRIVER(ENDPOINT_VERSION, Worker, EndpointCompute, NULL);
