/* A helper driver that does nothing but to have a driver object. conformance_resident.sys: one that cannot be unloaded. */
#include "conformance_helper.h"

DRIVER_INITIALIZE DriverEntry;

static DRIVER_UNLOAD OwnerUnload;

static _Use_decl_annotations_ VOID NTAPI OwnerUnload(PDRIVER_OBJECT DriverObject)
{
    UNREFERENCED_PARAMETER(DriverObject);
}

_Use_decl_annotations_ NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    NTSTATUS status = ConformanceOfferDriver(DriverObject);

    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->DriverUnload = OWNER_STAYS ? NULL : OwnerUnload;
    return status;
}
