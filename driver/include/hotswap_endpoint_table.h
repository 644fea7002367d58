/*
 * The endpoint table of V2: section `.shsept` of an image, as winnt.h of SDK 28000 declares it (reference
 * "driver-hot-swap", 3.7). Declared here because the free toolchains and earlier kits do not have it.
 *
 * What the header declares are names, fields and values. Everything below is INFERENCE, stated nowhere, and each reader and
 * writer of ours (hotswap_endpoint_table.inc, proxy/shsept.c, harness/hotswap/driver/endpoint_table.py) follows this list:
 *   I1 The table begins at the section's first byte.
 *   I2 Header.Common.Size is the bytes of the whole table, header included; what the section holds behind it is padding.
 *   I3 Entry.Common.Size is the bytes of one entry with its name, a multiple of 4, so entries vary in size and the next one
 *      begins where this one ends. The entries fill the table exactly.
 *   I4 Rva is the first byte of the endpoint's code: of a function, where the image has unwind data for it.
 *   I5 NameOffset counts from the entry's first byte, NameSize is the name's bytes without an end mark. Zeros at its end are
 *      not part of it. A name is 1 to 255 bytes of printable ASCII, is that of the function, and unique within the image.
 *   I6 ArgRegs[n] is the register of argument n: RCX, RDX, R8, R9 or XMM0..XMM3 of the same position, None from the first
 *      argument that there is not. ArgStackSize is the bytes of arguments beyond those, a multiple of 8, without the home
 *      area of the four; it is not zero only where all four registers are used. Ours: at most 28 such arguments (224 bytes).
 *   I7 RetReg is RAX, XMM0, or None for VOID. A structure returned through a hidden pointer has that pointer as an argument.
 *   I8 An endpoint of another version is the same endpoint when its name is equal, byte by byte, and may replace it when
 *      ArgRegs, ArgStackSize and RetReg are.
 */
#pragma once

#if !defined(IMAGE_HOTSWAP_ENDPOINT_TABLE_SECTION)

#define IMAGE_HOTSWAP_ENDPOINT_TABLE_SECTION ".shsept"
#define IMAGE_HOTSWAP_ENDPOINT_INFO_V2 2 /* Header.Common.Version */

typedef struct _IMAGE_HOTSWAP_ENDPOINT_INFO_HEADER_COMMON {
    ULONG Version;
    ULONG Size;
} IMAGE_HOTSWAP_ENDPOINT_INFO_HEADER_COMMON;

typedef struct _IMAGE_HOTSWAP_ENDPOINT_INFO_HEADER_V2 {
    IMAGE_HOTSWAP_ENDPOINT_INFO_HEADER_COMMON Common;
    ULONG Count;
} IMAGE_HOTSWAP_ENDPOINT_INFO_HEADER_V2;

typedef struct _IMAGE_HOTSWAP_ENDPOINT_INFO_ENTRY_COMMON {
    ULONG Size;
    ULONG Rva;
    ULONG NameSize;
    ULONG NameOffset;
} IMAGE_HOTSWAP_ENDPOINT_INFO_ENTRY_COMMON;

typedef enum _IMAGE_HOTSWAP_X64_ENDPOINT_INFO_CC_REG {
    EndpointParamRegNone = 0,
    EndpointParamRegRAX = 1,
    EndpointParamRegRCX = 2,
    EndpointParamRegRDX = 3,
    EndpointParamRegR8 = 9,
    EndpointParamRegR9 = 0xA,
    EndpointParamRegXMM0 = 0xC8,
    EndpointParamRegXMM1 = 0xC9,
    EndpointParamRegXMM2 = 0xCA,
    EndpointParamRegXMM3 = 0xCB
} IMAGE_HOTSWAP_X64_ENDPOINT_INFO_CC_REG;

typedef struct _IMAGE_HOTSWAP_X64_ENDPOINT_INFO_ENTRY_V2 {
    IMAGE_HOTSWAP_ENDPOINT_INFO_ENTRY_COMMON Common;
    ULONG ArgRegs[4];
    ULONG ArgStackSize;
    ULONG RetReg;
    UCHAR Name[1];
} IMAGE_HOTSWAP_X64_ENDPOINT_INFO_ENTRY_V2;

#endif

#define HS_ENDPOINT_REGISTERS 4
#define HS_ENDPOINT_NAME_MAX 255
#define HS_ENDPOINT_STACK_MAX 224

C_ASSERT(FIELD_OFFSET(IMAGE_HOTSWAP_ENDPOINT_INFO_HEADER_COMMON, Version) == 0x00);
C_ASSERT(FIELD_OFFSET(IMAGE_HOTSWAP_ENDPOINT_INFO_HEADER_COMMON, Size) == 0x04);
C_ASSERT(sizeof(IMAGE_HOTSWAP_ENDPOINT_INFO_HEADER_COMMON) == 0x08);
C_ASSERT(FIELD_OFFSET(IMAGE_HOTSWAP_ENDPOINT_INFO_HEADER_V2, Common) == 0x00);
C_ASSERT(FIELD_OFFSET(IMAGE_HOTSWAP_ENDPOINT_INFO_HEADER_V2, Count) == 0x08);
C_ASSERT(sizeof(IMAGE_HOTSWAP_ENDPOINT_INFO_HEADER_V2) == 0x0C);
C_ASSERT(FIELD_OFFSET(IMAGE_HOTSWAP_ENDPOINT_INFO_ENTRY_COMMON, Size) == 0x00);
C_ASSERT(FIELD_OFFSET(IMAGE_HOTSWAP_ENDPOINT_INFO_ENTRY_COMMON, Rva) == 0x04);
C_ASSERT(FIELD_OFFSET(IMAGE_HOTSWAP_ENDPOINT_INFO_ENTRY_COMMON, NameSize) == 0x08);
C_ASSERT(FIELD_OFFSET(IMAGE_HOTSWAP_ENDPOINT_INFO_ENTRY_COMMON, NameOffset) == 0x0C);
C_ASSERT(sizeof(IMAGE_HOTSWAP_ENDPOINT_INFO_ENTRY_COMMON) == 0x10);
C_ASSERT(FIELD_OFFSET(IMAGE_HOTSWAP_X64_ENDPOINT_INFO_ENTRY_V2, Common) == 0x00);
C_ASSERT(FIELD_OFFSET(IMAGE_HOTSWAP_X64_ENDPOINT_INFO_ENTRY_V2, ArgRegs) == 0x10);
C_ASSERT(FIELD_OFFSET(IMAGE_HOTSWAP_X64_ENDPOINT_INFO_ENTRY_V2, ArgStackSize) == 0x20);
C_ASSERT(FIELD_OFFSET(IMAGE_HOTSWAP_X64_ENDPOINT_INFO_ENTRY_V2, RetReg) == 0x24);
C_ASSERT(FIELD_OFFSET(IMAGE_HOTSWAP_X64_ENDPOINT_INFO_ENTRY_V2, Name) == 0x28);
C_ASSERT(sizeof(IMAGE_HOTSWAP_X64_ENDPOINT_INFO_ENTRY_V2) == 0x2C);
