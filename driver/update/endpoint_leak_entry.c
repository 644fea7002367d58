/* hotswap_leak_entry.sys, broken on purpose: its DriverEntry takes a block of pool that nothing gives back. */
#include "endpoint_leaking.h"

NTSTATUS LeakEntry(void)
{
    return LeakTakePool() == NULL ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS;
}

ENDPOINT_DRIVER(ENDPOINT_VERSION, EndpointWorker, EndpointCompute, NULL);
