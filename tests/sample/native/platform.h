/* Of the kernel's headers, what verifier_table.c needs, for a program of this machine. In the place of include/platform.h. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define VOID void
#define TRUE 1
#define FALSE 0
#define _In_
#define _In_opt_
#define _Out_
#define _Inout_
#define _In_reads_bytes_(Bytes)
#define _Must_inspect_result_
#define _Use_decl_annotations_
#define _IRQL_requires_(Irql)
#define _IRQL_requires_max_(Irql)
#define STATUS_QUOTA_EXCEEDED ((NTSTATUS)0xC0000044)

typedef void *PVOID;
typedef void *HANDLE;
typedef const char *PCSTR;
typedef int32_t LONG;
typedef int32_t NTSTATUS;
typedef uint32_t ULONG;
typedef size_t SIZE_T;
typedef uintptr_t ULONG_PTR;
typedef uint8_t BOOLEAN;
typedef uint8_t KIRQL;
typedef int KSPIN_LOCK;

#define KeAcquireSpinLock(Lock, Irql) ((void)(*(Irql) = (KIRQL)(*(Lock))++))
#define KeReleaseSpinLock(Lock, Irql) ((void)(*(Lock) = (Irql)))
