/* From signal to iteration: a hot-swappable worker, and a thread with a wait loop of its own that calls the same function. */
#include "conformance.h"

typedef struct _BENCH_LOOP {
    CF_BENCH *Bench;
    KEVENT Signal; /* synchronization */
    KEVENT Answer; /* synchronization */
    LONG64 Begun;
} BENCH_LOOP;

static BOOLEAN NTAPI BenchIteration(_In_opt_ PVOID Context, _In_ NTSTATUS WaitStatus)
{
    BENCH_LOOP *loop = Context;

    UNREFERENCED_PARAMETER(WaitStatus);
    loop->Begun = HsTick();
    KeSetEvent(&loop->Answer, IO_NO_INCREMENT, FALSE);
    return !loop->Bench->Ending;
}

static VOID NTAPI BenchPlainThread(_In_ PVOID StartContext)
{
    DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE *volatile routine = BenchIteration; /* by pointer, as the runtime calls it */
    BENCH_LOOP *loop = StartContext;
    PVOID objects[1] = { &loop->Signal };
    NTSTATUS status;

    do {
        status = KeWaitForMultipleObjects(1, objects, WaitAny, Executive, KernelMode, FALSE, NULL, NULL);
    } while (routine(loop, status));
    PsTerminateSystemThread(STATUS_SUCCESS);
}

static LONG64 BenchSignal(BENCH_LOOP *Loop)
{
    LONG64 begin = HsTick();

    KeSetEvent(&Loop->Signal, IO_NO_INCREMENT, FALSE);
    KeWaitForSingleObject(&Loop->Answer, Executive, KernelMode, FALSE, NULL);
    return Loop->Begun - begin;
}

static VOID BenchLoopInitialize(BENCH_LOOP *Loop, CF_BENCH *Bench)
{
    Loop->Bench = Bench;
    KeInitializeEvent(&Loop->Signal, SynchronizationEvent, FALSE);
    KeInitializeEvent(&Loop->Answer, SynchronizationEvent, FALSE);
}

/* Count of each in turn, the first of which finds the thread in a wait of other length and is not counted. */
static BOOLEAN BenchLatencyRound(const CONFORMANCE_BENCH *Request, BENCH_LOOP *Loops, BOOLEAN PlainFirst, CONFORMANCE_BENCH_REPLY *Reply)
{
    LONG64 *row = &Reply->Samples[Reply->SampleCount];
    ULONG turn;
    ULONG i;

    if (Request->Count > (CONFORMANCE_BENCH_SAMPLES - Reply->SampleCount) / 2) {
        return FALSE;
    }
    for (turn = 0; turn < 2; turn++) {
        ULONG which = turn ^ (ULONG)PlainFirst;

        (VOID)BenchSignal(&Loops[which]);
        for (i = 0; i < Request->Count; i++) {
            row[2 * i + which] = BenchSignal(&Loops[which]);
        }
    }
    Reply->SampleCount += 2 * Request->Count;
    Reply->Columns = 2;
    return TRUE;
}

_Use_decl_annotations_ VOID BenchLatency(const CONFORMANCE_BENCH *Request, CF_BENCH *Bench, CONFORMANCE_BENCH_REPLY *Reply)
{
    static BENCH_LOOP loops[2]; /* as in bench_swaps.c */
    ULONG i;

    BenchLoopInitialize(&loops[0], Bench);
    BenchLoopInitialize(&loops[1], Bench);
    Reply->Status = BenchRegister(Bench, (PVOID)(ULONG_PTR)BenchIteration, Request->Endpoints);
    if (NT_SUCCESS(Reply->Status)) {
        Reply->Status = BenchWorker(Bench, &loops[0].Signal, &loops[0]);
    }
    if (NT_SUCCESS(Reply->Status)) {
        Reply->Status = BenchThread(Bench, BenchPlainThread, &loops[1]);
    }
    for (i = 0; i < Request->Rows && NT_SUCCESS(Reply->Status) && !CfEnding; i++) {
        if (!BenchLatencyRound(Request, loops, (BOOLEAN)(i & 1), Reply)) {
            break;
        }
    }
    InterlockedExchange(&Bench->Ending, TRUE);
    KeSetEvent(&loops[0].Signal, IO_NO_INCREMENT, FALSE);
    KeSetEvent(&loops[1].Signal, IO_NO_INCREMENT, FALSE);
}
