/* Worker threads by number: made with any start context, joined by their object. */
#include "conformance.h"

#define NULL_EVENT 0xFFFF
#define POISON_BYTE 0xDD
#define NO_PROCESS ((HANDLE)(LONG_PTR)0x7FFFFFFC)

typedef DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE_START_CONTEXT CF_START;

CF_WORKER CfWorkers[CONFORMANCE_WORKERS];

static NTSTATUS WorkerFind(ULONG Number, CF_WORKER **Worker)
{
    if (Number >= CONFORMANCE_WORKERS) {
        return STATUS_INVALID_PARAMETER;
    }
    *Worker = &CfWorkers[Number];
    return (*Worker)->State == CfThere ? STATUS_SUCCESS : STATUS_NOT_FOUND;
}

static NTSTATUS WorkerFillStart(const CONFORMANCE_CREATE_WORKER *Request, CF_START *Start)
{
    PVOID routine;
    NTSTATUS status = FunctionResolve(&Request->Routine, &routine);
    ULONG i;

    Start->WorkerRoutine = (DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE *)(ULONG_PTR)routine;
    Start->Context = (PVOID)(ULONG_PTR)Request->Context;
    Start->WaitType = (WAIT_TYPE)Request->WaitType;
    Start->WaitReason = (KWAIT_REASON)Request->WaitReason;
    Start->WaitMode = (KPROCESSOR_MODE)Request->WaitMode;
    Start->Altertable = Request->Altertable;
    Start->HasTimeout = Request->HasTimeout;
    Start->Timeout.QuadPart = Request->Timeout;
    Start->EventCount = Request->Count;
    for (i = 0; i < Request->EventCount; i++) {
        Start->Events[i] = Request->Events[i] == NULL_EVENT ? NULL : EventAt(Request->Events[i]);
        if (Start->Events[i] == NULL && Request->Events[i] != NULL_EVENT) {
            return STATUS_INVALID_PARAMETER;
        }
    }
    return status;
}

/* The thread that the handle names is referenced; the handle stays open. */
static VOID WorkerTake(CF_WORKER *Worker, HANDLE Handle, CONFORMANCE_WORKER_CREATED *Created)
{
    Worker->Handle = Handle;
    Created->ReferenceStatus = HsThreadFromHandle(Handle, &Worker->ThreadObject);
    if (NT_SUCCESS(Created->ReferenceStatus)) {
        Created->RealThreadId = (ULONG)(ULONG_PTR)PsGetThreadId(Worker->ThreadObject);
    } else {
        Worker->ThreadObject = NULL;
    }
    Worker->ThreadId = Created->RealThreadId;
    if (Worker->ThreadId == 0 && Created->ThreadId != CONFORMANCE_UNTOUCHED) {
        Worker->ThreadId = (ULONG)Created->ThreadId;
    }
}

static VOID WorkerCall(const CONFORMANCE_CREATE_WORKER *Request, PDRIVER_PROXY_EXTENSION Extension, CF_START *Start, CF_WORKER *Worker,
                       CONFORMANCE_WORKER_CREATED *Created)
{
    HANDLE untouched = (HANDLE)(ULONG_PTR)CONFORMANCE_UNTOUCHED;
    HANDLE processes[] = { NULL, NtCurrentProcess(), NO_PROCESS };
    CLIENT_ID client = { untouched, untouched };
    OBJECT_ATTRIBUTES attributes;
    HANDLE handle = untouched;
    NTSTATUS status = STATUS_NOT_SUPPORTED;
    CF_API api;

    InitializeObjectAttributes(&attributes, NULL, Request->Attributes, NULL, NULL);
    ApiBegin(&api, &Request->Caller, PASSIVE_LEVEL, &Created->Result);
    if (CfTable.CreateWorkerThread != NULL) {
        status = CfTable.CreateWorkerThread(Extension, &handle, Request->DesiredAccess, Request->WithAttributes ? &attributes : NULL,
                                            processes[Request->WithProcess], Request->WithClientId ? &client : NULL,
                                            Request->NullStart ? NULL : Start);
    }
    ApiEnd(&api, status);
    Created->Handle = (ULONG64)(ULONG_PTR)handle;
    Created->ProcessId = (ULONG64)(ULONG_PTR)client.UniqueProcess;
    Created->ThreadId = (ULONG64)(ULONG_PTR)client.UniqueThread;
    Created->ReferenceStatus = STATUS_NOT_FOUND;
    if (NT_SUCCESS(status) && handle != untouched && handle != NULL) {
        WorkerTake(Worker, handle, Created);
    }
}

static NTSTATUS WorkerMake(const CONFORMANCE_CREATE_WORKER *Request, PDRIVER_PROXY_EXTENSION Extension, CF_WORKER *Worker,
                           CONFORMANCE_WORKER_CREATED *Created)
{
    SIZE_T bytes = HS_START_CONTEXT_SIZE(Request->EventCount);
    BOOLEAN guarded = Request->Guard != 0;
    CF_START *start = GuardAllocate(bytes, guarded);
    CF_START *before = HsAllocate(bytes);
    NTSTATUS status = start == NULL || before == NULL ? STATUS_INSUFFICIENT_RESOURCES : WorkerFillStart(Request, start);

    if (NT_SUCCESS(status)) {
        RtlCopyMemory(before, start, bytes);
        WorkerCall(Request, Extension, start, Worker, Created);
        Created->StartWritten = RtlCompareMemory(before, start, bytes) != bytes;
        RtlFillMemory(start, bytes, POISON_BYTE); /* W6: it was copied */
    }
    HsFree(before);
    GuardFree(start, bytes, guarded);
    return status;
}

