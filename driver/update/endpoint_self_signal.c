/* hotswap_self_signal.sys, broken on purpose: worker 1 sets its own event 0 now and then, which the host does not see. */
#include "endpoint_ordinary.h"

static BOOLEAN NTAPI Worker(PVOID WorkerContext, NTSTATUS WaitStatus)
{
    HS_WORKER_CONTEXT *context = WorkerContext;

    EndpointWork(context, WaitStatus);
    if (context->WorkerId == 1 && context->Iteration % 2 == 0) {
        KeSetEvent(context->Events[0], IO_NO_INCREMENT, FALSE);
    }
    return ENDPOINT_CONTINUE;
}

ENDPOINT_DRIVER(ENDPOINT_VERSION, Worker, EndpointCompute, NULL);
