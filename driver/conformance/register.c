/*
 * Registration: an array made as told, a phase callback that does as told, and a log of it. The array ends where its guard
 * begins; both are looked at after the call, and then overwritten, because the caller of the API must not need it any more.
 */
#include "conformance.h"

#include "driverproxy_v2.h"

#define ELEMENTS_MAX 4096
#define GUARD_BYTES 64
#define GUARD_BYTE 0xA5
#define POISON_BYTE 0xDD

typedef struct _CF_REGISTRATION {
    struct _CF_REGISTRATION *Previous; /* of this thread */
    const CONFORMANCE_PHASE *Phases;   /* 3 */
    CONFORMANCE_REGISTERED *Reply;
} CF_REGISTRATION;

volatile LONG64 CfPhaseCalls;
static CF_REGISTRATION *volatile RegisterOnly; /* for a runtime that calls back on another thread */

static VOID RegisterAct(const CONFORMANCE_PHASE *Phase)
{
    LONG64 until;

    if (CfEnding) {
        return;
    }
    if (Phase->Gate != 0) {
        GateWait(Phase->Gate - 1);
    }
    if (Phase->Prepared != 0) {
        PreparedRun(Phase->Prepared - 1);
    }
    until = HsTick() + (LONG64)Phase->SpinMicroseconds * HsTickFrequency() / 1000000;
    while (Phase->SpinMicroseconds != 0 && HsTick() < until && !CfEnding) {
        YieldProcessor();
    }
}

static NTSTATUS NTAPI RegisterCallback(_In_ DRIVER_PROXY_REGISTER_CALLBACK_PHASE Phase, _In_opt_ PVOID Context)
{
    CF_THREAD *thread = ThreadHere();
    CF_REGISTRATION *registration = thread != NULL && thread->Registration != NULL ? thread->Registration : RegisterOnly;
    CONFORMANCE_PHASE_CALL unlogged;
    CONFORMANCE_PHASE_CALL *call = &unlogged;
    KIRQL irql = KeGetCurrentIrql();

    InterlockedIncrement64(&CfPhaseCalls);
    HS_TRACE(PhaseEnter, ThreadActor(), (ULONG)Phase, (ULONG64)(ULONG_PTR)Context, irql, STATUS_SUCCESS);
    if (registration != NULL && registration->Reply->PhaseCount < CONFORMANCE_MAX_PHASES) {
        call = &registration->Reply->Phases[registration->Reply->PhaseCount++];
    }
    RtlZeroMemory(call, sizeof(*call));
    call->Begin = HsTick();
    call->Phase = (ULONG)Phase;
    call->Context = (ULONG64)(ULONG_PTR)Context;
    call->Irql = irql;
    call->ThreadId = (ULONG)(ULONG_PTR)PsGetCurrentThreadId();
    call->Inside = EndpointInsideAll();
    call->Calls = EndpointCallsAll();
    if (registration != NULL && (ULONG)Phase < DriverProxyRegisterCallbackMax) {
        RegisterAct(&registration->Phases[Phase]);
        call->Status = registration->Phases[Phase].Status;
    }
    call->End = HsTick();
    HS_TRACE(PhaseExit, ThreadActor(), (ULONG)Phase, (ULONG64)(ULONG_PTR)Context, irql, call->Status);
    return call->Status;
}

static VOID RegisterEnter(CF_REGISTRATION *Registration, const CONFORMANCE_PHASE *Phases, CONFORMANCE_REGISTERED *Reply)
{
    CF_THREAD *thread = ThreadHere();

    Registration->Phases = Phases;
    Registration->Reply = Reply;
    Registration->Previous = NULL;
    Reply->ThreadId = (ULONG)(ULONG_PTR)PsGetCurrentThreadId();
    if (thread != NULL) {
        Registration->Previous = thread->Registration;
        thread->Registration = Registration;
    }
    RegisterOnly = Registration;
}

static VOID RegisterLeave(CF_REGISTRATION *Registration)
{
    CF_THREAD *thread = ThreadHere();

    if (thread != NULL) {
        thread->Registration = Registration->Previous;
    }
    if (RegisterOnly == Registration) {
        RegisterOnly = NULL;
    }
}

static BOOLEAN RegisterPhasesAreGood(const CONFORMANCE_PHASE *Phases)
{
    ULONG i;

    for (i = 0; i < DriverProxyRegisterCallbackMax; i++) {
        if (Phases[i].Gate > CONFORMANCE_GATES || Phases[i].Prepared > CONFORMANCE_PREPARED) {
            return FALSE;
        }
    }
    return TRUE;
}

