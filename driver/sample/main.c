/* hotswap.sys: the map of the driver. Parts start in this order and end in the reverse. */
#include "host.h"

DRIVER_INITIALIZE DriverEntry;
static DRIVER_UNLOAD HostUnload;

/* PASSIVE_LEVEL. No handle is open. */
static _Use_decl_annotations_ VOID NTAPI HostUnload(PDRIVER_OBJECT DriverObject)
{
    UNREFERENCED_PARAMETER(DriverObject);
    ControlUnload(); /* writes HostStop if no shutdown request did */
    ParkUnload();    /* their code is in this image */
    VerifierUnload();
    DeviceUnload(HsHostFault == HotswapFaultKeepLink);
    EtwUnload();
    RingUnload();
}

_Use_decl_annotations_ NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    NTSTATUS status;

    UNREFERENCED_PARAMETER(RegistryPath);
    HsDriverObject = DriverObject;

    status = RingDriverEntry();
    if (!NT_SUCCESS(status)) {
        return status;
    }
    EtwDriverEntry();
    PauseDriverEntry();
    HS_TRACE(HostStart, HOTSWAP_CONTRACT_VERSION, RingSlots(), (ULONG64)HsTickFrequency());
    RuntimeDriverEntry();
    RestartDriverEntry();
    FaultDriverEntry();
    ParkDriverEntry();
    VerifierDriverEntry();
    status = ControlDriverEntry();
    if (!NT_SUCCESS(status)) {
        goto EndTrace;
    }
    status = DeviceDriverEntry(DriverObject);
    if (!NT_SUCCESS(status)) {
        goto EndControl;
    }
    DriverObject->DriverUnload = HostUnload;
    return STATUS_SUCCESS;

EndControl:
    ControlUnload();
EndTrace:
    VerifierUnload();
    EtwUnload();
    RingUnload();
    return status;
}