_Use_decl_annotations_ NTSTATUS WorkerCreate(const VOID *Input, VOID *Output)
{
    const CONFORMANCE_CREATE_WORKER *request = Input;
    CONFORMANCE_WORKER_CREATED *created = Output;
    PDRIVER_PROXY_EXTENSION extension;
    CF_WORKER *worker;
    NTSTATUS status = ExtensionFind(request->Extension, &extension);

    if (!NT_SUCCESS(status)) {
        return status;
    }
    if (request->Worker >= CONFORMANCE_WORKERS || request->EventCount > CONFORMANCE_MAX_WORKER_EVENTS || request->WithProcess > 2) {
        return STATUS_INVALID_PARAMETER;
    }
    worker = &CfWorkers[request->Worker];
    if (InterlockedCompareExchange(&worker->State, CfBusy, CfFree) != CfFree) {
        return STATUS_OBJECT_NAME_COLLISION;
    }
    worker->Context = request->Context;
    worker->ThreadObject = NULL;
    worker->Handle = NULL;
    worker->ThreadId = 0;
    status = WorkerMake(request, extension, worker, created);
    InterlockedExchange(&worker->State, worker->Handle != NULL ? CfThere : CfFree);
    return status;
}

static VOID WorkerCloseHandle(CF_WORKER *Worker)
{
    HANDLE handle = InterlockedExchangePointer(&Worker->Handle, NULL);

    if (handle != NULL) {
        ZwClose(handle);
    }
}

/* STATUS_TIMEOUT: it lives. */
static NTSTATUS WorkerEnd(CF_WORKER *Worker, ULONG TimeoutMs)
{
    NTSTATUS status = STATUS_SUCCESS;

    if (Worker->ThreadObject != NULL) {
        status = HsThreadJoin(Worker->ThreadObject, TimeoutMs);
        if (status == STATUS_SUCCESS) {
            Worker->ThreadObject = NULL;
        }
    }
    return status;
}

/* Joined by one request at a time: of the same worker only one that must not race with another is ever asked for. */
_Use_decl_annotations_ NTSTATUS WorkerJoin(const VOID *Input, VOID *Output)
{
    const CONFORMANCE_JOIN_WORKER *request = Input;
    CONFORMANCE_DONE *done = Output;
    CF_WORKER *worker;
    NTSTATUS status = WorkerFind(request->Worker, &worker);
    LARGE_INTEGER timeout;
    PVOID thread;
    CF_API api;

    if (!NT_SUCCESS(status)) {
        return status;
    }
    thread = worker->ThreadObject;
    timeout.QuadPart = -(LONG64)(request->TimeoutMs != 0 ? request->TimeoutMs : 1000) * 10000;
    ApiBegin(&api, &request->Caller, PASSIVE_LEVEL, &done->Result);
    status = thread != NULL ? KeWaitForSingleObject(thread, Executive, KernelMode, FALSE, &timeout) : STATUS_NOT_FOUND;
    ApiEnd(&api, status);
    return STATUS_SUCCESS;
}

static NTSTATUS WorkerGiveBack(CF_WORKER *Worker)
{
    NTSTATUS status = WorkerEnd(Worker, 0);

    if (status != STATUS_SUCCESS) {
        return STATUS_DEVICE_BUSY;
    }
    WorkerCloseHandle(Worker);
    ThreadForget(Worker->ThreadId);
    InterlockedExchange(&Worker->State, CfFree);
    return STATUS_SUCCESS;
}

typedef NTSTATUS WORKER_ACTION(CF_WORKER *Worker);

static NTSTATUS WorkerActClose(CF_WORKER *Worker)
{
    NTSTATUS status = Worker->Handle != NULL ? STATUS_SUCCESS : STATUS_INVALID_HANDLE;

    WorkerCloseHandle(Worker);
    return status;
}

static NTSTATUS WorkerActAlert(CF_WORKER *Worker)
{
    return Worker->ThreadObject != NULL ? HsThreadAlert(Worker->ThreadObject) : STATUS_NOT_FOUND;
}

static NTSTATUS WorkerDo(const CONFORMANCE_WORKER *Request, WORKER_ACTION *Action, CONFORMANCE_DONE *Done)
{
    CF_WORKER *worker;
    NTSTATUS status = WorkerFind(Request->Worker, &worker);
    CF_API api;

    if (NT_SUCCESS(status)) {
        ApiBegin(&api, &Request->Caller, PASSIVE_LEVEL, &Done->Result);
        ApiEnd(&api, Action(worker));
    }
    return status;
}

_Use_decl_annotations_ NTSTATUS WorkerClose(const VOID *Input, VOID *Output)
{
    return WorkerDo(Input, WorkerActClose, Output);
}

_Use_decl_annotations_ NTSTATUS WorkerAlert(const VOID *Input, VOID *Output)
{
    return WorkerDo(Input, WorkerActAlert, Output);
}

_Use_decl_annotations_ NTSTATUS WorkerRelease(const VOID *Input, VOID *Output)
{
    return WorkerDo(Input, WorkerGiveBack, Output);
}

_Use_decl_annotations_ ULONG WorkerReleaseEnded(void)
{
    ULONG left = 0;
    ULONG i;

    for (i = 0; i < CONFORMANCE_WORKERS; i++) {
        if (CfWorkers[i].State != CfFree && (CfWorkers[i].State == CfBusy || !NT_SUCCESS(WorkerGiveBack(&CfWorkers[i])))) {
            left |= 1u << i;
        }
    }
    return left;
}
