/*
 * The rundown's calls, which enter and leave; the other side, the one thread that stalls, drains and releases, is in stall.c.
 *
 * Why no call is let through while stalled, and none is lost. A call first writes its slot and then reads State; the staller
 * first sets DP_STALLED and then reads the slots; both writes are locked operations, so at least one of the two sees the
 * other. A call that sees the stall gives its slot back before it waits, and starts anew when released. A call that does not
 * has written its slot before the staller reads it, and keeps it until its endpoint has returned; so the drain waits for it.
 * One look at each slot is enough: who enters after the stall sees the stall. The pointers of the endpoints are read inside
 * and written while drained, so a call sees them all old or all new.
 *
 * A call made from inside another one of the same extension must not wait, or the outer one never leaves (R29): it finds the
 * slot of its thread marked DP_INSIDE, and the outer call is waited for anyway. The mark is there because an interrupt, DPC
 * or APC has the thread of what it interrupts: one that hits an entry between its two steps must not pass for nested. It
 * looks at State itself, after a fence of its own, and parks the slot while it waits: what is below it is not inside yet. So
 * what is below must read whatever a stall protects after it has set the mark, also whether its extension is still there.
 *
 * Leaving is a plain write, also when an exception leaves the endpoint (DpWrapperUnwind). A thread that ends inside
 * (PsTerminateSystemThread) does not come here: its slot stays taken, it counts as inside for good, and each swap of the
 * extension ends with the drain limit. A thread that finds all its window
 * taken (16 slots of 256 by 16 other threads that are inside) is counted in a shared word; a call nested in that one waits
 * while calls are held, and the swap ends with the drain limit instead of hanging.
 *
 * A call at DISPATCH_LEVEL or above spins while it is held (R31), so a processor must be left on which the swap can go on; where
 * there is but one, it is not held (DpStopsAll).
 * Calls that were held go first: the next stall waits for them to be inside, but no longer than 20 ms.
 */
#include "rundown.h"

#define DP_HASH 0x9E3779B97F4A7C15ull /* as in wrapper.asm */

_Use_decl_annotations_ VOID DpRundownInitialize(DP_RUNDOWN *Rundown)
{
    RtlZeroMemory(Rundown, sizeof(*Rundown));
    KeInitializeEvent(&Rundown->Drained, SynchronizationEvent, FALSE);
    KeInitializeEvent(&Rundown->Resume, NotificationEvent, TRUE);
}

/* ---- Slots ---- */

static DP_SLOT *DpSlotAt(DP_RUNDOWN *Rundown, LONG64 Key, ULONG Offset)
{
    return &Rundown->Slots[((ULONG)(((ULONG64)Key * DP_HASH) >> 56) + Offset) & (DP_SLOTS - 1)];
}

/* The slot that this thread has taken. */
static DP_SLOT *DpSlotOf(DP_RUNDOWN *Rundown, LONG64 Key)
{
    DP_SLOT *home = DpSlotAt(Rundown, Key, 0);
    ULONG i;

    if (DP_KEY(DpRead64(&home->Word)) == Key) {
        return home;
    }
    for (i = 1; DpRead32(&home->Displaced) != 0 && i < DP_SLOT_WINDOW; i++) {
        DP_SLOT *slot = DpSlotAt(Rundown, Key, i);

        if (DP_KEY(DpRead64(&slot->Word)) == Key) {
            return slot;
        }
    }
    return NULL;
}

/* A full fence, also when there is no room: NULL, and Overflow counts the call. */
static DP_SLOT *DpSlotTake(DP_RUNDOWN *Rundown, LONG64 Key)
{
    DP_SLOT *home = DpSlotAt(Rundown, Key, 0);
    ULONG i;

    if (InterlockedCompareExchange64(&home->Word, Key, 0) == 0) {
        return home;
    }
    InterlockedIncrement(&home->Displaced); /* before the slot is taken, and until it is given back: see DpSlotOf */
    for (i = 1; i < DP_SLOT_WINDOW; i++) {
        DP_SLOT *slot = DpSlotAt(Rundown, Key, i);

        if (DpRead64(&slot->Word) == 0 && InterlockedCompareExchange64(&slot->Word, Key, 0) == 0) {
            return slot;
        }
    }
    InterlockedDecrement(&home->Displaced);
    InterlockedIncrement64(&Rundown->Overflow);
    return NULL;
}

static VOID DpSlotGive(DP_RUNDOWN *Rundown, DP_SLOT *Slot)
{
    DP_SLOT *home;

    if (Slot == NULL) {
        InterlockedDecrement64(&Rundown->Overflow);
        return;
    }
    home = DpSlotAt(Rundown, DP_KEY(DpRead64(&Slot->Word)), 0);
    DpWrite64(&Slot->Word, 0);
    if (home != Slot) {
        InterlockedDecrement(&home->Displaced);
    }
}

/* ---- Calls ---- */

/* Until this call has returned no thread runs, and so not the one that stalls: on a single processor, at DISPATCH_LEVEL or above. */
static BOOLEAN DpStopsAll(void)
{
    return KeGetCurrentIrql() >= DISPATCH_LEVEL && KeQueryActiveProcessorCountEx(ALL_PROCESSOR_GROUPS) == 1;
}

/*
 * Not a phase callback, nor what is on top of the stalling thread: made to wait, it would wait for what it has interrupted. Nor
 * what stops the stalling thread anyway: spinning, it would wait for ever, and that thread never sees it inside.
 */
