/*
 * Reads the endpoint table of an image as it lies in memory. Offsets are 64-bit and every length is compared with what is
 * left, never added to first.
 */
#include "shsept.h"

#define DP_DOS_SIGNATURE 0x5A4D
#define DP_DOS_NEW_HEADER 0x3C
#define DP_NT_SIGNATURE 0x00004550
#define DP_MACHINE_AMD64 0x8664
#define DP_FILE_HEADER_BYTES 24 /* with the signature */
#define DP_SECTION_BYTES 40
#define DP_SECTION_EXECUTE 0x20000000
#define DP_SECTION_WRITE 0x80000000
#define DP_SECTION_DISCARDABLE 0x02000000
#define DP_SECTION_NAME_BYTES 8

typedef struct _DP_IMAGE {
    const UCHAR *Base;
    ULONG64 Bytes;
    ULONG64 Sections; /* where their headers are */
    ULONG SectionCount;
} DP_IMAGE;

typedef struct _DP_SECTION {
    UCHAR Name[DP_SECTION_NAME_BYTES];
    ULONG VirtualSize;
    ULONG VirtualAddress;
    ULONG Characteristics;
} DP_SECTION;

/* Field by field and unaligned: a hostile image aligns nothing. */
static BOOLEAN DpRead(const DP_IMAGE *Image, ULONG64 Offset, PVOID Value, ULONG Bytes)
{
    if (Offset > Image->Bytes || Bytes > Image->Bytes - Offset) {
        return FALSE;
    }
    RtlCopyMemory(Value, Image->Base + Offset, Bytes);
    return TRUE;
}

static NTSTATUS DpOpenImage(const VOID *Base, SIZE_T Bytes, DP_IMAGE *Image)
{
    USHORT dosSignature;
    USHORT machine;
    USHORT sectionCount;
    USHORT optionalBytes;
    ULONG newHeader;
    ULONG signature;

    Image->Base = Base;
    Image->Bytes = Bytes;
    if (!DpRead(Image, 0, &dosSignature, sizeof(dosSignature)) || dosSignature != DP_DOS_SIGNATURE ||
        !DpRead(Image, DP_DOS_NEW_HEADER, &newHeader, sizeof(newHeader)) ||
        !DpRead(Image, newHeader, &signature, sizeof(signature)) || signature != DP_NT_SIGNATURE ||
        !DpRead(Image, (ULONG64)newHeader + 4, &machine, sizeof(machine)) || machine != DP_MACHINE_AMD64 ||
        !DpRead(Image, (ULONG64)newHeader + 6, &sectionCount, sizeof(sectionCount)) ||
        !DpRead(Image, (ULONG64)newHeader + 20, &optionalBytes, sizeof(optionalBytes))) {
        return STATUS_INVALID_IMAGE_FORMAT;
    }
    Image->Sections = (ULONG64)newHeader + DP_FILE_HEADER_BYTES + optionalBytes;
    Image->SectionCount = sectionCount;
    return STATUS_SUCCESS;
}

static BOOLEAN DpReadSection(const DP_IMAGE *Image, ULONG Number, DP_SECTION *Section)
{
    ULONG64 at = Image->Sections + (ULONG64)Number * DP_SECTION_BYTES;

    return DpRead(Image, at, Section->Name, sizeof(Section->Name)) &&
           DpRead(Image, at + 8, &Section->VirtualSize, sizeof(Section->VirtualSize)) &&
           DpRead(Image, at + 12, &Section->VirtualAddress, sizeof(Section->VirtualAddress)) &&
           DpRead(Image, at + 36, &Section->Characteristics, sizeof(Section->Characteristics));
}

