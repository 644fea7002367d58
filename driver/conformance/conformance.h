/* conformance.sys: what its parts share. One concept, one file; main.c is the map. */
#pragma once

#include "common.h"

#define CF_RESET_MS 5000
#define CF_ACTOR_LANE 0x100 /* actor of lane 0 (conformance_events.h) */
#define CF_THREADS 512 /* power of two; threads that were seen since the last reset */

typedef struct _CF_THREAD CF_THREAD;

extern PDRIVER_OBJECT CfDriverObject;
extern volatile BOOLEAN CfEnding; /* a reset is under way: nobody waits, everybody ends */

/* KeMemoryBarrier is another in each toolchain's headers. */
static __inline VOID CfBarrier(void)
{
    volatile LONG fence = 0;

    InterlockedExchange(&fence, 1);
}

/* ---- runtime.c: whose functions are called ---- */

extern HS_RUNTIME_TABLE CfTable;
extern CONFORMANCE_RUNTIME CfRuntime;

_IRQL_requires_(PASSIVE_LEVEL) VOID RuntimeDriverEntry(void);
HS_DISPATCH_HANDLER RuntimeSelect;
HS_DISPATCH_HANDLER RuntimeVersion;
HS_DISPATCH_HANDLER RuntimeCounters;
HS_DISPATCH_HANDLER RuntimeFailAllocation;
HS_DISPATCH_HANDLER RuntimeSetAvailability;
VOID RuntimeQueryCounters(_Out_ CONFORMANCE_COUNTERS *Counters);

/* ---- api.c: around each call of the API ---- */

typedef struct _CF_API {
    CONFORMANCE_RESULT *Result;
    ULONG FailAllocation;
    KIRQL OldIrql;
    BOOLEAN Raised;
} CF_API;

VOID ApiBegin(_Out_ CF_API *Api, _In_ const CONFORMANCE_CALLER *Caller, _In_ ULONG Irql, _Inout_ CONFORMANCE_RESULT *Result);
VOID ApiEnd(_Inout_ CF_API *Api, _In_ NTSTATUS Status);
_Must_inspect_result_ NTSTATUS ApiDriverObject(_In_ const CONFORMANCE_DRIVER *Driver, _In_ BOOLEAN MayBeGone, _Out_ PDRIVER_OBJECT *Object);

/* ---- lanes.c: the driver's threads, and prepared requests ---- */

_IRQL_requires_(PASSIVE_LEVEL) _Must_inspect_result_ NTSTATUS LanesDriverEntry(void);
_IRQL_requires_(PASSIVE_LEVEL) VOID LanesUnload(void);
VOID LanesCancelAll(void);
ULONG LanesProcessId(void);
ULONG LanesBusy(void); /* bit i: lane i has a request */
VOID LanesDescribe(_Out_ CONFORMANCE_SNAPSHOT_REPLY *Snapshot);
BOOLEAN LaneHasDone(_In_ ULONG Lane, _In_ ULONG64 Sequence);
ULONG LaneOfThread(_In_ ULONG ThreadId); /* CONFORMANCE_NONE: no lane */
_IRQL_requires_(PASSIVE_LEVEL) VOID PreparedRun(_In_ ULONG Prepared); /* on this thread */
HS_DISPATCH_HANDLER PreparedKeep;
HS_DISPATCH_HANDLER PreparedQuery;
VOID PreparedReset(void);

/* ---- extension.c ---- */