static BOOLEAN DpMustWait(DP_RUNDOWN *Rundown, LONG64 Key)
{
    return (DpRead64(&Rundown->State) & DP_STALLED) != 0 && DpRead64(&Rundown->Staller) != Key && !DpStopsAll();
}

/*
 * Wait until calls flow. The first call held in a stall tells it, on its own thread: it is counted and the stall is looked at
 * in one step, so a call that comes late tells of no other stall; and the release waits for Told, so whoever is told still
 * listens. Held counts the call until it is inside.
 */
static VOID DpHold(DP_RUNDOWN *Rundown, const struct _DP_WRAPPER *Wrapper)
{
    LONG64 state;

    do {
        state = DpRead64(&Rundown->State);
        if ((state & DP_STALLED) == 0) {
            return;
        }
    } while (InterlockedCompareExchange64(&Rundown->State, state + DP_ONE_HELD, state) != state);

    if (state < DP_ONE_HELD) {
        DpTell(Rundown, HsProxyStepFirstHeld, STATUS_SUCCESS, NULL, NULL);
        InterlockedExchange(&Rundown->Told, 1);
    }
    if ((state & DP_VERBOSE) != 0) {
        DpTell(Rundown, HsProxyStepCallHeld, STATUS_SUCCESS, NULL, Wrapper);
    }
    if (KeGetCurrentIrql() >= DISPATCH_LEVEL) {
        while ((DpRead64(&Rundown->State) & DP_STALLED) != 0) { /* no dispatcher wait here (R31) */
            YieldProcessor();
        }
    } else {
        KeWaitForSingleObject(&Rundown->Resume, Executive, KernelMode, FALSE, NULL);
    }
    if ((state & DP_VERBOSE) != 0) {
        DpTell(Rundown, HsProxyStepCallResumed, STATUS_SUCCESS, NULL, Wrapper);
    }
}

/* Once for a call, however often it is held. */
static VOID DpCountHeld(DP_RUNDOWN *Rundown, BOOLEAN *Held)
{
    if (!*Held) {
        *Held = TRUE;
        InterlockedIncrement(&Rundown->Held);
    }
}

static VOID DpCountIn(DP_RUNDOWN *Rundown, BOOLEAN Held)
{
    if (Held) {
        InterlockedDecrement(&Rundown->Held);
    }
}

_Use_decl_annotations_ VOID DpRundownEnter(DP_RUNDOWN *Rundown, DP_CALL *Call)
{
    LONG64 key = DpThreadKey();
    DP_SLOT *slot = DpSlotOf(Rundown, key);
    BOOLEAN held = FALSE;

    Call->Slot = slot;
    if (slot != NULL && (DpRead64(&slot->Word) & DP_INSIDE) != 0) {
        DpWrite32(&slot->Nested, slot->Nested + 1);
        Call->Kind = DpCallNested;
        return;
    }
    if (slot != NULL) {
        Call->Kind = DpCallOnTop;
        Call->Below = DpRead64(&slot->Word);
        while (InterlockedExchange64(&slot->Word, key), DpMustWait(Rundown, key)) {
            DpWrite64(&slot->Word, key | DP_PARKED);
            DpCountHeld(Rundown, &held);
            DpHold(Rundown, Call->Wrapper);
        }
        DpWrite64(&slot->Word, key | DP_INSIDE);
        DpCountIn(Rundown, held);
        return;
    }
    while (slot = DpSlotTake(Rundown, key), DpMustWait(Rundown, key)) {
        DpSlotGive(Rundown, slot);
        DpCountHeld(Rundown, &held);
        DpHold(Rundown, Call->Wrapper);
    }
    DpCountIn(Rundown, held);
    Call->Slot = slot;
    if (slot == NULL) {
        Call->Kind = DpCallOverflow;
        return;
    }
    Call->Kind = DpCallOutermost;
    DpWrite64(&slot->Word, key | DP_INSIDE);
}

/* IRQL: that of the Enter. */
_Use_decl_annotations_ VOID DpRundownLeave(DP_RUNDOWN *Rundown, const DP_CALL *Call)
{
    switch (Call->Kind) {
    case DpCallNested:
        DpWrite32(&Call->Slot->Nested, Call->Slot->Nested - 1);
        break;
    case DpCallOnTop:
        DpWrite64(&Call->Slot->Word, Call->Below);
        break;
    default:
        DpSlotGive(Rundown, Call->Slot);
        break;
    }
    /* Too early a look only means that the drain sees it at its next poll. */
    if ((DpRead64(&Rundown->State) & DP_STALLED) != 0 && KeGetCurrentIrql() <= DISPATCH_LEVEL) {
        KeSetEvent(&Rundown->Drained, EVENT_INCREMENT, FALSE);
    }
}

/* ---- Counts ---- */

_Use_decl_annotations_ ULONG DpRundownCount(const DP_RUNDOWN *Rundown)
{
    ULONG count = (ULONG)DpRead64(&Rundown->Overflow);
    ULONG i;

    for (i = 0; i < DP_SLOTS; i++) {
        if ((DpRead64(&Rundown->Slots[i].Word) & DP_INSIDE) != 0) {
            count += 1 + (ULONG)DpRead32(&Rundown->Slots[i].Nested);
        }
    }
    return count;
}

_Use_decl_annotations_ ULONG DpRundownHeldCalls(const DP_RUNDOWN *Rundown)
{
    LONG64 state = DpRead64(&Rundown->State);

    return (state & DP_STALLED) != 0 ? (ULONG)(state / DP_ONE_HELD) : (ULONG)DpRead32(&Rundown->LastHeld);
}
