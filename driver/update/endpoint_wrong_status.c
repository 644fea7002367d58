/* hotswap_wrong_status.sys, broken on purpose: takes the wait's status for another, one greater. */
#include "endpoint_ordinary.h"

static BOOLEAN NTAPI Worker(PVOID WorkerContext, NTSTATUS WaitStatus)
{
    EndpointWork(WorkerContext, WaitStatus + 1);
    return ENDPOINT_CONTINUE;
}

ENDPOINT_DRIVER(ENDPOINT_VERSION, Worker, EndpointCompute, NULL);
