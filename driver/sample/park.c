/*
 * Parked threads: those that an endpoint driver made, with the host's Park service as their routine, and left behind. They
 * run code of this image, so each is known here by its thread object and the host leaves after the last has ended.
 *
 * Not among the host's counters: what leaked is the endpoint driver's. A thread that has not reached its first instruction
 * by the time of ParkUnload is not known, as it would be with every system thread that a driver does not join.
 */
#include "host.h"

typedef struct _PARKED {
    LIST_ENTRY Link;
    PVOID ThreadObject; /* referenced */
} PARKED;

static KSPIN_LOCK ParkLock;
static LIST_ENTRY ParkThreads;
static KEVENT ParkGo; /* notification */

VOID ParkDriverEntry(void)
{
    KeInitializeSpinLock(&ParkLock);
    InitializeListHead(&ParkThreads);
    KeInitializeEvent(&ParkGo, NotificationEvent, FALSE);
}

/* PASSIVE_LEVEL, on a thread that the host did not make. */
_Use_decl_annotations_ VOID NTAPI ParkRoutine(PVOID StartContext)
{
    PARKED *parked;
    KIRQL irql;

    UNREFERENCED_PARAMETER(StartContext);
#if defined(_MSC_VER)
#pragma warning(suppress : 4996) /* as in memory.c */
#endif
    parked = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*parked), HS_TAG);
    if (parked != NULL) {
        parked->ThreadObject = PsGetCurrentThread();
        ObReferenceObject(parked->ThreadObject);
        KeAcquireSpinLock(&ParkLock, &irql);
        InsertTailList(&ParkThreads, &parked->Link);
        KeReleaseSpinLock(&ParkLock, irql);
        KeWaitForSingleObject(&ParkGo, Executive, KernelMode, FALSE, NULL);
    }
    PsTerminateSystemThread(STATUS_SUCCESS);
}

static PARKED *ParkTake(void)
{
    PARKED *parked = NULL;
    KIRQL irql;

    KeAcquireSpinLock(&ParkLock, &irql);
    if (!IsListEmpty(&ParkThreads)) {
        parked = CONTAINING_RECORD(RemoveHeadList(&ParkThreads), PARKED, Link);
    }
    KeReleaseSpinLock(&ParkLock, irql);
    return parked;
}

VOID ParkUnload(void)
{
    PARKED *parked;

    KeSetEvent(&ParkGo, IO_NO_INCREMENT, FALSE);
    while ((parked = ParkTake()) != NULL) {
        KeWaitForSingleObject(parked->ThreadObject, Executive, KernelMode, FALSE, NULL);
        ObDereferenceObject(parked->ThreadObject);
        ExFreePoolWithTag(parked, HS_TAG);
    }
}
