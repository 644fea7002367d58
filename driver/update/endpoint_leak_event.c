/* hotswap_leak_event.sys, broken on purpose: makes an event and never closes its handle. */
#include "endpoint_leaking.h"

static BOOLEAN NTAPI Worker(PVOID WorkerContext, NTSTATUS WaitStatus)
{
    HANDLE event;

    if (LeakNow(WorkerContext)) {
        (VOID)LeakTakeEvent(&event);
    }
    return EndpointWorker(WorkerContext, WaitStatus);
}

ENDPOINT_DRIVER(ENDPOINT_VERSION, Worker, EndpointCompute, NULL);
