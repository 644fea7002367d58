/* driverproxy.sys: what its parts share. */
#pragma once

#include "rundown.h"

#define DP_TAG 'xrPD'
#define DP_EXTENSION_COUNT 64
#define DP_WRAPPER_COUNT 1024
#define DP_WRAPPER_STRIDE 16 /* bytes of a stub in wrapper.asm */
#define DP_ID_BUCKETS 64     /* power of two */
#define DP_MAX_PARAMETERS 32
#define DP_DRAIN_TIMEOUT_MS 5000

/* ---- memory.c: every pool block is counted ---- */

_IRQL_requires_max_(DISPATCH_LEVEL) _Must_inspect_result_ PVOID DpAllocate(_In_ SIZE_T Bytes);
_IRQL_requires_max_(DISPATCH_LEVEL) VOID DpFree(_In_opt_ PVOID Block);
ULONG DpAllocationCount(void);
_Must_inspect_result_ BOOLEAN DpFailNow(void); /* asked once before anything that can fail for want of memory */

/* ---- extension.c ---- */

typedef struct _DP_WRAPPER DP_WRAPPER;

#define DP_CLOSED ((LONG)0x80000000)

struct _DRIVER_PROXY_EXTENSION {
    PDRIVER_OBJECT Owner;
    DP_RUNDOWN *Rundown;
    volatile LONG Users; /* functions that are at work on it, and DP_CLOSED: no further one may begin */
    volatile LONG Going; /* with its owner */
    volatile LONG WorkerThreads;
    DP_WRAPPER *volatile First; /* published ones, in that order; none leaves before the extension goes */
    DP_WRAPPER *Last;
    DP_WRAPPER *volatile ById[DP_ID_BUCKETS];
    KEVENT SwapLock; /* synchronization event: one registration at a time (R32) */
    volatile LONG64 SwapThread; /* key of the one that has it */
    volatile LONG Switches;     /* how often functions in force were replaced */
    PVOID volatile LastLeft;    /* thread object, referenced: of the workers' threads that ended, the last */
    PVOID volatile OwnerUnload; /* the owner's own DriverUnload, while DpOwnerUnload stands for it (R4) */
    struct _DP_ENDPOINT_SET *Endpoints; /* of an image with a .shsept section (V2); NULL: V1 */
    HS_PROXY_OPTIONS Options;
};

/* FALSE: it is going. Each TRUE is followed by DpExtensionDone. */
_Must_inspect_result_ BOOLEAN DpExtensionUse(_Inout_ PDRIVER_PROXY_EXTENSION Extension);
VOID DpExtensionDone(_Inout_ PDRIVER_PROXY_EXTENSION Extension);
/* The one that this driver object owns. IRQL: any. */
PDRIVER_PROXY_EXTENSION DpExtensionOwned(_In_opt_ PVOID Owner);
/* Closed, drained, and without threads: take its memory back. */
_IRQL_requires_(PASSIVE_LEVEL) VOID DpExtensionFree(_Inout_ PDRIVER_PROXY_EXTENSION Extension);
VOID DpExtensionTotals(_Out_ HS_PROXY_COUNTERS *Counters); /* what extensions and their calls come to; the rest is 0 */
BOOLEAN DpAvailable(_In_opt_ PVOID DriverObject);

/* ---- owner.c: the extension goes with its owner (R4) ---- */

VOID DpOwnerArm(_Inout_ PDRIVER_PROXY_EXTENSION Extension); /* IRQL: any */
_IRQL_requires_(PASSIVE_LEVEL) VOID DpOwnerForget(_Inout_ PDRIVER_PROXY_EXTENSION Extension);

/* ---- wrapper.c, wrapper.asm: stubs of fixed address ---- */

/* Never freed memory: a late call reads it. wrapper.asm knows the first three offsets and the size. */
struct DECLSPEC_ALIGN(64) _DP_WRAPPER {
    DP_RUNDOWN *volatile Rundown; /* 0x00; NULL: not published, or its extension has gone */
    PVOID volatile Function;      /* 0x08; changed while drained, read inside */
    ULONG StackBytes;             /* 0x10; of arguments beyond the four in registers */
    ULONG Id;
    ULONG ParameterCount;
    volatile LONG Used;
    PDRIVER_PROXY_EXTENSION Extension;
    DP_WRAPPER *volatile Next;     /* of the extension */
    DP_WRAPPER *volatile NextById; /* of the bucket */
};
C_ASSERT(FIELD_OFFSET(DP_WRAPPER, Rundown) == 0x00 && FIELD_OFFSET(DP_WRAPPER, Function) == 0x08);
C_ASSERT(FIELD_OFFSET(DP_WRAPPER, StackBytes) == 0x10 && sizeof(DP_WRAPPER) == 0x40);

PVOID DpWrapperAddress(_In_ const DP_WRAPPER *Wrapper);
DP_WRAPPER *DpWrapperFromAddress(_In_ PVOID Address);
/* One that no lookup finds until it is published. IRQL: PASSIVE_LEVEL. */
_Must_inspect_result_ DP_WRAPPER *DpWrapperAllocate(_In_ PVOID Function, _In_ ULONG Id, _In_ ULONG ParameterCount,
                                                    _In_ ULONG StackBytes);
