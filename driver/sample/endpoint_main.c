/*
 * What every endpoint driver is made of: its DriverEntry offers a descriptor and does nothing else. The version and its
 * behaviour are in the other file of the target.
 */
#include "endpoint_driver.h"

DRIVER_INITIALIZE DriverEntry;
static DRIVER_UNLOAD EndpointUnload;

/* The host unloads an endpoint driver only when no call is inside it. */
static _Use_decl_annotations_ VOID NTAPI EndpointUnload(PDRIVER_OBJECT DriverObject)
{
    UNREFERENCED_PARAMETER(DriverObject);
    HsWithdrawEndpoints(&EndpointDescriptor);
}

_Use_decl_annotations_ NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->DriverUnload = EndpointUnload;
    return HsOfferEndpoints(&EndpointDescriptor);
}