/* STATUS_NOT_FOUND, STATUS_INVALID_PARAMETER. CONFORMANCE_NONE is NULL. */
_Must_inspect_result_ NTSTATUS ExtensionFind(_In_ ULONG Number, _Out_ PDRIVER_PROXY_EXTENSION *Extension);
ULONG ExtensionNumber(_In_opt_ PVOID Pointer);
ULONG ExtensionCount(void);
VOID ExtensionForgetHelper(_In_ ULONG Helper); /* they have gone with their owner */
_IRQL_requires_(PASSIVE_LEVEL) ULONG ExtensionDeleteAll(_Out_ NTSTATUS *Status); /* bit i: extension i could not be deleted */
VOID ExtensionDescribe(_Out_ CONFORMANCE_SNAPSHOT_REPLY *Snapshot);
HS_DISPATCH_HANDLER ExtensionFeatures;
HS_DISPATCH_HANDLER ExtensionCreate;
HS_DISPATCH_HANDLER ExtensionDelete;
HS_DISPATCH_HANDLER ExtensionSetOptions;
HS_DISPATCH_HANDLER ExtensionFromDriver;

/* ---- register.c ---- */

HS_DISPATCH_HANDLER RegisterEndpoints;
HS_DISPATCH_HANDLER RegisterImage;
extern volatile LONG64 CfPhaseCalls;

/* ---- lookup.c, call.c ---- */

VOID LookupReset(void);
_Must_inspect_result_ BOOLEAN LookupWrapper(_In_ ULONG Number, _Out_ PVOID *Address);
HS_DISPATCH_HANDLER LookupOne;
HS_DISPATCH_HANDLER LookupAll;
HS_DISPATCH_HANDLER CallFunction;

/* What an endpoint saw, of a call that CallFunction has made. */
typedef struct _CF_SEEN {
    struct _CF_FRAME *Base; /* innermost endpoint around the call */
    CONFORMANCE_CALLED *Called;
} CF_SEEN;

ULONG64 CallSum(_In_reads_(Count) const ULONG64 *Arguments, _In_ ULONG Count);

typedef union _CF_BITS {
    ULONG64 Bits;
    double Number;
} CF_BITS;

/* ---- catch.c ---- */

typedef ULONG64 CF_CATCH_BODY(_In_opt_ PVOID Context);

/* What Body returns; 0, and *Caught written, when it raises. */
ULONG64 CatchCall(_In_ CF_CATCH_BODY *Body, _In_opt_ PVOID Context, _Inout_ NTSTATUS *Caught);
VOID CatchFault(void); /* raises STATUS_ACCESS_VIOLATION */

/* ---- functions.c: the endpoints at their addresses ---- */

PVOID FunctionAddress(_In_ ULONG Kind, _In_ ULONG Version, _In_ ULONG Endpoint);
_Must_inspect_result_ NTSTATUS FunctionResolve(_In_ const CONFORMANCE_FUNCTION *Function, _Out_ PVOID *Address);

/* ---- endpoint.c: what they do ---- */

typedef struct _CF_FRAME { /* one call of an endpoint, on its stack */
    struct _CF_FRAME *Previous;
    ULONG Version;
    ULONG Endpoint;
} CF_FRAME;

typedef struct _CF_ENTRY {
    ULONG Kind;
    ULONG Version;
    ULONG Endpoint;
    PVOID Context;                /* of a routine */
    NTSTATUS WaitStatus;
    const ULONG64 *Arguments;     /* CONFORMANCE_MAX_ARGUMENTS of them, or NULL */
} CF_ENTRY;

ULONG64 EndpointRun(_In_ const CF_ENTRY *Entry);
BOOLEAN EndpointComputes(_In_ ULONG Version, _In_ ULONG Endpoint);
VOID EndpointReset(void);
VOID EndpointDescribe(_Out_ CONFORMANCE_SNAPSHOT_REPLY *Snapshot);
ULONG64 EndpointCalls(_In_ ULONG Number);  /* (version - 1) * 16 + endpoint */
ULONG EndpointInside(_In_ ULONG Number);
ULONG EndpointInsideAll(void);
ULONG64 EndpointCallsAll(void);
HS_DISPATCH_HANDLER EndpointSetBehaviour;
HS_DISPATCH_HANDLER EndpointQuery;

/* ---- gate.c: events and gates ---- */