/* Under the extension's SwapLock, or before anybody else knows the extension. */
VOID DpWrapperPublish(_Inout_ DP_WRAPPER *Wrapper, _Inout_ PDRIVER_PROXY_EXTENSION Extension);
VOID DpWrapperFree(_Inout_ DP_WRAPPER *Wrapper); /* never published */
/* Only while drained: from now on the extension's wrappers lead nowhere. */
VOID DpWrappersClose(_Inout_ PDRIVER_PROXY_EXTENSION Extension);
VOID DpWrappersFree(_Inout_ PDRIVER_PROXY_EXTENSION Extension);
ULONG DpWrapperCount(void);

/* ---- lookup.c. IRQL: any (R30) ---- */

DP_WRAPPER *DpWrapperFind(_In_ PDRIVER_PROXY_EXTENSION Extension, _In_ ULONG Id);
DP_WRAPPER *DpWrapperFindFunction(_In_ PDRIVER_PROXY_EXTENSION Extension, _In_ PVOID Function);

/* ---- irql.c ---- */

typedef struct _DP_MOMENT {
    PVOID Raise; /* KfRaiseIrql and KeLowerIrql; NULL where there is none */
    PVOID Lower;
    KIRQL Irql;
} DP_MOMENT;

_IRQL_requires_(PASSIVE_LEVEL) VOID DpMomentPrepare(_Out_ DP_MOMENT *Moment);
/* Between the two at HIGH_LEVEL, so for a few instructions on resident memory only. */
VOID DpAlone(_Inout_ DP_MOMENT *Moment);
VOID DpNotAlone(_In_ const DP_MOMENT *Moment);

/* ---- swap.c: the phases of a swap ---- */

typedef struct _DP_CHANGE {
    DP_WRAPPER *Wrapper;
    PVOID NewFunction;
    PVOID OldFunction; /* NULL: the wrapper is new */
    ULONG Id;          /* of V1, with its ParameterCount */
    ULONG ParameterCount;
} DP_CHANGE;

typedef struct _DP_SWAP {
    PDRIVER_PROXY_EXTENSION Extension;
    PDRIVER_PROXY_REGISTER_CALLBACK Callback;
    PVOID Context;
    DP_MOMENT Moment;
    BOOLEAN InForce; /* the new functions are */
    ULONG Count;
    DP_CHANGE Changes[ANYSIZE_ARRAY]; /* filled in between Begin and Run */
} DP_SWAP;

/* STATUS_DELETE_PENDING, STATUS_POSSIBLE_DEADLOCK, STATUS_INSUFFICIENT_RESOURCES. Success: alone on the extension until End. */
_IRQL_requires_(PASSIVE_LEVEL) _Must_inspect_result_ NTSTATUS DpSwapBegin(_Inout_ PDRIVER_PROXY_EXTENSION Extension,
                                                                          _In_opt_ PDRIVER_PROXY_REGISTER_CALLBACK Callback,
                                                                          _In_opt_ PVOID Context, _In_ ULONG Count,
                                                                          _Out_ DP_SWAP **Swap);
/* New wrappers are published or freed by it. */
_IRQL_requires_(PASSIVE_LEVEL) _Must_inspect_result_ NTSTATUS DpSwapRun(_Inout_ DP_SWAP *Swap);
/* New wrappers of a swap that does not run. */
VOID DpSwapFreeNew(_Inout_ DP_SWAP *Swap);
_IRQL_requires_(PASSIVE_LEVEL) VOID DpSwapEnd(_In_ DP_SWAP *Swap);

/* ---- worker.c, loop.c ---- */

typedef struct _DP_WORKER {
    PDRIVER_PROXY_EXTENSION Extension;
    PKWAIT_BLOCK WaitBlocks; /* NULL: the thread's own THREAD_WAIT_OBJECTS are enough */
    PVOID Before;            /* thread object, referenced: the worker's thread until now (RecreateThread) */
    LONG Switches;           /* of the extension, when this thread began */
    BOOLEAN TrueEndsThread;
    BOOLEAN RecreateThread;
    BOOLEAN TimeoutOnce;
    BOOLEAN Waiting; /* a wait has begun at Begin, perhaps on the thread before */
    BOOLEAN Woken;   /* it has completed with Status, and the routine is to be called */
    NTSTATUS Status;
    LONG64 Begin;    /* tick */
    DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE_START_CONTEXT Start; /* last: holds EventCount events (W6) */
} DP_WORKER;

_IRQL_requires_(PASSIVE_LEVEL) _Must_inspect_result_ NTSTATUS
DpThreadCreate(_In_ DP_WORKER *Worker, _Out_ PHANDLE Handle, _In_ ULONG DesiredAccess, _In_opt_ POBJECT_ATTRIBUTES ObjectAttributes,
               _In_opt_ HANDLE ProcessHandle, _Out_opt_ PCLIENT_ID ClientId);
VOID DpWorkerFree(_In_ DP_WORKER *Worker);
ULONG DpWorkerThreadCount(void);

VOID NTAPI DpWorkerThread(_In_ PVOID StartContext); /* loop.c */