/* STATUS_NOT_FOUND, or the section's place: inside the image, read-only data that stays, and the only one of its name. */
static NTSTATUS DpFindTable(const DP_IMAGE *Image, ULONG64 *Begin, ULONG64 *Bytes)
{
    static const UCHAR wanted[DP_SECTION_NAME_BYTES] = IMAGE_HOTSWAP_ENDPOINT_TABLE_SECTION;
    NTSTATUS status = STATUS_NOT_FOUND;
    DP_SECTION section;
    ULONG i;

    for (i = 0; i < Image->SectionCount; i++) {
        if (!DpReadSection(Image, i, &section)) {
            return STATUS_INVALID_IMAGE_FORMAT;
        }
        if (RtlCompareMemory(section.Name, wanted, sizeof(wanted)) != sizeof(wanted)) {
            continue;
        }
        if (status == STATUS_SUCCESS || section.VirtualAddress > Image->Bytes ||
            section.VirtualSize > Image->Bytes - section.VirtualAddress ||
            (section.Characteristics & (DP_SECTION_EXECUTE | DP_SECTION_WRITE | DP_SECTION_DISCARDABLE)) != 0) {
            return STATUS_INVALID_IMAGE_FORMAT;
        }
        *Begin = section.VirtualAddress;
        *Bytes = section.VirtualSize;
        status = STATUS_SUCCESS;
    }
    return status;
}

static BOOLEAN DpIsCode(const DP_IMAGE *Image, ULONG Rva)
{
    DP_SECTION section;
    ULONG i;

    for (i = 0; i < Image->SectionCount && DpReadSection(Image, i, &section); i++) {
        if ((section.Characteristics & (DP_SECTION_EXECUTE | DP_SECTION_DISCARDABLE)) == DP_SECTION_EXECUTE &&
            Rva >= section.VirtualAddress && Rva - section.VirtualAddress < section.VirtualSize && Rva < Image->Bytes) {
            return TRUE;
        }
    }
    return FALSE;
}

/* I6, I7 */
static BOOLEAN DpIsSignature(const DP_ENDPOINT *Endpoint)
{
    static const ULONG integers[HS_ENDPOINT_REGISTERS] = { EndpointParamRegRCX, EndpointParamRegRDX, EndpointParamRegR8, EndpointParamRegR9 };
    ULONG used = 0;
    ULONG i;

    while (used < HS_ENDPOINT_REGISTERS && Endpoint->Registers[used] != EndpointParamRegNone) {
        if (Endpoint->Registers[used] != integers[used] && Endpoint->Registers[used] != EndpointParamRegXMM0 + used) {
            return FALSE;
        }
        used++;
    }
    for (i = used; i < HS_ENDPOINT_REGISTERS; i++) {
        if (Endpoint->Registers[i] != EndpointParamRegNone) {
            return FALSE;
        }
    }
    if (Endpoint->StackBytes % sizeof(ULONG64) != 0 || Endpoint->StackBytes > HS_ENDPOINT_STACK_MAX || (Endpoint->StackBytes != 0 && used < HS_ENDPOINT_REGISTERS)) {
        return FALSE;
    }
    return Endpoint->ReturnRegister == EndpointParamRegNone || Endpoint->ReturnRegister == EndpointParamRegRAX ||
           Endpoint->ReturnRegister == EndpointParamRegXMM0;
}

/* I5 */
static BOOLEAN DpIsName(DP_ENDPOINT *Endpoint)
{
    ULONG i;

    while (Endpoint->NameBytes != 0 && Endpoint->Name[Endpoint->NameBytes - 1] == 0) {
        Endpoint->NameBytes--;
    }
    if (Endpoint->NameBytes == 0 || Endpoint->NameBytes > HS_ENDPOINT_NAME_MAX) {
        return FALSE;
    }
    for (i = 0; i < Endpoint->NameBytes; i++) {
        if (Endpoint->Name[i] <= ' ' || Endpoint->Name[i] > '~') {
            return FALSE;
        }
    }
    return TRUE;
}

