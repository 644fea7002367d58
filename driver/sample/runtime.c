/*
 * One table of functions, filled from native, from compat, or left to the plain path.
 *
 * Native is taken when every export exists *and* IoGetDriverProxyFeatures says enabled *and* an extension can be made:
 * retail kernels export the family and answer STATUS_NOT_SUPPORTED. Exports are found through an injected function, so
 * that every missing or refusing case can be shown on any kernel (RuntimeProbe).
 */
#include "host.h"

#define RUNTIME_JOIN_MS 10000

HS_RUNTIME_TABLE HsRuntime;
PDRIVER_PROXY_EXTENSION HsExtension;
HOTSWAP_RUNTIME HsRuntimeKind = HotswapRuntimeAuto;
BOOLEAN HsInvertReturn;
ULONG HsJoinTimeoutMs = RUNTIME_JOIN_MS;
HOTSWAP_HOST_FAULT HsHostFault;
PDRIVER_OBJECT HsDriverObject;

static HS_LOCK RuntimeLock; /* of choosing, configuring and stopping one: both lanes come here */
static HOTSWAP_RUNTIME RuntimeWanted = HotswapRuntimeAuto;
static ULONG RuntimeDrainTimeoutMs;
static BOOLEAN RuntimeVerbose;
static HOTSWAP_RUNTIME_INFO RuntimeInfo;

/* STATUS_PROCEDURE_NOT_FOUND, STATUS_NOT_SUPPORTED, or what the create function answered. */
static NTSTATUS RuntimeTryNative(HS_RESOLVE *Resolve, PVOID Context, PDRIVER_OBJECT Owner, HS_RUNTIME_TABLE *Table,
                                 PDRIVER_PROXY_EXTENSION *Extension, HOTSWAP_RUNTIME_INFO *Info)
{
    DRIVER_PROXY_EXTENSION_CREATION_FLAGS none = { 0 };
    DRIVER_PROXY_FEATURE_FLAGS features = { 0 }; /* zeroed first, as inbox drivers do */
    NTSTATUS status;

    Info->MissingMask = HsFillNative(Resolve, Context, Table);
    if (Info->MissingMask != 0) {
        return STATUS_PROCEDURE_NOT_FOUND;
    }
    Table->GetFeatures(Owner, &features);
    Info->FeatureFlags = features.AsUlong;
    if (!features.Enabled) {
        return STATUS_NOT_SUPPORTED;
    }
    *Extension = NULL;
    status = Table->CreateExtension(Owner, none, Extension);
    if (NT_SUCCESS(status) && *Extension == NULL) {
        return STATUS_NOT_SUPPORTED;
    }
    return status;
}

static NTSTATUS RuntimeUseCompat(PDRIVER_OBJECT Owner, HS_RUNTIME_TABLE *Table, PDRIVER_PROXY_EXTENSION *Extension)
{
    DRIVER_PROXY_EXTENSION_CREATION_FLAGS none = { 0 };

    *Table = HsCompatTable;
    return Table->CreateExtension(Owner, none, Extension);
}

_Use_decl_annotations_ VOID RuntimeChoose(HOTSWAP_RUNTIME Wanted, HS_RESOLVE *Resolve, PVOID Context, PDRIVER_OBJECT Owner,
                                          HS_RUNTIME_TABLE *Table, PDRIVER_PROXY_EXTENSION *Extension, HOTSWAP_RUNTIME_INFO *Info)
{
    RtlZeroMemory(Table, sizeof(*Table));
    RtlZeroMemory(Info, sizeof(*Info));
    *Extension = NULL;
    if (Wanted == HotswapRuntimeAuto || Wanted == HotswapRuntimeNative) {
        Info->Status = RuntimeTryNative(Resolve, Context, Owner, Table, Extension, Info);
        if (NT_SUCCESS(Info->Status)) {
            Info->Runtime = HotswapRuntimeNative;
            return;
        }
        RtlZeroMemory(Table, sizeof(*Table));
        *Extension = NULL;
        if (Wanted == HotswapRuntimeNative) {
            Info->Runtime = HotswapRuntimeAuto; /* none */
            return;
        }
    }
    if (Wanted == HotswapRuntimeAuto || Wanted == HotswapRuntimeCompat) {
        NTSTATUS status = RuntimeUseCompat(Owner, Table, Extension);
        if (NT_SUCCESS(status)) {
            Info->Runtime = HotswapRuntimeCompat;
            return;
        }
        RtlZeroMemory(Table, sizeof(*Table));
        Info->Status = status;
        if (Wanted == HotswapRuntimeCompat) {
            Info->Runtime = HotswapRuntimeAuto;
            return;
        }
    }
    Info->Runtime = HotswapRuntimePlain;
}

