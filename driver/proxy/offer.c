/* The meeting point of endpoint drivers and the host: an importer pins the exporter, so neither imports from the other. */
#include "proxy.h"

static PVOID volatile DpOffer;

_Use_decl_annotations_ NTSTATUS NTAPI HsOfferEndpoints(const HS_ENDPOINT_DESCRIPTOR *Descriptor)
{
    if (InterlockedCompareExchangePointer(&DpOffer, (PVOID)(ULONG_PTR)Descriptor, NULL) != NULL) {
        return STATUS_DEVICE_BUSY;
    }
    return STATUS_SUCCESS;
}

const HS_ENDPOINT_DESCRIPTOR *NTAPI HsTakeEndpoints(void)
{
    return InterlockedExchangePointer(&DpOffer, NULL);
}

_Use_decl_annotations_ VOID NTAPI HsWithdrawEndpoints(const HS_ENDPOINT_DESCRIPTOR *Descriptor)
{
    InterlockedCompareExchangePointer(&DpOffer, NULL, (PVOID)(ULONG_PTR)Descriptor);
}
