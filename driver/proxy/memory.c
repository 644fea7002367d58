/* Pool blocks, counted; and failures on demand. */
#include "proxy.h"

static volatile LONG DpAllocations;
static volatile LONG DpAttempts;
static volatile LONG DpFailing; /* which attempt fails; 0: none */

_Use_decl_annotations_ VOID NTAPI HsFailDriverProxyAllocation(ULONG Nth, ULONG *Attempts)
{
    LONG attempts;

    InterlockedExchange(&DpFailing, 0);
    attempts = InterlockedExchange(&DpAttempts, 0);
    InterlockedExchange(&DpFailing, (LONG)Nth);
    if (Attempts != NULL) {
        *Attempts = (ULONG)attempts;
    }
}

BOOLEAN DpFailNow(void)
{
    LONG attempt = InterlockedIncrement(&DpAttempts);

    return attempt == DpRead32(&DpFailing);
}

_Use_decl_annotations_ PVOID DpAllocate(SIZE_T Bytes)
{
    PVOID block;

    if (DpFailNow()) {
        return NULL;
    }
#if defined(_MSC_VER)
#pragma warning(suppress : 4996) /* ExAllocatePool2 is newer than the oldest system supported */
#endif
    block = ExAllocatePoolWithTag(NonPagedPoolNx, Bytes, DP_TAG);
    if (block != NULL) {
        RtlZeroMemory(block, Bytes);
        InterlockedIncrement(&DpAllocations);
    }
    return block;
}

_Use_decl_annotations_ VOID DpFree(PVOID Block)
{
    if (Block != NULL) {
        ExFreePoolWithTag(Block, DP_TAG);
        InterlockedDecrement(&DpAllocations);
    }
}

ULONG DpAllocationCount(void)
{
    return (ULONG)DpRead32(&DpAllocations);
}
