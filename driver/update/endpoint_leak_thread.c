/* hotswap_leak_thread.sys, broken on purpose: leaves a thread behind. Its code is the host's, so that the guest survives. */
#include "endpoint_leaking.h"

static BOOLEAN NTAPI Worker(PVOID WorkerContext, NTSTATUS WaitStatus)
{
    HS_WORKER_CONTEXT *context = WorkerContext;
    HANDLE thread;

    if (LeakNow(context) && NT_SUCCESS(LeakTakeThread(context->Services->Park, &thread))) {
        ZwClose(thread);
    }
    return EndpointWorker(context, WaitStatus);
}

ENDPOINT_DRIVER(ENDPOINT_VERSION, Worker, EndpointCompute, NULL);
