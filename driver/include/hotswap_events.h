/*
 * The trace events of the host driver. One list; from it come the payload structures, the TraceLogging schemas
 * and the write functions (sample/trace.c). Payloads are packed and hold fixed-size fields only.
 *
 * Field types: UINT32, UINT64, HEX32, HEX64, INT64, NTSTATUS (in-type HEXINT32, out-type NTSTATUS).
 * EVENT(Name, Level, Opcode, Keyword, Fields). Levels and opcodes are those of winmeta.h.
 */
#pragma once

#define HOTSWAP_PROVIDER_NAME "HotSwap.Host"
/* The TraceLogging hash of the name above; tests recompute it. */
#define HOTSWAP_PROVIDER_GUID                                                                                          \
    { 0x61d4d989, 0xc89a, 0x5331, { 0x55, 0x7b, 0x62, 0xb4, 0x74, 0xaa, 0x0a, 0x83 } }

#define HOTSWAP_KEYWORD_LIFECYCLE 0x1
#define HOTSWAP_KEYWORD_SIGNAL 0x2
#define HOTSWAP_KEYWORD_ITERATION 0x4
#define HOTSWAP_KEYWORD_SWAP 0x8
#define HOTSWAP_KEYWORD_STEP 0x10

/* clang-format off */
#define HOTSWAP_SWAP_FIELDS(F) F(UINT32, Swap) F(UINT32, FromVersion) F(UINT32, ToVersion) F(NTSTATUS, Status)

