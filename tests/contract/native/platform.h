/*
 * Of the kernel's headers, what driver/proxy needs, for a program of this machine. In the place of include/platform.h: threads
 * are those of pthreads, and an interrupt is a call from a ModelPoint.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define VOID void
#define TRUE 1
#define FALSE 0
#define NTAPI
#define __declspec(x)
#define ANYSIZE_ARRAY 1
#define _In_
#define _In_opt_
#define _Out_
#define _Out_opt_
#define _Inout_
#define _Inout_updates_(Count)
#define _Must_inspect_result_
#define _Use_decl_annotations_
#define _IRQL_requires_(Irql)
#define _IRQL_requires_max_(Irql)
#define _IRQL_requires_same_
#define UNREFERENCED_PARAMETER(x) ((void)(x))
#define DECLSPEC_ALIGN(x) __attribute__((aligned(x)))
#define C_ASSERT(x) _Static_assert(x, #x)
#define FIELD_OFFSET(Type, Field) ((LONG)offsetof(Type, Field))
#define RtlZeroMemory(Address, Bytes) memset(Address, 0, Bytes)
#define RtlCopyMemory(To, From, Bytes) memcpy(To, From, Bytes)

typedef void *PVOID, *HANDLE, **PHANDLE;
typedef int32_t LONG;
typedef int32_t NTSTATUS, KPRIORITY;
typedef uint32_t ULONG;
typedef uint16_t WCHAR;
typedef int64_t LONG64;
typedef uint64_t ULONG64;
typedef size_t SIZE_T;
typedef uintptr_t ULONG_PTR;
typedef uint8_t UCHAR, BOOLEAN, KIRQL;
typedef int8_t KPROCESSOR_MODE;
typedef uint64_t KSPIN_LOCK;
typedef union _LARGE_INTEGER {
    int64_t QuadPart;
} LARGE_INTEGER, *PLARGE_INTEGER;
typedef struct _CLIENT_ID {
    HANDLE UniqueProcess, UniqueThread;
} CLIENT_ID, *PCLIENT_ID;
typedef struct _UNICODE_STRING *PUNICODE_STRING;
typedef struct _OBJECT_ATTRIBUTES *POBJECT_ATTRIBUTES;
typedef enum _WAIT_TYPE { WaitAll, WaitAny } WAIT_TYPE;
typedef enum _KWAIT_REASON { Executive } KWAIT_REASON;
typedef enum _EVENT_TYPE { NotificationEvent, SynchronizationEvent } EVENT_TYPE;
enum { KernelMode, UserMode };

struct _DRIVER_OBJECT;
typedef VOID (*PDRIVER_UNLOAD)(struct _DRIVER_OBJECT *);
typedef struct _DRIVER_OBJECT {
    PDRIVER_UNLOAD DriverUnload;
} DRIVER_OBJECT, *PDRIVER_OBJECT;
typedef struct _KEVENT {
    volatile LONG Signalled;
    EVENT_TYPE Type;
} KEVENT, *PKEVENT;
typedef struct _KWAIT_BLOCK {
    char Bytes[0x30];
} KWAIT_BLOCK, *PKWAIT_BLOCK;
typedef VOID (*PKSTART_ROUTINE)(PVOID);
typedef struct _EXCEPTION_RECORD {
    ULONG ExceptionFlags;
} *PEXCEPTION_RECORD;
typedef struct _CONTEXT *PCONTEXT;
typedef enum _EXCEPTION_DISPOSITION { ExceptionContinueExecution, ExceptionContinueSearch } EXCEPTION_DISPOSITION;

#define STATUS_SUCCESS ((NTSTATUS)0)
#define STATUS_TIMEOUT ((NTSTATUS)0x102)
#define STATUS_UNSUCCESSFUL ((NTSTATUS)0xC0000001)
#define STATUS_INFO_LENGTH_MISMATCH ((NTSTATUS)0xC0000004)
#define STATUS_INVALID_PARAMETER ((NTSTATUS)0xC000000D)
#define STATUS_DELETE_PENDING ((NTSTATUS)0xC0000056)
#define STATUS_INSUFFICIENT_RESOURCES ((NTSTATUS)0xC000009A)
#define STATUS_DEVICE_BUSY ((NTSTATUS)0x80000011)
#define STATUS_NOT_SUPPORTED ((NTSTATUS)0xC00000BB)
#define STATUS_INVALID_PARAMETER_1 ((NTSTATUS)0xC00000EF)
#define STATUS_INVALID_PARAMETER_2 ((NTSTATUS)0xC00000F0)
#define STATUS_INVALID_PARAMETER_3 ((NTSTATUS)0xC00000F1)
#define STATUS_POSSIBLE_DEADLOCK ((NTSTATUS)0xC0000194)
#define STATUS_NOT_FOUND ((NTSTATUS)0xC0000225)
#define STATUS_DRIVER_BLOCKED ((NTSTATUS)0xC000036C)
#define STATUS_RESOURCE_IN_USE ((NTSTATUS)0xC0000708)
#define NT_SUCCESS(Status) ((NTSTATUS)(Status) >= 0)
#define DISPATCH_LEVEL 2
#define HIGH_LEVEL 15
#define IO_NO_INCREMENT 0
#define MAXIMUM_WAIT_OBJECTS 64
#define THREAD_WAIT_OBJECTS 3
#define max(a, b) ((a) > (b) ? (a) : (b))
#define EVENT_INCREMENT 1
#define NonPagedPoolNx 0

/* kernel.c. Before each access that others see: now and then another thread goes on, or ModelInterrupt runs on top of this one. */
VOID ModelPoint(VOID);

