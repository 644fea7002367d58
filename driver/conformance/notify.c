/* The runtime's own steps as trace events, one for each, in their order. */
#include "conformance.h"

static volatile LONG NotifyLanesDraining;

C_ASSERT(HsEventProxyReleaseDone - HsEventProxyPreProcess == HsProxyStepReleaseDone - HsProxyStepPreProcess);

ULONG NotifyDraining(void)
{
    return (ULONG)NotifyLanesDraining;
}

static VOID NotifyNoteDrain(ULONG Actor, HS_PROXY_STEP Step)
{
    ULONG lane = Actor - CF_ACTOR_LANE;

    if (lane >= CONFORMANCE_LANES) {
        return;
    }
    if (Step == HsProxyStepStalled) {
        InterlockedOr(&NotifyLanesDraining, 1 << lane);
    } else if (Step == HsProxyStepDrained) {
        InterlockedAnd(&NotifyLanesDraining, ~(1 << lane));
    }
}

_Use_decl_annotations_ VOID NTAPI NotifyTrace(PVOID Context, const HS_PROXY_NOTIFICATION *Notification)
{
    ULONG actor = ThreadActor();

    if (actor == 0 && Notification->Worker != NULL) { /* the creation of this worker has not returned yet */
        actor = WorkerOfContext((ULONG64)(ULONG_PTR)Notification->Worker) + 1;
    }
    NotifyNoteDrain(actor, Notification->Step);
    if (Notification->Step <= HsProxyStepReleaseDone) {
        const HS_ProxyPreProcess payload = {
            actor,
            (ULONG)(ULONG_PTR)Context,
            Notification->EndpointId,
            Notification->Status,
            Notification->HeldCalls,
            (ULONG64)(ULONG_PTR)Notification->Function,
        };

        HsTraceWrite((HS_EVENT)(HsEventProxyPreProcess + Notification->Step), &payload, sizeof(payload));
    }
    WaitProgress();
}
