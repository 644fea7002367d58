/* hotswap_twice.sys, broken on purpose: does the work of each wake-up twice. */
#include "endpoint_ordinary.h"

static BOOLEAN NTAPI Worker(PVOID WorkerContext, NTSTATUS WaitStatus)
{
    EndpointWork(WorkerContext, WaitStatus);
    EndpointWork(WorkerContext, WaitStatus);
    return ENDPOINT_CONTINUE;
}

ENDPOINT_DRIVER(ENDPOINT_VERSION, Worker, EndpointCompute, NULL);
