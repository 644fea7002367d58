/* How long a swap holds calls, by the number of busy workers and of endpoints. */
#include "conformance.h"

typedef struct _BENCH_SWAPS {
    CF_BENCH *Bench;
    KEVENT Busy; /* notification, signalled: workers never wait */
    LONG64 WorkTicks;
    volatile LONG Workers; /* that were in their routine at least once since this was cleared */
    /* Ticks of the swap under way. */
    LONG64 Stalled;
    LONG64 FirstHeld;
    LONG64 Drained;
    LONG64 Switched;
    LONG64 Released;
    LONG64 Held;
} BENCH_SWAPS;

static VOID NTAPI BenchSwapNotify(_In_opt_ PVOID Context, _In_ const HS_PROXY_NOTIFICATION *Notification)
{
    BENCH_SWAPS *swaps = Context;

    switch (Notification->Step) {
    case HsProxyStepStalled:
        swaps->Stalled = Notification->Tick;
        break;
    case HsProxyStepFirstHeld:
        swaps->FirstHeld = Notification->Tick;
        break;
    case HsProxyStepDrained:
        swaps->Drained = Notification->Tick;
        break;
    case HsProxyStepSwitched:
        swaps->Switched = Notification->Tick;
        break;
    case HsProxyStepReleased:
        swaps->Released = Notification->Tick;
        swaps->Held = Notification->HeldCalls;
        break;
    default:
        break;
    }
}

static BOOLEAN BenchSwapWork(BENCH_SWAPS *Swaps)
{
    LONG64 until = HsTick() + Swaps->WorkTicks;

    InterlockedIncrement(&Swaps->Workers);
    while (HsTick() < until) {
        YieldProcessor();
    }
    return !Swaps->Bench->Ending && !CfEnding;
}

/* Two versions: the second argument tells the compiler that they are not one. */
static BOOLEAN NTAPI BenchSwapFirst(_In_opt_ PVOID Context, _In_ NTSTATUS WaitStatus)
{
    return BenchSwapWork(Context) && WaitStatus != STATUS_TIMEOUT;
}

static BOOLEAN NTAPI BenchSwapSecond(_In_opt_ PVOID Context, _In_ NTSTATUS WaitStatus)
{
    return BenchSwapWork(Context) && WaitStatus != STATUS_ALERTED;
}

static NTSTATUS BenchSwapStart(const CONFORMANCE_BENCH *Request, BENCH_SWAPS *Swaps)
{
    HS_PROXY_OPTIONS options = { 0 };
    NTSTATUS status;
    ULONG i;

    options.Size = sizeof(options);
    options.Notify = BenchSwapNotify;
    options.NotifyContext = Swaps;
    status = HsSetDriverProxyOptions(Swaps->Bench->Extension, &options);
    if (NT_SUCCESS(status)) {
        status = BenchRegister(Swaps->Bench, (PVOID)(ULONG_PTR)BenchSwapFirst, Request->Endpoints);
    }
    for (i = 0; i < Request->Workers && NT_SUCCESS(status); i++) {
        status = BenchWorker(Swaps->Bench, &Swaps->Busy, Swaps);
    }
    return status;
}

/* A few iterations between two swaps, so that the workers are where they are in a steady state. */
static VOID BenchSwapLetRun(BENCH_SWAPS *Swaps, ULONG Workers)
{
    LONG64 until = HsTick() + HsTickFrequency();
    LARGE_INTEGER moment;

    moment.QuadPart = -5000;
    InterlockedExchange(&Swaps->Workers, 0);
    while (Swaps->Workers < 2 * (LONG)Workers && HsTick() < until) {
        KeDelayExecutionThread(KernelMode, FALSE, &moment);
    }
}

static NTSTATUS BenchSwapOnce(const CONFORMANCE_BENCH *Request, BENCH_SWAPS *Swaps, BOOLEAN Second, LONG64 *Row)
{
    PVOID function = Second ? (PVOID)(ULONG_PTR)BenchSwapSecond : (PVOID)(ULONG_PTR)BenchSwapFirst;
    NTSTATUS status;

    BenchSwapLetRun(Swaps, Request->Workers);
    Swaps->FirstHeld = 0;
    status = BenchRegister(Swaps->Bench, function, Request->Endpoints);
    Row[0] = Swaps->Drained - Swaps->Stalled;
    Row[1] = Swaps->Switched - Swaps->Drained;
    Row[2] = Swaps->Released - Swaps->Switched;
    Row[3] = Swaps->FirstHeld != 0 ? Swaps->Released - Swaps->FirstHeld : 0;
    Row[4] = Swaps->Held;
    return status;
}

_Use_decl_annotations_ VOID BenchSwaps(const CONFORMANCE_BENCH *Request, CF_BENCH *Bench, CONFORMANCE_BENCH_REPLY *Reply)
{
    static BENCH_SWAPS swaps; /* workers use it to their end, whatever becomes of this request; one bench at a time */
    LONG64 row[5];
    ULONG i;

    swaps.Bench = Bench;
    swaps.WorkTicks = (LONG64)Request->WorkMicroseconds * HsTickFrequency() / 1000000;
    KeInitializeEvent(&swaps.Busy, NotificationEvent, TRUE);
    Reply->Status = BenchSwapStart(Request, &swaps);
    for (i = 0; i < Request->Rows && NT_SUCCESS(Reply->Status) && !CfEnding; i++) {
        Reply->Status = BenchSwapOnce(Request, &swaps, (i & 1) == 0, row);
        if (!NT_SUCCESS(Reply->Status) || !BenchPut(Reply, row, ARRAYSIZE(row))) {
            break;
        }
    }
    InterlockedExchange(&Bench->Ending, TRUE);
}
