/* hotswap.sys, the host driver: what its parts share. One concept, one file; main.c is the map. */
#pragma once

#include "common.h"
#include "verifier.h"

/* ---- counters.c ---- */

VOID HsQueryCounters(_Out_ HOTSWAP_COUNTERS *Counters);

/* ---- runtime.c: native, compat or plain ---- */

C_ASSERT(HotswapExportCount == HS_NATIVE_EXPORTS);

VOID RuntimeDriverEntry(void);
/* Which runtime a kernel with these exports gets, and the extension made with it (NULL for plain). */
_IRQL_requires_(PASSIVE_LEVEL) VOID RuntimeChoose(_In_ HOTSWAP_RUNTIME Wanted, _In_ HS_RESOLVE *Resolve, _In_opt_ PVOID Context,
                                                  _In_ PDRIVER_OBJECT Owner, _Out_ HS_RUNTIME_TABLE *Table,
                                                  _Out_ PDRIVER_PROXY_EXTENSION *Extension, _Out_ HOTSWAP_RUNTIME_INFO *Info);
_IRQL_requires_(PASSIVE_LEVEL) VOID RuntimeProbe(_In_ const HOTSWAP_PROBE_RUNTIME *Probe, _Out_ HOTSWAP_RUNTIME_INFO *Info);
_IRQL_requires_(PASSIVE_LEVEL) _Must_inspect_result_ NTSTATUS RuntimeConfigure(_In_ const HOTSWAP_CONFIGURATION *Configuration);
_IRQL_requires_(PASSIVE_LEVEL) _Must_inspect_result_ NTSTATUS RuntimeStart(void); /* idempotent */
_IRQL_requires_(PASSIVE_LEVEL) NTSTATUS RuntimeStop(void);
_IRQL_requires_(PASSIVE_LEVEL) _Must_inspect_result_ NTSTATUS RuntimeSetOptions(_In_ ULONG DrainTimeoutMs); /* 0: as configured */
VOID RuntimeDescribe(_Out_ HOTSWAP_VERSION_INFO *Info);

extern HS_RUNTIME_TABLE HsRuntime;
extern PDRIVER_PROXY_EXTENSION HsExtension;
extern HOTSWAP_RUNTIME HsRuntimeKind;
extern BOOLEAN HsInvertReturn;
extern ULONG HsJoinTimeoutMs;
extern HOTSWAP_HOST_FAULT HsHostFault;
extern PDRIVER_OBJECT HsDriverObject;

/* ---- endpoints.c: the endpoints in force ---- */

typedef struct _HS_ENDPOINTS {
    ULONG Version; /* 0: the host's own, which do nothing */
    DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE *Worker;
    HS_COMPUTE_ENDPOINT *Compute;
    ULONG WorkerParameters; /* as the endpoint driver says: whether they fit is the runtime's to judge (R9) */
    ULONG ComputeParameters;
    PDRIVER_PROXY_REGISTER_CALLBACK PhaseCallback;
    PVOID CallbackContext;
} HS_ENDPOINTS;

extern HS_ENDPOINTS HsEndpoints;      /* version in force; changed while no call is inside */
extern HS_ENDPOINTS HsCallable;       /* what the host calls: wrappers, or the functions themselves when plain */
extern DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE *HsIterationRoutine; /* what a worker thread calls */
extern const HS_ENDPOINTS HsBuiltInEndpoints;

_Must_inspect_result_ NTSTATUS EndpointsFromDescriptor(_In_ const HS_ENDPOINT_DESCRIPTOR *Descriptor, _Out_ HS_ENDPOINTS *Endpoints);
_IRQL_requires_(PASSIVE_LEVEL) _Must_inspect_result_ NTSTATUS EndpointsRegister(_In_ const HS_ENDPOINTS *Endpoints,
                                                                               _In_opt_ PDRIVER_PROXY_REGISTER_CALLBACK Callback,
                                                                               _In_opt_ PVOID Context, _In_ BOOLEAN First);
extern const HS_HOST_SERVICES HsHostServices;

/* ---- worker_table.c, worker.c, signal.c, plain.c ---- */

