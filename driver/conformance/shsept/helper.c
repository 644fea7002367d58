/*
 * conformance_v2_*.sys: drivers whose images list endpoints (V2). Each result begins with HELPER_VERSION, so that it tells
 * which image made it. The endpoints do without the host: nothing of them is known to conformance.sys but their addresses.
 */
#include "conformance_helper.h"

#if defined(_MSC_VER)
int _fltused = 0; /* what the compiler asks for where there are doubles */
#endif

#define HELPER_RESULT(Value) ((ULONG64)HELPER_VERSION << 56 | ((Value) & 0xFFFFFFFFFFFFFFULL))
#define HELPER_POLL_100NS (-10 * 1000)

static volatile LONG HelperCalls;
static volatile LONG HelperRoutineCalls;
static volatile LONG HelperGo;

VOID NTAPI HelperNothing(void);
ULONG64 NTAPI HelperCount(void);
ULONG64 NTAPI HelperMixed(ULONG64 A, double B, ULONG64 C, double D, double E, ULONG64 F);
double NTAPI HelperFloats(double A, double B, double C, double D, double E, double F);
BOOLEAN NTAPI HelperRoutine(PVOID WorkerContext, NTSTATUS WaitStatus);
ULONG64 NTAPI HelperIterations(void);
ULONG64 NTAPI HelperHold(void);
VOID NTAPI HelperLetGo(void);
ULONG64 NTAPI HelperAdded(ULONG64 A);
DRIVER_INITIALIZE DriverEntry;
static DRIVER_UNLOAD HelperUnload;

VOID NTAPI HelperNothing(void)
{
    InterlockedIncrement(&HelperCalls);
}

/* Of calls of HelperNothing. */
ULONG64 NTAPI HelperCount(void)
{
    return HELPER_RESULT((ULONG64)HelperCalls);
}

/* Twelve arguments, weighed by their places; thirteen in the image that says so. */
ULONG64 NTAPI HelperSum(ULONG64 A, ULONG64 B, ULONG64 C, ULONG64 D, ULONG64 E, ULONG64 F, ULONG64 G, ULONG64 H, ULONG64 I, ULONG64 J,
                        ULONG64 K, ULONG64 L);
ULONG64 NTAPI HelperSum(ULONG64 A, ULONG64 B, ULONG64 C, ULONG64 D, ULONG64 E, ULONG64 F, ULONG64 G, ULONG64 H, ULONG64 I, ULONG64 J,
                        ULONG64 K, ULONG64 L)
{
    return HELPER_RESULT(A + 2 * B + 3 * C + 4 * D + 5 * E + 6 * F + 7 * G + 8 * H + 9 * I + 10 * J + 11 * K + 12 * L);
}

ULONG64 NTAPI HelperMixed(ULONG64 A, double B, ULONG64 C, double D, double E, ULONG64 F)
{
    return HELPER_RESULT(A + 2 * (ULONG64)B + 3 * C + 4 * (ULONG64)D + 5 * (ULONG64)E + 6 * F);
}

double NTAPI HelperFloats(double A, double B, double C, double D, double E, double F)
{
    return HELPER_VERSION * 1000.0 + A + 2 * B + 3 * C + 4 * D + 5 * E + 6 * F;
}

/* A worker routine: goes on for the first event, ends for anything else. */
BOOLEAN NTAPI HelperRoutine(PVOID WorkerContext, NTSTATUS WaitStatus)
{
    UNREFERENCED_PARAMETER(WorkerContext);
    InterlockedIncrement(&HelperRoutineCalls);
    return WaitStatus == STATUS_WAIT_0;
}

ULONG64 NTAPI HelperIterations(void)
{
    return HELPER_RESULT((ULONG64)HelperRoutineCalls);
}

/* PASSIVE_LEVEL. Stays inside until HelperLetGo of this image was called, once for all. */
ULONG64 NTAPI HelperHold(void)
{
    LARGE_INTEGER interval = { .QuadPart = HELPER_POLL_100NS };

    while (HelperGo == 0) {
        KeDelayExecutionThread(KernelMode, FALSE, &interval);
    }
    return HELPER_RESULT(0);
}

VOID NTAPI HelperLetGo(void)
{
    InterlockedExchange(&HelperGo, 1);
}

/* An endpoint of the second image only. */
ULONG64 NTAPI HelperAdded(ULONG64 A)
{
    return HELPER_RESULT(A);
}

static _Use_decl_annotations_ VOID NTAPI HelperUnload(PDRIVER_OBJECT DriverObject)
{
    UNREFERENCED_PARAMETER(DriverObject);
}

_Use_decl_annotations_ NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->DriverUnload = HelperUnload;
#if defined(HELPER_CUT)
    DriverObject->DriverSize = PAGE_SIZE; /* of the image, only the headers: its sections lie outside */
#endif
    return ConformanceOfferDriver(DriverObject);
}