VOID GateDriverEntry(void);
VOID GateOpenAll(void);
VOID GateReset(_In_ BOOLEAN EventsAsWell); /* events only when no thread can be waiting on them */
VOID GateWait(_In_ ULONG Gate); /* any IRQL; above APC_LEVEL by spinning, and only for the gate to open for all */
BOOLEAN GateIsOpen(_In_ ULONG Gate);
ULONG GateWaiting(_In_ ULONG Gate);
VOID GateDescribe(_Out_ CONFORMANCE_SNAPSHOT_REPLY *Snapshot);
PKEVENT EventAt(_In_ ULONG Event); /* NULL: no such */
VOID EventSet(_In_ ULONG Event);
VOID EventClear(_In_ ULONG Event);
VOID EventSetAll(void);
HS_DISPATCH_HANDLER EventInit;
HS_DISPATCH_HANDLER EventOnSet;
HS_DISPATCH_HANDLER EventOnSetOnce;
HS_DISPATCH_HANDLER EventOnClear;
HS_DISPATCH_HANDLER EventOnQuery;
HS_DISPATCH_HANDLER GateSet;
HS_DISPATCH_HANDLER GateQuery;

/* ---- thread_table.c: what is known of each thread ---- */

struct _CF_THREAD {
    volatile LONG Id; /* 0: free */
    /* The rest is the thread's own, but for who asks. */
    CF_FRAME *Top;
    CF_SEEN *Seen;
    struct _CF_REGISTRATION *Registration;
    LONG Routines; /* running */
    volatile LONG64 Iterations;
    ULONG64 VersionIterations[CONFORMANCE_VERSIONS + 1];
    ULONG64 FirstContext;
    ULONG64 OtherContext; /* unlike the first */
    ULONG64 Overlaps;
    ULONG64 LastContext;
    LONG64 FirstTick;
    LONG64 LastTick;
    ULONG LastEndpoint;
    ULONG LastVersion;
    ULONG LastIrql;
    ULONG LastStatus[CONFORMANCE_LAST_STATUSES]; /* a ring; iteration n is at (n - 1) modulo its size */
};

CF_THREAD *ThreadHere(void);  /* made when there is none; NULL: the table is full */
CF_THREAD *ThreadFind(_In_ ULONG Id);
CF_THREAD *ThreadAt(_In_ ULONG Index); /* 0..CF_THREADS-1; NULL: free */
VOID ThreadForget(_In_ ULONG Id);
VOID ThreadReset(void);
ULONG ThreadActor(void); /* see conformance_events.h */

/* ---- worker.c, worker_info.c ---- */

typedef enum _CF_STATE { CfFree = 0, CfBusy = 1, CfThere = 2 } CF_STATE;

typedef struct _CF_WORKER {
    volatile LONG State; /* CF_STATE */
    PVOID ThreadObject;  /* NULL: joined, or never had */
    HANDLE Handle;
    ULONG ThreadId;
    ULONG64 Context;
} CF_WORKER;

extern CF_WORKER CfWorkers[CONFORMANCE_WORKERS];

ULONG WorkerOfThread(_In_ ULONG ThreadId); /* CONFORMANCE_NONE: of none */
ULONG WorkerOfContext(_In_ ULONG64 Context);
BOOLEAN WorkerIsAlive(_In_ ULONG Worker);
VOID WorkerSummary(_In_ ULONG Worker, _Out_ CONFORMANCE_WORKER_INFO *Info);
ULONG64 WorkerIterations(_In_ ULONG Worker);
VOID WorkerDescribe(_Out_ CONFORMANCE_SNAPSHOT_REPLY *Snapshot);
_IRQL_requires_(PASSIVE_LEVEL) ULONG WorkerReleaseEnded(void); /* bit i: worker i still lives */
HS_DISPATCH_HANDLER WorkerCreate;
HS_DISPATCH_HANDLER WorkerQuery;
HS_DISPATCH_HANDLER WorkerJoin;
HS_DISPATCH_HANDLER WorkerClose;
HS_DISPATCH_HANDLER WorkerAlert;
HS_DISPATCH_HANDLER WorkerRelease;