#define HOTSWAP_EVENTS(EVENT) \
    EVENT(HostStart,         4, 1, HOTSWAP_KEYWORD_LIFECYCLE, HOTSWAP_FIELDS_HostStart) \
    EVENT(HostStop,          4, 2, HOTSWAP_KEYWORD_LIFECYCLE, HOTSWAP_FIELDS_HostStop) \
    EVENT(RuntimeChosen,     4, 0, HOTSWAP_KEYWORD_LIFECYCLE, HOTSWAP_FIELDS_RuntimeChosen) \
    EVENT(EndpointLoaded,    4, 0, HOTSWAP_KEYWORD_LIFECYCLE, HOTSWAP_FIELDS_EndpointLoaded) \
    EVENT(EndpointUnloaded,  4, 0, HOTSWAP_KEYWORD_LIFECYCLE, HOTSWAP_FIELDS_EndpointUnloaded) \
    EVENT(EndpointVerified,  4, 0, HOTSWAP_KEYWORD_LIFECYCLE, HOTSWAP_FIELDS_EndpointVerified) \
    EVENT(WorkerCreate,      4, 0, HOTSWAP_KEYWORD_LIFECYCLE, HOTSWAP_FIELDS_WorkerCreate) \
    EVENT(WorkerThreadStart, 4, 1, HOTSWAP_KEYWORD_LIFECYCLE, HOTSWAP_FIELDS_WorkerThread) \
    EVENT(WorkerThreadEnd,   4, 2, HOTSWAP_KEYWORD_LIFECYCLE, HOTSWAP_FIELDS_WorkerThread) \
    EVENT(WorkerStop,        4, 0, HOTSWAP_KEYWORD_LIFECYCLE, HOTSWAP_FIELDS_WorkerStop) \
    EVENT(LoadStart,         4, 1, HOTSWAP_KEYWORD_LIFECYCLE, HOTSWAP_FIELDS_LoadStart) \
    EVENT(LoadStop,          4, 2, HOTSWAP_KEYWORD_LIFECYCLE, HOTSWAP_FIELDS_LoadStop) \
    EVENT(SignalBegin,       5, 1, HOTSWAP_KEYWORD_SIGNAL,    HOTSWAP_FIELDS_SignalBegin) \
    EVENT(SignalEnd,         5, 2, HOTSWAP_KEYWORD_SIGNAL,    HOTSWAP_FIELDS_SignalEnd) \
    EVENT(EventClear,        5, 0, HOTSWAP_KEYWORD_SIGNAL,    HOTSWAP_FIELDS_EventClear) \
    EVENT(IterationBegin,    5, 1, HOTSWAP_KEYWORD_ITERATION, HOTSWAP_FIELDS_IterationBegin) \
    EVENT(IterationEnd,      5, 2, HOTSWAP_KEYWORD_ITERATION, HOTSWAP_FIELDS_IterationEnd) \
    EVENT(EndpointWork,      5, 0, HOTSWAP_KEYWORD_ITERATION, HOTSWAP_FIELDS_EndpointWork) \
    EVENT(SwapBegin,         4, 1, HOTSWAP_KEYWORD_SWAP,      HOTSWAP_SWAP_FIELDS) \
    EVENT(SwapPreProcess,    4, 0, HOTSWAP_KEYWORD_SWAP,      HOTSWAP_SWAP_FIELDS) /* callback returned */ \
    EVENT(SwapStalled,       4, 0, HOTSWAP_KEYWORD_SWAP,      HOTSWAP_SWAP_FIELDS) /* new calls are held */ \
    EVENT(SwapFirstHeld,     4, 0, HOTSWAP_KEYWORD_SWAP,      HOTSWAP_SWAP_FIELDS) /* on the thread held */ \
    EVENT(SwapDrained,       4, 0, HOTSWAP_KEYWORD_SWAP,      HOTSWAP_SWAP_FIELDS) /* no call is inside */ \
    EVENT(SwapProxyStalled,  4, 0, HOTSWAP_KEYWORD_SWAP,      HOTSWAP_SWAP_FIELDS) /* callback returned */ \
    EVENT(SwapSwitched,      4, 0, HOTSWAP_KEYWORD_SWAP,      HOTSWAP_SWAP_FIELDS) /* pointers are the new ones */ \
    EVENT(SwapReleased,      4, 0, HOTSWAP_KEYWORD_SWAP,      HOTSWAP_SWAP_FIELDS) /* before held calls go on */ \
    EVENT(SwapPostProcess,   4, 0, HOTSWAP_KEYWORD_SWAP,      HOTSWAP_SWAP_FIELDS) /* callback returned */ \
    EVENT(SwapRolledBack,    3, 0, HOTSWAP_KEYWORD_SWAP,      HOTSWAP_SWAP_FIELDS) /* old version is in force */ \
    EVENT(SwapEnd,           4, 2, HOTSWAP_KEYWORD_SWAP,      HOTSWAP_FIELDS_SwapEnd) \
    /* Fine steps of the runtime, only when configured; in the order of HS_PROXY_STEP. */ \
    EVENT(ProxyWoken, 5, 0, HOTSWAP_KEYWORD_STEP,      HOTSWAP_FIELDS_ProxyStep) \
    EVENT(ProxyCallEntering, 5, 0, HOTSWAP_KEYWORD_STEP,      HOTSWAP_FIELDS_ProxyStep) \
    EVENT(ProxyCallInside, 5, 0, HOTSWAP_KEYWORD_STEP,      HOTSWAP_FIELDS_ProxyStep) \
    EVENT(ProxyCallReturned, 5, 0, HOTSWAP_KEYWORD_STEP,      HOTSWAP_FIELDS_ProxyStep) \
    EVENT(ProxyCallLeft, 5, 0, HOTSWAP_KEYWORD_STEP,      HOTSWAP_FIELDS_ProxyStep) \
    EVENT(ProxyCallHeld, 5, 0, HOTSWAP_KEYWORD_STEP,      HOTSWAP_FIELDS_ProxyStep) \
    EVENT(ProxyCallResumed, 5, 0, HOTSWAP_KEYWORD_STEP,      HOTSWAP_FIELDS_ProxyStep) \
    EVENT(ProxyPointerSwitched, 5, 0, HOTSWAP_KEYWORD_STEP,      HOTSWAP_FIELDS_ProxyStep) \
    EVENT(ProxyStallSet, 5, 0, HOTSWAP_KEYWORD_STEP,      HOTSWAP_FIELDS_ProxyStep) \
    EVENT(ProxyReleaseDone, 5, 0, HOTSWAP_KEYWORD_STEP,      HOTSWAP_FIELDS_ProxyStep)

#define HOTSWAP_FIELDS_HostStart(F) F(UINT32, ContractVersion) F(UINT32, RingSlots) F(UINT64, TickFrequency)
#define HOTSWAP_FIELDS_HostStop(F) \
    F(UINT32, Workers) F(UINT32, Threads) F(UINT32, Allocations) F(UINT32, Events) F(UINT32, References) \
    F(UINT32, EndpointDrivers) F(UINT32, ProxyExtensions) F(UINT32, ProxyWrappers) F(UINT32, ProxyThreads) \
    F(UINT32, ProxyAllocations) F(UINT32, ProxyActiveCalls) F(UINT64, Iterations) F(UINT64, Signals) \
    F(UINT64, EventsDropped)
