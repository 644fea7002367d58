/*
 * What is known of a worker: what the endpoints noted of its thread. A runtime may go on in another thread after a swap; a
 * thread that is no worker's belongs to the worker whose context it was called with.
 */
#include "conformance.h"

_Use_decl_annotations_ ULONG WorkerOfThread(ULONG ThreadId)
{
    ULONG i;

    for (i = 0; i < CONFORMANCE_WORKERS; i++) {
        if (CfWorkers[i].State != CfFree && CfWorkers[i].ThreadId == ThreadId) {
            return i;
        }
    }
    return CONFORMANCE_NONE;
}

/* CONFORMANCE_NONE also when it is not the only one. */
_Use_decl_annotations_ ULONG WorkerOfContext(ULONG64 Context)
{
    ULONG found = CONFORMANCE_NONE;
    ULONG i;

    for (i = 0; i < CONFORMANCE_WORKERS; i++) {
        if (CfWorkers[i].State != CfFree && CfWorkers[i].Context == Context) {
            if (found != CONFORMANCE_NONE) {
                return CONFORMANCE_NONE;
            }
            found = i;
        }
    }
    return found;
}

_Use_decl_annotations_ BOOLEAN WorkerIsAlive(ULONG Worker)
{
    LARGE_INTEGER now = { 0 };
    PVOID thread = CfWorkers[Worker].ThreadObject;

    return CfWorkers[Worker].State == CfBusy ||
           (thread != NULL && KeWaitForSingleObject(thread, Executive, KernelMode, FALSE, &now) != STATUS_SUCCESS);
}

static BOOLEAN WorkerOwns(ULONG Worker, const CF_THREAD *Thread)
{
    ULONG id = (ULONG)Thread->Id;

    if (CfWorkers[Worker].ThreadId == id) {
        return TRUE;
    }
    return Thread->Iterations != 0 && WorkerOfThread(id) == CONFORMANCE_NONE && LaneOfThread(id) == CONFORMANCE_NONE &&
           WorkerOfContext(Thread->FirstContext) == Worker;
}

static VOID WorkerAdd(const CF_WORKER *Worker, const CF_THREAD *Thread, CONFORMANCE_WORKER_INFO *Info)
{
    ULONG64 iterations = (ULONG64)Thread->Iterations;
    ULONG i;

    Info->Threads++;
    Info->Inside += Thread->Routines > 0;
    Info->Iterations += iterations;
    Info->OtherContext += Thread->OtherContext + (Thread->FirstContext != Worker->Context ? iterations - Thread->OtherContext : 0);
    Info->Overlaps += Thread->Overlaps;
    for (i = 0; i <= CONFORMANCE_VERSIONS; i++) {
        Info->VersionIterations[i] += Thread->VersionIterations[i];
    }
    Info->FirstTick = Info->FirstTick == 0 ? Thread->FirstTick : min(Info->FirstTick, Thread->FirstTick);
    if (Thread->LastTick < Info->LastTick) {
        return;
    }
    Info->ThreadId = (ULONG)Thread->Id;
    Info->LastContext = Thread->LastContext;
    Info->LastTick = Thread->LastTick;
    Info->LastEndpoint = Thread->LastEndpoint;
    Info->LastVersion = Thread->LastVersion;
    Info->LastIrql = Thread->LastIrql;
    Info->LastStatusCount = (ULONG)min(iterations, CONFORMANCE_LAST_STATUSES);
    for (i = 0; i < Info->LastStatusCount; i++) {
        Info->LastStatus[i] = Thread->LastStatus[(iterations - 1 - i) % CONFORMANCE_LAST_STATUSES];
    }
}

_Use_decl_annotations_ VOID WorkerSummary(ULONG Worker, CONFORMANCE_WORKER_INFO *Info)
{
    ULONG i;

    RtlZeroMemory(Info, sizeof(*Info));
    if (CfWorkers[Worker].State == CfFree) {
        return;
    }
    Info->Exists = 1;
    Info->Alive = WorkerIsAlive(Worker);
    Info->ThreadId = CfWorkers[Worker].ThreadId;
    for (i = 0; i < CF_THREADS; i++) {
        const CF_THREAD *thread = ThreadAt(i);

        if (thread != NULL && thread->Iterations != 0 && WorkerOwns(Worker, thread)) {
            WorkerAdd(&CfWorkers[Worker], thread, Info);
        }
    }
}

_Use_decl_annotations_ ULONG64 WorkerIterations(ULONG Worker)
{
    CONFORMANCE_WORKER_INFO info;

    if (Worker >= CONFORMANCE_WORKERS) {
        return 0;
    }
    WorkerSummary(Worker, &info);
    return info.Iterations;
}

_Use_decl_annotations_ NTSTATUS WorkerQuery(const VOID *Input, VOID *Output)
{
    ULONG worker = ((const CONFORMANCE_OBJECT *)Input)->Index;

    if (worker >= CONFORMANCE_WORKERS) {
        return STATUS_INVALID_PARAMETER;
    }
    WorkerSummary(worker, Output);
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ VOID WorkerDescribe(CONFORMANCE_SNAPSHOT_REPLY *Snapshot)
{
    ULONG i;

    for (i = 0; i < CONFORMANCE_WORKERS; i++) {
        CONFORMANCE_WORKER_INFO info;

        if (CfWorkers[i].State == CfFree) {
            continue;
        }
        WorkerSummary(i, &info);
        Snapshot->WorkersExisting |= 1u << i;
        Snapshot->WorkersAlive |= (ULONG)info.Alive << i;
        Snapshot->WorkersInside |= (ULONG)(info.Inside != 0) << i;
        Snapshot->HandlesOpen |= (ULONG)(CfWorkers[i].Handle != NULL) << i;
        Snapshot->WorkerIterations[i] = (ULONG)info.Iterations;
        Snapshot->WorkerVersion1[i] = (ULONG)info.VersionIterations[1];
        Snapshot->WorkerVersion2[i] = (ULONG)info.VersionIterations[2];
        Snapshot->WorkerVersion3[i] = (ULONG)info.VersionIterations[3];
        Snapshot->WorkerVersion4[i] = (ULONG)info.VersionIterations[4];
        Snapshot->WorkerStatus[i] = info.LastStatusCount != 0 ? info.LastStatus[0] : 0;
        Snapshot->WorkerWrong[i] = (ULONG)(info.OtherContext + info.Overlaps);
    }
}
