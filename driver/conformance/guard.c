/* Blocks for what the API is to copy. A guarded one ends where a page ends, behind which nothing can be read or written. */
#include "conformance.h"

#define PAGE_BYTES 4096

#if defined(__MINGW32__) /* in ntifs.h */
NTSYSAPI NTSTATUS NTAPI ZwAllocateVirtualMemory(HANDLE ProcessHandle, PVOID *BaseAddress, ULONG_PTR ZeroBits, PSIZE_T RegionSize,
                                                ULONG AllocationType, ULONG Protect);
NTSYSAPI NTSTATUS NTAPI ZwFreeVirtualMemory(HANDLE ProcessHandle, PVOID *BaseAddress, PSIZE_T RegionSize, ULONG FreeType);
#endif

/* A page that can be used and one that is reserved only; Bytes <= PAGE_BYTES. */
static UCHAR *GuardPages(void)
{
    PVOID base = NULL;
    SIZE_T bytes = 2 * PAGE_BYTES;
    NTSTATUS status = ZwAllocateVirtualMemory(NtCurrentProcess(), &base, 0, &bytes, MEM_RESERVE, PAGE_READWRITE);

    if (!NT_SUCCESS(status)) {
        return NULL;
    }
    bytes = PAGE_BYTES;
    status = ZwAllocateVirtualMemory(NtCurrentProcess(), &base, 0, &bytes, MEM_COMMIT, PAGE_READWRITE);
    if (!NT_SUCCESS(status)) {
        bytes = 0;
        (VOID)ZwFreeVirtualMemory(NtCurrentProcess(), &base, &bytes, MEM_RELEASE);
        return NULL;
    }
    return base;
}

_Use_decl_annotations_ PVOID GuardAllocate(SIZE_T Bytes, BOOLEAN Guarded)
{
    UCHAR *pages;

    if (!Guarded) {
        return HsAllocate(Bytes);
    }
    pages = Bytes <= PAGE_BYTES ? GuardPages() : NULL;
    return pages != NULL ? pages + PAGE_BYTES - Bytes : NULL;
}

_Use_decl_annotations_ VOID GuardFree(PVOID Block, SIZE_T Bytes, BOOLEAN Guarded)
{
    if (!Guarded) {
        HsFree(Block);
    } else if (Block != NULL) {
        PVOID base = (UCHAR *)Block + Bytes - PAGE_BYTES;
        SIZE_T all = 0;

        (VOID)ZwFreeVirtualMemory(NtCurrentProcess(), &base, &all, MEM_RELEASE);
    }
}
