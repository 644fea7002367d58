/*
 * Rundown of one extension: counts the calls inside its endpoints, holds new ones while a swap is in progress, and says
 * when the last one has left (R12, R19, R20, R28).
 *
 * State is one 64-bit word, changed by interlocked operations only:
 *   DP_STALLED  new calls wait
 *   DP_TOLD     a call held in this stall has taken it on itself to tell so
 *   from bit 2  calls inside, nested ones counted each
 * Once the count is zero while stalled nothing enters until release, but calls on the stalling thread itself.
 *
 * A call made from inside another call of the same extension must not wait, or the outer one never leaves (R29). Whether a
 * thread is inside is known from a table keyed by the thread; the outermost call enters the thread and takes it out again, so
 * that the calls above it, also those of a DPC that interrupts it anywhere, only read. The table has a fixed size: should a
 * window of it ever be full, the call goes uncounted as a nest, and a swap that meets a nested call of it ends with the drain
 * limit instead of hanging.
 *
 * A call at DISPATCH_LEVEL or above spins while it is held (R31), so a processor must be left on which the swap can go on.
 */
#include "proxy.h"

#define DP_STALLED ((LONG64)1)
#define DP_TOLD ((LONG64)2)
#define DP_ONE_CALL ((LONG64)4)
#define DP_POLL_100NS (-10 * 1000)
/* Held calls pay for each microsecond of a wait's wake-up: look hard first, then give way to those inside, then wait. */
#define DP_DRAIN_SPIN_US 50
#define DP_DRAIN_YIELD_US 5000

_Use_decl_annotations_ VOID DpRundownInitialize(DP_RUNDOWN *Rundown, VOID (*FirstHeld)(DP_RUNDOWN *))
{
    RtlZeroMemory(Rundown, sizeof(*Rundown));
    KeInitializeEvent(&Rundown->Drained, SynchronizationEvent, FALSE);
    KeInitializeEvent(&Rundown->Resume, NotificationEvent, TRUE);
    Rundown->FirstHeld = FirstHeld;
}

/* Idle threads share the id 0: what interrupts one is known by its processor. Ids of threads are multiples of four. */
PVOID DpThreadKey(void)
{
    ULONG_PTR id = (ULONG_PTR)PsGetCurrentThreadId();

    return (PVOID)(id != 0 ? id : 4 * (ULONG_PTR)KeGetCurrentProcessorNumberEx(NULL) + 1);
}

static PVOID volatile *DpNestSlot(DP_RUNDOWN *Rundown, PVOID Thread, ULONG Offset)
{
    ULONG64 hash = (ULONG64)(ULONG_PTR)Thread * 0x9E3779B97F4A7C15ull;

    return &Rundown->Inside[((ULONG)(hash >> 40) + Offset) & (DP_NEST_SLOTS - 1)];
}

static BOOLEAN DpNestHas(DP_RUNDOWN *Rundown, PVOID Thread)
{
    ULONG i;

    for (i = 0; i < DP_NEST_WINDOW; i++) {
        if (*DpNestSlot(Rundown, Thread, i) == Thread) {
            return TRUE;
        }
    }
    return FALSE;
}

/* NULL: no room. */
static PVOID volatile *DpNestAdd(DP_RUNDOWN *Rundown, PVOID Thread)
{
    ULONG i;

    for (i = 0; i < DP_NEST_WINDOW; i++) {
        PVOID volatile *slot = DpNestSlot(Rundown, Thread, i);

        if (*slot == NULL && InterlockedCompareExchangePointer(slot, Thread, NULL) == NULL) {
            return slot;
        }
    }
    return NULL;
}

/*
 * The first call held in a stall tells it, on its own thread. Taken with the stall in one step, so a call that comes late
 * tells of no other stall; and the release waits for Told, so whoever is told still listens.
 */
static VOID DpTellFirstHeld(DP_RUNDOWN *Rundown)
{
    LONG64 state;

    do {
        state = Rundown->State;
        if ((state & (DP_STALLED | DP_TOLD)) != DP_STALLED) {
            return;
        }
    } while (InterlockedCompareExchange64(&Rundown->State, state | DP_TOLD, state) != state);
    Rundown->FirstHeld(Rundown);
    InterlockedExchange(&Rundown->Told, 1);
}

static VOID DpHold(DP_RUNDOWN *Rundown)
{
    InterlockedIncrement(&Rundown->Held);
    InterlockedIncrement(&Rundown->HeldTotal);
    DpTellFirstHeld(Rundown);
    if (KeGetCurrentIrql() >= DISPATCH_LEVEL) {
        while ((Rundown->State & DP_STALLED) != 0) { /* no dispatcher wait here (R31) */
            YieldProcessor();
        }
    } else {
        KeWaitForSingleObject(&Rundown->Resume, Executive, KernelMode, FALSE, NULL);
    }
    InterlockedDecrement(&Rundown->Held);
}

