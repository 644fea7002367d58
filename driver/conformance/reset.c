/*
 * Back to the state after loading, from any state: whoever waits here is let go, whoever runs is made to return, and what is
 * left then is ended, joined, deleted and unloaded. And the whole state in one reply.
 */
#include "conformance.h"

#define SETTLE_MS 200
#define SNAPSHOT_READINGS 8

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

/* ---- The whole state ---- */

static VOID SnapshotRead(CONFORMANCE_SNAPSHOT_REPLY *Snapshot)
{
    RtlZeroMemory(Snapshot, sizeof(*Snapshot));
    RuntimeQueryCounters(&Snapshot->Counters);
    Snapshot->LanesDraining = NotifyDraining();
    LanesDescribe(Snapshot);
    WorkerDescribe(Snapshot);
    GateDescribe(Snapshot);
    ExtensionDescribe(Snapshot);
    EndpointDescribe(Snapshot);
    Snapshot->PhaseCalls = (ULONG64)CfPhaseCalls;
}

/* FNV-1a over 64-bit words: two readings do not fit on a kernel stack. */
static ULONG64 SnapshotDigest(const CONFORMANCE_SNAPSHOT_REPLY *Snapshot)
{
    const ULONG64 *word = (const ULONG64 *)Snapshot;
    ULONG64 digest = 0xCBF29CE484222325ull;
    ULONG i;

    C_ASSERT(sizeof(*Snapshot) % sizeof(ULONG64) == 0);
    for (i = 0; i < sizeof(*Snapshot) / sizeof(ULONG64); i++) {
        digest = (digest ^ word[i]) * 0x100000001B3ull;
    }
    return digest;
}

_Use_decl_annotations_ NTSTATUS SnapshotTake(const VOID *Input, VOID *Output)
{
    CONFORMANCE_SNAPSHOT_REPLY *snapshot = Output;
    ULONG64 before;
    ULONG64 digest;
    ULONG readings = 1;

    UNREFERENCED_PARAMETER(Input);
    SnapshotRead(snapshot);
    digest = SnapshotDigest(snapshot);
    do {
        before = digest;
        SnapshotRead(snapshot);
        digest = SnapshotDigest(snapshot);
        readings++;
    } while (digest != before && readings < SNAPSHOT_READINGS);
    snapshot->Torn = digest != before;
    return STATUS_SUCCESS;
}
