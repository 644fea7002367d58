/*
 * An image's import address table, found and written. Entries are known by the function they point to, not by name: names
 * are in the import directory, which on Windows is often in a section that is gone once DriverEntry has returned (INIT).
 * The table itself is read-only data that stays.
 */
#include "verifier.h"

#include <ntimage.h>

#define DIRECTORY_IAT 12

typedef struct _PATCH_TABLE {
    PVOID *Entries; /* as the image sees them */
    ULONG Bytes;
} PATCH_TABLE;

/* The same entries, open to be written. */
typedef struct _PATCH_VIEW {
    PVOID *Entries;
    PMDL Mdl; /* an alias: kernel addresses. Without it the protection was changed: */
    ULONG Protection;
} PATCH_VIEW;

typedef PVOID NTAPI RTL_PC_TO_FILE_HEADER(PVOID Inside, PVOID *Base);
typedef NTSTATUS NTAPI ZW_PROTECT_VIRTUAL_MEMORY(HANDLE Process, PVOID *Base, PSIZE_T Bytes, ULONG Protection, PULONG OldProtection);

/* Exported where drivers run, but not declared for them. */
static PVOID PatchResolve(PCWSTR Name)
{
    UNICODE_STRING name;

    RtlInitUnicodeString(&name, Name);
    return MmGetSystemRoutineAddress(&name);
}

_Use_decl_annotations_ PVOID VerifierImageBase(const VOID *Inside)
{
    RTL_PC_TO_FILE_HEADER *find = (RTL_PC_TO_FILE_HEADER *)(ULONG_PTR)PatchResolve(L"RtlPcToFileHeader");
    PVOID base = NULL;

    return find == NULL ? NULL : find((PVOID)(ULONG_PTR)Inside, &base);
}

/* NULL when the headers are not those of a 64-bit image, or reach beyond their page. */
static const IMAGE_NT_HEADERS64 *PatchHeaders(const UCHAR *Base)
{
    const IMAGE_DOS_HEADER *dos = (const IMAGE_DOS_HEADER *)Base;
    const IMAGE_NT_HEADERS64 *nt;

    if (dos->e_magic != IMAGE_DOS_SIGNATURE || dos->e_lfanew < (LONG)sizeof(*dos) || dos->e_lfanew > (LONG)(PAGE_SIZE - sizeof(*nt))) {
        return NULL;
    }
    nt = (const IMAGE_NT_HEADERS64 *)(Base + dos->e_lfanew);
    if (nt->Signature != IMAGE_NT_SIGNATURE || nt->FileHeader.Machine != IMAGE_FILE_MACHINE_AMD64 ||
        nt->OptionalHeader.Magic != IMAGE_NT_OPTIONAL_HDR64_MAGIC || nt->OptionalHeader.NumberOfRvaAndSizes <= DIRECTORY_IAT ||
        nt->FileHeader.SizeOfOptionalHeader < sizeof(nt->OptionalHeader)) {
        return NULL;
    }
    if ((const UCHAR *)IMAGE_FIRST_SECTION(nt) + nt->FileHeader.NumberOfSections * sizeof(IMAGE_SECTION_HEADER) > Base + PAGE_SIZE) {
        return NULL;
    }
    return nt;
}

/* The table lies in one section that stays in memory. STATUS_INVALID_IMAGE_FORMAT. */
static NTSTATUS PatchFind(PVOID Base, PATCH_TABLE *Table)
{
    const IMAGE_NT_HEADERS64 *nt = PatchHeaders(Base);
    const IMAGE_SECTION_HEADER *section;
    const IMAGE_DATA_DIRECTORY *directory;
    ULONG i;

    if (nt == NULL) {
        return STATUS_INVALID_IMAGE_FORMAT;
    }
    section = IMAGE_FIRST_SECTION(nt);
    directory = &nt->OptionalHeader.DataDirectory[DIRECTORY_IAT];
    if (directory->Size == 0 || directory->VirtualAddress % sizeof(PVOID) != 0) {
        return STATUS_INVALID_IMAGE_FORMAT;
    }
    for (i = 0; i < nt->FileHeader.NumberOfSections; i++, section++) {
        ULONG64 end = (ULONG64)section->VirtualAddress + section->Misc.VirtualSize;

        if (directory->VirtualAddress >= section->VirtualAddress && (ULONG64)directory->VirtualAddress + directory->Size <= end &&
            end <= nt->OptionalHeader.SizeOfImage && (section->Characteristics & IMAGE_SCN_MEM_DISCARDABLE) == 0) {
            Table->Entries = (PVOID *)((UCHAR *)Base + directory->VirtualAddress);
            Table->Bytes = directory->Size;
            return STATUS_SUCCESS;
        }
    }
    return STATUS_INVALID_IMAGE_FORMAT;
}