typedef struct _HS_EVENT_OBJECT {
    KEVENT Event;
    volatile LONG64 Signals;
    volatile LONG64 Accepted;
} HS_EVENT_OBJECT;

/* A request for the end of a worker's thread can be taken back until an iteration has taken it. */
typedef enum _HS_STOP {
    HsStopNone = 0,
    HsStopRequested = 1,
    HsStopTaken = 2
} HS_STOP;

typedef struct _HS_WORKER {
    HS_WORKER_CONTEXT Context; /* first: endpoint drivers get its address */
    volatile LONG References;
    ULONG Id;
    volatile LONG Stop; /* HS_STOP */
    volatile LONG Ended;
    volatile LONG Finished; /* its routine has ended the thread, not a stop */
    volatile LONG Running;
    volatile NTSTATUS LastWaitStatus;
    HOTSWAP_CREATE_WORKER Parameters;
    HS_RUNDOWN Signals; /* closed before the final states are read */
    PVOID ThreadObject;
    ULONG ThreadId;
    ULONG VersionCount;
    HOTSWAP_VERSION_COUNT Versions[HOTSWAP_MAX_VERSIONS];
    PKEVENT EventPointers[HOTSWAP_MAX_EVENTS];
    HS_EVENT_OBJECT Events[ANYSIZE_ARRAY];
} HS_WORKER;

_Must_inspect_result_ BOOLEAN WorkerPublish(_Inout_ HS_WORKER *Worker); /* gives it its id; FALSE: the table is full */
_Must_inspect_result_ BOOLEAN WorkerUnpublish(_In_ HS_WORKER *Worker); /* TRUE: the table's reference is the caller's now */
HS_WORKER *WorkerReference(_In_ ULONG Id);
_IRQL_requires_max_(DISPATCH_LEVEL) ULONG WorkerOfThread(_In_ ULONG ThreadId); /* 0: of none */
VOID WorkerDereference(_In_opt_ HS_WORKER *Worker);
NTSTATUS WorkerForEach(_In_ NTSTATUS (*Action)(HS_WORKER *), _In_ BOOLEAN EndAtFailure);
ULONG WorkerCount(void);

_IRQL_requires_(PASSIVE_LEVEL) NTSTATUS WorkerCreate(_In_ const HOTSWAP_CREATE_WORKER *Parameters, _Out_ HOTSWAP_WORKER_CREATED *Created);
_IRQL_requires_(PASSIVE_LEVEL) _Must_inspect_result_ NTSTATUS WorkerStop(_In_ ULONG Id, _Out_ HOTSWAP_WORKER_STOPPED *Stopped);
_IRQL_requires_(PASSIVE_LEVEL) VOID WorkerStopAll(void);
_IRQL_requires_(PASSIVE_LEVEL) _Must_inspect_result_ NTSTATUS WorkerPauseAll(void);  /* plain: end the threads, keep the workers */
_IRQL_requires_(PASSIVE_LEVEL) _Must_inspect_result_ NTSTATUS WorkerResumeAll(void);
_Must_inspect_result_ NTSTATUS WorkerQuery(_In_ ULONG Id, _Out_ HOTSWAP_WORKER_INFO *Info);
_IRQL_requires_(PASSIVE_LEVEL) _Must_inspect_result_ NTSTATUS WorkerAlert(_In_ ULONG Id, _Out_ HOTSWAP_STATUS_REPLY *Reply);
DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE IterationRoutine; /* iteration.c */

/*
 * Plain only, and else nothing: a restart update excludes whatever needs worker threads, or endpoint functions, to stay. The
 * answer goes back to RestartInclude.
 */
VOID RestartDriverEntry(void);
_IRQL_requires_(PASSIVE_LEVEL) _Must_inspect_result_ BOOLEAN RestartExclude(void);
VOID RestartInclude(_In_ BOOLEAN Excluded);
NTSTATUS PlainCreateWorkerThread(_Out_ PHANDLE ThreadHandle, _Out_opt_ PCLIENT_ID ClientId,
                                 _In_ const DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE_START_CONTEXT *Start);

