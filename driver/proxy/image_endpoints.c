/* Endpoints that an image lists (V2): wrappers from the start (R5), and the swap of one image for another. */
#include "image_endpoints.h"

#include "driverproxy_v2.h"
#include "shsept.h"

/* In one block. The names lie in the image, which stays as long as it is in force. */
typedef struct _DP_ENDPOINT_SET {
    const UCHAR *Image;
    ULONG Count;
    DP_WRAPPER **Wrappers; /* Count each */
    DP_ENDPOINT Endpoints[ANYSIZE_ARRAY];
} DP_ENDPOINT_SET;

static DP_ENDPOINT_SET *DpSetAllocate(ULONG Count)
{
    SIZE_T endpoints = FIELD_OFFSET(DP_ENDPOINT_SET, Endpoints) + (SIZE_T)Count * sizeof(DP_ENDPOINT);
    DP_ENDPOINT_SET *set = DpAllocate(endpoints + (SIZE_T)Count * sizeof(DP_WRAPPER *));

    if (set != NULL) {
        set->Count = Count;
        set->Wrappers = (DP_WRAPPER **)((UCHAR *)set + endpoints);
    }
    return set;
}

static PVOID DpSetFunction(const DP_ENDPOINT_SET *Set, ULONG Index)
{
    return (PVOID)(ULONG_PTR)(Set->Image + Set->Endpoints[Index].Rva);
}

/*
 * The endpoints of a driver's image, without wrappers. STATUS_NOT_FOUND: it lists none, or the driver object has no image.
 * IRQL: PASSIVE_LEVEL, because the image's pages may be paged.
 */
