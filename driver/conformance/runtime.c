/* Whose functions are called: the kernel's, as far as it exports them, or driverproxy.sys's. */
#include "conformance.h"

HS_RUNTIME_TABLE CfTable;
CONFORMANCE_RUNTIME CfRuntime;

static CONFORMANCE_RUNTIME_INFO RuntimeInfo;

/* PASSIVE_LEVEL. Native is there when all exports are and the kernel says that they work. */
static VOID RuntimeProbe(HS_RUNTIME_TABLE *Native)
{
    DRIVER_PROXY_FEATURE_FLAGS features = { 0 };

    RtlZeroMemory(&RuntimeInfo, sizeof(RuntimeInfo));
    RuntimeInfo.MissingMask = HsFillNative(HsResolveSystem, NULL, Native);
    if (RuntimeInfo.MissingMask != 0) {
        RuntimeInfo.NativeStatus = STATUS_PROCEDURE_NOT_FOUND;
    }
    if (Native->GetFeatures != NULL) {
        Native->GetFeatures(CfDriverObject, &features);
        RuntimeInfo.FeatureFlags = features.AsUlong;
        if (NT_SUCCESS(RuntimeInfo.NativeStatus) && !features.Enabled) {
            RuntimeInfo.NativeStatus = STATUS_NOT_SUPPORTED;
        }
    }
}

static VOID RuntimeUse(CONFORMANCE_RUNTIME Wanted)
{
    HS_RUNTIME_TABLE native;

    RuntimeProbe(&native);
    if (Wanted == ConformanceRuntimeAuto) {
        Wanted = NT_SUCCESS(RuntimeInfo.NativeStatus) ? ConformanceRuntimeNative : ConformanceRuntimeCompat;
    }
    CfTable = Wanted == ConformanceRuntimeNative ? native : HsCompatTable;
    CfRuntime = Wanted;
    RuntimeInfo.Runtime = Wanted;
}

VOID RuntimeDriverEntry(void)
{
    RuntimeUse(ConformanceRuntimeCompat);
}

_Use_decl_annotations_ NTSTATUS RuntimeSelect(const VOID *Input, VOID *Output)
{
    ULONG wanted = ((const CONFORMANCE_SELECT_RUNTIME *)Input)->Runtime;

    if (wanted > ConformanceRuntimeCompat) {
        return STATUS_INVALID_PARAMETER;
    }
    if (ExtensionCount() != 0) {
        return STATUS_INVALID_DEVICE_STATE;
    }
    RuntimeUse((CONFORMANCE_RUNTIME)wanted);
    *(CONFORMANCE_RUNTIME_INFO *)Output = RuntimeInfo;
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ NTSTATUS RuntimeVersion(const VOID *Input, VOID *Output)
{
    CONFORMANCE_VERSION_INFO *info = Output;
    LARGE_INTEGER now;

    UNREFERENCED_PARAMETER(Input);
    info->ContractVersion = CONFORMANCE_CONTRACT_VERSION;
    info->Runtime = CfRuntime;
    info->TickFrequency = (ULONG64)HsTickFrequency();
    info->DriverObject = (ULONG64)(ULONG_PTR)CfDriverObject;
    info->OptionsBytes = sizeof(HS_PROXY_OPTIONS);
    info->ProcessId = LanesProcessId();
    KeQuerySystemTime(&now);
    info->SystemTime = now.QuadPart;
    info->Tick = HsTick();
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ VOID RuntimeQueryCounters(CONFORMANCE_COUNTERS *Counters)
{
    HS_PROXY_COUNTERS proxy;

    RtlZeroMemory(Counters, sizeof(*Counters));
    if (CfRuntime == ConformanceRuntimeCompat) {
        HsQueryDriverProxyCounters(&proxy);
        Counters->Extensions = proxy.Extensions;
        Counters->Wrappers = proxy.Wrappers;
        Counters->ProxyThreads = proxy.Threads;
        Counters->ProxyAllocations = proxy.Allocations;
        Counters->ActiveCalls = proxy.ActiveCalls;
        Counters->HeldCalls = proxy.HeldCalls;
        Counters->StalledExtensions = proxy.StalledExtensions;
    }
    Counters->Allocations = (ULONG)HsCounters.Allocations;
    Counters->Threads = (ULONG)HsCounters.Threads;
    Counters->Calls = EndpointCallsAll();
    RingTotals(&Counters->EventsWritten, &Counters->EventsDropped);
}

_Use_decl_annotations_ NTSTATUS RuntimeCounters(const VOID *Input, VOID *Output)
{
    UNREFERENCED_PARAMETER(Input);
    RuntimeQueryCounters(Output);
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ NTSTATUS RuntimeFailAllocation(const VOID *Input, VOID *Output)
{
    CONFORMANCE_ATTEMPTS *attempts = Output;

    if (CfRuntime != ConformanceRuntimeCompat) {
        attempts->Status = STATUS_NOT_SUPPORTED;
        return STATUS_SUCCESS;
    }
    HsFailDriverProxyAllocation(((const CONFORMANCE_FAIL_ALLOCATION *)Input)->Nth, &attempts->Attempts);
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ NTSTATUS RuntimeSetAvailability(const VOID *Input, VOID *Output)
{
    const CONFORMANCE_SET_AVAILABILITY *set = Input;
    CONFORMANCE_ATTEMPTS *answer = Output;
    PDRIVER_OBJECT blocked;
    NTSTATUS status = ApiDriverObject(&set->Blocked, FALSE, &blocked);

    if (!NT_SUCCESS(status)) {
        return status;
    }
    answer->Status = STATUS_NOT_SUPPORTED;
    if (CfRuntime == ConformanceRuntimeCompat) {
        HsSetDriverProxyAvailability(set->Available != 0, blocked);
        answer->Status = STATUS_SUCCESS;
    }
    return STATUS_SUCCESS;
}
