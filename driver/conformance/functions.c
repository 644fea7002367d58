/*
 * The endpoints at their addresses: 4 versions x 16 of each kind. Every one passes numbers of its own on, so that no linker
 * folds two of them into one.
 */
#include "conformance.h"

#include <stdarg.h>

#if defined(_MSC_VER) && !defined(__clang__)
int _fltused = 0; /* what MSVC wants of who uses floating point */
#endif

#define FOR_ENDPOINTS(X, V)                                                                                            \
    X(V, 0) X(V, 1) X(V, 2) X(V, 3) X(V, 4) X(V, 5) X(V, 6) X(V, 7)                                                    \
    X(V, 8) X(V, 9) X(V, 10) X(V, 11) X(V, 12) X(V, 13) X(V, 14) X(V, 15)
#define FOR_ALL(X) FOR_ENDPOINTS(X, 1) FOR_ENDPOINTS(X, 2) FOR_ENDPOINTS(X, 3) FOR_ENDPOINTS(X, 4)

static ULONG64 FunctionRoutine(ULONG Version, ULONG Endpoint, PVOID Context, NTSTATUS WaitStatus)
{
    CF_ENTRY entry = { ConformanceFunctionRoutine, Version, Endpoint, Context, WaitStatus, NULL };

    return EndpointRun(&entry);
}

static ULONG64 FunctionEcho(ULONG Version, ULONG Endpoint, ULONG64 First, va_list Others)
{
    ULONG64 arguments[CONFORMANCE_MAX_ARGUMENTS];
    CF_ENTRY entry = { ConformanceFunctionEcho, Version, Endpoint, NULL, STATUS_SUCCESS, arguments };
    ULONG i;

    arguments[0] = First;
    for (i = 1; i < CONFORMANCE_MAX_ARGUMENTS; i++) { /* what was not passed is whatever lies there on the stack */
        arguments[i] = va_arg(Others, ULONG64);
    }
    return EndpointRun(&entry);
}

static ULONG64 FunctionBits(double Number)
{
    CF_BITS bits;

    bits.Number = Number;
    return bits.Bits;
}

static ULONG64 FunctionSix(ULONG Kind, ULONG Version, ULONG Endpoint, ULONG64 A, ULONG64 B, ULONG64 C, ULONG64 D, ULONG64 E, ULONG64 F)
{
    ULONG64 arguments[CONFORMANCE_MAX_ARGUMENTS] = { A, B, C, D, E, F };
    CF_ENTRY entry = { Kind, Version, Endpoint, NULL, STATUS_SUCCESS, arguments };

    return EndpointRun(&entry);
}

#define ROUTINE(V, E)                                                                                                  \
    static ULONG64 NTAPI Routine##V##_##E(PVOID Context, NTSTATUS WaitStatus)                                          \
    {                                                                                                                  \
        return FunctionRoutine(V, E, Context, WaitStatus);                                                             \
    }
#define ECHO(V, E)                                                                                                     \
    static ULONG64 Echo##V##_##E(ULONG64 First, ...)                                                                   \
    {                                                                                                                  \
        ULONG64 result;                                                                                                \
        va_list others;                                                                                                \
                                                                                                                       \
        va_start(others, First);                                                                                       \
        result = FunctionEcho(V, E, First, others);                                                                    \
        va_end(others);                                                                                                \
        return result;                                                                                                 \
    }
#define FLOATS(V, E)                                                                                                   \
    static double Floats##V##_##E(double A, double B, double C, double D, double F, double G)                          \
    {                                                                                                                  \
        CF_BITS bits;                                                                                                  \
                                                                                                                       \
        bits.Bits = FunctionSix(ConformanceFunctionFloat, V, E, FunctionBits(A), FunctionBits(B), FunctionBits(C),     \
                                FunctionBits(D), FunctionBits(F), FunctionBits(G));                                    \
        return bits.Number;                                                                                            \
    }
#define MIXED(V, E)                                                                                                    \
    static ULONG64 Mixed##V##_##E(ULONG64 A, double B, ULONG64 C, double D, double F, ULONG64 G)                       \
    {                                                                                                                  \
        return FunctionSix(ConformanceFunctionMixed, V, E, A, FunctionBits(B), C, FunctionBits(D), FunctionBits(F), G); \
    }
FOR_ALL(ROUTINE)
FOR_ALL(ECHO)
FOR_ALL(FLOATS)
FOR_ALL(MIXED)

#define ROUTINE_ADDRESS(V, E) (PVOID)(ULONG_PTR)Routine##V##_##E,
#define ECHO_ADDRESS(V, E) (PVOID)(ULONG_PTR)Echo##V##_##E,
#define FLOATS_ADDRESS(V, E) (PVOID)(ULONG_PTR)Floats##V##_##E,
#define MIXED_ADDRESS(V, E) (PVOID)(ULONG_PTR)Mixed##V##_##E,

/* NULL: there is no such function. */
_Use_decl_annotations_ PVOID FunctionAddress(ULONG Kind, ULONG Version, ULONG Endpoint)
{
    static const PVOID addresses[4][CONFORMANCE_VERSIONS * CONFORMANCE_ENDPOINTS] = {
        { FOR_ALL(ROUTINE_ADDRESS) },
        { FOR_ALL(ECHO_ADDRESS) },
        { FOR_ALL(FLOATS_ADDRESS) },
        { FOR_ALL(MIXED_ADDRESS) },
    };

    if (Kind < ConformanceFunctionRoutine || Kind > ConformanceFunctionMixed || Version < 1 || Version > CONFORMANCE_VERSIONS ||
        Endpoint >= CONFORMANCE_ENDPOINTS) {
        return NULL;
    }
    return addresses[Kind - ConformanceFunctionRoutine][(Version - 1) * CONFORMANCE_ENDPOINTS + Endpoint];
}

_Use_decl_annotations_ NTSTATUS FunctionResolve(const CONFORMANCE_FUNCTION *Function, PVOID *Address)
{
    ULONG64 start;

    *Address = NULL;
    switch (Function->Kind) {
    case ConformanceFunctionNull:
        return STATUS_SUCCESS;
    case ConformanceFunctionWrapper:
        return LookupWrapper(Function->Index, Address) ? STATUS_SUCCESS : STATUS_NOT_FOUND;
    case ConformanceFunctionHelper:
        if (!HelperStart(Function->Index, &start)) {
            return STATUS_NOT_FOUND;
        }
        *Address = (PVOID)(ULONG_PTR)(start + Function->Value);
        return STATUS_SUCCESS;
    case ConformanceFunctionRaw:
        *Address = (PVOID)(ULONG_PTR)Function->Value;
        return STATUS_SUCCESS;
    default:
        *Address = FunctionAddress(Function->Kind, Function->Version, Function->Index);
        return *Address != NULL ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
    }
}
