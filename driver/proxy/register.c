/*
 * IoRegisterDriverProxyEndpoints: first registration and swap are one operation (R6-R27, R32).
 *
 * PreProcess -> stall -> drain -> ProxyStalled -> switch -> release -> PostProcess. Everything that can fail for want of
 * memory is done before the first phase; after it only a callback or the drain limit can, and both leave the old version.
 */
#include "proxy.h"

typedef struct _DP_CHANGE {
    DP_WRAPPER *Wrapper;
    PVOID NewFunction;
    PVOID OldFunction; /* NULL: the wrapper is new */
} DP_CHANGE;

typedef struct _DP_REGISTRATION {
    PDRIVER_PROXY_EXTENSION Extension;
    PDRIVER_PROXY_REGISTER_CALLBACK Callback;
    PVOID Context;
    BOOLEAN InForce; /* the new functions are */
    ULONG Count;
    DP_CHANGE Changes[ANYSIZE_ARRAY];
} DP_REGISTRATION;

/* Nothing is changed by a check. */
static NTSTATUS DpCheckEndpoints(PDRIVER_PROXY_EXTENSION Extension, const DRIVER_PROXY_ENDPOINT_INFORMATION *Endpoints, ULONG Count)
{
    ULONG i;
    ULONG j;

    if (Endpoints == NULL) {
        return STATUS_INVALID_PARAMETER_2;
    }
    if (Count == 0 || Count > DP_WRAPPER_COUNT) {
        return STATUS_INVALID_PARAMETER_3;
    }
    for (i = 0; i < Count; i++) {
        const DP_WRAPPER *existing = DpWrapperFind(Extension, Endpoints[i].Id);

        if (Endpoints[i].EndpointFunction == NULL || Endpoints[i].ParameterCount > DP_MAX_PARAMETERS) {
            return STATUS_INVALID_PARAMETER_2;
        }
        if (existing != NULL && existing->ParameterCount != Endpoints[i].ParameterCount) {
            return STATUS_INVALID_PARAMETER_3; /* the number that the DDI page gives (R9) */
        }
        for (j = 0; j < i; j++) {
            if (Endpoints[j].Id == Endpoints[i].Id) {
                return STATUS_INVALID_PARAMETER_2; /* R14 */
            }
        }
    }
    return STATUS_SUCCESS;
}

/*
 * New endpoints can be found when nothing can fail any more, or never: a wrapper whose address somebody may have looked up
 * cannot be given back.
 */
static VOID DpEndChanges(DP_REGISTRATION *Registration)
{
    ULONG i;

    for (i = 0; i < Registration->Count; i++) {
        DP_WRAPPER *wrapper = Registration->Changes[i].Wrapper;

        if (wrapper == NULL || Registration->Changes[i].OldFunction != NULL) {
            continue;
        }
        if (Registration->InForce) {
            DpWrapperPublish(wrapper, Registration->Extension);
        } else {
            DpWrapperFree(wrapper);
        }
    }
}

static NTSTATUS DpPrepareChanges(DP_REGISTRATION *Registration, const DRIVER_PROXY_ENDPOINT_INFORMATION *Endpoints)
{
    ULONG i;

    for (i = 0; i < Registration->Count; i++) {
        DP_CHANGE *change = &Registration->Changes[i];

        change->NewFunction = (PVOID)(ULONG_PTR)Endpoints[i].EndpointFunction;
        change->Wrapper = DpWrapperFind(Registration->Extension, Endpoints[i].Id);
        if (change->Wrapper != NULL) {
            change->OldFunction = change->Wrapper->Function;
            continue;
        }
        change->Wrapper = DpWrapperAllocate(&Endpoints[i]);
        if (change->Wrapper == NULL) {
            DpEndChanges(Registration);
            return STATUS_INSUFFICIENT_RESOURCES;
        }
    }
    return STATUS_SUCCESS;
}

/* Whatever is not STATUS_SUCCESS refuses, also a status like STATUS_PENDING; the caller gets one that says failure. */
static NTSTATUS DpCallPhase(const DP_REGISTRATION *Registration, DRIVER_PROXY_REGISTER_CALLBACK_PHASE Phase, HS_PROXY_STEP Step)
{
    NTSTATUS status = STATUS_SUCCESS;

    if (Registration->Callback != NULL) {
        status = Registration->Callback(Phase, Registration->Context);
    }
    DpNotify(Registration->Extension, Step, status, NULL);
    return status != STATUS_SUCCESS && NT_SUCCESS(status) ? STATUS_UNSUCCESSFUL : status;
}

/* Hold new calls and wait for those inside. On failure nothing is held any more. */
static NTSTATUS DpStallAndDrain(PDRIVER_PROXY_EXTENSION Extension)
{
    NTSTATUS status;

    DpRundownPrepare(&Extension->Rundown);
    /* Told before it happens: a call held by it must not appear earlier in a trace. */
    DpNotify(Extension, HsProxyStepStalled, STATUS_SUCCESS, NULL);
    DpRundownStall(&Extension->Rundown);
    status = DpRundownDrain(&Extension->Rundown, Extension->Options.DrainTimeoutMs);
    DpNotify(Extension, HsProxyStepDrained, status, NULL);
    return status;
}