static NTSTATUS PatchProtect(const PATCH_TABLE *Table, ULONG Protection, ULONG *OldProtection)
{
    ZW_PROTECT_VIRTUAL_MEMORY *protect = (ZW_PROTECT_VIRTUAL_MEMORY *)(ULONG_PTR)PatchResolve(L"ZwProtectVirtualMemory");
    PVOID base = Table->Entries;
    SIZE_T bytes = Table->Bytes;

    return protect == NULL ? STATUS_PROCEDURE_NOT_FOUND : protect(ZwCurrentProcess(), &base, &bytes, Protection, OldProtection);
}

/* A writable alias of the pages. Written to the documentation; not run on Windows. */
static NTSTATUS PatchAlias(const PATCH_TABLE *Table, PATCH_VIEW *View)
{
    NTSTATUS status;
    PMDL mdl = IoAllocateMdl(Table->Entries, Table->Bytes, FALSE, FALSE, NULL);

    if (mdl == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
#if defined(_MSC_VER)
    __try {
        MmProbeAndLockPages(mdl, KernelMode, IoReadAccess);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        status = GetExceptionCode();
        IoFreeMdl(mdl);
        return status;
    }
#else
    MmProbeAndLockPages(mdl, KernelMode, IoReadAccess); /* raises for pages that are not there; a loaded image's are */
#endif
    View->Entries = MmMapLockedPagesSpecifyCache(mdl, KernelMode, MmCached, NULL, FALSE, NormalPagePriority);
    status = View->Entries == NULL ? STATUS_INSUFFICIENT_RESOURCES : MmProtectMdlSystemAddress(mdl, PAGE_READWRITE);
    if (NT_SUCCESS(status)) {
        View->Mdl = mdl;
        return STATUS_SUCCESS;
    }
    if (View->Entries != NULL) {
        MmUnmapLockedPages(View->Entries, mdl);
    }
    MmUnlockPages(mdl);
    IoFreeMdl(mdl);
    return status;
}

/* Wine loads drivers into a process, at user addresses, where protection can be changed; a kernel's are in the upper half. */
static NTSTATUS PatchOpen(const PATCH_TABLE *Table, PATCH_VIEW *View)
{
    View->Mdl = NULL;
    if ((LONG_PTR)Table->Entries < 0) {
        return PatchAlias(Table, View);
    }
    View->Entries = Table->Entries;
    return PatchProtect(Table, PAGE_READWRITE, &View->Protection);
}

static VOID PatchClose(const PATCH_TABLE *Table, const PATCH_VIEW *View)
{
    ULONG writable;

    if (View->Mdl == NULL) {
        (VOID)PatchProtect(Table, View->Protection, &writable);
        return;
    }
    MmUnmapLockedPages(View->Entries, View->Mdl);
    MmUnlockPages(View->Mdl);
    IoFreeMdl(View->Mdl);
}

_Use_decl_annotations_ NTSTATUS VerifierPatch(const VERIFIER_IMAGE *Image, VERIFIER_TRANSLATE *Translate, ULONG *Replaced)
{
    PATCH_TABLE table;
    PATCH_VIEW view;
    ULONG i;
    NTSTATUS status = PatchFind(Image->Base, &table);

    *Replaced = 0;
    if (NT_SUCCESS(status)) {
        status = PatchOpen(&table, &view);
    }
    if (!NT_SUCCESS(status)) {
        return status;
    }
    for (i = 0; i < table.Bytes / sizeof(PVOID); i++) {
        PVOID function = Translate(Image, table.Entries[i]);

        if (function != NULL) {
            InterlockedExchangePointer(&view.Entries[i], function);
            ++*Replaced;
        }
    }
    PatchClose(&table, &view);
    return STATUS_SUCCESS;
}
