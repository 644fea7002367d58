/* What the endpoints do: as their behaviour says, with a word about each call to whoever made it, and to the trace. */
#include "conformance.h"

typedef struct _CF_ENDPOINT {
    volatile LONG Change; /* odd while the behaviour is written */
    CONFORMANCE_BEHAVIOUR Behaviour;
    volatile LONG64 Calls;
    volatile LONG Inside;
    volatile LONG MostInside;
} CF_ENDPOINT;

#define COUNT (CONFORMANCE_VERSIONS * CONFORMANCE_ENDPOINTS)

static CF_ENDPOINT Endpoints[COUNT];

static CF_ENDPOINT *EndpointAt(ULONG Version, ULONG Endpoint)
{
    return &Endpoints[(Version - 1) * CONFORMANCE_ENDPOINTS + Endpoint];
}

static VOID EndpointReadBehaviour(const CF_ENDPOINT *Endpoint, CONFORMANCE_BEHAVIOUR *Behaviour)
{
    LONG before;

    do {
        before = Endpoint->Change;
        CfBarrier();
        *Behaviour = Endpoint->Behaviour;
        CfBarrier();
    } while ((before & 1) != 0 || before != Endpoint->Change);
}

/* Behaviours are set by one request at a time. */
static VOID EndpointWriteBehaviour(CF_ENDPOINT *Endpoint, const CONFORMANCE_BEHAVIOUR *Behaviour)
{
    InterlockedIncrement(&Endpoint->Change);
    Endpoint->Behaviour = *Behaviour;
    InterlockedIncrement(&Endpoint->Change);
}

/* ---- One call ---- */

static VOID EndpointTell(const CF_ENTRY *Entry, const CF_THREAD *Thread, const CF_FRAME *Frame, ULONG Irql)
{
    CONFORMANCE_CALLED *called;

    if (Thread == NULL || Thread->Seen == NULL || Thread->Seen->Base != Frame->Previous) {
        return;
    }
    called = Thread->Seen->Called;
    called->SeenKind = Entry->Kind;
    called->SeenVersion = Entry->Version;
    called->SeenEndpoint = Entry->Endpoint;
    called->SeenIrql = Irql;
    called->SeenCalls++;
    if (Entry->Arguments != NULL) {
        RtlCopyMemory(called->Seen, Entry->Arguments, sizeof(called->Seen));
    } else {
        called->Seen[0] = (ULONG64)(ULONG_PTR)Entry->Context;
        called->Seen[1] = (ULONG64)(ULONG)Entry->WaitStatus;
    }
}

/* On the worker's own thread. */
static VOID EndpointCountRoutine(const CF_ENTRY *Entry, CF_THREAD *Thread, ULONG Irql)
{
    ULONG64 context = (ULONG64)(ULONG_PTR)Entry->Context;

    if (Thread->Iterations == 0) {
        Thread->FirstContext = context;
        Thread->FirstTick = HsTick();
    }
    Thread->OtherContext += context != Thread->FirstContext;
    Thread->Overlaps += Thread->Routines++ != 0;
    Thread->VersionIterations[Entry->Version]++;
    Thread->LastContext = context;
    Thread->LastTick = HsTick();
    Thread->LastEndpoint = Entry->Endpoint;
    Thread->LastVersion = Entry->Version;
    Thread->LastIrql = Irql;
    Thread->LastStatus[Thread->Iterations % CONFORMANCE_LAST_STATUSES] = (ULONG)Entry->WaitStatus;
    InterlockedIncrement64(&Thread->Iterations); /* last: who sees it sees the rest */
}

static ULONG EndpointDepth(const CF_FRAME *Frame)
{
    const CF_FRAME *at;
    ULONG depth = 0;

    for (at = Frame; at != NULL; at = at->Previous) {
        depth += at->Version == Frame->Version && at->Endpoint == Frame->Endpoint;
    }
    return depth;
}

static VOID EndpointLeave(CF_ENDPOINT *Endpoint, CF_THREAD *Thread, const CF_FRAME *Frame, ULONG Kind)
{
    if (Thread != NULL) {
        Thread->Top = Frame->Previous;
        Thread->Routines -= Kind == ConformanceFunctionRoutine;
    }
    InterlockedDecrement(&Endpoint->Inside);
    WaitProgress();
}