static NTSTATUS RegisterFill(const CONFORMANCE_REGISTER *Request, DRIVER_PROXY_ENDPOINT_INFORMATION *Array, ULONG Elements)
{
    ULONG i;

    for (i = 0; i < Elements; i++) {
        ULONG from = min(i, Request->EndpointCount - 1);
        PVOID address;
        NTSTATUS status = FunctionResolve(&Request->Endpoints[from].Function, &address);

        if (!NT_SUCCESS(status)) {
            return status;
        }
        Array[i].Id = Request->Endpoints[from].Id + (i - from);
        Array[i].EndpointFunction = (PDRIVER_PROXY_ENDPOINT_FUNCTION)(ULONG_PTR)address;
        Array[i].ParameterCount = Request->Endpoints[from].ParameterCount;
    }
    return STATUS_SUCCESS;
}

static BOOLEAN RegisterGuardIsWhole(const UCHAR *Guard)
{
    ULONG i;

    for (i = 0; i < GUARD_BYTES; i++) {
        if (Guard[i] != GUARD_BYTE) {
            return FALSE;
        }
    }
    return TRUE;
}

static NTSTATUS RegisterArray(const CONFORMANCE_REGISTER *Request, PDRIVER_PROXY_EXTENSION Extension,
                              DRIVER_PROXY_ENDPOINT_INFORMATION *Array, ULONG Elements, CONFORMANCE_REGISTERED *Reply)
{
    SIZE_T bytes = Elements * sizeof(*Array);
    UCHAR *guard = (UCHAR *)(Array + Elements);
    DRIVER_PROXY_ENDPOINT_INFORMATION *before = HsAllocate(bytes + 1);
    CF_REGISTRATION registration;
    NTSTATUS status = before == NULL ? STATUS_INSUFFICIENT_RESOURCES : RegisterFill(Request, Array, Elements);
    CF_API api;

    if (!NT_SUCCESS(status)) {
        HsFree(before);
        return status;
    }
    RtlCopyMemory(before, Array, bytes);
    RtlFillMemory(guard, GUARD_BYTES, GUARD_BYTE);
    RegisterEnter(&registration, Request->Phases, Reply);
    ApiBegin(&api, &Request->Caller, PASSIVE_LEVEL, &Reply->Result);
    status = STATUS_NOT_SUPPORTED;
    if (CfTable.RegisterEndpoints != NULL) {
        status = CfTable.RegisterEndpoints(Extension, Request->NullArray ? NULL : Array, Request->Count,
                                           Request->WithCallback ? RegisterCallback : NULL, (PVOID)(ULONG_PTR)Request->Context);
    }
    ApiEnd(&api, status);
    RegisterLeave(&registration);
    Reply->ArrayWritten = RtlCompareMemory(before, Array, bytes) != bytes;
    Reply->GuardWritten = !RegisterGuardIsWhole(guard);
    RtlFillMemory(Array, bytes, POISON_BYTE);
    HsFree(before);
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ NTSTATUS RegisterEndpoints(const VOID *Input, VOID *Output)
{
    const CONFORMANCE_REGISTER *request = Input;
    ULONG elements = max(request->Fill, request->EndpointCount);
    DRIVER_PROXY_ENDPOINT_INFORMATION *array;
    PDRIVER_PROXY_EXTENSION extension;
    NTSTATUS status = ExtensionFind(request->Extension, &extension);

    if (!NT_SUCCESS(status)) {
        return status;
    }
    if (!RegisterPhasesAreGood(request->Phases) || request->EndpointCount > CONFORMANCE_MAX_REGISTERED || elements > ELEMENTS_MAX || (elements != 0 && request->EndpointCount == 0)) {
        return STATUS_INVALID_PARAMETER;
    }
    array = HsAllocate(elements * sizeof(*array) + GUARD_BYTES);
    if (array == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    status = RegisterArray(request, extension, array, elements, Output);
    HsFree(array);
    return status;
}

_Use_decl_annotations_ NTSTATUS RegisterImage(const VOID *Input, VOID *Output)
{
    const CONFORMANCE_SWAP_IMAGE *request = Input;
    CONFORMANCE_REGISTERED *reply = Output;
    PDRIVER_PROXY_EXTENSION extension;
    CF_REGISTRATION registration;
    PDRIVER_OBJECT object;
    NTSTATUS status = ExtensionFind(request->Extension, &extension);
    CF_API api;

    if (NT_SUCCESS(status)) {
        status = ApiDriverObject(&request->Driver, FALSE, &object);
    }
    if (NT_SUCCESS(status) && !RegisterPhasesAreGood(request->Phases)) {
        status = STATUS_INVALID_PARAMETER;
    }
    if (!NT_SUCCESS(status)) {
        return status;
    }
    RegisterEnter(&registration, request->Phases, reply);
    ApiBegin(&api, &request->Caller, PASSIVE_LEVEL, &reply->Result);
    status = STATUS_NOT_SUPPORTED; /* the kernel's is undocumented, and never called */
    if (CfRuntime == ConformanceRuntimeCompat) {
        status = HsIoHotSwapDriverProxyEndpoints(extension, object, request->WithCallback ? RegisterCallback : NULL,
                                                 (PVOID)(ULONG_PTR)request->Context);
    }
    ApiEnd(&api, status);
    RegisterLeave(&registration);
    return STATUS_SUCCESS;
}
