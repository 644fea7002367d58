/* Pool blocks, counted. */
#include "proxy.h"

static volatile LONG DpAllocations;

_Use_decl_annotations_ PVOID DpAllocate(SIZE_T Bytes)
{
    PVOID block;

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
    return (ULONG)DpAllocations;
}
