/* The pool of wrappers: which stub belongs to which endpoint, and what a stub does on the way in and out. */
#include "proxy.h"

/* wrapper.asm: the stubs, and what they call. */
extern UCHAR DpWrapperPool[DP_WRAPPER_COUNT * DP_WRAPPER_STRIDE];
VOID DpWrapperEnter(_Out_ DP_CALL *Call, _In_ ULONG Index);
VOID DpWrapperLeave(_In_ const DP_CALL *Call);

static DP_WRAPPER DpWrappers[DP_WRAPPER_COUNT];

_Use_decl_annotations_ DP_WRAPPER *DpWrapperAt(ULONG Index)
{
    return &DpWrappers[Index];
}

_Use_decl_annotations_ PVOID DpWrapperAddress(const DP_WRAPPER *Wrapper)
{
    return &DpWrapperPool[(SIZE_T)(Wrapper - DpWrappers) * DP_WRAPPER_STRIDE];
}

/* NULL unless the address is exactly that of a stub in use. */
_Use_decl_annotations_ DP_WRAPPER *DpWrapperFromAddress(PVOID Address)
{
    ULONG_PTR offset = (ULONG_PTR)Address - (ULONG_PTR)DpWrapperPool;
    DP_WRAPPER *wrapper;

    if (offset >= sizeof(DpWrapperPool) || offset % DP_WRAPPER_STRIDE != 0) {
        return NULL;
    }
    wrapper = &DpWrappers[offset / DP_WRAPPER_STRIDE];
    return wrapper->Extension != NULL ? wrapper : NULL;
}

/* Called by wrapper.asm at the caller's IRQL. */
_Use_decl_annotations_ VOID DpWrapperEnter(DP_CALL *Call, ULONG Index)
{
    DP_WRAPPER *wrapper = &DpWrappers[Index];

    Call->Rundown = &wrapper->Extension->Rundown;
    Call->Slot = DpRundownEnter(Call->Rundown);
    Call->Target = wrapper->Function; /* only read while counted: the switch happens when nobody is */
    Call->StackBytes = wrapper->StackBytes;
}

_Use_decl_annotations_ VOID DpWrapperLeave(const DP_CALL *Call)
{
    DpRundownLeave(Call->Rundown, Call->Slot);
}

/* A wrapper that no lookup finds until it is published. IRQL: PASSIVE_LEVEL. */
_Use_decl_annotations_ DP_WRAPPER *DpWrapperAllocate(const DRIVER_PROXY_ENDPOINT_INFORMATION *Endpoint)
{
    ULONG i;

    for (i = 0; i < DP_WRAPPER_COUNT; i++) {
        DP_WRAPPER *wrapper = &DpWrappers[i];
        PVOID reserved = (PVOID)(ULONG_PTR)-1;

        /* Function doubles as the claim: an entry is free when it is NULL. */
        if (wrapper->Function != NULL || InterlockedCompareExchangePointer(&wrapper->Function, reserved, NULL) != NULL) {
            continue;
        }
        wrapper->Id = Endpoint->Id;
        wrapper->ParameterCount = Endpoint->ParameterCount;
        wrapper->StackBytes = Endpoint->ParameterCount > 4 ? (Endpoint->ParameterCount - 4) * 8 : 0;
        InterlockedExchangePointer(&wrapper->Function, (PVOID)(ULONG_PTR)Endpoint->EndpointFunction);
        return wrapper;
    }
    return NULL;
}

_Use_decl_annotations_ VOID DpWrapperPublish(DP_WRAPPER *Wrapper, PDRIVER_PROXY_EXTENSION Extension)
{
    InterlockedExchangePointer((PVOID volatile *)&Wrapper->Extension, Extension);
}

_Use_decl_annotations_ VOID DpWrapperFree(DP_WRAPPER *Wrapper)
{
    InterlockedExchangePointer((PVOID volatile *)&Wrapper->Extension, NULL);
    InterlockedExchangePointer(&Wrapper->Function, NULL);
}

/* IRQL: any (R30). */
_Use_decl_annotations_ DP_WRAPPER *DpWrapperFind(PDRIVER_PROXY_EXTENSION Extension, ULONG Id)
{
    ULONG i;

    for (i = 0; i < DP_WRAPPER_COUNT; i++) {
        if (DpWrappers[i].Extension == Extension && DpWrappers[i].Id == Id) {
            return &DpWrappers[i];
        }
    }
    return NULL;
}

/* By the function in force now (R16); the first one where several wrappers share it. */
_Use_decl_annotations_ DP_WRAPPER *DpWrapperFindFunction(PDRIVER_PROXY_EXTENSION Extension, PVOID Function)
{
    ULONG i;

    for (i = 0; i < DP_WRAPPER_COUNT; i++) {
        if (DpWrappers[i].Extension == Extension && DpWrappers[i].Function == Function) {
            return &DpWrappers[i];
        }
    }
    return NULL;
}

_Use_decl_annotations_ VOID DpWrapperFreeAll(PDRIVER_PROXY_EXTENSION Extension)
{
    ULONG i;

    for (i = 0; i < DP_WRAPPER_COUNT; i++) {
        if (DpWrappers[i].Extension == Extension) {
            DpWrapperFree(&DpWrappers[i]);
        }
    }
}

ULONG DpWrapperCount(void)
{
    ULONG i;
    ULONG count = 0;

    for (i = 0; i < DP_WRAPPER_COUNT; i++) {
        count += DpWrappers[i].Extension != NULL;
    }
    return count;
}