_Must_inspect_result_ NTSTATUS SignalEvent(_In_ HS_WORKER *Worker, _In_ ULONG Index, _In_ HOTSWAP_SIGNAL_SOURCE Source,
                                           _Out_opt_ LONG *PreviousState);
typedef NTSTATUS SIGNAL_OPERATION(_In_ const HOTSWAP_EVENT_REQUEST *Request, _Out_ HOTSWAP_EVENT_REPLY *Reply);
SIGNAL_OPERATION SignalRequest;
SIGNAL_OPERATION SignalClear;
SIGNAL_OPERATION SignalQuery;

/* ---- park.c: threads that endpoint drivers leave behind ---- */

VOID ParkDriverEntry(void);
_IRQL_requires_(PASSIVE_LEVEL) VOID ParkUnload(void); /* lets them go and waits for their end */
KSTART_ROUTINE ParkRoutine;

/* ---- load.c ---- */

_IRQL_requires_(PASSIVE_LEVEL) NTSTATUS LoadStart(_In_ const HOTSWAP_START_LOAD *Parameters, _Out_ HOTSWAP_LOAD_ID *Id);
_IRQL_requires_(PASSIVE_LEVEL) NTSTATUS LoadStop(_In_ ULONG Id, _Out_ HOTSWAP_LOAD_STOPPED *Stopped);
_IRQL_requires_(PASSIVE_LEVEL) VOID LoadStopAll(void);
_IRQL_requires_(PASSIVE_LEVEL) VOID LoadSignalStalled(void); /* on the swapping thread, once per swap: no call is inside */

/* ---- update.c, image.c ---- */

typedef struct _HS_IMAGE {
    BOOLEAN Loaded;
    ULONG Version;
    WCHAR ServiceName[HOTSWAP_SERVICE_NAME_CHARS];
    HS_VERIFIED Verified;
} HS_IMAGE;

_IRQL_requires_(PASSIVE_LEVEL) _Must_inspect_result_ NTSTATUS ImageLoad(_In_ PCWSTR ServiceName, _Out_ HS_IMAGE *Image,
                                                                       _Out_ HS_ENDPOINTS *Endpoints);
_IRQL_requires_(PASSIVE_LEVEL) NTSTATUS ImageUnload(_Inout_ HS_IMAGE *Image);

/* ---- fault.c: what the host does wrong on purpose ---- */

VOID FaultDriverEntry(void);
_IRQL_requires_(PASSIVE_LEVEL) VOID FaultAfterSwap(_In_ const HS_ENDPOINTS *From, _In_ const HS_ENDPOINTS *To);
_Must_inspect_result_ BOOLEAN FaultTakeOldCall(_Inout_ DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE **Routine, _Inout_ ULONG *Version);
VOID FaultOldCallReturned(void);
_Must_inspect_result_ BOOLEAN FaultForgetImage(_Inout_ HS_IMAGE *Image, _In_ const HS_ENDPOINTS *From, _In_ const HS_ENDPOINTS *To);

_IRQL_requires_(PASSIVE_LEVEL) VOID UpdateRun(_In_ const HOTSWAP_UPDATE *Update, _Out_ HOTSWAP_UPDATE_REPLY *Reply);
HS_PROXY_NOTIFY UpdateNotify;

/* ---- control.c: the two lanes, and the end ---- */

_IRQL_requires_(PASSIVE_LEVEL) _Must_inspect_result_ NTSTATUS ControlDriverEntry(void);
_IRQL_requires_(PASSIVE_LEVEL) VOID ControlUnload(void);
_IRQL_requires_max_(DISPATCH_LEVEL) BOOLEAN ControlShuttingDown(void); /* by a request, queued or under way, or by DriverUnload */
BOOLEAN ControlUnloading(void);    /* by DriverUnload: no image can be loaded or unloaded any more */
_IRQL_requires_max_(DISPATCH_LEVEL) NTSTATUS ControlQueue(_In_ PIRP Irp, _In_ BOOLEAN IsUpdate);
_IRQL_requires_max_(DISPATCH_LEVEL) VOID ControlCancelFile(_In_ PFILE_OBJECT FileObject);
_IRQL_requires_(PASSIVE_LEVEL) VOID ControlShutDown(void);