/* IRQL: any. Returns when the call may run; the slot, NULL for a nested call, goes back to DpRundownLeave. */
_Use_decl_annotations_ PVOID volatile *DpRundownEnter(DP_RUNDOWN *Rundown)
{
    PVOID thread = DpThreadKey();
    /* A phase callback, or a DPC on top of the stalling thread: made to wait, it would wait for what it has interrupted. */
    BOOLEAN staller = Rundown->Staller == thread;
    BOOLEAN nested = DpNestHas(Rundown, thread);
    /*
     * Table first, count second: whatever interrupts this thread in between takes itself for nested, and gets in only if
     * calls are inside anyhow. The other way round it would wait for a call that it has interrupted.
     */
    PVOID volatile *slot = nested ? NULL : DpNestAdd(Rundown, thread);

    for (;;) {
        LONG64 state = Rundown->State;

        if ((state & DP_STALLED) == 0 || staller || (nested && state >= DP_ONE_CALL)) {
            if (InterlockedCompareExchange64(&Rundown->State, state + DP_ONE_CALL, state) == state) {
                return slot;
            }
            continue;
        }
        DpHold(Rundown);
    }
}

/* IRQL: that of the Enter. */
_Use_decl_annotations_ VOID DpRundownLeave(DP_RUNDOWN *Rundown, PVOID volatile *Slot)
{
    LONG64 state = InterlockedAdd64(&Rundown->State, -DP_ONE_CALL);

    if ((state & DP_STALLED) != 0 && state < DP_ONE_CALL && KeGetCurrentIrql() <= DISPATCH_LEVEL) {
        KeSetEvent(&Rundown->Drained, EVENT_INCREMENT, FALSE);
    }
    if (Slot != NULL) {
        InterlockedExchangePointer(Slot, NULL);
    }
}

/* What a stall needs of the dispatcher, which others may keep busy, is done while calls still flow. */
_Use_decl_annotations_ VOID DpRundownPrepare(DP_RUNDOWN *Rundown)
{
    Rundown->Staller = DpThreadKey();
    InterlockedExchange(&Rundown->HeldTotal, 0);
    InterlockedExchange(&Rundown->Told, 0);
    KeClearEvent(&Rundown->Drained);
    KeClearEvent(&Rundown->Resume);
}

_Use_decl_annotations_ VOID DpRundownStall(DP_RUNDOWN *Rundown)
{
    InterlockedOr64(&Rundown->State, DP_STALLED);
}

/* STATUS_SUCCESS: no call is inside and none can enter. STATUS_TIMEOUT: still stalled, calls are inside. */
_Use_decl_annotations_ NTSTATUS DpRundownDrain(DP_RUNDOWN *Rundown, ULONG TimeoutMs)
{
    LONG64 frequency = HsTickFrequency();
    LONG64 begin = HsTick();
    LONG64 limit = begin + (LONG64)TimeoutMs * frequency / 1000;
    LONG64 spin = begin + DP_DRAIN_SPIN_US * frequency / 1000000;
    LONG64 yield = begin + DP_DRAIN_YIELD_US * frequency / 1000000;
    LARGE_INTEGER none = { .QuadPart = 0 };
    LARGE_INTEGER poll = { .QuadPart = DP_POLL_100NS }; /* a call that leaves above DISPATCH_LEVEL cannot set the event */

    while (InterlockedCompareExchange64(&Rundown->State, 0, 0) >= DP_ONE_CALL) {
        LONG64 now = HsTick();

        if (now >= limit) {
            return STATUS_TIMEOUT;
        }
        if (now < spin) {
            YieldProcessor();
        } else if (now < yield) {
            KeDelayExecutionThread(KernelMode, FALSE, &none);
        } else {
            KeWaitForSingleObject(&Rundown->Drained, Executive, KernelMode, FALSE, &poll);
        }
    }
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ VOID DpRundownRelease(DP_RUNDOWN *Rundown)
{
    LONG64 state = InterlockedAnd64(&Rundown->State, ~(DP_STALLED | DP_TOLD));
    LARGE_INTEGER poll = { .QuadPart = DP_POLL_100NS };

    Rundown->Staller = NULL; /* after the stall, not before: see DpRundownEnter */
    KeSetEvent(&Rundown->Resume, EVENT_INCREMENT, FALSE);
    while ((state & DP_TOLD) != 0 && Rundown->Told == 0) {
        KeDelayExecutionThread(KernelMode, FALSE, &poll);
    }
}

_Use_decl_annotations_ ULONG DpRundownCount(const DP_RUNDOWN *Rundown)
{
    return (ULONG)(Rundown->State / DP_ONE_CALL);
}
