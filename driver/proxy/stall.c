/* The rundown's one thread that stalls, drains and releases. Why no call slips through stands in rundown.c. */
#include "rundown.h"

#define DP_POLL_100NS (-10 * 1000)
/* Held calls pay for each microsecond of a wait's wake-up: look hard first, then give way to those inside, then wait. */
#define DP_DRAIN_SPIN_US 50
#define DP_DRAIN_YIELD_US 5000
#define DP_FAIR_MS 20

/* What a stall needs of the dispatcher, which others may keep busy, is done while calls still flow. */
_Use_decl_annotations_ VOID DpRundownPrepare(DP_RUNDOWN *Rundown)
{
    LARGE_INTEGER none = { .QuadPart = 0 };
    LONG64 limit = HsTick() + DpTicks(DP_FAIR_MS);

    while (DpRead32(&Rundown->Held) != 0 && HsTick() < limit) {
        KeDelayExecutionThread(KernelMode, FALSE, &none);
    }
    DpWrite64(&Rundown->Staller, DpThreadKey());
    DpWrite32(&Rundown->LastHeld, 0);
    DpWrite32(&Rundown->Told, 0);
    KeClearEvent(&Rundown->Drained);
    KeClearEvent(&Rundown->Resume);
}

_Use_decl_annotations_ VOID DpRundownStall(DP_RUNDOWN *Rundown)
{
    InterlockedOr64(&Rundown->State, DP_STALLED);
}

typedef struct _DP_DRAIN {
    LONG64 Spin;
    LONG64 Yield;
    LONG64 Limit;
} DP_DRAIN;

/* FALSE: the limit is over. */
static BOOLEAN DpDrainPause(DP_RUNDOWN *Rundown, const DP_DRAIN *Drain)
{
    LARGE_INTEGER none = { .QuadPart = 0 };
    LARGE_INTEGER poll = { .QuadPart = DP_POLL_100NS }; /* what leaves unseen, or above DISPATCH_LEVEL, sets no event */
    LONG64 now = HsTick();

    if (now >= Drain->Limit) {
        return FALSE;
    }
    if (now < Drain->Spin) {
        YieldProcessor();
    } else if (now < Drain->Yield) {
        KeDelayExecutionThread(KernelMode, FALSE, &none);
    } else {
        KeWaitForSingleObject(&Rundown->Drained, Executive, KernelMode, FALSE, &poll);
    }
    return TRUE;
}

static BOOLEAN DpSlotBusy(const DP_SLOT *Slot)
{
    LONG64 word = DpRead64(&Slot->Word);

    return word != 0 && (word & DP_PARKED) == 0;
}

/* STATUS_SUCCESS: no call is inside and none can enter. STATUS_TIMEOUT: still stalled, calls are inside. */
_Use_decl_annotations_ NTSTATUS DpRundownDrain(DP_RUNDOWN *Rundown, ULONG TimeoutMs)
{
    LONG64 frequency = HsTickFrequency();
    LONG64 begin = HsTick();
    DP_DRAIN drain = {
        .Spin = begin + DP_DRAIN_SPIN_US * frequency / 1000000,
        .Yield = begin + DP_DRAIN_YIELD_US * frequency / 1000000,
        .Limit = begin + DpTicks(TimeoutMs),
    };
    ULONG i;

    for (i = 0; i < DP_SLOTS; i++) {
        while (DpSlotBusy(&Rundown->Slots[i])) {
            if (!DpDrainPause(Rundown, &drain)) {
                return STATUS_TIMEOUT;
            }
        }
    }
    while (DpRead64(&Rundown->Overflow) != 0) {
        if (!DpDrainPause(Rundown, &drain)) {
            return STATUS_TIMEOUT;
        }
    }
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ VOID DpRundownRelease(DP_RUNDOWN *Rundown)
{
    LARGE_INTEGER poll = { .QuadPart = DP_POLL_100NS };
    LONG64 state = InterlockedAnd64(&Rundown->State, DP_VERBOSE);

    DpWrite32(&Rundown->LastHeld, (LONG)(state / DP_ONE_HELD));
    DpWrite64(&Rundown->Staller, 0); /* after the stall, not before: see DpMustWait */
    KeSetEvent(&Rundown->Resume, EVENT_INCREMENT, FALSE);
    while (state >= DP_ONE_HELD && DpRead32(&Rundown->Told) == 0) {
        KeDelayExecutionThread(KernelMode, FALSE, &poll);
    }
}
