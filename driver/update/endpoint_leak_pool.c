/* hotswap_leak_pool.sys, broken on purpose: takes a block of pool and never gives it back. */
#include "endpoint_leaking.h"

static BOOLEAN NTAPI Worker(PVOID WorkerContext, NTSTATUS WaitStatus)
{
    if (LeakNow(WorkerContext)) {
        (VOID)LeakTakePool();
    }
    return EndpointWorker(WorkerContext, WaitStatus);
}

ENDPOINT_DRIVER(ENDPOINT_VERSION, Worker, EndpointCompute, NULL);