#define HOTSWAP_FIELDS_RuntimeChosen(F) \
    F(UINT32, Runtime) F(NTSTATUS, Status) F(HEX32, MissingMask) F(HEX32, FeatureFlags)
#define HOTSWAP_FIELDS_EndpointLoaded(F) F(UINT32, Version) F(UINT32, EndpointCount) F(NTSTATUS, Status)
#define HOTSWAP_FIELDS_EndpointUnloaded(F) F(UINT32, Version) F(NTSTATUS, Status)
/*
 * When an endpoint image has left (or would not: Status). Imports were interposed and called Calls times; then what the image
 * took through them and did not give back. Status: success, or why imports could not be interposed or not all was seen.
 * Version 0: its DriverEntry failed.
 */
#define HOTSWAP_FIELDS_EndpointVerified(F) \
    F(UINT32, Version) F(NTSTATUS, Status) F(UINT32, Imports) F(UINT32, Calls) F(UINT32, PoolBlocks) F(UINT64, PoolBytes) \
    F(UINT32, Threads) F(UINT32, Events) F(UINT32, Handles) F(UINT32, References)
#define HOTSWAP_FIELDS_WorkerCreate(F) \
    F(UINT32, Worker) F(UINT32, WorkerThreadId) F(UINT32, WaitType) F(UINT32, WaitReason) F(UINT32, WaitMode) \
    F(UINT32, Altertable) F(UINT32, HasTimeout) F(INT64, Timeout) F(UINT32, EventCount) \
    F(HEX64, NotificationMask) F(HEX64, InitialStateMask) F(NTSTATUS, Status)
#define HOTSWAP_FIELDS_WorkerThread(F) F(UINT32, Worker) F(UINT32, WorkerThreadId)
#define HOTSWAP_FIELDS_WorkerStop(F) \
    F(UINT32, Worker) F(UINT64, Iterations) F(HEX64, FinalStateMask) F(NTSTATUS, Status)
#define HOTSWAP_FIELDS_LoadStart(F) F(UINT32, Load) F(UINT32, Threads) F(UINT32, RatePerSecond) F(UINT64, Seed)
#define HOTSWAP_FIELDS_LoadStop(F) F(UINT32, Load) F(UINT64, Signals) F(UINT64, Accepted)
#define HOTSWAP_FIELDS_SignalBegin(F) F(UINT32, Worker) F(UINT32, EventIndex) F(UINT64, Signal) F(UINT32, Source)
#define HOTSWAP_FIELDS_SignalEnd(F) \
    F(UINT32, Worker) F(UINT32, EventIndex) F(UINT64, Signal) F(UINT32, Source) F(UINT32, PreviousState)
#define HOTSWAP_FIELDS_EventClear(F) F(UINT32, Worker) F(UINT32, EventIndex) F(UINT32, PreviousState)
#define HOTSWAP_FIELDS_IterationBegin(F) \
    F(UINT32, Worker) F(UINT64, Iteration) F(UINT32, Version) F(NTSTATUS, WaitStatus)
#define HOTSWAP_FIELDS_IterationEnd(F) \
    F(UINT32, Worker) F(UINT64, Iteration) F(UINT32, Version) F(NTSTATUS, WaitStatus) F(UINT32, Continue)
/* Written on behalf of the endpoint driver: Version and Result are its own words. */
#define HOTSWAP_FIELDS_EndpointWork(F) \
    F(UINT32, Worker) F(UINT64, Iteration) F(UINT32, Version) F(NTSTATUS, WaitStatus) F(UINT64, Result)
/* Worker is that of the thread, 0 on others. EndpointId: HOTSWAP_ENDPOINT_ID, or 0xFFFFFFFF for a step of none. */
#define HOTSWAP_FIELDS_ProxyStep(F) F(UINT32, Worker) F(UINT32, EndpointId) F(NTSTATUS, Status)
#define HOTSWAP_FIELDS_SwapEnd(F) \
    F(UINT32, Swap) F(UINT32, FromVersion) F(UINT32, ToVersion) F(NTSTATUS, Status) F(UINT32, HeldCalls)
/* clang-format on */
