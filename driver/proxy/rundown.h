/*
 * Rundown of one extension: who is inside its endpoints, and who has to wait (R12, R19, R20, R28, R29, R31).
 *
 * A call takes a slot that its thread alone writes while it has it, so calls on different processors share nothing that is
 * written. All rundowns are static memory: a call that comes late for an extension that has gone still reads a rundown.
 */
#pragma once

#include "atomics.h"
#include "driverproxy_compat.h"

#define DP_SLOTS 256 /* power of two */
#define DP_SLOT_WINDOW 16 /* a thread looks for room from its home on */

/* Bits of State; from bit 2 on, the calls that had to wait in this stall. 0: calls go in and out at full speed. */
#define DP_STALLED ((LONG64)1)
#define DP_VERBOSE ((LONG64)2)
#define DP_ONE_HELD ((LONG64)4)

/* A slot's Word: 0, or the key of a thread and what it does. Keys are multiples of four. */
#define DP_INSIDE ((LONG64)1) /* neither bit: entering, and will look whether calls are held */
#define DP_PARKED ((LONG64)2) /* entering, and waits on top of it: not inside, whatever is below */
#define DP_KEY(Word) ((Word) & ~(LONG64)3)

typedef struct _DP_SLOT {
    volatile LONG64 Word;
    volatile LONG Nested;    /* calls above the one that took the slot */
    volatile LONG Displaced; /* threads whose home this is and that have a slot elsewhere; changed by any of them */
    UCHAR Padding[48];
} DP_SLOT;

typedef struct DECLSPEC_ALIGN(64) _DP_RUNDOWN {
    volatile LONG64 State; /* wrapper.asm reads it at 0x00, and the slots at 0x40 */
    UCHAR Padding[56];
    DP_SLOT Slots[DP_SLOTS];
    volatile LONG64 Overflow; /* calls whose thread found no slot */
    volatile LONG64 Staller;  /* key of the thread that stalls */
    volatile LONG Held;       /* calls that have to wait, until they are inside */
    volatile LONG LastHeld;   /* calls that had to wait in the stall before */
    volatile LONG Told;       /* FirstHeld has returned */
    PVOID volatile Notify; /* HS_PROXY_NOTIFY */
    PVOID volatile NotifyContext;
    KEVENT Drained; /* synchronization: a call left while stalled */
    KEVENT Resume;  /* notification: clear while calls are held */
} DP_RUNDOWN;
C_ASSERT(sizeof(DP_SLOT) == 0x40 && FIELD_OFFSET(DP_RUNDOWN, Slots) == 0x40);

typedef enum _DP_CALL_KIND {
    DpCallOutermost = 0, /* has the slot; what wrapper.asm enters itself is one */
    DpCallNested = 1,    /* R29 */
    DpCallOnTop = 2,     /* of an entry of the same thread that is not decided: an interrupt, a DPC, an APC */
    DpCallOverflow = 3,  /* found no slot */
    DpCallGone = 4       /* the extension has gone: nothing is counted */
} DP_CALL_KIND;

struct _DP_WRAPPER;

/* A call in progress; on the stack of wrapper.asm, which knows these offsets. */
typedef struct _DP_CALL {
    PVOID Target;                 /* 0x00 */
    ULONG StackBytes;             /* 0x08 */
    ULONG Kind;                   /* 0x0C: DP_CALL_KIND */
    DP_RUNDOWN *Rundown;          /* 0x10 */
    DP_SLOT *Slot;                /* 0x18 */
    struct _DP_WRAPPER *Wrapper;  /* 0x20 */
    LONG64 Below;                 /* 0x28: of DpCallOnTop, what the slot said */
} DP_CALL;
C_ASSERT(FIELD_OFFSET(DP_CALL, StackBytes) == 0x08 && FIELD_OFFSET(DP_CALL, Kind) == 0x0C);
C_ASSERT(FIELD_OFFSET(DP_CALL, Rundown) == 0x10);
C_ASSERT(FIELD_OFFSET(DP_CALL, Slot) == 0x18 && FIELD_OFFSET(DP_CALL, Wrapper) == 0x20 && sizeof(DP_CALL) == 0x30);

/* In two parts: a limit of weeks times a fast counter passes 64 bits. */
static __inline LONG64 DpTicks(ULONG64 Milliseconds)
{
    LONG64 frequency = HsTickFrequency();

    return (LONG64)(Milliseconds / 1000) * frequency + (LONG64)(Milliseconds % 1000) * frequency / 1000;
}

/* wrapper.asm. Unlike that of every other thread; of an interrupt or a DPC, that of the thread below. IRQL: any. */
LONG64 DpThreadKey(void);

/* The step of a call, or of a swap when Call is NULL, to whoever traces. IRQL: any. */
VOID DpTell(_In_ DP_RUNDOWN *Rundown, _In_ HS_PROXY_STEP Step, _In_ NTSTATUS Status, _In_opt_ PVOID Worker,
            _In_opt_ const struct _DP_WRAPPER *Wrapper);

VOID DpRundownInitialize(_Out_ DP_RUNDOWN *Rundown);
/* IRQL: any. Returns when the call may run; fills in Kind, Slot and Below. */
_IRQL_requires_same_ VOID DpRundownEnter(_Inout_ DP_RUNDOWN *Rundown, _Inout_ DP_CALL *Call);
_IRQL_requires_same_ VOID DpRundownLeave(_Inout_ DP_RUNDOWN *Rundown, _In_ const DP_CALL *Call);

/* One thread at a time stalls: Prepare, Stall, Drain, Release. */
_IRQL_requires_(PASSIVE_LEVEL) VOID DpRundownPrepare(_Inout_ DP_RUNDOWN *Rundown);
_IRQL_requires_(PASSIVE_LEVEL) VOID DpRundownStall(_Inout_ DP_RUNDOWN *Rundown);
_IRQL_requires_(PASSIVE_LEVEL) _Must_inspect_result_ NTSTATUS DpRundownDrain(_Inout_ DP_RUNDOWN *Rundown, _In_ ULONG TimeoutMs);
_IRQL_requires_(PASSIVE_LEVEL) VOID DpRundownRelease(_Inout_ DP_RUNDOWN *Rundown);

/* Calls inside, nested ones counted each (R28). A count of a moment: only a drain says that nobody is. */
ULONG DpRundownCount(_In_ const DP_RUNDOWN *Rundown);
ULONG DpRundownHeldCalls(_In_ const DP_RUNDOWN *Rundown); /* in this stall, or in the last one */
