/* What the host holds, and what the runtime says it holds. */
#include "host.h"

HS_COUNTERS HsCounters;

_Use_decl_annotations_ VOID HsQueryCounters(HOTSWAP_COUNTERS *Counters)
{
    HS_PROXY_COUNTERS proxy;

    HsQueryDriverProxyCounters(&proxy);
    RtlZeroMemory(Counters, sizeof(*Counters));
    Counters->Workers = WorkerCount();
    Counters->Threads = (ULONG)HsCounters.Threads;
    Counters->Allocations = (ULONG)HsCounters.Allocations;
    Counters->AllocationBytes = (ULONG64)HsCounters.AllocationBytes;
    Counters->Events = (ULONG)HsCounters.Events;
    Counters->References = (ULONG)HsCounters.References;
    Counters->EndpointDrivers = (ULONG)HsCounters.EndpointDrivers;
    Counters->ProxyExtensions = proxy.Extensions;
    Counters->ProxyWrappers = proxy.Wrappers;
    Counters->ProxyThreads = proxy.Threads;
    Counters->ProxyAllocations = proxy.Allocations;
    Counters->ProxyActiveCalls = proxy.ActiveCalls;
    Counters->ProxyHeldCalls = proxy.HeldCalls;
    Counters->Iterations = (ULONG64)HsCounters.Iterations;
    Counters->Signals = (ULONG64)HsCounters.Signals;
    RingTotals(&Counters->EventsWritten, &Counters->EventsDropped);
}
