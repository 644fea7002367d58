/* KEVENTs by number, and gates at which threads wait until they are let through. */
#include "conformance.h"

typedef struct _CF_GATE {
    KEVENT Open;     /* notification */
    KSEMAPHORE Pass; /* threads that may go through though it is closed */
    volatile LONG Waiting;
    volatile LONG64 Passed;
} CF_GATE;

#define PASS_MAX 0x7FFFFFFF
#define PASS_AT_ONCE 0x8000

static KEVENT Events[CONFORMANCE_EVENT_OBJECTS];
static BOOLEAN EventIsNotification[CONFORMANCE_EVENT_OBJECTS];
static KSPIN_LOCK EventLock; /* of those that set an event only when it is not signalled */
static CF_GATE Gates[CONFORMANCE_GATES];

/* ---- Events ---- */

/*
 * KeSetEvent unless it is signalled already, when a kernel would do nothing. Wine would: it calls an event signalled until the
 * thread that it has let go has run, and what is set meanwhile is lost when that does run, or shows in waits and not in
 * KeReadStateEvent.
 */
static LONG EventSetOnce(PKEVENT Event)
{
    LONG previous;
    KIRQL irql;

    KeAcquireSpinLock(&EventLock, &irql);
    previous = KeReadStateEvent(Event);
    if (previous == 0) {
        previous = KeSetEvent(Event, IO_NO_INCREMENT, FALSE);
    }
    KeReleaseSpinLock(&EventLock, irql);
    return previous;
}

_Use_decl_annotations_ PKEVENT EventAt(ULONG Event)
{
    return Event < CONFORMANCE_EVENT_OBJECTS ? &Events[Event] : NULL;
}

_Use_decl_annotations_ VOID EventSet(ULONG Event)
{
    LONG previous = EventSetOnce(&Events[Event]);

    HS_TRACE(EventSet, Event, (ULONG)previous);
}

_Use_decl_annotations_ VOID EventClear(ULONG Event)
{
    LONG previous = KeResetEvent(&Events[Event]);

    HS_TRACE(EventClear, Event, (ULONG)previous);
}

VOID EventSetAll(void)
{
    ULONG i;

    for (i = 0; i < CONFORMANCE_EVENT_OBJECTS; i++) {
        KeSetEvent(&Events[i], IO_NO_INCREMENT, FALSE);
    }
}

static VOID EventInitialize(ULONG Event, BOOLEAN Notification, BOOLEAN Signalled)
{
    KeInitializeEvent(&Events[Event], Notification ? NotificationEvent : SynchronizationEvent, Signalled);
    EventIsNotification[Event] = Notification;
}

_Use_decl_annotations_ NTSTATUS EventInit(const VOID *Input, VOID *Output)
{
    const CONFORMANCE_INIT_EVENT *init = Input;
    CONFORMANCE_EVENT_STATE *state = Output;

    if (init->Event >= CONFORMANCE_EVENT_OBJECTS) {
        return STATUS_INVALID_PARAMETER;
    }
    state->Tick = HsTick();
    state->PreviousState = KeReadStateEvent(&Events[init->Event]);
    EventInitialize(init->Event, init->Notification != 0, init->Signalled != 0);
    state->Notification = init->Notification != 0;
    return STATUS_SUCCESS;
}

typedef LONG EVENT_ACTION(PKEVENT Event);

static LONG EventActSet(PKEVENT Event)
{
    return KeSetEvent(Event, IO_NO_INCREMENT, FALSE);
}

static LONG EventActClear(PKEVENT Event)
{
    return KeResetEvent(Event);
}

static LONG EventActQuery(PKEVENT Event)
{
    return KeReadStateEvent(Event);
}

static NTSTATUS EventDo(const CONFORMANCE_OBJECT *Object, EVENT_ACTION *Action, CONFORMANCE_EVENT_STATE *State)
{
    if (Object->Index >= CONFORMANCE_EVENT_OBJECTS) {
        return STATUS_INVALID_PARAMETER;
    }
    State->Notification = EventIsNotification[Object->Index];
    State->Tick = HsTick();
    State->PreviousState = Action(&Events[Object->Index]);
    return STATUS_SUCCESS;
}

static NTSTATUS EventDoSet(const VOID *Input, EVENT_ACTION *Action, VOID *Output)
{
    NTSTATUS status = EventDo(Input, Action, Output);

    if (NT_SUCCESS(status)) {
        HS_TRACE(EventSet, ((const CONFORMANCE_OBJECT *)Input)->Index, (ULONG)((CONFORMANCE_EVENT_STATE *)Output)->PreviousState);
    }
    return status;
}

_Use_decl_annotations_ NTSTATUS EventOnSet(const VOID *Input, VOID *Output)
{
    return EventDoSet(Input, EventActSet, Output);
}

_Use_decl_annotations_ NTSTATUS EventOnSetOnce(const VOID *Input, VOID *Output)
{
    return EventDoSet(Input, EventSetOnce, Output);
}

