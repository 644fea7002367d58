/* The hook of whoever traces an extension. It is kept in the rundown, which a late call may read. */
#include "proxy.h"

_Use_decl_annotations_ VOID DpTell(DP_RUNDOWN *Rundown, HS_PROXY_STEP Step, NTSTATUS Status, PVOID Worker, const DP_WRAPPER *Wrapper)
{
    PVOID notify;
    PVOID context;
    HS_PROXY_NOTIFICATION notification;

    do { /* the two belong together: see HsSetDriverProxyOptions */
        notify = DpReadPointer(&Rundown->Notify);
        context = DpReadPointer(&Rundown->NotifyContext);
    } while (DpReadPointer(&Rundown->Notify) != notify);
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
    ((HS_PROXY_NOTIFY *)(ULONG_PTR)notify)(context, &notification);
}