/* The entry at Begin, of which at most Bytes are there; *EntryBytes is its own size. */
static BOOLEAN DpReadEntry(const DP_IMAGE *Image, ULONG64 Begin, ULONG64 Bytes, DP_ENDPOINT *Endpoint, ULONG *EntryBytes)
{
    IMAGE_HOTSWAP_X64_ENDPOINT_INFO_ENTRY_V2 entry;
    const ULONG fixed = FIELD_OFFSET(IMAGE_HOTSWAP_X64_ENDPOINT_INFO_ENTRY_V2, Name);

    if (Bytes < fixed || !DpRead(Image, Begin, &entry, fixed)) {
        return FALSE;
    }
    if (entry.Common.Size < fixed || entry.Common.Size % sizeof(ULONG) != 0 || entry.Common.Size > Bytes ||
        entry.Common.NameOffset < fixed || entry.Common.NameOffset > entry.Common.Size ||
        entry.Common.NameSize > entry.Common.Size - entry.Common.NameOffset) {
        return FALSE;
    }
    *EntryBytes = entry.Common.Size;
    Endpoint->Rva = entry.Common.Rva;
    RtlCopyMemory(Endpoint->Registers, entry.ArgRegs, sizeof(Endpoint->Registers));
    Endpoint->StackBytes = entry.ArgStackSize;
    Endpoint->ReturnRegister = entry.RetReg;
    Endpoint->NameBytes = entry.Common.NameSize;
    Endpoint->Name = Image->Base + Begin + entry.Common.NameOffset;
    return DpIsName(Endpoint) && DpIsSignature(Endpoint) && DpIsCode(Image, Endpoint->Rva);
}

_Use_decl_annotations_ BOOLEAN DpSameName(const DP_ENDPOINT *First, const DP_ENDPOINT *Second)
{
    return First->NameBytes == Second->NameBytes &&
           RtlCompareMemory(First->Name, Second->Name, First->NameBytes) == First->NameBytes;
}

_Use_decl_annotations_ BOOLEAN DpSameSignature(const DP_ENDPOINT *First, const DP_ENDPOINT *Second)
{
    return RtlCompareMemory(First->Registers, Second->Registers, sizeof(First->Registers)) == sizeof(First->Registers) &&
           First->StackBytes == Second->StackBytes && First->ReturnRegister == Second->ReturnRegister;
}

static BOOLEAN DpIsListed(const DP_ENDPOINT *Endpoints, ULONG Count, const DP_ENDPOINT *Wanted)
{
    ULONG i;

    for (i = 0; i < Count; i++) {
        if (DpSameName(&Endpoints[i], Wanted)) {
            return TRUE;
        }
    }
    return FALSE;
}

_Use_decl_annotations_ NTSTATUS DpReadEndpoints(const VOID *Image, SIZE_T ImageBytes, DP_ENDPOINT *Endpoints, ULONG Room, ULONG *Count)
{
    IMAGE_HOTSWAP_ENDPOINT_INFO_HEADER_V2 header;
    ULONG64 left;
    ULONG64 at;
    DP_IMAGE image;
    NTSTATUS status;
    ULONG i;

    *Count = 0;
    status = DpOpenImage(Image, ImageBytes, &image);
    if (NT_SUCCESS(status)) {
        status = DpFindTable(&image, &at, &left);
    }
    if (!NT_SUCCESS(status)) {
        return status;
    }
    if (left < sizeof(header) || !DpRead(&image, at, &header, sizeof(header)) ||
        header.Common.Version != IMAGE_HOTSWAP_ENDPOINT_INFO_V2 || header.Common.Size < sizeof(header) || header.Common.Size > left ||
        header.Count == 0 ||
        header.Count > header.Common.Size / (ULONG)FIELD_OFFSET(IMAGE_HOTSWAP_X64_ENDPOINT_INFO_ENTRY_V2, Name)) {
        return STATUS_INVALID_IMAGE_FORMAT;
    }
    *Count = header.Count;
    if (header.Count > Room) {
        return STATUS_BUFFER_TOO_SMALL;
    }
    at += sizeof(header);
    left = header.Common.Size - sizeof(header);
    for (i = 0; i < header.Count; i++) {
        ULONG bytes;

        if (!DpReadEntry(&image, at, left, &Endpoints[i], &bytes) || DpIsListed(Endpoints, i, &Endpoints[i])) {
            return STATUS_INVALID_IMAGE_FORMAT;
        }
        at += bytes;
        left -= bytes;
    }
    return left == 0 ? STATUS_SUCCESS : STATUS_INVALID_IMAGE_FORMAT;
}
