/* The runtime's own steps as trace events, one for each, in their order. */
#include "conformance.h"

C_ASSERT(HsEventProxyReleaseDone - HsEventProxyPreProcess == HsProxyStepReleaseDone - HsProxyStepPreProcess);

_Use_decl_annotations_ VOID NTAPI NotifyTrace(PVOID Context, const HS_PROXY_NOTIFICATION *Notification)
{
    ULONG actor = ThreadActor();

    if (actor == 0 && Notification->Worker != NULL) { /* the creation of this worker has not returned yet */
        actor = WorkerOfContext((ULONG64)(ULONG_PTR)Notification->Worker) + 1;
    }
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
