/* Pool blocks, counted with their bytes. */
#include "common.h"

typedef struct DECLSPEC_ALIGN(16) _HS_BLOCK {
    SIZE_T Bytes;
    ULONG64 Reserved;
} HS_BLOCK;

_Use_decl_annotations_ PVOID HsAllocate(SIZE_T Bytes)
{
    HS_BLOCK *block;

#if defined(_MSC_VER)
#pragma warning(suppress : 4996) /* ExAllocatePool2 is newer than the oldest system supported */
#endif
    block = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(HS_BLOCK) + Bytes, HS_TAG);
    if (block == NULL) {
        return NULL;
    }
    RtlZeroMemory(block, sizeof(HS_BLOCK) + Bytes);
    block->Bytes = Bytes;
    InterlockedIncrement(&HsCounters.Allocations);
    InterlockedExchangeAdd64(&HsCounters.AllocationBytes, (LONG64)Bytes);
    return block + 1;
}

_Use_decl_annotations_ VOID HsFree(PVOID Block)
{
    HS_BLOCK *block = (HS_BLOCK *)Block - 1;

    if (Block == NULL) {
        return;
    }
    InterlockedExchangeAdd64(&HsCounters.AllocationBytes, -(LONG64)block->Bytes);
    InterlockedDecrement(&HsCounters.Allocations);
    ExFreePoolWithTag(block, HS_TAG);
}
