/*
 * Back to the state after loading, from any state: whoever waits here is let go, whoever runs is made to return, and what is
 * left then is ended, joined, deleted and unloaded. And the whole state in one reply.
 */
#include "conformance.h"

#define SETTLE_MS 200

static HS_PROXY_COUNTERS ResetBaseline; /* of the runtime, when nothing of this driver's was there; others may use it too */

static VOID ResetSleep(void)
{
    LARGE_INTEGER once;

    once.QuadPart = -5000; /* 0.5 ms */
    KeDelayExecutionThread(KernelMode, FALSE, &once);
}

/* All that runs ends. A worker's routine returns both values in turn, one of which ends its thread. */
static VOID ResetThreads(LONG64 Until, CONFORMANCE_RESET_REPLY *Reply)
{
    for (;;) {
        GateOpenAll();
        LanesCancelAll();
        EventSetAll();
        Reply->StuckLanes = LanesBusy();
        Reply->StuckWorkers = WorkerReleaseEnded();
        if ((Reply->StuckLanes == 0 && Reply->StuckWorkers == 0) || HsTick() >= Until) {
            return;
        }
        ResetSleep();
    }
}

/* Workers may live on in threads that were made for them by a swap. */
static VOID ResetExtensions(LONG64 Until, CONFORMANCE_RESET_REPLY *Reply)
{
    for (;;) {
        EventSetAll();
        Reply->StuckExtensions = ExtensionDeleteAll(&Reply->ExtensionStatus);
        if (Reply->StuckExtensions == 0 || HsTick() >= Until) {
            return;
        }
        ResetSleep();
    }
}

/* Threads of an extension that went with its owner end a little later. */
static VOID ResetSettle(HS_PROXY_COUNTERS *Proxy)
{
    LONG64 until = HsTick() + SETTLE_MS * HsTickFrequency() / 1000;

    for (;;) {
        HsQueryDriverProxyCounters(Proxy);
        if ((Proxy->Threads <= ResetBaseline.Threads && Proxy->Allocations <= ResetBaseline.Allocations) || HsTick() >= until) {
            return;
        }
        EventSetAll();
        ResetSleep();
    }
}

static VOID ResetState(BOOLEAN NobodyWaits)
{
    EndpointReset();
    GateReset(NobodyWaits);
    PreparedReset();
    LookupReset();
    ThreadReset();
    InterlockedExchange64(&CfPhaseCalls, 0);
    (VOID)RingDiscard();
}

_Use_decl_annotations_ VOID ResetAll(ULONG TimeoutMs, BOOLEAN Unloading, CONFORMANCE_RESET_REPLY *Reply)
{
    LONG64 until = HsTick() + (LONG64)TimeoutMs * HsTickFrequency() / 1000;
    HS_PROXY_COUNTERS proxy;

    RtlZeroMemory(Reply, sizeof(*Reply));
    CfEnding = TRUE;
    HsFailDriverProxyAllocation(0, NULL);
    HsSetDriverProxyAvailability(TRUE, NULL);
    PauseClear(NULL);
    WaitProgress();
    ResetThreads(until, Reply);
    ResetExtensions(until, Reply);
    if (Reply->StuckExtensions == 0 && !Unloading) { /* no image can be unloaded while one is */
        Reply->StuckHelpers = HelperUnloadAll();
    }
    ResetSettle(&proxy);
    ResetState(Reply->StuckLanes == 0 && Reply->StuckWorkers == 0 && proxy.Threads <= ResetBaseline.Threads);
    Reply->Status = (Reply->StuckLanes | Reply->StuckWorkers | Reply->StuckExtensions | Reply->StuckHelpers) == 0 ? STATUS_SUCCESS
                                                                                                                  : STATUS_IO_TIMEOUT;
    Reply->Extensions = proxy.Extensions;
    Reply->Wrappers = proxy.Wrappers;
    Reply->ProxyThreads = proxy.Threads;
    Reply->ProxyAllocations = proxy.Allocations;
    Reply->ActiveCalls = proxy.ActiveCalls;
    Reply->HeldCalls = proxy.HeldCalls;
    Reply->Allocations = (ULONG)HsCounters.Allocations;
    CfEnding = FALSE;
}

_Use_decl_annotations_ NTSTATUS ResetRun(const VOID *Input, VOID *Output)
{
    ULONG timeout = ((const CONFORMANCE_RESET *)Input)->TimeoutMs;

    ResetAll(timeout != 0 ? timeout : CF_RESET_MS, FALSE, Output);
    return STATUS_SUCCESS;
}

VOID ResetDriverEntry(void)
{
    HsQueryDriverProxyCounters(&ResetBaseline);
}

_Use_decl_annotations_ NTSTATUS SnapshotTake(const VOID *Input, VOID *Output)
{
    CONFORMANCE_SNAPSHOT_REPLY *snapshot = Output;

    UNREFERENCED_PARAMETER(Input);
    RuntimeQueryCounters(&snapshot->Counters);
    LanesDescribe(snapshot); /* first: what a lane has done is in the rest */
    WorkerDescribe(snapshot);
    GateDescribe(snapshot);
    ExtensionDescribe(snapshot);
    EndpointDescribe(snapshot);
    snapshot->PhaseCalls = (ULONG64)CfPhaseCalls;
    return STATUS_SUCCESS;
}