/* ---- guard.c: blocks behind which nothing can be read ---- */

_IRQL_requires_(PASSIVE_LEVEL) _Must_inspect_result_ PVOID GuardAllocate(_In_ SIZE_T Bytes, _In_ BOOLEAN Guarded);
_IRQL_requires_(PASSIVE_LEVEL) VOID GuardFree(_In_opt_ PVOID Block, _In_ SIZE_T Bytes, _In_ BOOLEAN Guarded);

/* ---- helper.c ---- */

PDRIVER_OBJECT HelperObject(_In_ ULONG Helper, _In_ BOOLEAN MayBeGone); /* NULL: none */
_Must_inspect_result_ BOOLEAN HelperStart(_In_ ULONG Helper, _Out_ ULONG64 *Start);
_IRQL_requires_(PASSIVE_LEVEL) ULONG HelperUnloadAll(void); /* bit i: helper i could not be unloaded */
HS_DISPATCH_HANDLER HelperLoad;
HS_DISPATCH_HANDLER HelperUnload;
HS_DISPATCH_HANDLER HelperQuery;

/* ---- wait.c ---- */

VOID WaitDriverEntry(void);
VOID WaitProgress(void); /* something has changed that somebody may wait for */
HS_DISPATCH_HANDLER WaitForConditions;

/* ---- notify.c, reset.c ---- */

HS_PROXY_NOTIFY NotifyTrace; /* Context: number of the extension */
ULONG NotifyDraining(void);  /* bit i: lane i */
HS_DISPATCH_HANDLER SnapshotTake;
HS_DISPATCH_HANDLER ResetRun;
VOID ResetDriverEntry(void);
_IRQL_requires_(PASSIVE_LEVEL) VOID ResetAll(_In_ ULONG TimeoutMs, _In_ BOOLEAN Unloading, _Out_ CONFORMANCE_RESET_REPLY *Reply);

/* ---- bench.c, bench_calls.c, bench_swaps.c, bench_latency.c: what is measured on compat ---- */

#define BENCH_ID 1 /* endpoints have ids from here on */

typedef struct _CF_BENCH { /* an extension of the benchmark's own, with its threads */
    PDRIVER_PROXY_EXTENSION Extension;
    PVOID Threads[CONFORMANCE_BENCH_WORKERS];
    ULONG ThreadCount;
    volatile LONG Ending;
} CF_BENCH;

typedef VOID CF_BENCH_KIND(_In_ const CONFORMANCE_BENCH *Request, _Inout_ CF_BENCH *Bench, _Inout_ CONFORMANCE_BENCH_REPLY *Reply);

HS_DISPATCH_HANDLER BenchRun;
CF_BENCH_KIND BenchCalls;
CF_BENCH_KIND BenchSwaps;
CF_BENCH_KIND BenchLatency;
BOOLEAN BenchPut(_Inout_ CONFORMANCE_BENCH_REPLY *Reply, _In_reads_(Count) const LONG64 *Row, _In_ ULONG Count); /* FALSE: it is full */
_IRQL_requires_(PASSIVE_LEVEL) _Must_inspect_result_ NTSTATUS BenchRegister(_In_ const CF_BENCH *Bench, _In_ PVOID Function,
                                                                           _In_ ULONG Endpoints);
PVOID BenchWrapper(_In_ const CF_BENCH *Bench); /* of the first endpoint */
_IRQL_requires_(PASSIVE_LEVEL) _Must_inspect_result_ NTSTATUS BenchWorker(_Inout_ CF_BENCH *Bench, _In_ PKEVENT Event, _In_opt_ PVOID Context);
_IRQL_requires_(PASSIVE_LEVEL) _Must_inspect_result_ NTSTATUS BenchThread(_Inout_ CF_BENCH *Bench, _In_ PKSTART_ROUTINE Routine,
                                                                         _In_opt_ PVOID Context);
