/* hotswap_leak_reference.sys, broken on purpose: references the thread it runs on and never lets it go. */
#include "endpoint_leaking.h"

static BOOLEAN NTAPI Worker(PVOID WorkerContext, NTSTATUS WaitStatus)
{
    if (LeakNow(WorkerContext)) {
        ObReferenceObject(PsGetCurrentThread());
    }
    return EndpointWorker(WorkerContext, WaitStatus);
}

ENDPOINT_DRIVER(ENDPOINT_VERSION, Worker, EndpointCompute, NULL);
