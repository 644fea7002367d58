/* IoRegisterDriverProxyEndpoints: first registration and swap are one operation (R6-R14). */
#include "proxy.h"

/* The array is read once: what is checked is what is registered, also when somebody writes to it meanwhile. */
static VOID DpCapture(DP_SWAP *Swap, const volatile DRIVER_PROXY_ENDPOINT_INFORMATION *Endpoints)
{
    ULONG i;

    for (i = 0; i < Swap->Count; i++) {
        Swap->Changes[i].Id = Endpoints[i].Id;
        Swap->Changes[i].NewFunction = (PVOID)(ULONG_PTR)Endpoints[i].EndpointFunction;
        Swap->Changes[i].ParameterCount = Endpoints[i].ParameterCount;
    }
}

/* Nothing is changed by a check. */
static NTSTATUS DpCheckChanges(const DP_SWAP *Swap)
{
    ULONG i;
    ULONG j;

    for (i = 0; i < Swap->Count; i++) {
        const DP_CHANGE *change = &Swap->Changes[i];
        const DP_WRAPPER *existing = DpWrapperFind(Swap->Extension, change->Id);

        if (change->NewFunction == NULL || change->ParameterCount > DP_MAX_PARAMETERS) {
            return STATUS_INVALID_PARAMETER_2;
        }
        if (existing != NULL && existing->ParameterCount != change->ParameterCount) {
            return STATUS_INVALID_PARAMETER_3; /* the number that the DDI page gives (R9) */
        }
        for (j = 0; j < i; j++) {
            if (Swap->Changes[j].Id == change->Id) {
                return STATUS_INVALID_PARAMETER_2; /* R14 */
            }
        }
    }
    return STATUS_SUCCESS;
}

/* On failure no new wrapper is left. */
static NTSTATUS DpPrepareChanges(DP_SWAP *Swap)
{
    ULONG i;

    for (i = 0; i < Swap->Count; i++) {
        DP_CHANGE *change = &Swap->Changes[i];
        ULONG parameters = change->ParameterCount;

        change->Wrapper = DpWrapperFind(Swap->Extension, change->Id);
        if (change->Wrapper != NULL) {
            change->OldFunction = change->Wrapper->Function;
            continue;
        }
        change->Wrapper =
            DpWrapperAllocate(change->NewFunction, change->Id, parameters, parameters > 4 ? (parameters - 4) * 8 : 0);
        if (change->Wrapper == NULL) {
            DpSwapFreeNew(Swap);
            return STATUS_INSUFFICIENT_RESOURCES;
        }
    }
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ NTSTATUS NTAPI HsIoRegisterDriverProxyEndpoints(PDRIVER_PROXY_EXTENSION DriverProxyExtension,
                                                                      PDRIVER_PROXY_ENDPOINT_INFORMATION EndpointInfo, ULONG Count,
                                                                      PDRIVER_PROXY_REGISTER_CALLBACK PhasedCallback, PVOID Context)
{
    DP_SWAP *swap;
    NTSTATUS status;

    if (DriverProxyExtension == NULL) {
        return STATUS_INVALID_PARAMETER_1;
    }
    if (EndpointInfo == NULL) {
        return STATUS_INVALID_PARAMETER_2;
    }
    if (Count == 0) {
        return STATUS_INVALID_PARAMETER_3;
    }
    if (Count > DP_WRAPPER_COUNT) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    if (DriverProxyExtension->Endpoints != NULL) {
        return STATUS_NOT_SUPPORTED; /* V1 only */
    }
    DpOwnerArm(DriverProxyExtension);
    status = DpSwapBegin(DriverProxyExtension, PhasedCallback, Context, Count, &swap);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    DpCapture(swap, EndpointInfo);
    status = DpCheckChanges(swap);
    if (NT_SUCCESS(status)) {
        status = DpPrepareChanges(swap);
    }
    if (NT_SUCCESS(status)) {
        status = DpSwapRun(swap);
    }
    DpSwapEnd(swap);
    return status;
}
