/* The endpoint table of an image in memory (section .shsept, V2). Calls nothing of the kernel. */
#pragma once

#include "platform.h"

#include "hotswap_endpoint_table.h"

/* One endpoint, checked. Name lies in the image. */
typedef struct _DP_ENDPOINT {
    ULONG Rva;
    ULONG Registers[HS_ENDPOINT_REGISTERS]; /* IMAGE_HOTSWAP_X64_ENDPOINT_INFO_CC_REG */
    ULONG StackBytes;
    ULONG ReturnRegister;
    ULONG NameBytes;
    const UCHAR *Name;
} DP_ENDPOINT;

/*
 * The endpoints of an image, in the table's order. Count is told also when there is no room for all.
 *
 * The image is not trusted: nothing outside of [Image, Image + ImageBytes) is read, nor of discardable sections, which a
 * started driver no longer has. It must stay in memory and not change meanwhile.
 *
 * STATUS_NOT_FOUND: no section .shsept. STATUS_INVALID_IMAGE_FORMAT: no x64 image, or the table breaks I1-I7 of
 * hotswap_endpoint_table.h. STATUS_BUFFER_TOO_SMALL: more than Room endpoints. IRQL: as the image's pages allow.
 */
_Must_inspect_result_ NTSTATUS DpReadEndpoints(_In_reads_bytes_(ImageBytes) const VOID *Image, _In_ SIZE_T ImageBytes,
                                               _Out_writes_(Room) DP_ENDPOINT *Endpoints, _In_ ULONG Room,
                                               _Out_ ULONG *Count);

BOOLEAN DpSameName(_In_ const DP_ENDPOINT *First, _In_ const DP_ENDPOINT *Second);
BOOLEAN DpSameSignature(_In_ const DP_ENDPOINT *First, _In_ const DP_ENDPOINT *Second);
