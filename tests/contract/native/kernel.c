/* platform.h's functions. */
#include <sched.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "image_endpoints.h"
#include "proxy.h"

_Thread_local LONG64 ModelKey;
_Thread_local KIRQL ModelIrql;
ULONG ModelProcessors = 2;
_Thread_local VOID (*ModelInterrupt)(VOID);

VOID ModelPoint(VOID)
{
    static _Thread_local ULONG random, depth;
    BOOLEAN preempted = FALSE;

    if (random == 0) {
        random = (ULONG)ModelKey * 2654435761u | 1;
    }
    random ^= random << 13;
    random ^= random >> 17;
    random ^= random << 5;
    if (random % 1024 == 0) { /* long enough for a whole swap */
        usleep(random / 1024 % 512);
        preempted = TRUE;
    } else if (random % 64 == 0) {
        sched_yield();
        preempted = TRUE;
    }
    if (ModelInterrupt != NULL && ModelIrql < HIGH_LEVEL && depth < 2 && (preempted ? random / 1024 % 2 == 0 : random % 61 == 0)) {
        depth++;
        ModelInterrupt();
        depth--;
    }
}

LONG64 DpThreadKey(void)
{
    return ModelKey;
}

VOID DpWrapperGone(VOID)
{
}

VOID DpMomentPrepare(DP_MOMENT *Moment)
{
    Moment->Irql = 0;
}

VOID DpAlone(DP_MOMENT *Moment)
{
    Moment->Irql = ModelIrql;
    ModelIrql = HIGH_LEVEL;
}

VOID DpNotAlone(const DP_MOMENT *Moment)
{
    ModelIrql = Moment->Irql;
}

ULONG DpWorkerThreadCount(void)
{
    return 0;
}

/* No image of this machine lists endpoints. */
NTSTATUS DpImageEndpointsPrepare(PDRIVER_PROXY_EXTENSION Extension)
{
    (void)Extension;
    return STATUS_SUCCESS;
}

VOID DpImageEndpointsPublish(PDRIVER_PROXY_EXTENSION Extension)
{
    (void)Extension;
}

VOID DpImageEndpointsAbandon(PDRIVER_PROXY_EXTENSION Extension)
{
    (void)Extension;
}

VOID DpImageEndpointsFree(PDRIVER_PROXY_EXTENSION Extension)
{
    (void)Extension;
}

VOID YieldProcessor(VOID)
{
    sched_yield();
}

LONG64 HsTick(VOID)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

VOID KeInitializeEvent(PKEVENT Event, EVENT_TYPE Type, BOOLEAN State)
{
    Event->Type = Type;
    DpWrite32(&Event->Signalled, State);
}

LONG KeSetEvent(PKEVENT Event, KPRIORITY Increment, BOOLEAN Wait)
{
    (void)Increment;
    (void)Wait;
    return InterlockedExchange(&Event->Signalled, 1);
}

VOID KeClearEvent(PKEVENT Event)
{
    InterlockedExchange(&Event->Signalled, 0);
}

NTSTATUS KeWaitForSingleObject(PVOID Object, KWAIT_REASON Reason, KPROCESSOR_MODE Mode, BOOLEAN Alertable, PLARGE_INTEGER Timeout)
{
    PKEVENT event = Object;
    LONG64 limit = Timeout != NULL ? HsTick() - 100 * Timeout->QuadPart : INT64_MAX;

    (void)Reason;
    (void)Mode;
    (void)Alertable;
    for (;;) {
        LONG signalled = event->Type == NotificationEvent ? DpRead32(&event->Signalled) : InterlockedExchange(&event->Signalled, 0);

        if (signalled) {
            return STATUS_SUCCESS;
        }
        if (HsTick() >= limit) {
            return STATUS_TIMEOUT;
        }
        sched_yield();
    }
}

NTSTATUS KeDelayExecutionThread(KPROCESSOR_MODE Mode, BOOLEAN Alertable, PLARGE_INTEGER Timeout)
{
    (void)Mode;
    (void)Alertable;
    (void)Timeout;
    sched_yield();
    return STATUS_SUCCESS;
}

VOID KeAcquireSpinLock(KSPIN_LOCK *Lock, KIRQL *Irql)
{
    *Irql = 0;
    while (InterlockedExchange64(Lock, 1) != 0) {
        sched_yield();
    }
}

VOID KeReleaseSpinLock(KSPIN_LOCK *Lock, KIRQL Irql)
{
    (void)Irql;
    InterlockedExchange64(Lock, 0);
}

PVOID ExAllocatePoolWithTag(int Type, SIZE_T Bytes, ULONG Tag)
{
    (void)Type;
    (void)Tag;
    return malloc(Bytes);
}

VOID ExFreePoolWithTag(PVOID Block, ULONG Tag)
{
    (void)Tag;
    free(Block);
}

/* The stubs of wrapper.asm: only their addresses are used. */
UCHAR DpWrapperPool[DP_WRAPPER_COUNT * DP_WRAPPER_STRIDE];
