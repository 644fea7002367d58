/* Waiting for several things at once: looked at whenever something has changed here, and often for what others count. */
#include "conformance.h"

#define POLL_100NS 2000        /* for what only a look can tell */
#define LOOK_AGAIN_100NS 20000 /* a guard against a change that was not told */

static KEVENT WaitChanged;          /* synchronization */
static volatile LONG WaitSomebody;  /* waits */

VOID WaitDriverEntry(void)
{
    KeInitializeEvent(&WaitChanged, SynchronizationEvent, FALSE);
}

VOID WaitProgress(void)
{
    if (WaitSomebody != 0) {
        KeSetEvent(&WaitChanged, IO_NO_INCREMENT, FALSE);
    }
}

static BOOLEAN WaitHolds(const CONFORMANCE_CONDITION *Condition, const HS_PROXY_COUNTERS *Proxy)
{
    PKEVENT event;

    switch (Condition->Kind) {
    case ConformanceIterationsAtLeast:
        return WorkerIterations(Condition->Index) >= Condition->Value;
    case ConformanceWorkerEnded:
        return Condition->Index < CONFORMANCE_WORKERS && !WorkerIsAlive(Condition->Index);
    case ConformanceGateWaitersAtLeast:
        return GateWaiting(Condition->Index) >= Condition->Value;
    case ConformanceLaneDone:
        return LaneHasDone(Condition->Index, Condition->Value);
    case ConformanceHeldCallsAtLeast:
        return Proxy->HeldCalls >= Condition->Value;
    case ConformanceActiveCallsEqual:
        return Proxy->ActiveCalls == Condition->Value;
    case ConformanceEndpointCallsAtLeast:
        return EndpointCalls(Condition->Index) >= Condition->Value;
    case ConformanceEndpointInsideEqual:
        return EndpointInside(Condition->Index) == Condition->Value;
    case ConformanceEventState:
        event = EventAt(Condition->Index);
        return event != NULL && (KeReadStateEvent(event) != 0) == (Condition->Value != 0);
    case ConformanceProxyThreadsEqual:
        return Proxy->Threads == Condition->Value;
    default:
        return FALSE;
    }
}

static BOOLEAN WaitIsTold(ULONG Kind)
{
    return Kind == ConformanceIterationsAtLeast || Kind == ConformanceGateWaitersAtLeast || Kind == ConformanceLaneDone ||
           Kind == ConformanceEndpointCallsAtLeast || Kind == ConformanceEndpointInsideEqual;
}

/* Bit i: condition i does not hold. Told: whether each of these tells when it may hold. */
static ULONG WaitUnmet(const CONFORMANCE_WAIT *Wait, BOOLEAN *Told)
{
    HS_PROXY_COUNTERS proxy = { 0 };
    ULONG unmet = 0;
    ULONG i;

    *Told = TRUE;
    if (CfRuntime == ConformanceRuntimeCompat) {
        HsQueryDriverProxyCounters(&proxy);
    }
    for (i = 0; i < Wait->ConditionCount; i++) {
        if (!WaitHolds(&Wait->Conditions[i], &proxy)) {
            unmet |= 1u << i;
            *Told = *Told && WaitIsTold(Wait->Conditions[i].Kind);
        }
    }
    return unmet;
}

/* On the wait lane: one at a time. */
_Use_decl_annotations_ NTSTATUS WaitForConditions(const VOID *Input, VOID *Output)
{
    const CONFORMANCE_WAIT *wait = Input;
    CONFORMANCE_WAITED *waited = Output;
    LONG64 until = HsTick() + (LONG64)(wait->TimeoutMs != 0 ? wait->TimeoutMs : 1000) * HsTickFrequency() / 1000;
    LARGE_INTEGER again;
    BOOLEAN told;

    if (wait->ConditionCount > CONFORMANCE_MAX_CONDITIONS) {
        return STATUS_INVALID_PARAMETER;
    }
    InterlockedIncrement(&WaitSomebody);
    while ((waited->Unmet = WaitUnmet(wait, &told)) != 0 && HsTick() < until && !CfEnding) {
        again.QuadPart = told ? -LOOK_AGAIN_100NS : -POLL_100NS;
        KeWaitForSingleObject(&WaitChanged, Executive, KernelMode, FALSE, &again);
    }
    InterlockedDecrement(&WaitSomebody);
    waited->Tick = HsTick();
    waited->Status = waited->Unmet == 0 ? STATUS_SUCCESS : STATUS_TIMEOUT;
    return STATUS_SUCCESS;
}