/* ---- A made-up native family, for RuntimeProbe ---- */

static const HOTSWAP_PROBE_RUNTIME *RuntimeProbeAnswers; /* the control lane alone probes */
static ULONG RuntimeProbeOwner; /* its address stands for the extension of a kernel that has one */

static VOID NTAPI ProbeGetFeatures(PDRIVER_OBJECT DriverObject, PDRIVER_PROXY_FEATURE_FLAGS Flags)
{
    UNREFERENCED_PARAMETER(DriverObject);
    Flags->AsUlong = RuntimeProbeAnswers->FeatureFlags;
}

static NTSTATUS NTAPI ProbeCreateExtension(PDRIVER_OBJECT Owner, DRIVER_PROXY_EXTENSION_CREATION_FLAGS Flags,
                                           PDRIVER_PROXY_EXTENSION *Extension)
{
    UNREFERENCED_PARAMETER(Owner);
    UNREFERENCED_PARAMETER(Flags);
    *Extension = NT_SUCCESS(RuntimeProbeAnswers->CreateStatus) ? (PDRIVER_PROXY_EXTENSION)&RuntimeProbeOwner : NULL;
    return RuntimeProbeAnswers->CreateStatus;
}

static PVOID RuntimeResolveProbe(PVOID Context, PCWSTR Name)
{
    const HOTSWAP_PROBE_RUNTIME *probe = Context;
    ULONG i;

    for (i = 0; i < HotswapExportCount; i++) {
        if (HsNativeExportNames[i] != Name) {
            continue;
        }
        if ((probe->MissingMask & (1u << i)) != 0) {
            return NULL;
        }
        if (i == HotswapExportIoGetDriverProxyFeatures) {
            return (PVOID)(ULONG_PTR)ProbeGetFeatures;
        }
        if (i == HotswapExportIoCreateDriverProxyExtension) {
            return (PVOID)(ULONG_PTR)ProbeCreateExtension;
        }
        return ((PVOID const *)&HsCompatTable)[i]; /* present; a probe does not call it */
    }
    return NULL;
}

/* Owner NULL: the compat extension made on the way belongs to nobody and is deleted at once. */
_Use_decl_annotations_ VOID RuntimeProbe(const HOTSWAP_PROBE_RUNTIME *Probe, HOTSWAP_RUNTIME_INFO *Info)
{
    HS_RUNTIME_TABLE table;
    PDRIVER_PROXY_EXTENSION extension;

    RuntimeProbeAnswers = Probe;
    RuntimeChoose(HotswapRuntimeAuto, RuntimeResolveProbe, (PVOID)(ULONG_PTR)Probe, NULL, &table, &extension, Info);
    if (Info->Runtime == HotswapRuntimeCompat) {
        (VOID)HsDeleteDriverProxyExtension(extension);
    }
    RuntimeProbeAnswers = NULL;
}

VOID RuntimeDriverEntry(void)
{
    HsLockInitialize(&RuntimeLock);
}

_Requires_lock_held_(RuntimeLock) static NTSTATUS RuntimeConfigureLocked(const HOTSWAP_CONFIGURATION *Configuration)
{
    NTSTATUS status = STATUS_SUCCESS;

    if (HsRuntimeKind != HotswapRuntimeAuto) {
        return STATUS_INVALID_DEVICE_STATE;
    }
    if (Configuration->Runtime > HotswapRuntimePlain || Configuration->InvertReturn > 1 ||
        Configuration->HostFault > HotswapFaultKeepExtension || Configuration->Verbose > 1) {
        return STATUS_INVALID_PARAMETER;
    }
    if (Configuration->RingSlots != 0) { /* first, for it alone can fail: a refused configuration changes nothing */
        status = RingResize(Configuration->RingSlots);
    }
    if (!NT_SUCCESS(status)) {
        return status;
    }
    RuntimeWanted = (HOTSWAP_RUNTIME)Configuration->Runtime;
    RuntimeDrainTimeoutMs = Configuration->DrainTimeoutMs;
    RuntimeVerbose = (BOOLEAN)Configuration->Verbose;
    HsInvertReturn = (BOOLEAN)Configuration->InvertReturn;
    HsJoinTimeoutMs = Configuration->JoinTimeoutMs != 0 ? Configuration->JoinTimeoutMs : RUNTIME_JOIN_MS;
    HsHostFault = (HOTSWAP_HOST_FAULT)Configuration->HostFault;
    return STATUS_SUCCESS;
}

