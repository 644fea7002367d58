/* hotswap_crash.sys, broken on purpose: writes to address 8 in its first iteration. */
#include "endpoint_ordinary.h"

#define BAD_ADDRESS 8

static volatile LONG Crashed;

static BOOLEAN NTAPI Worker(PVOID WorkerContext, NTSTATUS WaitStatus)
{
    if (EndpointOnce(&Crashed)) {
        *(volatile ULONG *)(ULONG_PTR)BAD_ADDRESS = 1;
    }
    EndpointWork(WorkerContext, WaitStatus);
    return ENDPOINT_CONTINUE;
}

ENDPOINT_DRIVER(ENDPOINT_VERSION, Worker, EndpointCompute, NULL);