static VOID DpReleaseCalls(PDRIVER_PROXY_EXTENSION Extension)
{
    DpNotify(Extension, HsProxyStepReleased, STATUS_SUCCESS, NULL);
    DpRundownRelease(&Extension->Rundown);
}

/* Only while drained. */
static VOID DpSwitch(DP_REGISTRATION *Registration)
{
    ULONG i;

    for (i = 0; i < Registration->Count; i++) {
        DP_CHANGE *change = &Registration->Changes[i];
        InterlockedExchangePointer(&change->Wrapper->Function, change->NewFunction);
    }
    Registration->InForce = TRUE;
    DpNotify(Registration->Extension, HsProxyStepSwitched, STATUS_SUCCESS, NULL);
}

static VOID DpSwitchBack(DP_REGISTRATION *Registration)
{
    ULONG i;

    for (i = 0; i < Registration->Count; i++) {
        DP_CHANGE *change = &Registration->Changes[i];
        if (change->OldFunction != NULL) {
            InterlockedExchangePointer(&change->Wrapper->Function, change->OldFunction);
        }
    }
    Registration->InForce = FALSE;
    DpNotify(Registration->Extension, HsProxyStepRolledBack, STATUS_SUCCESS, NULL);
}

static NTSTATUS DpRunPhases(DP_REGISTRATION *Registration)
{
    PDRIVER_PROXY_EXTENSION extension = Registration->Extension;
    NTSTATUS status;

    status = DpCallPhase(Registration, DriverProxyRegisterCallbackPreProcess, HsProxyStepPreProcess);
    if (status != STATUS_SUCCESS) {
        return status;
    }
    status = DpStallAndDrain(extension);
    if (status != STATUS_SUCCESS) {
        DpSwitchBack(Registration);
        DpReleaseCalls(extension);
        return STATUS_UNSUCCESSFUL; /* R12 */
    }
    status = DpCallPhase(Registration, DriverProxyRegisterCallbackProxyStalled, HsProxyStepProxyStalled);
    if (status != STATUS_SUCCESS) {
        DpSwitchBack(Registration);
        DpReleaseCalls(extension);
        return status;
    }
    DpSwitch(Registration);
    DpReleaseCalls(extension);

    status = DpCallPhase(Registration, DriverProxyRegisterCallbackPostProcess, HsProxyStepPostProcess);
    if (status == STATUS_SUCCESS || extension->Options.KeepAfterPostProcess) {
        return status;
    }
    /* Calls have reached the new version, so going back needs a drain of its own (R25). */
    if (DpStallAndDrain(extension) != STATUS_SUCCESS) {
        DpReleaseCalls(extension); /* the new version stays in force: no step says RolledBack */
        return STATUS_UNSUCCESSFUL;
    }
    DpSwitchBack(Registration);
    DpReleaseCalls(extension);
    return status;
}

/*
 * STATUS_POSSIBLE_DEADLOCK: called from a phase callback of the same extension (R26). Otherwise as the DDI page lists; a
 * callback's own failure is returned as it is.
 */
_Use_decl_annotations_ NTSTATUS NTAPI HsIoRegisterDriverProxyEndpoints(PDRIVER_PROXY_EXTENSION DriverProxyExtension,
                                                                      PDRIVER_PROXY_ENDPOINT_INFORMATION EndpointInfo, ULONG Count,
                                                                      PDRIVER_PROXY_REGISTER_CALLBACK PhasedCallback, PVOID Context)
{
    DP_REGISTRATION *registration;
    NTSTATUS status;

    if (DriverProxyExtension == NULL) {
        return STATUS_INVALID_PARAMETER_1;
    }
    if (DriverProxyExtension->SwapThread == DpThreadKey()) {
        return STATUS_POSSIBLE_DEADLOCK;
    }
    if (Count > DP_WRAPPER_COUNT) {
        return STATUS_INVALID_PARAMETER_3;
    }
    registration = DpAllocate(FIELD_OFFSET(DP_REGISTRATION, Changes) + (SIZE_T)(Count == 0 ? 1 : Count) * sizeof(DP_CHANGE));
    if (registration == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    registration->Extension = DriverProxyExtension;
    registration->Callback = PhasedCallback;
    registration->Context = Context;
    registration->Count = Count;

    KeEnterCriticalRegion(); /* a thread that is suspended here would hold all calls for as long */
    KeWaitForSingleObject(&DriverProxyExtension->SwapLock, Executive, KernelMode, FALSE, NULL);
    DriverProxyExtension->SwapThread = DpThreadKey();

    status = DpCheckEndpoints(DriverProxyExtension, EndpointInfo, Count);
    if (NT_SUCCESS(status)) {
        status = DpPrepareChanges(registration, EndpointInfo);
    }
    if (NT_SUCCESS(status)) {
        status = DpRunPhases(registration);
        DpEndChanges(registration);
    }

    DriverProxyExtension->SwapThread = NULL;
    KeSetEvent(&DriverProxyExtension->SwapLock, IO_NO_INCREMENT, FALSE);
    KeLeaveCriticalRegion();
    DpFree(registration);
    return status;
}
