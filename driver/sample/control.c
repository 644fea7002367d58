/*
 * The control thread: requests that may wait are marked pending, can be cancelled while they are queued, and are completed
 * here one after the other. So no dispatch routine ever waits, and updates are serialised.
 */
#include "host.h"

#define CONTROL_JOIN_MS 60000

typedef struct _CONTROL_QUEUE {
    KSPIN_LOCK Lock;
    LIST_ENTRY Irps; /* Irp->Tail.Overlay.ListEntry */
    KEVENT Work;     /* synchronization */
    BOOLEAN Stop;
    BOOLEAN ShutDown;
    volatile BOOLEAN ShuttingDown;
    PVOID ThreadObject;
} CONTROL_QUEUE;

static CONTROL_QUEUE Control;

static VOID ControlComplete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
}

_Function_class_(DRIVER_CANCEL) static VOID NTAPI ControlCancel(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    KIRQL irql;

    UNREFERENCED_PARAMETER(DeviceObject);
    IoReleaseCancelSpinLock(Irp->CancelIrql);
    KeAcquireSpinLock(&Control.Lock, &irql);
    RemoveEntryList(&Irp->Tail.Overlay.ListEntry);
    KeReleaseSpinLock(&Control.Lock, irql);
    ControlComplete(Irp, STATUS_CANCELLED, 0);
}

/* Always STATUS_PENDING: the IRP is completed here or by its cancel routine. */
_Use_decl_annotations_ NTSTATUS ControlQueue(PIRP Irp)
{
    NTSTATUS refuse = STATUS_SUCCESS;
    KIRQL irql;

    IoMarkIrpPending(Irp);
    KeAcquireSpinLock(&Control.Lock, &irql);
    (VOID)IoSetCancelRoutine(Irp, ControlCancel);
    if (Irp->Cancel && IoSetCancelRoutine(Irp, NULL) != NULL) {
        refuse = STATUS_CANCELLED;
    } else {
        /* Cancelled a moment ago: the routine waits for the lock, and finds the IRP in the list. */
        InsertTailList(&Control.Irps, &Irp->Tail.Overlay.ListEntry);
    }
    KeReleaseSpinLock(&Control.Lock, irql);
    if (refuse != STATUS_SUCCESS) {
        ControlComplete(Irp, refuse, 0);
    } else {
        KeSetEvent(&Control.Work, IO_NO_INCREMENT, FALSE);
    }
    return STATUS_PENDING;
}

/* The next IRP of this file, or of any when it is NULL; its cancel routine no longer runs. */
static PIRP ControlTake(PFILE_OBJECT FileObject)
{
    PIRP irp = NULL;
    PLIST_ENTRY entry;
    KIRQL irql;

    KeAcquireSpinLock(&Control.Lock, &irql);
    for (entry = Control.Irps.Flink; entry != &Control.Irps; entry = entry->Flink) {
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
    KeReleaseSpinLock(&Control.Lock, irql);
    return irp;
}

_Use_decl_annotations_ VOID ControlCancelFile(PFILE_OBJECT FileObject)
{
    PIRP irp;

    while ((irp = ControlTake(FileObject)) != NULL) {
        ControlComplete(irp, STATUS_CANCELLED, 0);
    }
}

/*
 * Everything but ring and device is taken down. Control thread only. Once, but for what a thread that did not end in time
 * kept: that is tried again before the driver leaves.
 *
 * While DriverUnload waits for this thread the endpoint image stays loaded, though nothing calls it any more: Wine holds its
 * driver lock over DriverUnload, so that ZwUnloadDriver would never return. HostStop then counts it; a shutdown request
 * before the stop avoids it.
 */
VOID ControlShutDown(_In_ BOOLEAN UnloadImage)
{
    HOTSWAP_UPDATE none = { 0 };
    HOTSWAP_UPDATE_REPLY reply;
    HOTSWAP_COUNTERS c;

    if (Control.ShutDown) {
        return;
    }
    Control.ShuttingDown = TRUE;
    LoadStopAll();
    WorkerStopAll();
    if (HsRuntimeKind != HotswapRuntimeAuto) {
        if (HsEndpoints.Version != 0 && UnloadImage) {
            UpdateRun(&none, &reply);
        }
        (VOID)RuntimeStop();
    }
    HsQueryCounters(&c);
    HS_TRACE(HostStop, c.Workers, c.Threads, c.Allocations, c.Events, c.References, c.EndpointDrivers, c.ProxyExtensions, c.ProxyWrappers,
             c.ProxyThreads, c.ProxyAllocations, c.ProxyActiveCalls, c.Iterations, c.Signals, c.EventsDropped);
    Control.ShutDown = TRUE;
}

BOOLEAN ControlShuttingDown(void)
{
    return Control.ShuttingDown;
}

static VOID NTAPI ControlThread(_In_ PVOID StartContext)
{
    UNREFERENCED_PARAMETER(StartContext);
    while (!Control.Stop) {
        PIRP irp;

        KeWaitForSingleObject(&Control.Work, Executive, KernelMode, FALSE, NULL);
        while ((irp = ControlTake(NULL)) != NULL) {
            ULONG_PTR information = 0;
            NTSTATUS status = Control.ShutDown ? STATUS_DELETE_PENDING : DispatchPended(irp, &information);

            ControlComplete(irp, status, information);
        }
    }
    ControlShutDown(FALSE);
    while (HsCounters.Threads != 0) { /* they run code of this image: a stop that hangs is better than a crash */
        LoadStopAll();
        WorkerStopAll();
    }
    (VOID)RuntimeStop();
    PsTerminateSystemThread(STATUS_SUCCESS);
}

_Use_decl_annotations_ NTSTATUS ControlDriverEntry(void)
{
    NTSTATUS status;

    KeInitializeSpinLock(&Control.Lock);
    InitializeListHead(&Control.Irps);
    KeInitializeEvent(&Control.Work, SynchronizationEvent, FALSE);
    Control.Stop = FALSE;
    Control.ShutDown = FALSE;
    Control.ShuttingDown = FALSE;
    status = HsThreadCreate(ControlThread, NULL, &Control.ThreadObject);
    if (NT_SUCCESS(status)) { /* not one of those that must be gone at HostStop */
        InterlockedDecrement(&HsCounters.Threads);
        InterlockedDecrement(&HsCounters.References);
    }
    return status;
}

/* No handle is open any more, so no IRP is queued. */
VOID ControlUnload(void)
{
    Control.Stop = TRUE;
    KeSetEvent(&Control.Work, IO_NO_INCREMENT, FALSE);
    if (HsThreadJoin(Control.ThreadObject, CONTROL_JOIN_MS) == STATUS_SUCCESS) {
        InterlockedIncrement(&HsCounters.Threads); /* the join counted a thread that was not: see ControlDriverEntry */
        InterlockedIncrement(&HsCounters.References);
    } else {
        /* Its code is in this image: leave only when it has ended. */
        KeWaitForSingleObject(Control.ThreadObject, Executive, KernelMode, FALSE, NULL);
        ObDereferenceObject(Control.ThreadObject);
    }
}
