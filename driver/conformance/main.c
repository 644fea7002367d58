/* conformance.sys: the map of the driver. Parts start in this order and end in the reverse. */
#include "conformance.h"

DRIVER_INITIALIZE DriverEntry;
static DRIVER_UNLOAD ConformanceUnload;

HS_COUNTERS HsCounters;
PDRIVER_OBJECT CfDriverObject;
volatile BOOLEAN CfEnding;

/* PASSIVE_LEVEL. No handle is open. A stop that hangs is better than a crash: threads run code of this image. */
static _Use_decl_annotations_ VOID NTAPI ConformanceUnload(PDRIVER_OBJECT DriverObject)
{
    CONFORMANCE_RESET_REPLY reply;

    UNREFERENCED_PARAMETER(DriverObject);
    PauseUnload();
    do {
        ResetAll(CF_RESET_MS, TRUE, &reply);
    } while (reply.StuckLanes != 0 || reply.StuckWorkers != 0 || reply.StuckExtensions != 0);
    HS_TRACE(DriverStop, CONFORMANCE_CONTRACT_VERSION, (ULONG64)HsTickFrequency());
    LanesUnload();
    DeviceUnload(FALSE);
    EtwUnload();
    RingUnload();
}

_Use_decl_annotations_ NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    NTSTATUS status;

    UNREFERENCED_PARAMETER(RegistryPath);
    CfDriverObject = DriverObject;
    status = RingDriverEntry();
    if (!NT_SUCCESS(status)) {
        return status;
    }
    EtwDriverEntry();
    PauseDriverEntry();
    HS_TRACE(DriverStart, CONFORMANCE_CONTRACT_VERSION, (ULONG64)HsTickFrequency());
    GateDriverEntry();
    EndpointReset();
    WaitDriverEntry();
    RuntimeDriverEntry();
    ResetDriverEntry();
    status = LanesDriverEntry();
    if (!NT_SUCCESS(status)) {
        goto EndTrace;
    }
    status = DeviceDriverEntry(DriverObject);
    if (!NT_SUCCESS(status)) {
        goto EndLanes;
    }
    DriverObject->DriverUnload = ConformanceUnload;
    return STATUS_SUCCESS;

EndLanes:
    LanesUnload();
EndTrace:
    EtwUnload();
    RingUnload();
    return status;
}
