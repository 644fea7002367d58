/*
 * A lane: requests that may wait, marked pending, cancellable while they are queued, and completed on the lane's own thread
 * one after the other. So no dispatch routine ever waits.
 */
#include "common.h"

static VOID LaneComplete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
}

/* Behind the lane in the IRP's DriverContext. */
static HS_LANE_NODE *LaneNode(PIRP Irp)
{
    C_ASSERT(sizeof(HS_LANE_NODE) <= 3 * sizeof(PVOID));
    return (HS_LANE_NODE *)&Irp->Tail.Overlay.DriverContext[1];
}

static DRIVER_CANCEL LaneCancel;

static _Use_decl_annotations_ VOID NTAPI LaneCancel(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    HS_LANE *lane = Irp->Tail.Overlay.DriverContext[0];
    KIRQL irql;

    UNREFERENCED_PARAMETER(DeviceObject);
    IoReleaseCancelSpinLock(Irp->CancelIrql);
    KeAcquireSpinLock(&lane->Lock, &irql);
    RemoveEntryList(&LaneNode(Irp)->Entry);
    KeReleaseSpinLock(&lane->Lock, irql);
    InterlockedIncrement64(&lane->Done);
    LaneComplete(Irp, STATUS_CANCELLED, 0);
}

/* Always STATUS_PENDING: the IRP is completed here, by the lane's thread, or by its cancel routine. */
_Use_decl_annotations_ NTSTATUS LaneQueue(HS_LANE *Lane, PIRP Irp)
{
    NTSTATUS refuse = STATUS_SUCCESS;
    KIRQL irql;

    IoMarkIrpPending(Irp);
    Irp->Tail.Overlay.DriverContext[0] = Lane;
    LaneNode(Irp)->Irp = Irp;
    KeAcquireSpinLock(&Lane->Lock, &irql);
    if (Lane->Closed) {
        refuse = STATUS_DELETE_PENDING;
    } else {
        (VOID)IoSetCancelRoutine(Irp, LaneCancel);
        if (Irp->Cancel && IoSetCancelRoutine(Irp, NULL) != NULL) {
            refuse = STATUS_CANCELLED;
        } else {
            /* Cancelled a moment ago: the routine waits for the lock, and finds the IRP in the list. */
            InsertTailList(&Lane->Nodes, &LaneNode(Irp)->Entry);
            Lane->Queued++;
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

_Use_decl_annotations_ BOOLEAN LaneQueueNode(HS_LANE *Lane, HS_LANE_NODE *Node, ULONG64 *Sequence)
{
    BOOLEAN queued;
    KIRQL irql;

    Node->Irp = NULL;
    KeAcquireSpinLock(&Lane->Lock, &irql);
    queued = !Lane->Closed;
    if (queued) {
        InsertTailList(&Lane->Nodes, &Node->Entry);
        *Sequence = (ULONG64)++Lane->Queued;
    }
    KeReleaseSpinLock(&Lane->Lock, irql);
    if (queued) {
        KeSetEvent(&Lane->Work, IO_NO_INCREMENT, FALSE);
    }
    return queued;
}

_Use_decl_annotations_ BOOLEAN LaneHolds(HS_LANE *Lane, ULONG Code)
{
    BOOLEAN found = FALSE;
    PLIST_ENTRY entry;
    KIRQL irql;

    KeAcquireSpinLock(&Lane->Lock, &irql);
    for (entry = Lane->Nodes.Flink; entry != &Lane->Nodes && !found; entry = entry->Flink) {
        PIRP irp = CONTAINING_RECORD(entry, HS_LANE_NODE, Entry)->Irp;

        found = irp != NULL && IoGetCurrentIrpStackLocation(irp)->Parameters.DeviceIoControl.IoControlCode == Code;
    }
    KeReleaseSpinLock(&Lane->Lock, irql);
    return found;
}

/* The next node, IRPs without their cancel routine; Irps: only IRPs, of this file unless it is NULL. */
static HS_LANE_NODE *LaneTake(HS_LANE *Lane, BOOLEAN Irps, PFILE_OBJECT FileObject)
{
    HS_LANE_NODE *found = NULL;
    PLIST_ENTRY entry;
    KIRQL irql;

    KeAcquireSpinLock(&Lane->Lock, &irql);
    for (entry = Lane->Nodes.Flink; entry != &Lane->Nodes; entry = entry->Flink) {
        HS_LANE_NODE *node = CONTAINING_RECORD(entry, HS_LANE_NODE, Entry);

        if (Irps && (node->Irp == NULL || (FileObject != NULL && IoGetCurrentIrpStackLocation(node->Irp)->FileObject != FileObject))) {
            continue;
        }
        if (node->Irp != NULL && IoSetCancelRoutine(node->Irp, NULL) == NULL) {
            continue; /* being cancelled: its routine takes it out */
        }
        RemoveEntryList(entry);
        found = node;
        break;
    }
    KeReleaseSpinLock(&Lane->Lock, irql);
    return found;
}

_Use_decl_annotations_ VOID LaneCancelFile(HS_LANE *Lane, PFILE_OBJECT FileObject)
{
    HS_LANE_NODE *node;

    while ((node = LaneTake(Lane, TRUE, FileObject)) != NULL) {
        InterlockedIncrement64(&Lane->Done);
        LaneComplete(node->Irp, STATUS_CANCELLED, 0);
    }
}

/* On the lane's thread: the next request, or word that there is none. */
static HS_LANE_NODE *LaneNext(HS_LANE *Lane)
{
    HS_LANE_NODE *node;

    KeClearEvent(&Lane->Idle);
    node = LaneTake(Lane, FALSE, NULL);
    if (node == NULL) {
        KeSetEvent(&Lane->Idle, IO_NO_INCREMENT, FALSE);
    }
    return node;
}

/* What is queued when the lane is closed is refused. */
static VOID LaneRunNode(HS_LANE *Lane, HS_LANE_NODE *Node)
{
    PIRP irp = Node->Irp; /* a node of the driver's own may be used again as soon as it was run */
    ULONG_PTR information = 0;
    NTSTATUS status = Lane->Closed && irp != NULL ? STATUS_DELETE_PENDING : Lane->Run(Lane, Node, &information);

    InterlockedExchange(&Lane->Status, status);
    InterlockedIncrement64(&Lane->Done);
    if (Lane->AfterEach != NULL) {
        Lane->AfterEach();
    }
    if (irp != NULL) {
        LaneComplete(irp, status, information);
    }
}

static VOID NTAPI LaneThread(_In_ PVOID StartContext)
{
    HS_LANE *lane = StartContext;
    BOOLEAN end;

    do {
        HS_LANE_NODE *node;

        KeWaitForSingleObject(&lane->Work, Executive, KernelMode, FALSE, NULL);
        end = lane->End; /* before the last look: nothing is queued after it */
        while ((node = LaneNext(lane)) != NULL) {
            LaneRunNode(lane, node);
        }
    } while (!end);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

_Use_decl_annotations_ NTSTATUS LaneOpen(HS_LANE *Lane, HS_LANE_RUN *Run)
{
    NTSTATUS status;

    KeInitializeSpinLock(&Lane->Lock);
    InitializeListHead(&Lane->Nodes);
    Lane->Run = Run;
    Lane->AfterEach = NULL;
    Lane->Queued = 0;
    Lane->Done = 0;
    Lane->Status = STATUS_SUCCESS;
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
