/*
 * An update: v2 is loaded beside v1, its endpoints replace v1's under load, v1 is unloaded. On any failure v1 stays in force
 * and v2 leaves. An image that did not drain is never unloaded.
 */
#include "host.h"

typedef struct _UPDATE {
    ULONG Number;
    HS_ENDPOINTS From;
    HS_ENDPOINTS To;
    HOTSWAP_UPDATE_REPLY *Reply;
} UPDATE;

static UPDATE Update;        /* one thread at a time, and FirstHeld on the thread held */
static HS_IMAGE UpdateImage; /* of the version in force */

static VOID UpdateTrace(HS_PROXY_STEP Step, NTSTATUS Status)
{
    const ULONG swap = Update.Number;
    const ULONG from = Update.From.Version;
    const ULONG to = Update.To.Version;

    switch (Step) {
    case HsProxyStepPreProcess:
        HS_TRACE(SwapPreProcess, swap, from, to, Status);
        break;
    case HsProxyStepStalled:
        HS_TRACE(SwapStalled, swap, from, to, Status);
        break;
    case HsProxyStepFirstHeld:
        HS_TRACE(SwapFirstHeld, swap, from, to, Status);
        break;
    case HsProxyStepDrained:
        HS_TRACE(SwapDrained, swap, from, to, Status);
        break;
    case HsProxyStepProxyStalled:
        HS_TRACE(SwapProxyStalled, swap, from, to, Status);
        break;
    case HsProxyStepSwitched:
        HS_TRACE(SwapSwitched, swap, from, to, Status);
        break;
    case HsProxyStepReleased:
        HS_TRACE(SwapReleased, swap, from, to, Status);
        break;
    case HsProxyStepPostProcess:
        HS_TRACE(SwapPostProcess, swap, from, to, Status);
        break;
    case HsProxyStepRolledBack:
        HS_TRACE(SwapRolledBack, swap, from, to, Status);
        break;
    default:
        break;
    }
}

/* A second stall, of a rollback, does not overwrite the ticks of the first. */
static VOID UpdateStamp(LONG64 *Field, LONG64 Tick)
{
    if (*Field == 0) {
        *Field = Tick;
    }
}

/* Only when configured. The events of these steps are in their order, and alike. */
static VOID UpdateFineStep(const HS_PROXY_NOTIFICATION *Notification, const HS_WORKER *Worker)
{
    C_ASSERT(HsEventProxyReleaseDone - HsEventProxyWoken == HsProxyStepReleaseDone - HsProxyStepWoken);
    ULONG id = Worker != NULL ? Worker->Id : WorkerOfThread((ULONG)(ULONG_PTR)PsGetCurrentThreadId());
    const HS_ProxyWoken payload = { id, Notification->EndpointId, Notification->Status };

    HsTraceWrite((HS_EVENT)(HsEventProxyWoken + (Notification->Step - HsProxyStepWoken)), &payload, sizeof(payload));
}

/* The compat runtime tells of its steps. The first registration and worker threads come here as well. */
_Use_decl_annotations_ VOID NTAPI UpdateNotify(PVOID Context, const HS_PROXY_NOTIFICATION *Notification)
{
    HOTSWAP_UPDATE_REPLY *reply = Update.Reply;
    HS_WORKER *worker = Notification->Worker == NULL ? NULL : CONTAINING_RECORD((HS_WORKER_CONTEXT *)Notification->Worker, HS_WORKER, Context);

    UNREFERENCED_PARAMETER(Context);
    if (Notification->Step >= HsProxyStepWoken) {
        UpdateFineStep(Notification, worker);
        return;
    }
    if (worker != NULL) { /* on its own thread, at any time: no swap's business */
        if (Notification->Step == HsProxyStepThreadStart) {
            worker->ThreadId = (ULONG)(ULONG_PTR)PsGetCurrentThreadId();
            HS_TRACE(WorkerThreadStart, worker->Id, (ULONG)(ULONG_PTR)PsGetCurrentThreadId());
        } else {
            HS_TRACE(WorkerThreadEnd, worker->Id, (ULONG)(ULONG_PTR)PsGetCurrentThreadId());
        }
        return;
    }
    if (reply == NULL) {
        return;
    }
    UpdateTrace(Notification->Step, Notification->Status);
    switch (Notification->Step) {
    case HsProxyStepPreProcess:
        UpdateStamp(&reply->PreProcess, Notification->Tick);
        break;
    case HsProxyStepStalled:
        UpdateStamp(&reply->Stalled, Notification->Tick);
        break;
    case HsProxyStepFirstHeld:
        UpdateStamp(&reply->FirstHeld, Notification->Tick);
        break;
    case HsProxyStepDrained:
        if (reply->Drained == 0 && Notification->Status == STATUS_SUCCESS) {
            LoadSignalStalled();
        }
        UpdateStamp(&reply->Drained, Notification->Tick);
        break;
    case HsProxyStepSwitched:
        HsEndpoints = Update.To; /* no call is inside */
        UpdateStamp(&reply->Switched, Notification->Tick);
        break;
    case HsProxyStepReleased:
        UpdateStamp(&reply->Released, Notification->Tick);
        reply->HeldCalls = Notification->HeldCalls;
        break;
    case HsProxyStepPostProcess:
        UpdateStamp(&reply->PostProcess, Notification->Tick);
        break;
    case HsProxyStepRolledBack:
        HsEndpoints = Update.From; /* no call is inside, or none was switched */
        reply->RolledBack = 1;
        break;
    default:
        break;
    }
}

