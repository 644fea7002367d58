/* Of the kernel's headers, what proxy/shsept.c needs, for a program of this machine. In the place of include/platform.h. */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define VOID void
#define TRUE 1
#define FALSE 0
#define _In_
#define _Out_
#define _In_reads_bytes_(Bytes)
#define _Out_writes_(Room)
#define _Must_inspect_result_
#define _Use_decl_annotations_
#define C_ASSERT(Condition) _Static_assert(Condition, #Condition)
#define FIELD_OFFSET(Type, Field) ((LONG)offsetof(Type, Field))
#define NT_SUCCESS(Status) ((Status) >= 0)
#define STATUS_SUCCESS ((NTSTATUS)0)
#define STATUS_NOT_FOUND ((NTSTATUS)0xC0000225)
#define STATUS_INVALID_IMAGE_FORMAT ((NTSTATUS)0xC000007B)
#define STATUS_BUFFER_TOO_SMALL ((NTSTATUS)0xC0000023)
#define RtlCopyMemory memcpy

typedef void *PVOID;
typedef int32_t LONG;
typedef int32_t NTSTATUS;
typedef uint32_t ULONG;
typedef uint64_t ULONG64;
typedef uint16_t USHORT;
typedef uint8_t UCHAR;
typedef uint8_t BOOLEAN;
typedef size_t SIZE_T;

/* How many bytes are equal, from the first on. */
static inline SIZE_T RtlCompareMemory(const void *First, const void *Second, SIZE_T Bytes)
{
    SIZE_T equal = 0;

    while (equal < Bytes && ((const UCHAR *)First)[equal] == ((const UCHAR *)Second)[equal]) {
        equal++;
    }
    return equal;
}
