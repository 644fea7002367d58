/*
 * driverproxy.sys, an export driver: loaded because others import it, without a service of its own.
 *
 * Windows calls DllInitialize and DllUnload for it, Wine neither, and nobody DriverEntry; so no part needs a start.
 */
#include "proxy.h"

DRIVER_INITIALIZE DriverEntry;

HSPROXY NTSTATUS NTAPI DllInitialize(_In_ PUNICODE_STRING RegistryPath);
HSPROXY NTSTATUS NTAPI DllUnload(void);

NTSTATUS NTAPI DllInitialize(PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(RegistryPath);
    return STATUS_SUCCESS;
}

/* Every importer has gone, so a count here is a leak of this driver's own. */
NTSTATUS NTAPI DllUnload(void)
{
    ASSERT(DpAllocationCount() == 0 && DpWorkerThreadCount() == 0);
    return STATUS_SUCCESS;
}

/* A service for it would be a mistake: refuse to be started as one. */
_Use_decl_annotations_ NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    return STATUS_NOT_SUPPORTED;
}