_Use_decl_annotations_ NTSTATUS EventOnClear(const VOID *Input, VOID *Output)
{
    NTSTATUS status = EventDo(Input, EventActClear, Output);

    if (NT_SUCCESS(status)) {
        HS_TRACE(EventClear, ((const CONFORMANCE_OBJECT *)Input)->Index, (ULONG)((CONFORMANCE_EVENT_STATE *)Output)->PreviousState);
    }
    return status;
}

_Use_decl_annotations_ NTSTATUS EventOnQuery(const VOID *Input, VOID *Output)
{
    return EventDo(Input, EventActQuery, Output);
}

/* ---- Gates ---- */

_Use_decl_annotations_ BOOLEAN GateIsOpen(ULONG Gate)
{
    return KeReadStateEvent(&Gates[Gate].Open) != 0;
}

_Use_decl_annotations_ ULONG GateWaiting(ULONG Gate)
{
    return Gate < CONFORMANCE_GATES ? (ULONG)Gates[Gate].Waiting : 0;
}

_Use_decl_annotations_ VOID GateWait(ULONG Gate)
{
    CF_GATE *gate = &Gates[Gate];
    PVOID objects[2] = { &gate->Open, &gate->Pass };

    InterlockedIncrement(&gate->Waiting);
    HS_TRACE(GateWait, ThreadActor(), Gate);
    WaitProgress();
    if (KeGetCurrentIrql() >= DISPATCH_LEVEL) {
        while (!GateIsOpen(Gate)) {
            YieldProcessor();
        }
    } else {
        KeWaitForMultipleObjects(2, objects, WaitAny, Executive, KernelMode, FALSE, NULL, NULL);
    }
    InterlockedIncrement64(&gate->Passed);
    InterlockedDecrement(&gate->Waiting);
    HS_TRACE(GatePass, ThreadActor(), Gate);
}

static VOID GateAnswer(const CF_GATE *Gate, CONFORMANCE_GATE_STATE *State)
{
    State->Open = KeReadStateEvent((PKEVENT)&Gate->Open) != 0;
    State->Waiting = (ULONG)Gate->Waiting;
    State->Passed = (ULONG64)Gate->Passed;
}

_Use_decl_annotations_ NTSTATUS GateSet(const VOID *Input, VOID *Output)
{
    const CONFORMANCE_SET_GATE *set = Input;

    if (set->Gate >= CONFORMANCE_GATES || set->Open > 1 || set->Pass > PASS_AT_ONCE || CfEnding) {
        return STATUS_INVALID_PARAMETER;
    }
    if (set->Open != 0) {
        KeSetEvent(&Gates[set->Gate].Open, IO_NO_INCREMENT, FALSE);
    } else {
        KeClearEvent(&Gates[set->Gate].Open);
    }
    if (set->Pass != 0) {
        KeReleaseSemaphore(&Gates[set->Gate].Pass, IO_NO_INCREMENT, (LONG)set->Pass, FALSE);
    }
    GateAnswer(&Gates[set->Gate], Output);
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ NTSTATUS GateQuery(const VOID *Input, VOID *Output)
{
    ULONG gate = ((const CONFORMANCE_OBJECT *)Input)->Index;

    if (gate >= CONFORMANCE_GATES) {
        return STATUS_INVALID_PARAMETER;
    }
    GateAnswer(&Gates[gate], Output);
    return STATUS_SUCCESS;
}

VOID GateOpenAll(void)
{
    ULONG i;

    for (i = 0; i < CONFORMANCE_GATES; i++) {
        KeSetEvent(&Gates[i].Open, IO_NO_INCREMENT, FALSE);
    }
}

static VOID GateInitialize(CF_GATE *Gate)
{
    KeInitializeEvent(&Gate->Open, NotificationEvent, FALSE);
    KeInitializeSemaphore(&Gate->Pass, 0, PASS_MAX);
    InterlockedExchange64(&Gate->Passed, 0);
}

_Use_decl_annotations_ VOID GateReset(BOOLEAN EventsAsWell)
{
    ULONG i;

    for (i = 0; i < CONFORMANCE_GATES; i++) {
        if (Gates[i].Waiting == 0) {
            GateInitialize(&Gates[i]);
        }
    }
    for (i = 0; i < CONFORMANCE_EVENT_OBJECTS && EventsAsWell; i++) {
        EventInitialize(i, FALSE, FALSE);
    }
}

VOID GateDriverEntry(void)
{
    KeInitializeSpinLock(&EventLock);
    GateReset(TRUE);
}

_Use_decl_annotations_ VOID GateDescribe(CONFORMANCE_SNAPSHOT_REPLY *Snapshot)
{
    ULONG i;

    for (i = 0; i < CONFORMANCE_GATES; i++) {
        Snapshot->GatesOpen |= (ULONG)GateIsOpen(i) << i;
        Snapshot->GateWaiting[i] = (UCHAR)min(Gates[i].Waiting, 255);
    }
    for (i = 0; i < CONFORMANCE_EVENT_OBJECTS; i++) {
        Snapshot->EventStates[i / 64] |= (ULONG64)(KeReadStateEvent(&Events[i]) != 0) << (i % 64);
    }
}
