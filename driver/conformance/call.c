/* Calls of wrappers, or of any other function, with any signature that an endpoint of this driver has. */
#include "conformance.h"

#define P4 ULONG64, ULONG64, ULONG64, ULONG64
#define A4(i) a[i], a[(i) + 1], a[(i) + 2], a[(i) + 3]

typedef ULONG64 CF_INTEGERS(P4, P4, P4, P4, P4, P4, P4, P4);
typedef double CF_FLOATS(double, double, double, double, double, double);
typedef ULONG64 CF_MIXED(ULONG64, double, ULONG64, double, double, ULONG64);
typedef ULONG64 CF_RAW_ROUTINE(ULONG64, ULONG64);

static double CallDouble(ULONG64 Bits)
{
    CF_BITS bits;

    bits.Bits = Bits;
    return bits.Number;
}

static ULONG64 CallIntegers(PVOID Function, const ULONG64 *a)
{
    return ((CF_INTEGERS *)(ULONG_PTR)Function)(A4(0), A4(4), A4(8), A4(12), A4(16), A4(20), A4(24), A4(28));
}

typedef struct _CF_CAUGHT {
    PVOID Function;
    const ULONG64 *Arguments;
} CF_CAUGHT;

static ULONG64 CallBody(PVOID Context)
{
    const CF_CAUGHT *caught = Context;

    return CallIntegers(caught->Function, caught->Arguments);
}

static ULONG64 CallOnce(PVOID Function, ULONG Kind, const ULONG64 *a, NTSTATUS *Status)
{
    CF_CAUGHT caught = { Function, a };
    CF_BITS result;

    switch (Kind) {
    case ConformanceCallFloats:
        result.Number = ((CF_FLOATS *)(ULONG_PTR)Function)(CallDouble(a[0]), CallDouble(a[1]), CallDouble(a[2]), CallDouble(a[3]),
                                                            CallDouble(a[4]), CallDouble(a[5]));
        return result.Bits;
    case ConformanceCallMixed:
        return ((CF_MIXED *)(ULONG_PTR)Function)(a[0], CallDouble(a[1]), a[2], CallDouble(a[3]), CallDouble(a[4]), a[5]);
    case ConformanceCallRoutine:
        return ((CF_RAW_ROUTINE *)(ULONG_PTR)Function)(a[0], a[1]);
    case ConformanceCallCaught:
        return CatchCall(CallBody, &caught, Status);
    default:
        return CallIntegers(Function, a);
    }
}

/* What behaviour Compute returns, but for the version in its highest byte. */
_Use_decl_annotations_ ULONG64 CallSum(const ULONG64 *Arguments, ULONG Count)
{
    ULONG64 sum = 0x9E3779B97F4A7C15ull;
    ULONG i;

    for (i = 0; i < Count; i++) {
        sum = (sum ^ Arguments[i]) * 0x100000001B3ull;
    }
    return sum & 0x00FFFFFFFFFFFFFFull;
}

typedef struct _CF_COUNT {
    ULONG LastVersion;
    LONG64 Begin;
} CF_COUNT;

/* One call has returned Value. */
static VOID CallCount(CF_COUNT *Count, const CONFORMANCE_CALL *Request, const ULONG64 *Arguments, ULONG64 Value, CONFORMANCE_CALLED *Called)
{
    ULONG version = Called->SeenKind != ConformanceFunctionNull ? Called->SeenVersion : 0;
    LONG64 ticks = HsTick() - Count->Begin;

    Called->Calls++;
    Called->VersionCalls[version]++;
    Called->Changes += Count->LastVersion != 0 && version != Count->LastVersion;
    Called->Backward += version < Count->LastVersion;
    Called->Longest = max(Called->Longest, ticks);
    Count->LastVersion = version;
    if (EndpointComputes(version, Called->SeenEndpoint)) {
        Called->Wrong += Value != (((ULONG64)version << 56) | CallSum(Arguments, Request->ArgumentCount));
    }
}

/* The exception that ended it, or STATUS_SUCCESS. */
static NTSTATUS CallRepeatedly(const CONFORMANCE_CALL *Request, PVOID Function, const ULONG64 *Arguments, CONFORMANCE_CALLED *Called)
{
    NTSTATUS status = STATUS_SUCCESS;
    BOOLEAN repeats = Request->Repeat != 0 || Request->StopGate != 0;
    CF_COUNT count = { 0 };

    do {
        Called->SeenKind = ConformanceFunctionNull;
        count.Begin = HsTick();
        Called->Value = CallOnce(Function, Request->Kind, Arguments, &status);
        if (status != STATUS_SUCCESS) {
            return status;
        }
        CallCount(&count, Request, Arguments, Called->Value, Called);
    } while (repeats && !CfEnding && (Request->Repeat == 0 || Called->Calls < Request->Repeat) &&
             (Request->StopGate == 0 || !GateIsOpen(Request->StopGate - 1)));
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ NTSTATUS CallFunction(const VOID *Input, VOID *Output)
{
    const CONFORMANCE_CALL *request = Input;
    CONFORMANCE_CALLED *called = Output;
    CF_THREAD *thread = ThreadHere();
    ULONG64 arguments[CONFORMANCE_MAX_ARGUMENTS];
    CF_SEEN *outer;
    CF_SEEN seen;
    PVOID function;
    NTSTATUS status = FunctionResolve(&request->Function, &function);
    CF_API api;
    ULONG i;

    if (!NT_SUCCESS(status)) {
        return status;
    }
    if (function == NULL || request->Kind > ConformanceCallCaught || request->ArgumentCount > CONFORMANCE_MAX_ARGUMENTS ||
        request->StopGate > CONFORMANCE_GATES) {
        return STATUS_INVALID_PARAMETER;
    }
    if (thread == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    for (i = 0; i < CONFORMANCE_MAX_ARGUMENTS; i++) {
        arguments[i] = i < request->ArgumentCount ? request->Arguments[i] : CONFORMANCE_UNTOUCHED + i;
    }
    outer = thread->Seen;
    seen.Base = thread->Top;
    seen.Called = called;
    called->ThreadId = (ULONG)(ULONG_PTR)PsGetCurrentThreadId();
    thread->Seen = &seen;
    ApiBegin(&api, &request->Caller, request->Irql, &called->Result);
    status = CallRepeatedly(request, function, arguments, called);
    ApiEnd(&api, status);
    thread->Seen = outer;
    return STATUS_SUCCESS;
}
