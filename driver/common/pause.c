/*
 * Pause points (trace_pause.h). A thread that writes an armed event stops in PauseHere, in a slot of its own, until somebody
 * releases it. Whoever waits for arrivals does so in a pended request, which the arriving thread completes.
 */
#include "common.h"

typedef struct _PAUSE_ARM {
    ULONG Id; /* 0: free */
    TRACE_PAUSE_ARM What;
    ULONG Left; /* events until the one that stops, for Nth != 0 */
    PFILE_OBJECT File;
} PAUSE_ARM;

typedef struct _PAUSE_SLOT {
    TRACE_PAUSED Paused; /* ArmId 0: free */
    PFILE_OBJECT File;
    BOOLEAN Going; /* released, and on its way out: stopped no more */
    KEVENT Release; /* synchronization */
} PAUSE_SLOT;

volatile LONG HsPauseArmed;

static KSPIN_LOCK PauseLock;
static PAUSE_ARM PauseArms[TRACE_PAUSE_MAX_ARMS];
static PAUSE_SLOT PauseSlots[TRACE_PAUSE_MAX_WAITING];
static LIST_ENTRY PauseIrps; /* Irp->Tail.Overlay.ListEntry; DriverContext[0] holds the arrivals that they know */
static ULONG PauseLastArm;
static ULONG64 PauseArrivals;
static BOOLEAN PauseEnded;

VOID PauseDriverEntry(void)
{
    ULONG i;

    KeInitializeSpinLock(&PauseLock);
    InitializeListHead(&PauseIrps);
    for (i = 0; i < TRACE_PAUSE_MAX_WAITING; i++) {
        KeInitializeEvent(&PauseSlots[i].Release, SynchronizationEvent, FALSE);
    }
}

_Requires_lock_held_(PauseLock) static VOID PauseCountArms(void)
{
    LONG armed = 0;
    ULONG i;

    for (i = 0; i < TRACE_PAUSE_MAX_ARMS; i++) {
        armed += PauseArms[i].Id != 0;
    }
    InterlockedExchange(&HsPauseArmed, armed);
}

_Requires_lock_held_(PauseLock) static VOID PauseDescribe(TRACE_PAUSE_STATE *State)
{
    ULONG i;

    RtlZeroMemory(State, sizeof(*State));
    State->Arrivals = PauseArrivals;
    State->Arms = (ULONG)HsPauseArmed;
    for (i = 0; i < TRACE_PAUSE_MAX_WAITING; i++) {
        ULONG at = State->WaitingCount;

        if (PauseSlots[i].Paused.ArmId == 0 || PauseSlots[i].Going) {
            continue;
        }
        for (; at > 0 && State->Waiting[at - 1].Arrival > PauseSlots[i].Paused.Arrival; at--) {
            State->Waiting[at] = State->Waiting[at - 1];
        }
        State->Waiting[at] = PauseSlots[i].Paused;
        State->WaitingCount++;
    }
}

static VOID PauseComplete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
}

/* A request of this file, or one that has waited for what there is now when File is NULL; its cancel routine no longer runs. */
_Requires_lock_held_(PauseLock) static PIRP PauseTakeIrp(PFILE_OBJECT File)
{
    PLIST_ENTRY entry;

    for (entry = PauseIrps.Flink; entry != &PauseIrps; entry = entry->Flink) {
        PIRP irp = CONTAINING_RECORD(entry, IRP, Tail.Overlay.ListEntry);
        BOOLEAN wanted = File != NULL ? IoGetCurrentIrpStackLocation(irp)->FileObject == File
                                      : PauseEnded || PauseArrivals > (ULONG64)(ULONG_PTR)irp->Tail.Overlay.DriverContext[0];

        if (wanted && IoSetCancelRoutine(irp, NULL) != NULL) {
            RemoveEntryList(entry);
            return irp;
        }
    }
    return NULL;
}

/* Complete who has waited for this. */
static VOID PauseTell(void)
{
    PIRP irp;

    do {
        BOOLEAN ended = PauseEnded;
        KIRQL irql;

        KeAcquireSpinLock(&PauseLock, &irql);
        irp = PauseTakeIrp(NULL);
        if (irp != NULL) {
            PauseDescribe(irp->AssociatedIrp.SystemBuffer);
        }
        KeReleaseSpinLock(&PauseLock, irql);
        if (irp != NULL) {
            PauseComplete(irp, ended ? STATUS_CANCELLED : STATUS_SUCCESS, ended ? 0 : sizeof(TRACE_PAUSE_STATE));
        }
    } while (irp != NULL);
}

