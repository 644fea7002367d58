/* The hook of whoever traces an extension. It is kept in the rundown, which a late call may read. */
#include "proxy.h"

_Use_decl_annotations_ VOID DpTell(DP_RUNDOWN *Rundown, HS_PROXY_STEP Step, NTSTATUS Status, PVOID Worker, const DP_WRAPPER *Wrapper)
{
    HS_PROXY_NOTIFY *notify = (HS_PROXY_NOTIFY *)(ULONG_PTR)DpReadPointer(&Rundown->Notify);
    HS_PROXY_NOTIFICATION notification;

    if (notify == NULL) {
        return;
    }
    notification.Step = Step;
    notification.Status = Status;
    notification.Tick = HsTick();
    notification.HeldCalls = DpRundownHeldCalls(Rundown);
    notification.Worker = Worker;
    notification.Function = Wrapper != NULL ? DpReadPointer(&Wrapper->Function) : NULL;
    notification.EndpointId = Wrapper != NULL ? Wrapper->Id : HS_PROXY_NO_ENDPOINT;
    notify(DpReadPointer(&Rundown->NotifyContext), &notification);
}
