/* Worker objects: their events, their thread, and how both end. */
#include "host.h"

/* ---- Creation ---- */

static NTSTATUS WorkerCheck(const HOTSWAP_CREATE_WORKER *Parameters)
{
    ULONG64 events;

    if (Parameters->EventCount == 0 || Parameters->EventCount > HOTSWAP_MAX_EVENTS || Parameters->WaitType > WaitAny ||
        Parameters->WaitReason >= MaximumWaitReason || Parameters->WaitMode > UserMode || Parameters->Altertable > 1 ||
        Parameters->HasTimeout > 1 || Parameters->WorkMicroseconds > HOTSWAP_MAX_WORK_MICROSECONDS || Parameters->Reserved != 0 ||
        Parameters->Reserved2 != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    events = Parameters->EventCount == 64 ? ~0ull : (1ull << Parameters->EventCount) - 1;
    if (((Parameters->NotificationMask | Parameters->InitialStateMask) & ~events) != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    return STATUS_SUCCESS;
}

static HS_WORKER *WorkerAllocate(const HOTSWAP_CREATE_WORKER *Parameters)
{
    HS_WORKER *worker = HsAllocate(sizeof(*worker) + Parameters->EventCount * sizeof(HS_EVENT_OBJECT));
    ULONG i;

    if (worker == NULL) {
        return NULL;
    }
    worker->References = 1; /* the table's */
    worker->Parameters = *Parameters;
    worker->Context.Size = sizeof(worker->Context);
    worker->Context.Services = &HsHostServices;
    worker->Context.EventCount = Parameters->EventCount;
    worker->Context.WaitType = (WAIT_TYPE)Parameters->WaitType;
    worker->Context.Events = worker->EventPointers;
    HsRundownInitialize(&worker->Signals);
    for (i = 0; i < Parameters->EventCount; i++) {
        EVENT_TYPE type = ((Parameters->NotificationMask >> i) & 1) != 0 ? NotificationEvent : SynchronizationEvent;

        KeInitializeEvent(&worker->Events[i].Event, type, (BOOLEAN)((Parameters->InitialStateMask >> i) & 1));
        worker->EventPointers[i] = &worker->Events[i].Event;
    }
    InterlockedExchangeAdd(&HsCounters.Events, (LONG)Parameters->EventCount);
    return worker;
}

/*
 * Ask for the end, and wake it so that its iteration can say so. A WaitAll worker needs all of its events; those signalled
 * already come first, so that its wait is over with the last one, and nothing is signalled again that it has consumed.
 */
static VOID WorkerWake(HS_WORKER *Worker, HOTSWAP_SIGNAL_SOURCE Source)
{
    ULONG count = Worker->Context.WaitType == WaitAll ? Worker->Context.EventCount : 1;
    ULONG64 signalled = 0;
    ULONG i;

    InterlockedCompareExchange(&Worker->Stop, HsStopRequested, HsStopNone);
    for (i = 0; i < count; i++) {
        if (KeReadStateEvent(&Worker->Events[i].Event) != 0) {
            signalled |= 1ull << i;
            (VOID)!SignalEvent(Worker, i, Source, NULL);
        }
    }
    for (i = 0; i < count; i++) {
        if ((signalled >> i & 1) == 0) {
            (VOID)!SignalEvent(Worker, i, Source, NULL);
        }
    }
}

/* Make the thread of a worker that has none, and reference it. No restart update is under way, or it is that which calls. */
static NTSTATUS WorkerStartThread(HS_WORKER *Worker)
{
    DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE_START_CONTEXT *start;
    CLIENT_ID client = { 0 };
    OBJECT_ATTRIBUTES attributes;
    HANDLE handle;
    NTSTATUS status;
    ULONG i;

    start = HsAllocate(HS_START_CONTEXT_SIZE(Worker->Context.EventCount));
    if (start == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    start->WorkerRoutine = HsIterationRoutine;
    start->Context = &Worker->Context;
    start->WaitType = Worker->Context.WaitType;
    start->WaitReason = (KWAIT_REASON)Worker->Parameters.WaitReason;
    start->WaitMode = (KPROCESSOR_MODE)Worker->Parameters.WaitMode;
    start->Altertable = Worker->Parameters.Altertable;
    start->HasTimeout = Worker->Parameters.HasTimeout;
    start->Timeout.QuadPart = Worker->Parameters.Timeout;
    start->EventCount = Worker->Context.EventCount;
    for (i = 0; i < start->EventCount; i++) {
        start->Events[i] = Worker->EventPointers[i];
    }
    InterlockedExchange(&Worker->Stop, HsStopNone);
    InitializeObjectAttributes(&attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    if (HsRuntimeKind == HotswapRuntimePlain) {
        status = PlainCreateWorkerThread(&handle, &client, start);
    } else {
        status = HsRuntime.CreateWorkerThread(HsExtension, &handle, THREAD_ALL_ACCESS, &attributes, NULL, &client, start);
    }
    RtlFillMemory(start, HS_START_CONTEXT_SIZE(Worker->Context.EventCount), 0xCC); /* it was copied (W6) */
    HsFree(start);
    if (NT_SUCCESS(status)) {
        Worker->ThreadId = (ULONG)(ULONG_PTR)client.UniqueThread;
        status = HsThreadFromHandle(handle, &Worker->ThreadObject);
        if (!NT_SUCCESS(status)) {
            WorkerWake(Worker, HotswapSignalStop); /* it uses the worker: it must end before the worker goes */
            (VOID)ZwWaitForSingleObject(handle, FALSE, NULL);
        }
        ZwClose(handle);
    }
    return status;
}

static VOID WorkerTraceCreate(const HS_WORKER *Worker, NTSTATUS Status)
{
    const HOTSWAP_CREATE_WORKER *p = &Worker->Parameters;

    HS_TRACE(WorkerCreate, Worker->Id, Worker->ThreadId, p->WaitType, p->WaitReason, p->WaitMode, p->Altertable, p->HasTimeout, p->Timeout,
             p->EventCount, p->NotificationMask, p->InitialStateMask, Status);
}

/* The request succeeds when it could be tried; Created->Status is the API's own answer. */
_Use_decl_annotations_ NTSTATUS WorkerCreate(const HOTSWAP_CREATE_WORKER *Parameters, HOTSWAP_WORKER_CREATED *Created)
{
    HS_WORKER *worker;
    BOOLEAN excluded;
    NTSTATUS status = WorkerCheck(Parameters);

    if (!NT_SUCCESS(status)) {
        return status;
    }
    status = RuntimeStart();
    if (!NT_SUCCESS(status)) {
        return status;
    }
    worker = WorkerAllocate(Parameters);
    if (worker == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    excluded = RestartExclude();
    if (!WorkerPublish(worker)) {
        RestartInclude(excluded);
        WorkerDereference(worker);
        return STATUS_QUOTA_EXCEEDED;
    }
    status = WorkerStartThread(worker);
    WorkerTraceCreate(worker, status);
    Created->WorkerId = worker->Id;
    Created->Status = status;
    Created->ThreadId = worker->ThreadId;
    Created->ProcessId = (ULONG)(ULONG_PTR)PsGetCurrentProcessId();
    if (!NT_SUCCESS(status)) {
        Created->WorkerId = 0;
        (VOID)!WorkerUnpublish(worker);
        WorkerDereference(worker);
    }
    RestartInclude(excluded);
    return STATUS_SUCCESS;
}

/* ---- End ---- */

static NTSTATUS WorkerEndThread(HS_WORKER *Worker, HOTSWAP_SIGNAL_SOURCE Source)
{
    NTSTATUS status;

    if (Worker->ThreadObject == NULL) {
        return STATUS_SUCCESS;
    }
    WorkerWake(Worker, Source);
    status = HsThreadJoin(Worker->ThreadObject, HsJoinTimeoutMs);
    if (status == STATUS_SUCCESS) {
        Worker->ThreadObject = NULL;
        return STATUS_SUCCESS;
    }
    return STATUS_IO_TIMEOUT; /* the worker stays, so that nothing it uses is freed */
}

_Use_decl_annotations_ NTSTATUS WorkerStop(ULONG Id, HOTSWAP_WORKER_STOPPED *Stopped)
{
    HS_WORKER *worker = WorkerReference(Id);
    BOOLEAN excluded;
    NTSTATUS status;
    ULONG i;

    if (worker == NULL) {
        return STATUS_NOT_FOUND;
    }
    excluded = RestartExclude();
    status = WorkerEndThread(worker, HotswapSignalStop);
    if (NT_SUCCESS(status)) {
        HsRundownClose(&worker->Signals);
        InterlockedExchange(&worker->Ended, 1);
    }
    RtlZeroMemory(Stopped, sizeof(*Stopped));
    Stopped->WorkerId = Id;
    Stopped->Status = status;
    Stopped->Iterations = worker->Context.Iteration;
    for (i = 0; i < worker->Context.EventCount; i++) {
        Stopped->FinalStateMask |= (ULONG64)(KeReadStateEvent(&worker->Events[i].Event) != 0) << i;
    }
    HS_TRACE(WorkerStop, Id, Stopped->Iterations, Stopped->FinalStateMask, status);
    if (NT_SUCCESS(status) && WorkerUnpublish(worker)) {
        WorkerDereference(worker); /* the table's */
    }
    RestartInclude(excluded);
    WorkerDereference(worker);
    return STATUS_SUCCESS;
}

static NTSTATUS WorkerStopOne(HS_WORKER *Worker)
{
    HOTSWAP_WORKER_STOPPED stopped;

    (VOID)!WorkerStop(Worker->Id, &stopped);
    return STATUS_SUCCESS;
}

VOID WorkerStopAll(void)
{
    (VOID)WorkerForEach(WorkerStopOne, FALSE);
}

static NTSTATUS WorkerPauseOne(HS_WORKER *Worker)
{
    return WorkerEndThread(Worker, HotswapSignalRestart);
}

_Use_decl_annotations_ NTSTATUS WorkerPauseAll(void)
{
    return WorkerForEach(WorkerPauseOne, TRUE);
}

/*
 * Also after a restart that was given up, because a thread did not end in time: that one goes on. One that its routine has
 * ended stays ended.
 */
static NTSTATUS WorkerResumeOne(HS_WORKER *Worker)
{
    NTSTATUS status = STATUS_SUCCESS;

    if (Worker->Finished) {
        return STATUS_SUCCESS;
    }
    if (Worker->ThreadObject != NULL) {
        if (InterlockedCompareExchange(&Worker->Stop, HsStopNone, HsStopRequested) != HsStopTaken) {
            return STATUS_SUCCESS;
        }
        status = WorkerEndThread(Worker, HotswapSignalRestart);
    }
    return NT_SUCCESS(status) ? WorkerStartThread(Worker) : status;
}

_Use_decl_annotations_ NTSTATUS WorkerResumeAll(void)
{
    return WorkerForEach(WorkerResumeOne, FALSE);
}

/* ---- Questions ---- */

_Use_decl_annotations_ NTSTATUS WorkerQuery(ULONG Id, HOTSWAP_WORKER_INFO *Info)
{
    HS_WORKER *worker = WorkerReference(Id);

    if (worker == NULL) {
        return STATUS_NOT_FOUND;
    }
    RtlZeroMemory(Info, sizeof(*Info));
    Info->WorkerId = Id;
    Info->State = worker->Ended || worker->Finished ? HotswapWorkerEnded
                  : worker->Stop                    ? HotswapWorkerStopping
                  : worker->Running                 ? HotswapWorkerRunning
                                                    : HotswapWorkerWaiting;
    Info->Iterations = worker->Context.Iteration;
    Info->LastWaitStatus = worker->LastWaitStatus;
    Info->ThreadId = worker->ThreadId;
    Info->EventCount = worker->Context.EventCount;
    Info->VersionCount = worker->VersionCount;
    RtlCopyMemory(Info->Versions, worker->Versions, sizeof(Info->Versions));
    WorkerDereference(worker);
    return STATUS_SUCCESS;
}

/*
 * Reply->Status: STATUS_NOT_IMPLEMENTED where the guest cannot alert (Wine). On the control lane, which alone drops thread
 * objects, but for a restart update.
 */
_Use_decl_annotations_ NTSTATUS WorkerAlert(ULONG Id, HOTSWAP_STATUS_REPLY *Reply)
{
    HS_WORKER *worker = WorkerReference(Id);
    BOOLEAN excluded;

    if (worker == NULL) {
        return STATUS_NOT_FOUND;
    }
    Reply->Status = STATUS_NOT_IMPLEMENTED;
    excluded = RestartExclude();
    if (worker->ThreadObject != NULL) {
        Reply->Status = HsThreadAlert(worker->ThreadObject);
    }
    RestartInclude(excluded);
    WorkerDereference(worker);
    return STATUS_SUCCESS;
}
