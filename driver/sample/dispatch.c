/*
 * IOCTLs: one table with the sizes of each, checked before any handler runs. METHOD_BUFFERED only: no user pointer is ever
 * seen, and a handler works on a copy of its input because output goes to the same buffer.
 */
#include "host.h"

typedef NTSTATUS DISPATCH_HANDLER(_In_ const VOID *Input, _Out_ VOID *Output);

typedef enum _DISPATCH_WHERE {
    DispatchHere,    /* never waits */
    DispatchControl, /* pended, on the control lane */
    DispatchUpdate   /* pended, on the update lane */
} DISPATCH_WHERE;

typedef struct _DISPATCH_ENTRY {
    ULONG Code;
    ULONG InputBytes;
    ULONG OutputBytes;
    DISPATCH_WHERE Where;
    DISPATCH_HANDLER *Handler;
} DISPATCH_ENTRY;

static NTSTATUS OnGetVersion(const VOID *Input, VOID *Output)
{
    UNREFERENCED_PARAMETER(Input);
    RuntimeDescribe(Output);
    return STATUS_SUCCESS;
}

static NTSTATUS OnConfigure(const VOID *Input, VOID *Output)
{
    NTSTATUS status = RuntimeConfigure(Input);

    RuntimeDescribe(Output);
    return status;
}

static NTSTATUS OnCreateWorker(const VOID *Input, VOID *Output)
{
    return WorkerCreate(Input, Output);
}

static NTSTATUS OnQueryWorker(const VOID *Input, VOID *Output)
{
    return WorkerQuery(((const HOTSWAP_WORKER_ID *)Input)->WorkerId, Output);
}

static NTSTATUS OnStopWorker(const VOID *Input, VOID *Output)
{
    return WorkerStop(((const HOTSWAP_WORKER_ID *)Input)->WorkerId, Output);
}

static NTSTATUS OnAlertWorker(const VOID *Input, VOID *Output)
{
    return WorkerAlert(((const HOTSWAP_WORKER_ID *)Input)->WorkerId, Output);
}

static NTSTATUS OnSignalEvent(const VOID *Input, VOID *Output)
{
    return SignalRequest(Input, Output);
}

static NTSTATUS OnClearEvent(const VOID *Input, VOID *Output)
{
    return SignalClear(Input, Output);
}

static NTSTATUS OnQueryEvent(const VOID *Input, VOID *Output)
{
    return SignalQuery(Input, Output);
}

static NTSTATUS OnStartLoad(const VOID *Input, VOID *Output)
{
    return LoadStart(Input, Output);
}

static NTSTATUS OnStopLoad(const VOID *Input, VOID *Output)
{
    return LoadStop(((const HOTSWAP_LOAD_ID *)Input)->LoadId, Output);
}

