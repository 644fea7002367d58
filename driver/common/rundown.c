/* In use until closed: ExXxxRundownProtection is not available everywhere this driver runs. */
#include "common.h"

#define HS_CLOSED 1
#define HS_ONE_USER 2

_Use_decl_annotations_ VOID HsRundownInitialize(HS_RUNDOWN *Rundown)
{
    Rundown->State = 0;
    KeInitializeEvent(&Rundown->Idle, NotificationEvent, FALSE);
}

/* IRQL: <= DISPATCH_LEVEL. FALSE: closed. */
_Use_decl_annotations_ BOOLEAN HsRundownAcquire(HS_RUNDOWN *Rundown)
{
    LONG state;

    do {
        state = Rundown->State;
        if ((state & HS_CLOSED) != 0) {
            return FALSE;
        }
    } while (InterlockedCompareExchange(&Rundown->State, state + HS_ONE_USER, state) != state);
    return TRUE;
}

_Use_decl_annotations_ VOID HsRundownRelease(HS_RUNDOWN *Rundown)
{
    if (InterlockedExchangeAdd(&Rundown->State, -HS_ONE_USER) - HS_ONE_USER == HS_CLOSED) {
        KeSetEvent(&Rundown->Idle, IO_NO_INCREMENT, FALSE);
    }
}

/* Returns when nobody uses it any more; nobody will again. */
_Use_decl_annotations_ VOID HsRundownClose(HS_RUNDOWN *Rundown)
{
    if (InterlockedOr(&Rundown->State, HS_CLOSED) >= HS_ONE_USER) {
        KeWaitForSingleObject(&Rundown->Idle, Executive, KernelMode, FALSE, NULL);
    }
}
