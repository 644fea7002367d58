/*
 * For helper drivers of the conformance driver. DriverEntry sets DriverUnload as it likes (or not), then
 *
 *     return ConformanceOfferDriver(DriverObject);
 *
 * and does nothing else; the conformance driver takes the driver object after ZwLoadDriver has returned.
 */
#pragma once

#include "driverproxy_compat.h"

static __inline NTSTATUS ConformanceOfferDriver(_In_ PDRIVER_OBJECT DriverObject)
{
    static HS_ENDPOINT_DESCRIPTOR descriptor;

    descriptor.ContractVersion = HS_ENDPOINT_CONTRACT_VERSION;
    descriptor.CallbackContext = DriverObject;
    return HsOfferEndpoints(&descriptor);
}