static VOID EndpointAct(CF_ENDPOINT *Endpoint, const CONFORMANCE_BEHAVIOUR *b, CF_THREAD *Thread, const CF_FRAME *Frame, ULONG Kind)
{
    LONG64 until;

    if (b->SetEvent != 0) {
        EventSet(b->SetEvent - 1);
    }
    if (b->ClearEvent != 0) {
        EventClear(b->ClearEvent - 1);
    }
    if (b->GateBefore != 0) {
        GateWait(b->GateBefore - 1);
    }
    if (b->Action == ConformanceActionPrepared && EndpointDepth(Frame) <= max(b->ActionDepth, 1)) {
        PreparedRun(b->Prepared);
    }
    if (b->Action == ConformanceActionTerminateThread) {
        EndpointLeave(Endpoint, Thread, Frame, Kind);
        PsTerminateSystemThread(STATUS_SUCCESS);
    }
    if (b->Action == ConformanceActionRaise) {
        EndpointLeave(Endpoint, Thread, Frame, Kind);
        CatchFault();
    }
    until = b->SpinMicroseconds == 0 ? 0 : HsTick() + (LONG64)b->SpinMicroseconds * HsTickFrequency() / 1000000;
    while (until != 0 && HsTick() < until && !CfEnding) {
        YieldProcessor();
    }
    if (b->GateAfter != 0) {
        GateWait(b->GateAfter - 1);
    }
}

static ULONG64 EndpointResult(const CF_ENTRY *Entry, const CONFORMANCE_BEHAVIOUR *b, ULONG64 Call)
{
    if (CfEnding && Entry->Kind == ConformanceFunctionRoutine) {
        return Call & 1; /* whatever ends the thread: one of the two does */
    }
    if (b->Compute != 0 && Entry->Arguments != NULL) {
        return ((ULONG64)Entry->Version << 56) | CallSum(Entry->Arguments, min(b->ComputeCount, CONFORMANCE_MAX_ARGUMENTS));
    }
    return b->ReturnLimit != 0 && Call > b->ReturnLimit ? b->LaterValue : b->ReturnValue;
}

_Use_decl_annotations_ ULONG64 EndpointRun(const CF_ENTRY *Entry)
{
    CF_ENDPOINT *endpoint = EndpointAt(Entry->Version, Entry->Endpoint);
    CF_FRAME frame = { NULL, Entry->Version, Entry->Endpoint };
    CF_THREAD *thread = ThreadHere();
    CONFORMANCE_BEHAVIOUR behaviour;
    ULONG64 context = (ULONG64)(ULONG_PTR)Entry->Context;
    ULONG64 call = (ULONG64)InterlockedIncrement64(&endpoint->Calls);
    LONG inside = InterlockedIncrement(&endpoint->Inside);
    ULONG64 result;
    ULONG irql = PASSIVE_LEVEL;

    EndpointReadBehaviour(endpoint, &behaviour);
    if (inside > endpoint->MostInside) {
        InterlockedExchange(&endpoint->MostInside, inside);
    }
    if (behaviour.Quiet == 0) {
        irql = KeGetCurrentIrql();
    }
    if (thread != NULL) {
        frame.Previous = thread->Top;
        thread->Top = &frame;
        EndpointTell(Entry, thread, &frame, irql);
        if (Entry->Kind == ConformanceFunctionRoutine) {
            EndpointCountRoutine(Entry, thread, irql);
        }
    }
    WaitProgress();
    if (behaviour.Quiet == 0) {
        HS_TRACE(CallEnter, ThreadActor(), Entry->Kind, Entry->Version, Entry->Endpoint, context, Entry->WaitStatus, irql);
    }
    if (!CfEnding) {
        EndpointAct(endpoint, &behaviour, thread, &frame, Entry->Kind);
    }
    result = EndpointResult(Entry, &behaviour, call);
    if (behaviour.Quiet == 0) {
        HS_TRACE(CallExit, ThreadActor(), Entry->Kind, Entry->Version, Entry->Endpoint, context, Entry->WaitStatus, result);
    }
    EndpointLeave(endpoint, thread, &frame, Entry->Kind);
    return result;
}

/* ---- Questions and behaviours ---- */

_Use_decl_annotations_ BOOLEAN EndpointComputes(ULONG Version, ULONG Endpoint)
{
    return Version != 0 && EndpointAt(Version, Endpoint)->Behaviour.Compute != 0;
}

_Use_decl_annotations_ ULONG64 EndpointCalls(ULONG Number)
{
    return Number < COUNT ? (ULONG64)Endpoints[Number].Calls : 0;
}

