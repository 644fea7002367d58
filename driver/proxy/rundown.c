/*
 * Rundown of one extension: counts the calls inside its endpoints, holds new ones while a swap is in progress, and says
 * when the last one has left (R12, R19, R20, R28).
 *
 * State is one 64-bit word, changed by compare-exchange only:
 *   DP_STALLED  new calls wait
 *   DP_CLOSED   drained: the count was zero while stalled, and nothing may enter until release
 *   from bit 2  calls inside, nested ones counted each
 *
 * A call made from inside another call of the same extension must not wait, or the outer one never leaves (R29). Whether a
 * thread is inside is known from a table keyed by the thread; an entry belongs to its thread alone, so that thread (and what
 * interrupts it) reads and writes it without a lock. The table has a fixed size: should a window of it ever be full, the call
 * goes uncounted as a nest, and a swap that meets a nested call of it ends with the drain limit instead of hanging.
 */
#include "proxy.h"

#define DP_STALLED ((LONG64)1)
#define DP_CLOSED ((LONG64)2)
#define DP_ONE_CALL ((LONG64)4)
#define DP_DRAIN_POLL_100NS (-10 * 1000) /* a call that leaves above DISPATCH_LEVEL cannot set the event */
#define DP_DRAIN_SPIN_US 50              /* most iterations are shorter than a wait and its wake-up */

_Use_decl_annotations_ VOID DpRundownInitialize(DP_RUNDOWN *Rundown, VOID (*FirstHeld)(DP_RUNDOWN *))
{
    RtlZeroMemory(Rundown, sizeof(*Rundown));
    KeInitializeEvent(&Rundown->Drained, SynchronizationEvent, FALSE);
    KeInitializeEvent(&Rundown->Resume, NotificationEvent, TRUE);
    Rundown->FirstHeld = FirstHeld;
}

static DP_NEST_SLOT *DpNestClaim(DP_RUNDOWN *Rundown)
{
    PVOID thread = (PVOID)PsGetCurrentThreadId();
    ULONG64 hash = (ULONG64)(ULONG_PTR)thread * 0x9E3779B97F4A7C15ull;
    ULONG first = (ULONG)(hash >> 40);
    ULONG i;

    for (i = 0; i < DP_NEST_WINDOW; i++) {
        DP_NEST_SLOT *slot = &Rundown->Nest[(first + i) & (DP_NEST_SLOTS - 1)];
        if (slot->Thread == thread) {
            return slot;
        }
    }
    for (i = 0; i < DP_NEST_WINDOW; i++) {
        DP_NEST_SLOT *slot = &Rundown->Nest[(first + i) & (DP_NEST_SLOTS - 1)];
        if (slot->Thread == NULL && InterlockedCompareExchangePointer(&slot->Thread, thread, NULL) == NULL) {
            return slot;
        }
    }
    return NULL;
}

static VOID DpHold(DP_RUNDOWN *Rundown)
{
    InterlockedIncrement(&Rundown->Held);
    if (InterlockedIncrement(&Rundown->HeldTotal) == 1) {
        Rundown->FirstHeld(Rundown);
    }
    if (KeGetCurrentIrql() >= DISPATCH_LEVEL) {
        while ((Rundown->State & DP_STALLED) != 0) { /* no dispatcher wait here (R31) */
            YieldProcessor();
        }
    } else {
        KeWaitForSingleObject(&Rundown->Resume, Executive, KernelMode, FALSE, NULL);
    }
    InterlockedDecrement(&Rundown->Held);
}

/* IRQL: any. Returns when the call may run; the slot goes back to DpRundownLeave. */
_Use_decl_annotations_ DP_NEST_SLOT *DpRundownEnter(DP_RUNDOWN *Rundown)
{
    DP_NEST_SLOT *slot = DpNestClaim(Rundown);
    BOOLEAN nested = slot != NULL && slot->Depth > 0;

    /*
     * Depth first, count second: whatever interrupts this thread in between takes itself for nested, and gets in only if
     * calls are inside anyhow. The other way round it would wait for a call that it has interrupted.
     */
    if (slot != NULL) {
        slot->Depth++;
    }
    for (;;) {
        LONG64 state = Rundown->State;
        BOOLEAN open = (state & DP_STALLED) == 0;

        if (open || (nested && state >= DP_ONE_CALL)) {
            if (InterlockedCompareExchange64(&Rundown->State, state + DP_ONE_CALL, state) == state) {
                return slot;
            }
            continue;
        }
        DpHold(Rundown);
    }
}

/* IRQL: that of the Enter. */
_Use_decl_annotations_ VOID DpRundownLeave(DP_RUNDOWN *Rundown, DP_NEST_SLOT *Slot)
{
    LONG64 state = InterlockedAdd64(&Rundown->State, -DP_ONE_CALL);

    if (state == DP_STALLED && KeGetCurrentIrql() <= DISPATCH_LEVEL) {
        KeSetEvent(&Rundown->Drained, IO_NO_INCREMENT, FALSE);
    }
    if (Slot != NULL && --Slot->Depth == 0) {
        InterlockedExchangePointer(&Slot->Thread, NULL);
    }
}

_Use_decl_annotations_ VOID DpRundownStall(DP_RUNDOWN *Rundown)
{
    Rundown->HeldTotal = 0;
    KeClearEvent(&Rundown->Drained);
    KeClearEvent(&Rundown->Resume);
    InterlockedOr64(&Rundown->State, DP_STALLED);
}

/* STATUS_SUCCESS: no call is inside and none can enter. STATUS_TIMEOUT: still stalled, calls are inside. */
_Use_decl_annotations_ NTSTATUS DpRundownDrain(DP_RUNDOWN *Rundown, ULONG TimeoutMs)
{
    LONG64 begin = HsTick();
    LONG64 limit = begin + (LONG64)TimeoutMs * HsTickFrequency() / 1000;
    LONG64 spin = begin + DP_DRAIN_SPIN_US * HsTickFrequency() / 1000000;
    LARGE_INTEGER poll;

    poll.QuadPart = DP_DRAIN_POLL_100NS;
    while (InterlockedCompareExchange64(&Rundown->State, DP_STALLED | DP_CLOSED, DP_STALLED) != DP_STALLED) {
        LONG64 now = HsTick();

        if (now >= limit) {
            return STATUS_TIMEOUT;
        }
        if (now < spin) {
            YieldProcessor();
            continue;
        }
        KeWaitForSingleObject(&Rundown->Drained, Executive, KernelMode, FALSE, &poll);
    }
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ VOID DpRundownRelease(DP_RUNDOWN *Rundown)
{
    InterlockedAnd64(&Rundown->State, ~(DP_STALLED | DP_CLOSED));
    KeSetEvent(&Rundown->Resume, IO_NO_INCREMENT, FALSE);
}

_Use_decl_annotations_ ULONG DpRundownCount(const DP_RUNDOWN *Rundown)
{
    return (ULONG)(Rundown->State / DP_ONE_CALL);
}
