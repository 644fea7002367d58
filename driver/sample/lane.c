/*
 * A lane: requests that may wait, marked pending, cancellable while they are queued, and completed on the lane's own thread
 * one after the other. So no dispatch routine ever waits.
 */
#include "host.h"

static VOID LaneComplete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
}

static DRIVER_CANCEL LaneCancel;

static _Use_decl_annotations_ VOID NTAPI LaneCancel(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    HS_LANE *lane = Irp->Tail.Overlay.DriverContext[0];
    KIRQL irql;

    UNREFERENCED_PARAMETER(DeviceObject);
    IoReleaseCancelSpinLock(Irp->CancelIrql);
    KeAcquireSpinLock(&lane->Lock, &irql);
    RemoveEntryList(&Irp->Tail.Overlay.ListEntry);
    KeReleaseSpinLock(&lane->Lock, irql);
    LaneComplete(Irp, STATUS_CANCELLED, 0);
}

/* Always STATUS_PENDING: the IRP is completed here, by the lane's thread, or by its cancel routine. */
_Use_decl_annotations_ NTSTATUS LaneQueue(HS_LANE *Lane, PIRP Irp)
{
    NTSTATUS refuse = STATUS_SUCCESS;
    KIRQL irql;

    IoMarkIrpPending(Irp);
    Irp->Tail.Overlay.DriverContext[0] = Lane;
    KeAcquireSpinLock(&Lane->Lock, &irql);
    if (Lane->Closed) {
        refuse = STATUS_DELETE_PENDING;
    } else {
        (VOID)IoSetCancelRoutine(Irp, LaneCancel);
        if (Irp->Cancel && IoSetCancelRoutine(Irp, NULL) != NULL) {
            refuse = STATUS_CANCELLED;
        } else {
            /* Cancelled a moment ago: the routine waits for the lock, and finds the IRP in the list. */
            InsertTailList(&Lane->Irps, &Irp->Tail.Overlay.ListEntry);
        }
    }
    KeReleaseSpinLock(&Lane->Lock, irql);
    if (refuse != STATUS_SUCCESS) {
        LaneComplete(Irp, refuse, 0);
    } else {
        KeSetEvent(&Lane->Work, IO_NO_INCREMENT, FALSE);
    }
    return STATUS_PENDING;
}

/* The next IRP of this file, or of any when it is NULL; its cancel routine no longer runs. */
static PIRP LaneTake(HS_LANE *Lane, PFILE_OBJECT FileObject)
{
    PIRP irp = NULL;
    PLIST_ENTRY entry;
    KIRQL irql;

    KeAcquireSpinLock(&Lane->Lock, &irql);
    for (entry = Lane->Irps.Flink; entry != &Lane->Irps; entry = entry->Flink) {
        PIRP candidate = CONTAINING_RECORD(entry, IRP, Tail.Overlay.ListEntry);

        if (FileObject != NULL && IoGetCurrentIrpStackLocation(candidate)->FileObject != FileObject) {
            continue;
        }
        if (IoSetCancelRoutine(candidate, NULL) == NULL) {
            continue; /* being cancelled: its routine takes it out */
        }
        RemoveEntryList(entry);
        irp = candidate;
        break;
    }
    KeReleaseSpinLock(&Lane->Lock, irql);
    return irp;
}

_Use_decl_annotations_ VOID LaneCancelFile(HS_LANE *Lane, PFILE_OBJECT FileObject)
{
    PIRP irp;

    while ((irp = LaneTake(Lane, FileObject)) != NULL) {
        LaneComplete(irp, STATUS_CANCELLED, 0);
    }
}

/* On the lane's thread: the next request, or word that there is none. */
static PIRP LaneNext(HS_LANE *Lane)
{
    PIRP irp;

    KeClearEvent(&Lane->Idle);
    irp = LaneTake(Lane, NULL);
    if (irp == NULL) {
        KeSetEvent(&Lane->Idle, IO_NO_INCREMENT, FALSE);
    }
    return irp;
}

/* What is queued when the lane is closed is refused. */
static VOID NTAPI LaneThread(_In_ PVOID StartContext)
{
    HS_LANE *lane = StartContext;
    BOOLEAN end;

    do {
        PIRP irp;

        KeWaitForSingleObject(&lane->Work, Executive, KernelMode, FALSE, NULL);
        end = lane->End; /* before the last look: nothing is queued after it */
        while ((irp = LaneNext(lane)) != NULL) {
            ULONG_PTR information = 0;
            NTSTATUS status = lane->Closed ? STATUS_DELETE_PENDING : DispatchPended(irp, lane->Input, &information);

            LaneComplete(irp, status, information);
        }
    } while (!end);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

_Use_decl_annotations_ NTSTATUS LaneOpen(HS_LANE *Lane)
{
    NTSTATUS status;

    KeInitializeSpinLock(&Lane->Lock);
    InitializeListHead(&Lane->Irps);
    KeInitializeEvent(&Lane->Work, SynchronizationEvent, FALSE);
    KeInitializeEvent(&Lane->Idle, NotificationEvent, TRUE);
    Lane->Closed = FALSE;
    Lane->End = FALSE;
    status = HsThreadCreate(LaneThread, Lane, &Lane->ThreadObject);
    if (NT_SUCCESS(status)) { /* not one of those that must be gone at HostStop */
        InterlockedDecrement(&HsCounters.Threads);
        InterlockedDecrement(&HsCounters.References);
    }
    return status;
}

/*
 * From now on requests are refused, those queued as well; the one under way goes on. The thread stays, so that a thread too
 * many is not hidden by one that has gone.
 */
_Use_decl_annotations_ VOID LaneClose(HS_LANE *Lane)
{
    KIRQL irql;

    KeAcquireSpinLock(&Lane->Lock, &irql);
    Lane->Closed = TRUE;
    KeReleaseSpinLock(&Lane->Lock, irql);
}

/* After LaneClose, and not on the lane's own thread: nothing is under way any more. */
_Use_decl_annotations_ VOID LaneWaitIdle(HS_LANE *Lane)
{
    KeWaitForSingleObject(&Lane->Idle, Executive, KernelMode, FALSE, NULL);
}

/* Close, and wait for the end of the request under way and of the thread. Not on the lane's own thread. */
_Use_decl_annotations_ VOID LaneEnd(HS_LANE *Lane)
{
    LaneClose(Lane);
    Lane->End = TRUE;
    KeSetEvent(&Lane->Work, IO_NO_INCREMENT, FALSE);
    KeWaitForSingleObject(Lane->ThreadObject, Executive, KernelMode, FALSE, NULL); /* its code is in this image */
    ObDereferenceObject(Lane->ThreadObject);
}