/* The endpoint driver's own callback, and what a runtime without a hook lets us see. */
static NTSTATUS NTAPI UpdatePhase(DRIVER_PROXY_REGISTER_CALLBACK_PHASE Phase, PVOID Context)
{
    static const HS_PROXY_STEP steps[] = { HsProxyStepPreProcess, HsProxyStepProxyStalled, HsProxyStepPostProcess };
    const HS_ENDPOINTS *to = &Update.To;
    NTSTATUS status = STATUS_SUCCESS;

    UNREFERENCED_PARAMETER(Context);
    if (HsRuntimeKind == HotswapRuntimeNative && Phase == DriverProxyRegisterCallbackProxyStalled) {
        LoadSignalStalled(); /* the first that a runtime without a hook tells of the drain */
    }
    if (to->PhaseCallback != NULL) {
        status = to->PhaseCallback(Phase, to->CallbackContext);
    }
    if (HsRuntimeKind == HotswapRuntimeNative && Phase < DriverProxyRegisterCallbackMax) {
        LONG64 now = HsTick();

        UpdateTrace(steps[Phase], status);
        if (Phase == DriverProxyRegisterCallbackPreProcess) {
            Update.Reply->PreProcess = now;
        } else if (Phase == DriverProxyRegisterCallbackProxyStalled) {
            Update.Reply->Drained = now;
            if (NT_SUCCESS(status)) {
                HsEndpoints = Update.To; /* calls are blocked until the pointers are switched */
            }
        } else {
            Update.Reply->PostProcess = now;
        }
    }
    return status;
}

static NTSTATUS UpdateHotSwap(ULONG DrainTimeoutMs)
{
    NTSTATUS status = RuntimeSetOptions(DrainTimeoutMs);

    if (!NT_SUCCESS(status)) {
        return status;
    }
    status = EndpointsRegister(&Update.To, UpdatePhase, NULL, FALSE);
    if (HsRuntimeKind == HotswapRuntimeNative) { /* it has no hook: a failure is documented as rolled back */
        HsEndpoints = NT_SUCCESS(status) ? Update.To : Update.From;
        Update.Reply->RolledBack = !NT_SUCCESS(status);
    }
    return status;
}

/* Plain: every thread ends before and is made again after. The ticks say when nobody ran. */
static NTSTATUS UpdateRestart(void)
{
    NTSTATUS status;

    Update.Reply->Stalled = HsTick();
    UpdateTrace(HsProxyStepStalled, STATUS_SUCCESS);
    status = WorkerPauseAll();
    Update.Reply->Drained = HsTick();
    UpdateTrace(HsProxyStepDrained, status);
    if (NT_SUCCESS(status)) {
        LoadSignalStalled();
    }
    return status;
}

static NTSTATUS UpdateRestartResume(BOOLEAN Switched)
{
    if (Switched) {
        Update.Reply->Switched = HsTick();
        UpdateTrace(HsProxyStepSwitched, STATUS_SUCCESS);
    }
    Update.Reply->Released = HsTick();
    UpdateTrace(HsProxyStepReleased, STATUS_SUCCESS);
    return WorkerResumeAll();
}

