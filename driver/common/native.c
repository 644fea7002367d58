/* The DriverProxy API by name: the kernel's exports, and driverproxy.sys's in the same order. */
#include "common.h"

const PCWSTR HsNativeExportNames[HS_NATIVE_EXPORTS] = {
    L"IoGetDriverProxyFeatures",
    L"IoCreateDriverProxyExtension",
    L"IoRegisterDriverProxyEndpoints",
    L"IoGetDriverProxyEndpointWrapper",
    L"IofGetDriverProxyWrapperFromEndpoint",
    L"IoGetDriverProxyExtensionFromDriverObject",
    L"IoDriverProxyCreateHotSwappableWorkerThread",
};

const HS_RUNTIME_TABLE HsCompatTable = {
    HsIoGetDriverProxyFeatures,
    HsIoCreateDriverProxyExtension,
    HsIoRegisterDriverProxyEndpoints,
    HsIoGetDriverProxyEndpointWrapper,
    HsIofGetDriverProxyWrapperFromEndpoint,
    HsIoGetDriverProxyExtensionFromDriverObject,
    HsIoDriverProxyCreateHotSwappableWorkerThread,
};

_Use_decl_annotations_ PVOID HsResolveSystem(PVOID Context, PCWSTR Name)
{
    UNICODE_STRING name;

    UNREFERENCED_PARAMETER(Context);
    RtlInitUnicodeString(&name, Name);
    return MmGetSystemRoutineAddress(&name);
}

_Use_decl_annotations_ ULONG HsFillNative(HS_RESOLVE *Resolve, PVOID Context, HS_RUNTIME_TABLE *Table)
{
    PVOID *functions = (PVOID *)Table;
    ULONG missing = 0;
    ULONG i;

    for (i = 0; i < HS_NATIVE_EXPORTS; i++) {
        functions[i] = Resolve(Context, HsNativeExportNames[i]);
        if (functions[i] == NULL) {
            missing |= 1u << i;
        }
    }
    return missing;
}