_Requires_lock_held_(PauseLock) static PAUSE_ARM *PauseMatch(HS_EVENT Event, ULONG Key)
{
    PAUSE_ARM *found = NULL;
    ULONG i;

    for (i = 0; i < TRACE_PAUSE_MAX_ARMS; i++) {
        PAUSE_ARM *arm = &PauseArms[i];

        if (arm->Id == 0 || ((arm->What.EventMask >> Event) & 1) == 0 || (arm->What.Key != 0 && arm->What.Key != Key)) {
            continue;
        }
        if (arm->What.Nth != 0 && (arm->Left == 0 || --arm->Left != 0)) {
            continue; /* each arm counts for itself */
        }
        if (found == NULL) {
            found = arm;
        }
    }
    return found;
}

_Requires_lock_held_(PauseLock) static PAUSE_SLOT *PauseTakeSlot(HS_EVENT Event, ULONG Key)
{
    PAUSE_ARM *arm = PauseMatch(Event, Key);
    ULONG i;

    if (arm == NULL) {
        return NULL;
    }
    for (i = 0; i < TRACE_PAUSE_MAX_WAITING; i++) {
        PAUSE_SLOT *slot = &PauseSlots[i];

        if (slot->Paused.ArmId == 0) {
            slot->Paused.ArmId = arm->Id;
            slot->Paused.ThreadId = (ULONG)(ULONG_PTR)PsGetCurrentThreadId();
            slot->Paused.Event = Event;
            slot->Paused.Key = Key;
            slot->Paused.Arrival = ++PauseArrivals;
            slot->File = arm->File;
            slot->Going = FALSE;
            KeClearEvent(&slot->Release);
            if (arm->What.Nth != 0) {
                arm->Id = 0;
                PauseCountArms();
            }
            return slot;
        }
    }
    return NULL; /* more threads than slots: this one goes on */
}

/* After the event was written. Any IRQL that events may have; only at PASSIVE_LEVEL does it stop anybody. */
_Use_decl_annotations_ VOID PauseHere(HS_EVENT Event, const VOID *Payload, ULONG Length)
{
    ULONG key = Length >= sizeof(ULONG) ? *(const ULONG UNALIGNED *)Payload : 0;
    PAUSE_SLOT *slot;
    KIRQL irql;

    if (KeGetCurrentIrql() != PASSIVE_LEVEL || DispatchIsRunning()) {
        return;
    }
    KeAcquireSpinLock(&PauseLock, &irql);
    slot = PauseEnded ? NULL : PauseTakeSlot(Event, key);
    KeReleaseSpinLock(&PauseLock, irql);
    if (slot == NULL) {
        return;
    }
    PauseTell();
    KeWaitForSingleObject(&slot->Release, Executive, KernelMode, FALSE, NULL);
    KeAcquireSpinLock(&PauseLock, &irql);
    slot->File = NULL; /* no other thread has taken the slot: it is freed here */
    RtlZeroMemory(&slot->Paused, sizeof(slot->Paused));
    KeReleaseSpinLock(&PauseLock, irql);
}

/* STATUS_INVALID_PARAMETER: no such event. STATUS_INSUFFICIENT_RESOURCES: too many are armed. */
_Use_decl_annotations_ NTSTATUS PauseArm(const TRACE_PAUSE_ARM *Arm, PFILE_OBJECT File, TRACE_PAUSE_ARMED *Armed)
{
    NTSTATUS status = STATUS_INSUFFICIENT_RESOURCES;
    KIRQL irql;
    ULONG i;

    if (Arm->EventMask == 0 || (Arm->EventMask >> (HsEventCount - 1)) > 1) {
        return STATUS_INVALID_PARAMETER;
    }
    KeAcquireSpinLock(&PauseLock, &irql);
    for (i = 0; i < TRACE_PAUSE_MAX_ARMS && !PauseEnded; i++) {
        if (PauseArms[i].Id == 0) {
            PauseArms[i].Id = ++PauseLastArm;
            PauseArms[i].What = *Arm;
            PauseArms[i].Left = Arm->Nth;
            PauseArms[i].File = File;
            Armed->ArmId = PauseLastArm;
            PauseCountArms();
            status = STATUS_SUCCESS;
            break;
        }
    }
    KeReleaseSpinLock(&PauseLock, irql);
    return status;
}