/* DriverUnload may wait for this thread with the driver lock held (control.c): the image stays, and is counted. */
static NTSTATUS UpdateUnload(HS_IMAGE *Image)
{
    return Image->Loaded && ControlUnloading() ? STATUS_DELETE_PENDING : ImageUnload(Image);
}

static NTSTATUS UpdateLoad(PCWSTR ServiceName, HS_IMAGE *Image)
{
    NTSTATUS status = STATUS_SUCCESS;

    RtlZeroMemory(Image, sizeof(*Image));
    Update.To = HsBuiltInEndpoints;
    if (ServiceName[0] != 0) {
        status = ControlUnloading() ? STATUS_DELETE_PENDING : ImageLoad(ServiceName, Image, &Update.To);
    }
    Update.Reply->Loaded = HsTick();
    return status;
}

/* Load beside, switch, unload what left. */
static NTSTATUS UpdateSwap(const HOTSWAP_UPDATE *Request)
{
    HOTSWAP_UPDATE_REPLY *reply = Update.Reply;
    HS_IMAGE next;
    NTSTATUS status = UpdateLoad(Request->ServiceName, &next);

    if (!NT_SUCCESS(status)) {
        return status;
    }
    HS_TRACE(SwapBegin, Update.Number, Update.From.Version, Update.To.Version, STATUS_SUCCESS);
    status = UpdateHotSwap(Request->DrainTimeoutMs);
    if (HsEndpoints.Worker == Update.To.Worker) {
        /* Also when a rollback could not drain: the calls that stayed are in the new image, the old one was left before. */
        FaultAfterSwap(&Update.From, &Update.To);
        if (!FaultForgetImage(&UpdateImage, &Update.From, &Update.To)) {
            reply->UnloadStatus = UpdateUnload(&UpdateImage);
        }
        UpdateImage = next;
    } else {
        reply->UnloadStatus = UpdateUnload(&next);
    }
    return status;
}

/* A restart update cannot have both images: threads end, old leaves, new comes, threads start. */
static NTSTATUS UpdateByRestart(const HOTSWAP_UPDATE *Request)
{
    HOTSWAP_UPDATE_REPLY *reply = Update.Reply;
    HS_IMAGE next;
    BOOLEAN excluded = RestartExclude();
    BOOLEAN switched;
    NTSTATUS status;
    NTSTATUS resumed;

    HS_TRACE(SwapBegin, Update.Number, Update.From.Version, Update.From.Version, STATUS_SUCCESS);
    status = UpdateRestart();
    if (NT_SUCCESS(status)) {
        status = reply->UnloadStatus = UpdateUnload(&UpdateImage);
    }
    switched = NT_SUCCESS(status); /* to the new endpoints, or the host's own */
    if (switched) {
        status = UpdateLoad(Request->ServiceName, &next);
        if (NT_SUCCESS(status)) {
            status = EndpointsRegister(&Update.To, NULL, NULL, FALSE);
        }
        if (NT_SUCCESS(status)) {
            UpdateImage = next;
        } else { /* v1 has gone and v2 did not come */
            (VOID)UpdateUnload(&next);
            Update.To = HsBuiltInEndpoints;
            (VOID)!EndpointsRegister(&Update.To, NULL, NULL, FALSE);
        }
    }
    resumed = UpdateRestartResume(switched);
    RestartInclude(excluded);
    return NT_SUCCESS(status) ? resumed : status;
}

_Use_decl_annotations_ VOID UpdateRun(const HOTSWAP_UPDATE *Request, HOTSWAP_UPDATE_REPLY *Reply)
{
    NTSTATUS status;

    RtlZeroMemory(Reply, sizeof(*Reply));
    Reply->Begin = HsTick();
    status = RuntimeStart();
    Update.Number++;
    Update.From = HsEndpoints;
    Update.To = HsEndpoints;
    Reply->FromVersion = HsEndpoints.Version;
    Update.Reply = Reply;
    if (NT_SUCCESS(status)) {
        status = HsRuntimeKind == HotswapRuntimePlain ? UpdateByRestart(Request) : UpdateSwap(Request);
    }
    Reply->Unloaded = HsTick();
    Reply->Status = status;
    Reply->ToVersion = HsEndpoints.Version;
    Reply->End = HsTick();
    HS_TRACE(SwapEnd, Update.Number, Reply->FromVersion, Reply->ToVersion, status, Reply->HeldCalls);
    Update.Reply = NULL;
}