_Use_decl_annotations_ ULONG EndpointInside(ULONG Number)
{
    return Number < COUNT ? (ULONG)Endpoints[Number].Inside : 0;
}

ULONG EndpointInsideAll(void)
{
    ULONG inside = 0;
    ULONG i;

    for (i = 0; i < COUNT; i++) {
        inside += (ULONG)Endpoints[i].Inside;
    }
    return inside;
}

ULONG64 EndpointCallsAll(void)
{
    ULONG64 calls = 0;
    ULONG i;

    for (i = 0; i < COUNT; i++) {
        calls += (ULONG64)Endpoints[i].Calls;
    }
    return calls;
}

_Use_decl_annotations_ VOID EndpointDescribe(CONFORMANCE_SNAPSHOT_REPLY *Snapshot)
{
    ULONG i;

    for (i = 0; i < COUNT; i++) {
        Snapshot->EndpointCalls[i] = (ULONG)Endpoints[i].Calls;
        Snapshot->EndpointInside[i] = (UCHAR)min(Endpoints[i].Inside, 255);
    }
}

VOID EndpointReset(void)
{
    CONFORMANCE_BEHAVIOUR initial = { 0 };
    ULONG i;

    initial.ReturnValue = 1;
    for (i = 0; i < COUNT; i++) {
        EndpointWriteBehaviour(&Endpoints[i], &initial);
        InterlockedExchange64(&Endpoints[i].Calls, 0);
        InterlockedExchange(&Endpoints[i].MostInside, Endpoints[i].Inside);
    }
}

_Use_decl_annotations_ NTSTATUS EndpointSetBehaviour(const VOID *Input, VOID *Output)
{
    const CONFORMANCE_BEHAVIOUR *behaviour = Input;
    ULONG version;
    ULONG endpoint;

    UNREFERENCED_PARAMETER(Output);
    if (behaviour->Version > CONFORMANCE_VERSIONS ||
        (behaviour->Endpoint >= CONFORMANCE_ENDPOINTS && behaviour->Endpoint != CONFORMANCE_NONE) ||
        behaviour->GateBefore > CONFORMANCE_GATES || behaviour->GateAfter > CONFORMANCE_GATES ||
        behaviour->SetEvent > CONFORMANCE_EVENT_OBJECTS || behaviour->ClearEvent > CONFORMANCE_EVENT_OBJECTS ||
        behaviour->Action > ConformanceActionRaise || behaviour->Prepared >= CONFORMANCE_PREPARED) {
        return STATUS_INVALID_PARAMETER;
    }
    for (version = 1; version <= CONFORMANCE_VERSIONS; version++) {
        for (endpoint = 0; endpoint < CONFORMANCE_ENDPOINTS; endpoint++) {
            if ((behaviour->Version == 0 || behaviour->Version == version) &&
                (behaviour->Endpoint == CONFORMANCE_NONE || behaviour->Endpoint == endpoint)) {
                EndpointWriteBehaviour(EndpointAt(version, endpoint), behaviour);
            }
        }
    }
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ NTSTATUS EndpointQuery(const VOID *Input, VOID *Output)
{
    const CONFORMANCE_ENDPOINT_ID *id = Input;
    CONFORMANCE_ENDPOINT_INFO *info = Output;
    const CF_ENDPOINT *endpoint;

    if (id->Version < 1 || id->Version > CONFORMANCE_VERSIONS || id->Endpoint >= CONFORMANCE_ENDPOINTS) {
        return STATUS_INVALID_PARAMETER;
    }
    endpoint = EndpointAt(id->Version, id->Endpoint);
    info->Calls = (ULONG64)endpoint->Calls;
    info->Inside = (ULONG)endpoint->Inside;
    info->MostInside = (ULONG)endpoint->MostInside;
    info->RoutineAddress = (ULONG64)(ULONG_PTR)FunctionAddress(ConformanceFunctionRoutine, id->Version, id->Endpoint);
    info->EchoAddress = (ULONG64)(ULONG_PTR)FunctionAddress(ConformanceFunctionEcho, id->Version, id->Endpoint);
    info->FloatAddress = (ULONG64)(ULONG_PTR)FunctionAddress(ConformanceFunctionFloat, id->Version, id->Endpoint);
    info->MixedAddress = (ULONG64)(ULONG_PTR)FunctionAddress(ConformanceFunctionMixed, id->Version, id->Endpoint);
    return STATUS_SUCCESS;
}
