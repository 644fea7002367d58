/*
 * An image's import address table, found and written. Entries are known by the function they point to, not by name: names
 * are in the import directory, which on Windows is often in a section that is gone once DriverEntry has returned (INIT).
 * The table itself is read-only data that stays. Where the names stay too, they say whether all was found.
 */
#include "verifier.h"

#include <ntimage.h>

#define DIRECTORY_IMPORT 1
#define DIRECTORY_IAT 12

typedef struct _PATCH_TABLE {
    PVOID *Entries; /* as the image sees them */
    ULONG Bytes;
} PATCH_TABLE;

/* An image whose headers have been checked. */
typedef struct _PATCH_IMAGE {
    const UCHAR *Base;
    const IMAGE_NT_HEADERS64 *Nt;
    BOOLEAN Whole; /* not initialised yet: what is discarded then is still there */
} PATCH_IMAGE;

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

/* What lies at an address of the image, and how much follows in the same section; NULL when it does not stay in memory. */
static const VOID *PatchAt(const PATCH_IMAGE *Image, ULONG64 Address, ULONG Bytes, ULONG *Following)
{
    const IMAGE_SECTION_HEADER *section = IMAGE_FIRST_SECTION(Image->Nt);
    ULONG i;

    for (i = 0; i < Image->Nt->FileHeader.NumberOfSections; i++, section++) {
        ULONG64 end = (ULONG64)section->VirtualAddress + section->Misc.VirtualSize;

        if (Address >= section->VirtualAddress && Address + Bytes <= end && end <= Image->Nt->OptionalHeader.SizeOfImage &&
            (Image->Whole || (section->Characteristics & IMAGE_SCN_MEM_DISCARDABLE) == 0)) {
            if (Following != NULL) {
                *Following = (ULONG)(end - Address);
            }
            return Image->Base + Address;
        }
    }
    return NULL;
}

/* The table lies in one section that stays in memory. STATUS_INVALID_IMAGE_FORMAT. */
static NTSTATUS PatchFind(const PATCH_IMAGE *Image, PATCH_TABLE *Table)
{
    const IMAGE_DATA_DIRECTORY *directory;

    if (Image->Nt == NULL) {
        return STATUS_INVALID_IMAGE_FORMAT;
    }
    directory = &Image->Nt->OptionalHeader.DataDirectory[DIRECTORY_IAT];
    if (directory->Size == 0 || directory->VirtualAddress % sizeof(PVOID) != 0) {
        return STATUS_INVALID_IMAGE_FORMAT;
    }
    Table->Entries = (PVOID *)(ULONG_PTR)PatchAt(Image, directory->VirtualAddress, directory->Size, NULL);
    Table->Bytes = directory->Size;
    return Table->Entries == NULL ? STATUS_INVALID_IMAGE_FORMAT : STATUS_SUCCESS;
}

/* How many names of one module's list are of functions that are replaced. FALSE: not all of it stays. */
static BOOLEAN PatchCountModule(const PATCH_IMAGE *Image, ULONG64 List, ULONG *Count)
{
    const ULONG64 *entry;

    for (; (entry = PatchAt(Image, List, sizeof(*entry), NULL)) != NULL && *entry != 0; List += sizeof(*entry)) {
        ULONG bytes = 0;
        const IMAGE_IMPORT_BY_NAME *name;

        if ((*entry & IMAGE_ORDINAL_FLAG64) != 0) {
            continue;
        }
        name = PatchAt(Image, *entry, sizeof(*name), &bytes);
        if (name == NULL) {
            return FALSE;
        }
        if (VerifierReplaces((PCSTR)name->Name, bytes - FIELD_OFFSET(IMAGE_IMPORT_BY_NAME, Name))) {
            ++*Count;
        }
    }
    return entry != NULL;
}

/* Whether the names that the image imports speak against having found this many. They do not when they are gone. */
static BOOLEAN PatchMissed(const PATCH_IMAGE *Image, ULONG Found)
{
    ULONG64 at = Image->Nt->OptionalHeader.DataDirectory[DIRECTORY_IMPORT].VirtualAddress;
    const IMAGE_IMPORT_DESCRIPTOR *module;
    ULONG named = 0;

    for (; (module = PatchAt(Image, at, sizeof(*module), NULL)) != NULL && module->Name != 0; at += sizeof(*module)) {
        if (!PatchCountModule(Image, module->OriginalFirstThunk, &named)) {
            return FALSE;
        }
    }
    return module != NULL && named != Found;
}

_Use_decl_annotations_ BOOLEAN VerifierImportsFrom(const VOID *Base, PCSTR Module)
{
    PATCH_IMAGE image = { Base, PatchHeaders(Base), TRUE };
    const IMAGE_IMPORT_DESCRIPTOR *entry;
    ULONG64 at;

    if (image.Nt == NULL) {
        return FALSE;
    }
    at = image.Nt->OptionalHeader.DataDirectory[DIRECTORY_IMPORT].VirtualAddress;
    for (; (entry = PatchAt(&image, at, sizeof(*entry), NULL)) != NULL && entry->Name != 0; at += sizeof(*entry)) {
        ULONG bytes = 0;
        PCSTR name = PatchAt(&image, entry->Name, 1, &bytes);

        if (name != NULL && bytes > strlen(Module) && _stricmp(name, Module) == 0) {
            return TRUE;
        }
    }
    return FALSE;
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
    View->Entries = MmMapLockedPagesSpecifyCache(mdl, KernelMode, MmCached, NULL, FALSE, NormalPagePriority | MdlMappingNoExecute);
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
    PATCH_IMAGE image = { Image->Base, PatchHeaders(Image->Base), FALSE };
    ULONG i;
    NTSTATUS status = PatchFind(&image, &table);

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
    return PatchMissed(&image, *Replaced) ? STATUS_PARTIAL_COPY : STATUS_SUCCESS;
}
