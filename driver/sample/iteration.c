/*
 * The host's own endpoint: what a worker thread calls for each iteration. It writes IterationBegin and IterationEnd around
 * the wrapper call, so that the endpoint driver's word (EndpointWork) has a witness that it cannot touch.
 */
#include "host.h"

static VOID NTAPI ServiceLogWork(PHS_WORKER_CONTEXT Context, ULONG Version, NTSTATUS WaitStatus, ULONG64 Result)
{
    HS_TRACE(EndpointWork, Context->WorkerId, Context->Iteration, Version, WaitStatus, Result);
}

static VOID NTAPI ServiceSimulateWork(PHS_WORKER_CONTEXT Context)
{
    const HS_WORKER *worker = CONTAINING_RECORD(Context, HS_WORKER, Context);
    LONG64 until = HsTick() + (LONG64)worker->Parameters.WorkMicroseconds * HsTickFrequency() / 1000000;

    while (HsTick() < until) {
        YieldProcessor();
    }
}

static BOOLEAN NTAPI ServiceReleased(PHS_WORKER_CONTEXT Context)
{
    const HS_WORKER *worker = CONTAINING_RECORD(Context, HS_WORKER, Context);

    return worker->Stop != HsStopNone || ControlShuttingDown();
}

const HS_HOST_SERVICES HsHostServices = { sizeof(HS_HOST_SERVICES), ServiceLogWork, ServiceSimulateWork, ParkRoutine, ServiceReleased };

/* On the worker's thread only. */
static VOID IterationCount(HS_WORKER *Worker, ULONG Version)
{
    ULONG i;

    InterlockedIncrement64(&HsCounters.Iterations);
    for (i = 0; i < Worker->VersionCount; i++) {
        if (Worker->Versions[i].Version == Version) {
            Worker->Versions[i].Iterations++;
            return;
        }
    }
    if (Worker->VersionCount < HOTSWAP_MAX_VERSIONS) {
        Worker->Versions[i].Version = Version;
        Worker->Versions[i].Iterations = 1;
        Worker->VersionCount++;
    }
}

/* PASSIVE_LEVEL. Entered through a wrapper, so the version in force stays until it returns. */
_Use_decl_annotations_ BOOLEAN NTAPI IterationRoutine(PVOID WorkerContext, NTSTATUS WaitStatus)
{
    HS_WORKER *worker = CONTAINING_RECORD((HS_WORKER_CONTEXT *)WorkerContext, HS_WORKER, Context);
    ULONG version = HsEndpoints.Version;
    ULONG64 iteration = ++worker->Context.Iteration;
    DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE *routine = HsCallable.Worker;
    BOOLEAN old = FaultTakeOldCall(&routine, &version);
    BOOLEAN more;

    worker->LastWaitStatus = WaitStatus;
    InterlockedExchange(&worker->Running, 1);
    HS_TRACE(IterationBegin, worker->Id, iteration, version, WaitStatus);
    more = routine(&worker->Context, WaitStatus) != FALSE;
    if (old) {
        FaultOldCallReturned();
    }
    if (InterlockedCompareExchange(&worker->Stop, HsStopTaken, HsStopRequested) != HsStopNone) {
        more = FALSE;
    } else if (!more) {
        InterlockedExchange(&worker->Finished, 1);
    }
    IterationCount(worker, version);
    HS_TRACE(IterationEnd, worker->Id, iteration, version, WaitStatus, more);
    InterlockedExchange(&worker->Running, 0);
    return HsInvertReturn ? !more : more;
}