/* STATUS_INVALID_DEVICE_STATE: a runtime is in use already. */
_Use_decl_annotations_ NTSTATUS RuntimeConfigure(const HOTSWAP_CONFIGURATION *Configuration)
{
    NTSTATUS status;

    HsLockAcquire(&RuntimeLock);
    status = RuntimeConfigureLocked(Configuration);
    HsLockRelease(&RuntimeLock);
    return status;
}

/* What is not compat has no options. Beside a worker that is being created: what that reads stays the same. */
_Use_decl_annotations_ NTSTATUS RuntimeSetOptions(ULONG DrainTimeoutMs)
{
    HS_PROXY_OPTIONS options = { 0 };

    if (RuntimeInfo.Runtime != HotswapRuntimeCompat) {
        return STATUS_SUCCESS;
    }
    options.Size = sizeof(options);
    options.DrainTimeoutMs = DrainTimeoutMs != 0 ? DrainTimeoutMs : RuntimeDrainTimeoutMs;
    options.TrueEndsThread = HsInvertReturn;
    options.Notify = UpdateNotify;
    options.Verbose = RuntimeVerbose;
    return HsSetDriverProxyOptions(HsExtension, &options);
}

/* Native frees the extension with the driver object (R4). STATUS_DEVICE_BUSY: a thread or call is still there. */
_Requires_lock_held_(RuntimeLock) static NTSTATUS RuntimeStopLocked(void)
{
    NTSTATUS status = STATUS_SUCCESS;

    if (HsRuntimeKind == HotswapRuntimeCompat && HsExtension != NULL && HsHostFault != HotswapFaultKeepExtension) {
        status = HsDeleteDriverProxyExtension(HsExtension);
    }
    if (NT_SUCCESS(status)) {
        HsExtension = NULL;
        HsRuntimeKind = HotswapRuntimeAuto;
    }
    return status;
}

_Requires_lock_held_(RuntimeLock) static NTSTATUS RuntimeStartLocked(void)
{
    NTSTATUS status;

    if (HsRuntimeKind != HotswapRuntimeAuto) {
        return STATUS_SUCCESS;
    }
    RuntimeChoose(RuntimeWanted, HsResolveSystem, NULL, HsDriverObject, &HsRuntime, &HsExtension, &RuntimeInfo);
    HS_TRACE(RuntimeChosen, RuntimeInfo.Runtime, RuntimeInfo.Status, RuntimeInfo.MissingMask, RuntimeInfo.FeatureFlags);
    if (RuntimeInfo.Runtime == HotswapRuntimeAuto) {
        return NT_SUCCESS(RuntimeInfo.Status) ? STATUS_NOT_SUPPORTED : RuntimeInfo.Status;
    }
    HsRuntimeKind = (HOTSWAP_RUNTIME)RuntimeInfo.Runtime;
    status = RuntimeSetOptions(0);
    if (NT_SUCCESS(status)) {
        status = EndpointsRegister(&HsBuiltInEndpoints, NULL, NULL, TRUE);
    }
    if (!NT_SUCCESS(status)) {
        (VOID)RuntimeStopLocked();
    }
    return status;
}

_Use_decl_annotations_ NTSTATUS RuntimeStart(void)
{
    NTSTATUS status;

    HsLockAcquire(&RuntimeLock);
    status = RuntimeStartLocked();
    HsLockRelease(&RuntimeLock);
    return status;
}

_Use_decl_annotations_ NTSTATUS RuntimeStop(void)
{
    NTSTATUS status;

    HsLockAcquire(&RuntimeLock);
    status = RuntimeStopLocked();
    HsLockRelease(&RuntimeLock);
    return status;
}

_Use_decl_annotations_ VOID RuntimeDescribe(HOTSWAP_VERSION_INFO *Info)
{
    RtlZeroMemory(Info, sizeof(*Info));
    Info->ContractVersion = HOTSWAP_CONTRACT_VERSION;
    Info->Runtime = HsRuntimeKind;
    Info->RuntimeStatus = RuntimeInfo.Status;
    Info->CurrentVersion = HsEndpoints.Version;
    Info->TickFrequency = (ULONG64)HsTickFrequency();
    Info->RingSlots = RingSlots();
    Info->EtwEnabled = EtwActive();
}