static NTSTATUS DpSetRead(PDRIVER_OBJECT Driver, DP_ENDPOINT_SET **Set)
{
    DP_ENDPOINT_SET *set;
    DP_ENDPOINT none;
    NTSTATUS status;
    ULONG count;

    if (Driver->DriverStart == NULL || Driver->DriverSize == 0) {
        return STATUS_NOT_FOUND;
    }
    status = DpReadEndpoints(Driver->DriverStart, Driver->DriverSize, &none, 0, &count);
    if (status != STATUS_BUFFER_TOO_SMALL) {
        return status;
    }
    if (count > DP_WRAPPER_COUNT) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    set = DpSetAllocate(count);
    if (set == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    set->Image = Driver->DriverStart;
    status = DpReadEndpoints(Driver->DriverStart, Driver->DriverSize, set->Endpoints, set->Count, &count);
    if (!NT_SUCCESS(status)) {
        DpFree(set);
        return status;
    }
    *Set = set;
    return STATUS_SUCCESS;
}

static DP_WRAPPER *DpSetNewWrapper(const DP_ENDPOINT_SET *Set, ULONG Index)
{
    const DP_ENDPOINT *endpoint = &Set->Endpoints[Index];
    ULONG parameters = 0;

    while (parameters < HS_ENDPOINT_REGISTERS && endpoint->Registers[parameters] != EndpointParamRegNone) {
        parameters++;
    }
    parameters += endpoint->StackBytes / sizeof(ULONG64);
    return DpWrapperAllocate(DpSetFunction(Set, Index), Index, parameters, endpoint->StackBytes);
}

_Use_decl_annotations_ NTSTATUS DpImageEndpointsPrepare(PDRIVER_PROXY_EXTENSION Extension)
{
    DP_ENDPOINT_SET *set;
    NTSTATUS status;
    ULONG i;

    if (Extension->Owner == NULL) {
        return STATUS_SUCCESS;
    }
    status = DpSetRead(Extension->Owner, &set);
    if (!NT_SUCCESS(status)) {
        return status == STATUS_NOT_FOUND ? STATUS_SUCCESS : status;
    }
    Extension->Endpoints = set;
    for (i = 0; i < set->Count; i++) {
        set->Wrappers[i] = DpSetNewWrapper(set, i);
        if (set->Wrappers[i] == NULL) {
            DpImageEndpointsAbandon(Extension);
            return STATUS_INSUFFICIENT_RESOURCES;
        }
    }
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ VOID DpImageEndpointsPublish(PDRIVER_PROXY_EXTENSION Extension)
{
    const DP_ENDPOINT_SET *set = Extension->Endpoints;
    ULONG i;

    for (i = 0; set != NULL && i < set->Count; i++) {
        DpWrapperPublish(set->Wrappers[i], Extension);
    }
}

_Use_decl_annotations_ VOID DpImageEndpointsAbandon(PDRIVER_PROXY_EXTENSION Extension)
{
    const DP_ENDPOINT_SET *set = Extension->Endpoints;
    ULONG i;

    for (i = 0; set != NULL && i < set->Count && set->Wrappers[i] != NULL; i++) {
        DpWrapperFree(set->Wrappers[i]);
    }
    DpImageEndpointsFree(Extension);
}

_Use_decl_annotations_ VOID DpImageEndpointsFree(PDRIVER_PROXY_EXTENSION Extension)
{
    DpFree(Extension->Endpoints);
    Extension->Endpoints = NULL;
}

/* The wrapper of the same endpoint goes over to the new set. Nothing is changed for the extension. */
static NTSTATUS DpMatch(const DP_ENDPOINT_SET *Old, DP_ENDPOINT_SET *New)
{
    ULONG i;
    ULONG j;

    for (i = 0; i < Old->Count; i++) {
        for (j = 0; j < New->Count && !DpSameName(&Old->Endpoints[i], &New->Endpoints[j]); j++) {
        }
        if (j == New->Count) {
            return STATUS_PROCEDURE_NOT_FOUND;
        }
        if (!DpSameSignature(&Old->Endpoints[i], &New->Endpoints[j])) {
            return STATUS_REVISION_MISMATCH;
        }
        New->Wrappers[j] = Old->Wrappers[i];
    }
    return STATUS_SUCCESS;
}

/* On failure no new wrapper is left. */
static NTSTATUS DpPrepareSwap(DP_SWAP *Swap, DP_ENDPOINT_SET *Set)
{
    ULONG i;

    for (i = 0; i < Set->Count; i++) {
        DP_CHANGE *change = &Swap->Changes[i];

        change->NewFunction = DpSetFunction(Set, i);
        if (Set->Wrappers[i] != NULL) {
            change->OldFunction = Set->Wrappers[i]->Function;
        } else {
            Set->Wrappers[i] = DpSetNewWrapper(Set, i);
        }
        change->Wrapper = Set->Wrappers[i];
        if (change->Wrapper == NULL) {
            DpSwapFreeNew(Swap);
            return STATUS_INSUFFICIENT_RESOURCES;
        }
    }
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ NTSTATUS NTAPI HsIoHotSwapDriverProxyEndpoints(PDRIVER_PROXY_EXTENSION DriverProxyExtension,
                                                                     PDRIVER_OBJECT NewDriver,
                                                                     PDRIVER_PROXY_REGISTER_CALLBACK PhasedCallback, PVOID Context)
{
    PDRIVER_PROXY_EXTENSION extension = DriverProxyExtension;
    DP_ENDPOINT_SET *set; /* the one not in force, in the end */
    DP_SWAP *swap;
    NTSTATUS status;

    if (extension == NULL) {
        return STATUS_INVALID_PARAMETER_1;
    }
    if (NewDriver == NULL) {
        return STATUS_INVALID_PARAMETER_2;
    }
    if (extension->Endpoints == NULL) {
        return STATUS_NOT_SUPPORTED;
    }
    DpOwnerArm(extension);
    status = DpSetRead(NewDriver, &set);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    status = DpSwapBegin(extension, PhasedCallback, Context, set->Count, &swap);
    if (!NT_SUCCESS(status)) {
        DpFree(set);
        return status;
    }
    status = DpMatch(extension->Endpoints, set);
    if (NT_SUCCESS(status)) {
        status = DpPrepareSwap(swap, set);
    }
    if (NT_SUCCESS(status)) {
        status = DpSwapRun(swap);
        if (swap->InForce) {
            DP_ENDPOINT_SET *old = extension->Endpoints;

            extension->Endpoints = set;
            set = old;
        }
    }
    DpSwapEnd(swap);
    DpFree(set);
    return status;
}
