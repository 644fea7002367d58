/*
 * What every endpoint driver is made of: its DriverEntry offers a descriptor and does nothing else. The version and its
 * behaviour are in the other file of the target.
 */
#include "endpoint_driver.h"

DRIVER_INITIALIZE DriverEntry;
static DRIVER_UNLOAD EndpointUnload;

/* An endpoint driver's own parts of DriverEntry and DriverUnload, named by the build. */
#if defined(ENDPOINT_ENTRY)
NTSTATUS ENDPOINT_ENTRY(void);
#endif
#if defined(ENDPOINT_UNLOAD)
VOID ENDPOINT_UNLOAD(void);
#endif

/*
 * Two calls that the host sees in every image if it sees any (EndpointVerified.Calls): without them a driver that takes nothing
 * could not be told from one whose imports were missed.
 */
static VOID EndpointShowCalls(void)
{
#if defined(_MSC_VER)
#pragma warning(suppress : 4996) /* as in memory.c */
#endif
    PVOID block = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(PVOID), 'wohS');

    if (block != NULL) {
        ExFreePoolWithTag(block, 'wohS');
    }
}

/* The host unloads an endpoint driver only when no call is inside it. */
static _Use_decl_annotations_ VOID NTAPI EndpointUnload(PDRIVER_OBJECT DriverObject)
{
    UNREFERENCED_PARAMETER(DriverObject);
    EndpointShowCalls();
#if defined(ENDPOINT_UNLOAD)
    ENDPOINT_UNLOAD();
#endif
    HsWithdrawEndpoints(&EndpointDescriptor);
}

_Use_decl_annotations_ NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(RegistryPath);
#if defined(ENDPOINT_ENTRY)
    NTSTATUS status = ENDPOINT_ENTRY();

    if (!NT_SUCCESS(status)) {
        return status;
    }
#endif
    DriverObject->DriverUnload = EndpointUnload;
    return HsOfferEndpoints(&EndpointDescriptor);
}
