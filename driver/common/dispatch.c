/*
 * IOCTLs: one table with the sizes of each, checked before any handler runs. METHOD_BUFFERED only: no user pointer is ever
 * seen, and a handler works on a copy of its input because output goes to the same buffer.
 */
#include "common.h"

#define DISPATCH_THREADS 16 /* requests that run at once on threads of their callers; Wine has one */

static PVOID volatile DispatchThreads[DISPATCH_THREADS];
static volatile LONG DispatchUnknown; /* there were more: then every thread may be one of them */

const HS_DISPATCH_ENTRY *DispatchFind(ULONG Code)
{
    ULONG i;

    for (i = 0; i < HsDispatchCount; i++) {
        if (HsDispatchTable[i].Code == Code) {
            return &HsDispatchTable[i];
        }
    }
    return NULL;
}

static PVOID volatile *DispatchBegin(void)
{
    PVOID thread = PsGetCurrentThread();
    ULONG i;

    for (i = 0; i < DISPATCH_THREADS; i++) {
        if (InterlockedCompareExchangePointer(&DispatchThreads[i], thread, NULL) == NULL) {
            return &DispatchThreads[i];
        }
    }
    InterlockedIncrement(&DispatchUnknown);
    return NULL;
}

static VOID DispatchEnd(PVOID volatile *Slot)
{
    if (Slot != NULL) {
        InterlockedExchangePointer(Slot, NULL);
    } else {
        InterlockedDecrement(&DispatchUnknown);
    }
}

BOOLEAN DispatchIsRunning(void)
{
    PVOID thread = PsGetCurrentThread();
    ULONG i;

    for (i = 0; i < DISPATCH_THREADS; i++) {
        if (DispatchThreads[i] == thread) {
            return TRUE;
        }
    }
    return DispatchUnknown != 0;
}

static NTSTATUS DispatchRun(const HS_DISPATCH_ENTRY *Entry, PIRP Irp, VOID *Input, ULONG_PTR *Information)
{
    VOID *buffer = Irp->AssociatedIrp.SystemBuffer;
    NTSTATUS status;

    RtlCopyMemory(Input, buffer, Entry->InputBytes);
    RtlZeroMemory(buffer, Entry->OutputBytes); /* nothing of ours leaks through padding */
    status = Entry->Handler(Input, buffer);
    *Information = NT_SUCCESS(status) ? Entry->OutputBytes : 0;
    return status;
}

_Use_decl_annotations_ NTSTATUS DispatchRunPended(HS_LANE *Lane, HS_LANE_NODE *Node, ULONG_PTR *Information)
{
    const HS_DISPATCH_ENTRY *entry =
        DispatchFind(IoGetCurrentIrpStackLocation(Node->Irp)->Parameters.DeviceIoControl.IoControlCode);

    return entry == NULL ? STATUS_INVALID_DEVICE_REQUEST : DispatchRun(entry, Node->Irp, Lane->Input, Information);
}

static NTSTATUS DispatchCheck(const HS_DISPATCH_ENTRY *Entry, PIO_STACK_LOCATION Stack)
{
    if (Entry == NULL) {
        return STATUS_INVALID_DEVICE_REQUEST;
    }
    if (Entry->Handler == NULL && Entry->InputBytes == 0) {
        return STATUS_SUCCESS; /* DRAIN_TRACE: it looks itself */
    }
    if (Stack->Parameters.DeviceIoControl.InputBufferLength != Entry->InputBytes) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    return Stack->Parameters.DeviceIoControl.OutputBufferLength < Entry->OutputBytes ? STATUS_BUFFER_TOO_SMALL : STATUS_SUCCESS;
}

static NTSTATUS DispatchHere(const HS_DISPATCH_ENTRY *Entry, PIRP Irp, ULONG_PTR *Information)
{
    PVOID volatile *slot = DispatchBegin();
    DECLSPEC_ALIGN(8) UCHAR input[HS_MAX_INPUT_HERE];
    NTSTATUS status;

    if (Entry->Irp != NULL) {
        status = Entry->Irp(Irp, IoGetCurrentIrpStackLocation(Irp), Information);
    } else {
        NT_ASSERT(Entry->InputBytes <= sizeof(input));
        status = DispatchRun(Entry, Irp, input, Information);
    }
    DispatchEnd(slot);
    return status;
}

_Use_decl_annotations_ NTSTATUS NTAPI DispatchDeviceControl(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    const HS_DISPATCH_ENTRY *entry = DispatchFind(stack->Parameters.DeviceIoControl.IoControlCode);
    ULONG_PTR information = 0;
    NTSTATUS status;

    UNREFERENCED_PARAMETER(DeviceObject);
    status = DispatchCheck(entry, stack);
    if (NT_SUCCESS(status) && entry->Where != HS_DISPATCH_HERE) {
        return DispatchQueue(Irp, entry);
    }
    if (NT_SUCCESS(status)) {
        status = DispatchHere(entry, Irp, &information);
        if (status == STATUS_PENDING) {
            return status;
        }
    }
    Irp->IoStatus.Status = status;
    Irp->IoStatus.Information = information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return status;
}

/* ---- Requests that both drivers have ---- */

_Use_decl_annotations_ NTSTATUS DispatchDrainTrace(PIRP Irp, PIO_STACK_LOCATION Stack, ULONG_PTR *Information)
{
    ULONG returned;
    NTSTATUS status;

    if (Stack->Parameters.DeviceIoControl.InputBufferLength != 0) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    status = RingDrain(Irp->AssociatedIrp.SystemBuffer, Stack->Parameters.DeviceIoControl.OutputBufferLength, &returned);
    *Information = returned;
    return status;
}

_Use_decl_annotations_ NTSTATUS DispatchPauseArm(PIRP Irp, PIO_STACK_LOCATION Stack, ULONG_PTR *Information)
{
    TRACE_PAUSE_ARM arm = *(const TRACE_PAUSE_ARM *)Irp->AssociatedIrp.SystemBuffer;
    NTSTATUS status = PauseArm(&arm, Stack->FileObject, Irp->AssociatedIrp.SystemBuffer);

    *Information = NT_SUCCESS(status) ? sizeof(TRACE_PAUSE_ARMED) : 0;
    return status;
}

_Use_decl_annotations_ NTSTATUS DispatchPauseWait(PIRP Irp, PIO_STACK_LOCATION Stack, ULONG_PTR *Information)
{
    UNREFERENCED_PARAMETER(Stack);
    return PauseWait(Irp, ((const TRACE_PAUSE_WAIT *)Irp->AssociatedIrp.SystemBuffer)->Arrivals, Information);
}

_Use_decl_annotations_ NTSTATUS DispatchPauseQuery(const VOID *Input, VOID *Output)
{
    UNREFERENCED_PARAMETER(Input);
    PauseQuery(Output);
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ NTSTATUS DispatchPauseRelease(const VOID *Input, VOID *Output)
{
    PauseRelease(Input, Output);
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ NTSTATUS DispatchPauseClear(const VOID *Input, VOID *Output)
{
    UNREFERENCED_PARAMETER(Input);
    PauseClear(NULL);
    PauseQuery(Output);
    return STATUS_SUCCESS;
}
