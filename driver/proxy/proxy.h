/* driverproxy.sys: what its parts share. */
#pragma once

#include "driverproxy_compat.h"
#include "platform.h"

#define DP_TAG 'xrPD'
#define DP_EXTENSION_COUNT 64
#define DP_WRAPPER_COUNT 256
#define DP_WRAPPER_STRIDE 16    /* bytes of a stub in wrapper.asm */
#define DP_MAX_PARAMETERS 32
#define DP_DRAIN_TIMEOUT_MS 5000

/* ---- memory.c: every pool block is counted ---- */

_IRQL_requires_max_(DISPATCH_LEVEL) _Must_inspect_result_ PVOID DpAllocate(_In_ SIZE_T Bytes);
_IRQL_requires_max_(DISPATCH_LEVEL) VOID DpFree(_In_opt_ PVOID Block);
ULONG DpAllocationCount(void);
_Must_inspect_result_ BOOLEAN DpFailNow(void); /* asked once before anything that can fail for want of memory */

/* ---- rundown.c: who is inside, and who has to wait ---- */

#define DP_NEST_SLOTS 512  /* power of two */
#define DP_NEST_WINDOW 16

typedef struct _DP_RUNDOWN {
    volatile LONG64 State; /* DP_STALLED, DP_TOLD, and the calls inside from bit 2 on */
    PVOID volatile Staller; /* thread that has stalled */
    KEVENT Drained;        /* synchronization: the last call left while stalled */
    KEVENT Resume;         /* notification: clear while calls are held */
    volatile LONG Held;    /* calls that are waiting now */
    volatile LONG HeldTotal; /* calls that had to wait in this stall */
    volatile LONG Told;    /* FirstHeld has returned */
    VOID (*FirstHeld)(struct _DP_RUNDOWN *Rundown);
    PVOID volatile Inside[DP_NEST_SLOTS]; /* threads, each in a window that its key begins */
} DP_RUNDOWN;

PVOID DpThreadKey(void); /* unlike that of every other thread, also in a DPC */
VOID DpRundownInitialize(_Out_ DP_RUNDOWN *Rundown, _In_ VOID (*FirstHeld)(DP_RUNDOWN *));
_IRQL_requires_same_ PVOID volatile *DpRundownEnter(_Inout_ DP_RUNDOWN *Rundown);
_IRQL_requires_same_ VOID DpRundownLeave(_Inout_ DP_RUNDOWN *Rundown, _In_opt_ PVOID volatile *Slot);
_IRQL_requires_(PASSIVE_LEVEL) VOID DpRundownPrepare(_Inout_ DP_RUNDOWN *Rundown); /* a stall follows */
_IRQL_requires_(PASSIVE_LEVEL) VOID DpRundownStall(_Inout_ DP_RUNDOWN *Rundown);
_IRQL_requires_(PASSIVE_LEVEL) _Must_inspect_result_ NTSTATUS DpRundownDrain(_Inout_ DP_RUNDOWN *Rundown, _In_ ULONG TimeoutMs);
_IRQL_requires_(PASSIVE_LEVEL) VOID DpRundownRelease(_Inout_ DP_RUNDOWN *Rundown);
ULONG DpRundownCount(_In_ const DP_RUNDOWN *Rundown);

/* ---- extension.c ---- */

struct _DRIVER_PROXY_EXTENSION {
    PDRIVER_OBJECT Owner;
    DP_RUNDOWN Rundown;
    KEVENT SwapLock; /* synchronization event: one registration at a time (R32) */
    PVOID volatile SwapThread;
    volatile LONG WorkerThreads;
    HS_PROXY_OPTIONS Options;
};

VOID DpExtensionTotals(_Out_ ULONG *Extensions, _Out_ ULONG *ActiveCalls, _Out_ ULONG *HeldCalls);
VOID DpNotify(_In_ PDRIVER_PROXY_EXTENSION Extension, _In_ HS_PROXY_STEP Step, _In_ NTSTATUS Status, _In_opt_ PVOID Worker);

/* ---- wrapper.c, wrapper.asm: stubs of fixed address ---- */

typedef struct _DP_WRAPPER {
    PDRIVER_PROXY_EXTENSION volatile Extension; /* NULL: free */
    PVOID volatile Function;
    ULONG Id;
    ULONG ParameterCount;
    ULONG StackBytes; /* of arguments beyond the four in registers */
} DP_WRAPPER;

/* A call in progress; on the stack of wrapper.asm, which knows these offsets. */
typedef struct _DP_CALL {
    PVOID Target;                      /* 0x00 */
    ULONG StackBytes;                  /* 0x08 */
    ULONG Reserved;
    DP_RUNDOWN *Rundown;               /* 0x10 */
    PVOID volatile *Slot;              /* 0x18 */
} DP_CALL;
C_ASSERT(FIELD_OFFSET(DP_CALL, StackBytes) == 0x08 && sizeof(DP_CALL) == 0x20);

DP_WRAPPER *DpWrapperAt(_In_ ULONG Index);
PVOID DpWrapperAddress(_In_ const DP_WRAPPER *Wrapper);
DP_WRAPPER *DpWrapperFromAddress(_In_ PVOID Address);
_Must_inspect_result_ DP_WRAPPER *DpWrapperAllocate(_In_ const DRIVER_PROXY_ENDPOINT_INFORMATION *Endpoint);
VOID DpWrapperPublish(_Inout_ DP_WRAPPER *Wrapper, _In_ PDRIVER_PROXY_EXTENSION Extension);
VOID DpWrapperFree(_Inout_ DP_WRAPPER *Wrapper);
DP_WRAPPER *DpWrapperFind(_In_ PDRIVER_PROXY_EXTENSION Extension, _In_ ULONG Id);
DP_WRAPPER *DpWrapperFindFunction(_In_ PDRIVER_PROXY_EXTENSION Extension, _In_ PVOID Function);
VOID DpWrapperFreeAll(_In_ PDRIVER_PROXY_EXTENSION Extension);
ULONG DpWrapperCount(void);

/* ---- worker.c ---- */

ULONG DpWorkerThreadCount(void);