_Requires_lock_held_(PauseLock) static VOID PauseReleaseSlots(ULONG ArmId, ULONG ThreadId, PFILE_OBJECT File)
{
    ULONG i;

    for (i = 0; i < TRACE_PAUSE_MAX_WAITING; i++) {
        PAUSE_SLOT *slot = &PauseSlots[i];

        if (slot->Paused.ArmId != 0 && !slot->Going && (ArmId == 0 || slot->Paused.ArmId == ArmId) &&
            (ThreadId == 0 || slot->Paused.ThreadId == ThreadId) && (File == NULL || slot->File == File)) {
            slot->Going = TRUE;
            KeSetEvent(&slot->Release, IO_NO_INCREMENT, FALSE);
        }
    }
}

_Use_decl_annotations_ VOID PauseRelease(const TRACE_PAUSE_RELEASE *Release, TRACE_PAUSE_STATE *State)
{
    KIRQL irql;

    KeAcquireSpinLock(&PauseLock, &irql);
    PauseReleaseSlots(Release->ArmId, Release->ThreadId, NULL);
    PauseDescribe(State);
    KeReleaseSpinLock(&PauseLock, irql);
}

_Use_decl_annotations_ VOID PauseClear(PFILE_OBJECT File)
{
    KIRQL irql;
    ULONG i;

    KeAcquireSpinLock(&PauseLock, &irql);
    for (i = 0; i < TRACE_PAUSE_MAX_ARMS; i++) {
        if (File == NULL || PauseArms[i].File == File) {
            PauseArms[i].Id = 0;
        }
    }
    PauseCountArms();
    PauseReleaseSlots(0, 0, File);
    KeReleaseSpinLock(&PauseLock, irql);
}

_Use_decl_annotations_ VOID PauseQuery(TRACE_PAUSE_STATE *State)
{
    KIRQL irql;

    KeAcquireSpinLock(&PauseLock, &irql);
    PauseDescribe(State);
    KeReleaseSpinLock(&PauseLock, irql);
}

static DRIVER_CANCEL PauseCancel;

static _Use_decl_annotations_ VOID NTAPI PauseCancel(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    KIRQL irql;

    UNREFERENCED_PARAMETER(DeviceObject);
    IoReleaseCancelSpinLock(Irp->CancelIrql);
    KeAcquireSpinLock(&PauseLock, &irql);
    RemoveEntryList(&Irp->Tail.Overlay.ListEntry);
    KeReleaseSpinLock(&PauseLock, irql);
    PauseComplete(Irp, STATUS_CANCELLED, 0);
}

_Use_decl_annotations_ NTSTATUS PauseWait(PIRP Irp, ULONG64 Arrivals, ULONG_PTR *Information)
{
    NTSTATUS status = STATUS_PENDING;
    KIRQL irql;

    KeAcquireSpinLock(&PauseLock, &irql);
    if (PauseEnded) {
        status = STATUS_DELETE_PENDING;
    } else if (PauseArrivals > Arrivals) {
        PauseDescribe(Irp->AssociatedIrp.SystemBuffer);
        *Information = sizeof(TRACE_PAUSE_STATE);
        status = STATUS_SUCCESS;
    } else {
        IoMarkIrpPending(Irp);
        Irp->Tail.Overlay.DriverContext[0] = (PVOID)(ULONG_PTR)Arrivals;
        InsertTailList(&PauseIrps, &Irp->Tail.Overlay.ListEntry);
        (VOID)IoSetCancelRoutine(Irp, PauseCancel);
        if (Irp->Cancel && IoSetCancelRoutine(Irp, NULL) != NULL) {
            RemoveEntryList(&Irp->Tail.Overlay.ListEntry);
            KeReleaseSpinLock(&PauseLock, irql);
            PauseComplete(Irp, STATUS_CANCELLED, 0);
            return STATUS_PENDING;
        }
    }
    KeReleaseSpinLock(&PauseLock, irql);
    return status;
}

_Use_decl_annotations_ VOID PauseCancelFile(PFILE_OBJECT File)
{
    PIRP irp;

    PauseClear(File);
    do {
        KIRQL irql;

        KeAcquireSpinLock(&PauseLock, &irql);
        irp = PauseTakeIrp(File);
        KeReleaseSpinLock(&PauseLock, irql);
        if (irp != NULL) {
            PauseComplete(irp, STATUS_CANCELLED, 0);
        }
    } while (irp != NULL);
}

/* Threads that were stopped may still be on their way out when this returns: whoever joins them comes after. */
VOID PauseUnload(void)
{
    KIRQL irql;

    KeAcquireSpinLock(&PauseLock, &irql);
    PauseEnded = TRUE;
    KeReleaseSpinLock(&PauseLock, irql);
    PauseClear(NULL);
    PauseTell();
}
