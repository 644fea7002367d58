/* A call through a wrapper against a direct one, and against the atomics that no wrapper can do without. */
#include "conformance.h"

#define THREADS_MAX 8

typedef ULONG64 BENCH_FUNCTION(ULONG64 A, ULONG64 B, ULONG64 C, ULONG64 D);

typedef enum _BENCH_WAY { BenchDirect = 0, BenchThroughWrapper = 1, BenchAtomics = 2, BenchWays = 3 } BENCH_WAY;

typedef struct DECLSPEC_ALIGN(64) _BENCH_LINE { /* of one thread, on a cache line of its own */
    volatile LONG64 Word;
    LONG64 Ticks;
    volatile LONG Round; /* that it has done */
} BENCH_LINE;

typedef struct _BENCH_CALLS {
    CF_BENCH *Bench;
    BENCH_FUNCTION *volatile Functions[BenchWays];
    ULONG Count;
    volatile ULONG Way;
    volatile LONG Started; /* threads that have taken a number */
    volatile LONG Ready;
    volatile LONG Go;      /* round that is to run */
    BENCH_LINE Lines[THREADS_MAX];
} BENCH_CALLS;

static DECLSPEC_NOINLINE ULONG64 BenchTarget(ULONG64 A, ULONG64 B, ULONG64 C, ULONG64 D)
{
    return A + (B ^ C) + D;
}

/* One loop for each way: what is compared differs in nothing else. */
static DECLSPEC_NOINLINE ULONG64 BenchLoop(BENCH_FUNCTION *Function, ULONG Count)
{
    ULONG64 sum = 0;
    ULONG i;

    for (i = 0; i < Count; i++) {
        sum = Function(sum, i, 3, 4);
    }
    return sum;
}

static DECLSPEC_NOINLINE ULONG64 BenchLoopAtomics(BENCH_FUNCTION *Function, ULONG Count, volatile LONG64 *Word)
{
    ULONG64 sum = 0;
    ULONG i;

    for (i = 0; i < Count; i++) {
        InterlockedCompareExchange64(Word, 1, 0);
        sum = Function(sum, i, 3, 4);
        *Word = 0;
    }
    return sum;
}

static VOID BenchMeasure(BENCH_CALLS *Calls, BENCH_LINE *Line)
{
    ULONG way = Calls->Way;
    BENCH_FUNCTION *function = Calls->Functions[way];
    ULONG pass;

    for (pass = 0; pass < 2; pass++) { /* the first is for caches and predictors, and for the processor's clock to rise */
        LONG64 begin = HsTick();
        ULONG64 sum = way == BenchAtomics ? BenchLoopAtomics(function, Calls->Count, &Line->Word) : BenchLoop(function, Calls->Count);

        Line->Ticks = HsTick() - begin + (LONG64)(sum == 0); /* the sum is used: the loop is not optimised away */
    }
}

static VOID NTAPI BenchCallsThread(_In_ PVOID StartContext)
{
    BENCH_CALLS *calls = StartContext;
    BENCH_LINE *line = &calls->Lines[InterlockedIncrement(&calls->Started)];
    LONG round = 0;

    while (!calls->Bench->Ending) {
        if (calls->Go == round) {
            YieldProcessor();
            continue;
        }
        round = calls->Go;
        InterlockedIncrement(&calls->Ready);
        while (calls->Ready != 0 && !calls->Bench->Ending) {
            YieldProcessor();
        }
        BenchMeasure(calls, line);
        InterlockedExchange(&line->Round, round);
    }
    PsTerminateSystemThread(STATUS_SUCCESS);
}

/* Ticks of Count calls of all Threads together: 1 / sum(1 / ticks). */
static LONG64 BenchTogether(const BENCH_CALLS *Calls, ULONG Threads)
{
    LONG64 rate = 0;
    ULONG i;

    for (i = 0; i < Threads; i++) {
        rate += ((LONG64)1 << 50) / max(Calls->Lines[i].Ticks, 1);
    }
    return ((LONG64)1 << 50) / max(rate, 1);
}

static LONG64 BenchRound(BENCH_CALLS *Calls, ULONG Way, ULONG Threads)
{
    ULONG i;

    Calls->Way = Way;
    if (Threads > 1) {
        LONG round = Calls->Go + 1;

        InterlockedExchange(&Calls->Go, round);
        while (Calls->Ready != (LONG)Threads - 1 && !CfEnding) {
            YieldProcessor();
        }
        InterlockedExchange(&Calls->Ready, 0);
        BenchMeasure(Calls, &Calls->Lines[0]);
        for (i = 1; i < Threads; i++) {
            while (Calls->Lines[i].Round != round && !CfEnding) {
                YieldProcessor();
            }
        }
    } else {
        BenchMeasure(Calls, &Calls->Lines[0]);
    }
    return BenchTogether(Calls, Threads);
}

/* The threads are there only while more than one measures: waiting they would take a processor from the others. */
static NTSTATUS BenchRoundsOf(BENCH_CALLS *Calls, ULONG Threads, LONG64 *Row)
{
    ULONG way;
    ULONG i;

    Calls->Started = 0;
    Calls->Ready = 0;
    Calls->Go = 0;
    Calls->Bench->Ending = FALSE;
    for (i = 1; i < Threads; i++) {
        NTSTATUS status;

        Calls->Lines[i].Round = 0;
        status = BenchThread(Calls->Bench, BenchCallsThread, Calls);
        if (!NT_SUCCESS(status)) {
            InterlockedExchange(&Calls->Bench->Ending, TRUE);
            return status;
        }
    }
    for (way = 0; way < BenchWays; way++) {
        Row[way] = BenchRound(Calls, way, Threads);
    }
    InterlockedExchange(&Calls->Bench->Ending, TRUE);
    while (Calls->Bench->ThreadCount > 0) {
        (VOID)HsThreadJoin(Calls->Bench->Threads[--Calls->Bench->ThreadCount], 10000);
    }
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ VOID BenchCalls(const CONFORMANCE_BENCH *Request, CF_BENCH *Bench, CONFORMANCE_BENCH_REPLY *Reply)
{
    BENCH_CALLS *calls = HsAllocate(sizeof(*calls) + sizeof(BENCH_LINE));
    BENCH_CALLS *aligned = (BENCH_CALLS *)(((ULONG_PTR)calls + 63) & ~(ULONG_PTR)63);
    LONG64 row[2 * BenchWays];
    ULONG i;

    Reply->Status = calls == NULL ? STATUS_INSUFFICIENT_RESOURCES : BenchRegister(Bench, (PVOID)(ULONG_PTR)BenchTarget, Request->Endpoints);
    if (NT_SUCCESS(Reply->Status)) {
        aligned->Bench = Bench;
        aligned->Count = Request->Count;
        aligned->Functions[BenchDirect] = BenchTarget;
        aligned->Functions[BenchThroughWrapper] = (BENCH_FUNCTION *)(ULONG_PTR)BenchWrapper(Bench);
        aligned->Functions[BenchAtomics] = BenchTarget;
    }
    for (i = 0; i < Request->Rows && NT_SUCCESS(Reply->Status) && !CfEnding; i++) {
        Reply->Status = BenchRoundsOf(aligned, 1, row);
        if (NT_SUCCESS(Reply->Status)) {
            Reply->Status = BenchRoundsOf(aligned, Request->Threads, row + BenchWays);
        }
        if (!NT_SUCCESS(Reply->Status) || !BenchPut(Reply, row, ARRAYSIZE(row))) {
            break;
        }
    }
    HsFree(calls);
}