/* Reply->Status is the update's own answer; the request succeeds when it was tried. */
static NTSTATUS OnUpdate(const VOID *Input, VOID *Output)
{
    const HOTSWAP_UPDATE *update = Input;

    if (update->Reserved != 0 || update->ServiceName[HOTSWAP_SERVICE_NAME_CHARS - 1] != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    UpdateRun(update, Output);
    return STATUS_SUCCESS;
}

static NTSTATUS OnQueryCounters(const VOID *Input, VOID *Output)
{
    UNREFERENCED_PARAMETER(Input);
    HsQueryCounters(Output);
    return STATUS_SUCCESS;
}

static NTSTATUS OnProbeRuntime(const VOID *Input, VOID *Output)
{
    RuntimeProbe(Input, Output);
    return STATUS_SUCCESS;
}

static NTSTATUS OnCallEndpoint(const VOID *Input, VOID *Output)
{
    const HOTSWAP_CALL_ENDPOINT *call = Input;
    const ULONG64 *a = call->Arguments;
    HOTSWAP_CALL_REPLY *reply = Output;
    NTSTATUS status = RuntimeStart();
    BOOLEAN excluded;

    if (!NT_SUCCESS(status)) {
        return status;
    }
    if (call->EndpointId != HotswapEndpointCompute || call->ArgumentCount != 6) {
        return STATUS_INVALID_PARAMETER;
    }
    excluded = RestartExclude();
    do { /* again when a swap came in between: which of the two versions answered is not known */
        reply->Version = HsEndpoints.Version;
        reply->Result = HsCallable.Compute(a[0], a[1], a[2], a[3], a[4], a[5]);
    } while (reply->Version != HsEndpoints.Version);
    RestartInclude(excluded);
    reply->Status = STATUS_SUCCESS;
    return STATUS_SUCCESS;
}

static NTSTATUS OnShutdown(const VOID *Input, VOID *Output)
{
    UNREFERENCED_PARAMETER(Input);
    ControlShutDown();
    HsQueryCounters(Output);
    return STATUS_SUCCESS;
}

static const DISPATCH_ENTRY DispatchTable[] = {
    { IOCTL_HOTSWAP_GET_VERSION, 0, sizeof(HOTSWAP_VERSION_INFO), DispatchHere, OnGetVersion },
    { IOCTL_HOTSWAP_CONFIGURE, sizeof(HOTSWAP_CONFIGURATION), sizeof(HOTSWAP_VERSION_INFO), DispatchControl, OnConfigure },
    { IOCTL_HOTSWAP_CREATE_WORKER, sizeof(HOTSWAP_CREATE_WORKER), sizeof(HOTSWAP_WORKER_CREATED), DispatchControl, OnCreateWorker },
    { IOCTL_HOTSWAP_QUERY_WORKER, sizeof(HOTSWAP_WORKER_ID), sizeof(HOTSWAP_WORKER_INFO), DispatchHere, OnQueryWorker },
    { IOCTL_HOTSWAP_STOP_WORKER, sizeof(HOTSWAP_WORKER_ID), sizeof(HOTSWAP_WORKER_STOPPED), DispatchControl, OnStopWorker },
    { IOCTL_HOTSWAP_ALERT_WORKER, sizeof(HOTSWAP_WORKER_ID), sizeof(HOTSWAP_STATUS_REPLY), DispatchControl, OnAlertWorker },
    { IOCTL_HOTSWAP_SIGNAL_EVENT, sizeof(HOTSWAP_EVENT_REQUEST), sizeof(HOTSWAP_EVENT_REPLY), DispatchHere, OnSignalEvent },
    { IOCTL_HOTSWAP_CLEAR_EVENT, sizeof(HOTSWAP_EVENT_REQUEST), sizeof(HOTSWAP_EVENT_REPLY), DispatchHere, OnClearEvent },
    { IOCTL_HOTSWAP_QUERY_EVENT, sizeof(HOTSWAP_EVENT_REQUEST), sizeof(HOTSWAP_EVENT_REPLY), DispatchHere, OnQueryEvent },
    { IOCTL_HOTSWAP_START_LOAD, sizeof(HOTSWAP_START_LOAD), sizeof(HOTSWAP_LOAD_ID), DispatchControl, OnStartLoad },
    { IOCTL_HOTSWAP_STOP_LOAD, sizeof(HOTSWAP_LOAD_ID), sizeof(HOTSWAP_LOAD_STOPPED), DispatchControl, OnStopLoad },
    { IOCTL_HOTSWAP_UPDATE, sizeof(HOTSWAP_UPDATE), sizeof(HOTSWAP_UPDATE_REPLY), DispatchUpdate, OnUpdate },
    { IOCTL_HOTSWAP_QUERY_COUNTERS, 0, sizeof(HOTSWAP_COUNTERS), DispatchHere, OnQueryCounters },
    { IOCTL_HOTSWAP_PROBE_RUNTIME, sizeof(HOTSWAP_PROBE_RUNTIME), sizeof(HOTSWAP_RUNTIME_INFO), DispatchControl, OnProbeRuntime },
    { IOCTL_HOTSWAP_CALL_ENDPOINT, sizeof(HOTSWAP_CALL_ENDPOINT), sizeof(HOTSWAP_CALL_REPLY), DispatchControl, OnCallEndpoint },
    { IOCTL_HOTSWAP_SHUTDOWN, 0, sizeof(HOTSWAP_COUNTERS), DispatchControl, OnShutdown },
};

static const DISPATCH_ENTRY *DispatchFind(ULONG Code)
{
    ULONG i;

    for (i = 0; i < ARRAYSIZE(DispatchTable); i++) {
        if (DispatchTable[i].Code == Code) {
            return &DispatchTable[i];
        }
    }
    return NULL;
}

static NTSTATUS DispatchRun(const DISPATCH_ENTRY *Entry, PIRP Irp, VOID *Input, ULONG_PTR *Information)
{
    VOID *buffer = Irp->AssociatedIrp.SystemBuffer;
    NTSTATUS status;

    RtlCopyMemory(Input, buffer, Entry->InputBytes);
    RtlZeroMemory(buffer, Entry->OutputBytes); /* nothing of ours leaks through padding */
    status = Entry->Handler(Input, buffer);
    *Information = NT_SUCCESS(status) ? Entry->OutputBytes : 0;
    return status;
}

_Use_decl_annotations_ NTSTATUS DispatchPended(PIRP Irp, VOID *Input, ULONG_PTR *Information)
{
    const DISPATCH_ENTRY *entry = DispatchFind(IoGetCurrentIrpStackLocation(Irp)->Parameters.DeviceIoControl.IoControlCode);

    return entry == NULL ? STATUS_INVALID_DEVICE_REQUEST : DispatchRun(entry, Irp, Input, Information);
}

static NTSTATUS DispatchCheck(const DISPATCH_ENTRY *Entry, PIO_STACK_LOCATION Stack)
{
    if (Entry == NULL) {
        return STATUS_INVALID_DEVICE_REQUEST;
    }
    if (Stack->Parameters.DeviceIoControl.InputBufferLength != Entry->InputBytes) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    return Stack->Parameters.DeviceIoControl.OutputBufferLength < Entry->OutputBytes ? STATUS_BUFFER_TOO_SMALL : STATUS_SUCCESS;
}

_Use_decl_annotations_ NTSTATUS NTAPI DispatchDeviceControl(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
    const DISPATCH_ENTRY *entry = DispatchFind(stack->Parameters.DeviceIoControl.IoControlCode);
    ULONG_PTR information = 0;
    NTSTATUS status;

    UNREFERENCED_PARAMETER(DeviceObject);
    if (stack->Parameters.DeviceIoControl.IoControlCode == IOCTL_HOTSWAP_DRAIN_TRACE) {
        ULONG returned;

        status = RingDrain(Irp->AssociatedIrp.SystemBuffer, stack->Parameters.DeviceIoControl.OutputBufferLength, &returned);
        information = returned;
    } else {
        status = DispatchCheck(entry, stack);
        if (NT_SUCCESS(status) && entry->Where != DispatchHere) {
            return ControlQueue(Irp, entry->Where == DispatchUpdate);
        }
        if (NT_SUCCESS(status)) {
            HOTSWAP_EVENT_REQUEST input; /* the largest input that is not pended */

            NT_ASSERT(entry->InputBytes <= sizeof(input));
            status = DispatchRun(entry, Irp, &input, &information);
        }
    }
    Irp->IoStatus.Status = status;
    Irp->IoStatus.Information = information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return status;
}
