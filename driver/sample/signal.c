/* Signals: KeSetEvent between a SignalBegin and a SignalEnd that holds what it returned. 0 = accepted. */
#include "host.h"

/* STATUS_INVALID_PARAMETER: no such event. STATUS_DEVICE_NOT_READY: the worker's signals are closed. IRQL <= DISPATCH_LEVEL. */
_Use_decl_annotations_ NTSTATUS SignalEvent(HS_WORKER *Worker, ULONG Index, HOTSWAP_SIGNAL_SOURCE Source, LONG *PreviousState)
{
    HS_EVENT_OBJECT *object;
    LONG64 signal;
    LONG previous;

    if (Index >= Worker->Context.EventCount) {
        return STATUS_INVALID_PARAMETER;
    }
    if (!HsRundownAcquire(&Worker->Signals)) {
        return STATUS_DEVICE_NOT_READY;
    }
    object = &Worker->Events[Index];
    signal = InterlockedIncrement64(&object->Signals);
    InterlockedIncrement64(&HsCounters.Signals);
    HS_TRACE(SignalBegin, Worker->Id, Index, (ULONG64)signal, Source);
    previous = KeSetEvent(&object->Event, IO_NO_INCREMENT, FALSE);
    HS_TRACE(SignalEnd, Worker->Id, Index, (ULONG64)signal, Source, (ULONG)previous);
    if (previous == 0) {
        InterlockedIncrement64(&object->Accepted);
    }
    HsRundownRelease(&Worker->Signals);
    if (PreviousState != NULL) {
        *PreviousState = previous;
    }
    return STATUS_SUCCESS;
}

static NTSTATUS SignalFind(const HOTSWAP_EVENT_REQUEST *Request, HS_WORKER **Worker)
{
    *Worker = WorkerReference(Request->WorkerId);
    if (*Worker == NULL) {
        return STATUS_NOT_FOUND;
    }
    if (Request->EventIndex >= (*Worker)->Context.EventCount) {
        WorkerDereference(*Worker);
        return STATUS_INVALID_PARAMETER;
    }
    return STATUS_SUCCESS;
}

static VOID SignalReply(HS_WORKER *Worker, ULONG Index, LONG PreviousState, HOTSWAP_EVENT_REPLY *Reply)
{
    Reply->PreviousState = PreviousState;
    Reply->Notification = (ULONG)((Worker->Parameters.NotificationMask >> Index) & 1);
    Reply->Signals = (ULONG64)Worker->Events[Index].Signals;
    Reply->Accepted = (ULONG64)Worker->Events[Index].Accepted;
    Reply->Tick = HsTick();
}

_Use_decl_annotations_ NTSTATUS SignalRequest(const HOTSWAP_EVENT_REQUEST *Request, HOTSWAP_EVENT_REPLY *Reply)
{
    HS_WORKER *worker;
    LONG previous = 0;
    NTSTATUS status = SignalFind(Request, &worker);

    if (NT_SUCCESS(status)) {
        status = SignalEvent(worker, Request->EventIndex, HotswapSignalIoctl, &previous);
        SignalReply(worker, Request->EventIndex, previous, Reply);
        WorkerDereference(worker);
    }
    return status;
}

_Use_decl_annotations_ NTSTATUS SignalClear(const HOTSWAP_EVENT_REQUEST *Request, HOTSWAP_EVENT_REPLY *Reply)
{
    HS_WORKER *worker;
    NTSTATUS status = SignalFind(Request, &worker);

    if (NT_SUCCESS(status)) {
        LONG previous = KeResetEvent(&worker->Events[Request->EventIndex].Event);
        HS_TRACE(EventClear, worker->Id, Request->EventIndex, (ULONG)previous);
        SignalReply(worker, Request->EventIndex, previous, Reply);
        WorkerDereference(worker);
    }
    return status;
}

_Use_decl_annotations_ NTSTATUS SignalQuery(const HOTSWAP_EVENT_REQUEST *Request, HOTSWAP_EVENT_REPLY *Reply)
{
    HS_WORKER *worker;
    NTSTATUS status = SignalFind(Request, &worker);

    if (NT_SUCCESS(status)) {
        SignalReply(worker, Request->EventIndex, KeReadStateEvent(&worker->Events[Request->EventIndex].Event), Reply);
        WorkerDereference(worker);
    }
    return status;
}