#define InterlockedIncrement(p) (ModelPoint(), __atomic_add_fetch(p, 1, __ATOMIC_SEQ_CST))
#define InterlockedDecrement(p) (ModelPoint(), __atomic_sub_fetch(p, 1, __ATOMIC_SEQ_CST))
#define InterlockedIncrement64(p) (ModelPoint(), __atomic_add_fetch(p, 1, __ATOMIC_SEQ_CST))
#define InterlockedDecrement64(p) (ModelPoint(), __atomic_sub_fetch(p, 1, __ATOMIC_SEQ_CST))
#define InterlockedExchange(p, v) (ModelPoint(), __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST))
#define InterlockedExchange64(p, v) (ModelPoint(), __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST))
#define InterlockedExchangePointer(p, v) (ModelPoint(), __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST))
#define InterlockedAnd(p, v) (ModelPoint(), __atomic_fetch_and(p, v, __ATOMIC_SEQ_CST))
#define InterlockedOr(p, v) (ModelPoint(), __atomic_fetch_or(p, v, __ATOMIC_SEQ_CST))
#define InterlockedAnd64(p, v) (ModelPoint(), __atomic_fetch_and(p, v, __ATOMIC_SEQ_CST))
#define InterlockedOr64(p, v) (ModelPoint(), __atomic_fetch_or(p, v, __ATOMIC_SEQ_CST))
#define HS_CAS(Type, p, new, old)                                                                                              \
    ({                                                                                                                         \
        Type expected_ = (old);                                                                                                \
        ModelPoint();                                                                                                          \
        __atomic_compare_exchange_n(p, &expected_, new, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                                \
        expected_;                                                                                                             \
    })
#define InterlockedCompareExchange(p, new, old) HS_CAS(LONG, p, new, old)
#define InterlockedCompareExchange64(p, new, old) HS_CAS(LONG64, p, new, old)
#define InterlockedCompareExchangePointer(p, new, old) HS_CAS(PVOID, p, new, old)

/* kernel.c */
extern _Thread_local LONG64 ModelKey;
extern _Thread_local KIRQL ModelIrql;
extern _Thread_local VOID (*ModelInterrupt)(VOID); /* of this thread; NULL: none */
#define KeGetCurrentIrql() ModelIrql
extern ULONG ModelProcessors;
#define ALL_PROCESSOR_GROUPS 0xFFFF
#define KeQueryActiveProcessorCountEx(Group) ((void)(Group), ModelProcessors)
VOID YieldProcessor(VOID);
LONG64 HsTick(VOID);
#define HsTickFrequency() 1000000000ll
VOID KeInitializeEvent(PKEVENT Event, EVENT_TYPE Type, BOOLEAN State);
LONG KeSetEvent(PKEVENT Event, KPRIORITY Increment, BOOLEAN Wait);
VOID KeClearEvent(PKEVENT Event);
NTSTATUS KeWaitForSingleObject(PVOID Event, KWAIT_REASON Reason, KPROCESSOR_MODE Mode, BOOLEAN Alertable, PLARGE_INTEGER Timeout);
NTSTATUS KeDelayExecutionThread(KPROCESSOR_MODE Mode, BOOLEAN Alertable, PLARGE_INTEGER Timeout);
VOID KeAcquireSpinLock(KSPIN_LOCK *Lock, KIRQL *Irql);
VOID KeReleaseSpinLock(KSPIN_LOCK *Lock, KIRQL Irql);
PVOID ExAllocatePoolWithTag(int Type, SIZE_T Bytes, ULONG Tag);
VOID ExFreePoolWithTag(PVOID Block, ULONG Tag);
VOID KeBugCheckEx(ULONG Code, ULONG_PTR First, ULONG_PTR Second, ULONG_PTR Third, ULONG_PTR Fourth);
#define KeEnterCriticalRegion() ((void)0)
#define KeLeaveCriticalRegion() ((void)0)
#define ObReferenceObject(Object) ((void)(Object))
#define ObDereferenceObject(Object) ((void)(Object))
