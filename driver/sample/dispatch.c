/* The IOCTLs of the host driver. */
#include "host.h"

typedef enum _DISPATCH_WHERE {
    DispatchControl, /* on the control lane */
    DispatchUpdate   /* on the update lane */
} DISPATCH_WHERE;

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

const HS_DISPATCH_ENTRY HsDispatchTable[] = {
    { IOCTL_HOTSWAP_GET_VERSION, 0, sizeof(HOTSWAP_VERSION_INFO), HS_DISPATCH_HERE, OnGetVersion, NULL },
    { IOCTL_HOTSWAP_CONFIGURE, sizeof(HOTSWAP_CONFIGURATION), sizeof(HOTSWAP_VERSION_INFO), DispatchControl, OnConfigure, NULL },
    { IOCTL_HOTSWAP_CREATE_WORKER, sizeof(HOTSWAP_CREATE_WORKER), sizeof(HOTSWAP_WORKER_CREATED), DispatchControl, OnCreateWorker, NULL },
    { IOCTL_HOTSWAP_QUERY_WORKER, sizeof(HOTSWAP_WORKER_ID), sizeof(HOTSWAP_WORKER_INFO), HS_DISPATCH_HERE, OnQueryWorker, NULL },
    { IOCTL_HOTSWAP_STOP_WORKER, sizeof(HOTSWAP_WORKER_ID), sizeof(HOTSWAP_WORKER_STOPPED), DispatchControl, OnStopWorker, NULL },
    { IOCTL_HOTSWAP_ALERT_WORKER, sizeof(HOTSWAP_WORKER_ID), sizeof(HOTSWAP_STATUS_REPLY), DispatchControl, OnAlertWorker, NULL },
    { IOCTL_HOTSWAP_SIGNAL_EVENT, sizeof(HOTSWAP_EVENT_REQUEST), sizeof(HOTSWAP_EVENT_REPLY), HS_DISPATCH_HERE, OnSignalEvent, NULL },
    { IOCTL_HOTSWAP_CLEAR_EVENT, sizeof(HOTSWAP_EVENT_REQUEST), sizeof(HOTSWAP_EVENT_REPLY), HS_DISPATCH_HERE, OnClearEvent, NULL },
    { IOCTL_HOTSWAP_QUERY_EVENT, sizeof(HOTSWAP_EVENT_REQUEST), sizeof(HOTSWAP_EVENT_REPLY), HS_DISPATCH_HERE, OnQueryEvent, NULL },
    { IOCTL_HOTSWAP_START_LOAD, sizeof(HOTSWAP_START_LOAD), sizeof(HOTSWAP_LOAD_ID), DispatchControl, OnStartLoad, NULL },
    { IOCTL_HOTSWAP_STOP_LOAD, sizeof(HOTSWAP_LOAD_ID), sizeof(HOTSWAP_LOAD_STOPPED), DispatchControl, OnStopLoad, NULL },
    { IOCTL_HOTSWAP_UPDATE, sizeof(HOTSWAP_UPDATE), sizeof(HOTSWAP_UPDATE_REPLY), DispatchUpdate, OnUpdate, NULL },
    { IOCTL_HOTSWAP_QUERY_COUNTERS, 0, sizeof(HOTSWAP_COUNTERS), HS_DISPATCH_HERE, OnQueryCounters, NULL },
    { IOCTL_HOTSWAP_PROBE_RUNTIME, sizeof(HOTSWAP_PROBE_RUNTIME), sizeof(HOTSWAP_RUNTIME_INFO), DispatchControl, OnProbeRuntime, NULL },
    { IOCTL_HOTSWAP_CALL_ENDPOINT, sizeof(HOTSWAP_CALL_ENDPOINT), sizeof(HOTSWAP_CALL_REPLY), DispatchControl, OnCallEndpoint, NULL },
    { IOCTL_HOTSWAP_SHUTDOWN, 0, sizeof(HOTSWAP_COUNTERS), DispatchControl, OnShutdown, NULL },
    { IOCTL_HOTSWAP_DRAIN_TRACE, 0, 0, HS_DISPATCH_HERE, NULL, DispatchDrainTrace },
    { IOCTL_HOTSWAP_PAUSE_ARM, sizeof(TRACE_PAUSE_ARM), sizeof(TRACE_PAUSE_ARMED), HS_DISPATCH_HERE, NULL, DispatchPauseArm },
    { IOCTL_HOTSWAP_PAUSE_WAIT, sizeof(TRACE_PAUSE_WAIT), sizeof(TRACE_PAUSE_STATE), HS_DISPATCH_HERE, NULL, DispatchPauseWait },
    { IOCTL_HOTSWAP_PAUSE_QUERY, 0, sizeof(TRACE_PAUSE_STATE), HS_DISPATCH_HERE, DispatchPauseQuery, NULL },
    { IOCTL_HOTSWAP_PAUSE_RELEASE, sizeof(TRACE_PAUSE_RELEASE), sizeof(TRACE_PAUSE_STATE), HS_DISPATCH_HERE, DispatchPauseRelease, NULL },
    { IOCTL_HOTSWAP_PAUSE_CLEAR, 0, sizeof(TRACE_PAUSE_STATE), HS_DISPATCH_HERE, DispatchPauseClear, NULL },
};

const ULONG HsDispatchCount = ARRAYSIZE(HsDispatchTable);

_Use_decl_annotations_ NTSTATUS DispatchQueue(PIRP Irp, const HS_DISPATCH_ENTRY *Entry)
{
    return ControlQueue(Irp, Entry->Where == DispatchUpdate);
}

_Use_decl_annotations_ VOID DispatchCancelFile(PFILE_OBJECT FileObject)
{
    PauseCancelFile(FileObject);
    ControlCancelFile(FileObject);
}
