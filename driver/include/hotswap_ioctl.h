/*
 * IOCTL contract of the host driver, hotswap.sys. Device: \Device\HotSwap, link \\.\HotSwap.
 *
 * The build asks clang for every value, offset and size in this file and writes them to ioctl.json beside
 * the .sys; user mode is generated from that file, so this header is the only place where they are stated.
 * All requests are METHOD_BUFFERED. Structures are naturally aligned, hold no pointers and no handles.
 * Times are ticks of KeQueryPerformanceCounter unless a field's name says otherwise.
 *
 * Pended requests are run one after the other, and updates likewise, but beside them: workers can be created and stopped while
 * a swap is under way. A shutdown waits for the update that is, and refuses those queued behind it.
 */
#pragma once

#define HOTSWAP_CONTRACT_VERSION 1
#define HOTSWAP_MAX_WORKERS 64
#define HOTSWAP_MAX_EVENTS 64
#define HOTSWAP_MAX_VERSIONS 8
#define HOTSWAP_MAX_LOADS 8
#define HOTSWAP_MAX_LOAD_THREADS 8
#define HOTSWAP_MAX_LOAD_TARGETS 256
#define HOTSWAP_SERVICE_NAME_CHARS 64
#define HOTSWAP_MAX_CALL_ARGUMENTS 8
#define HOTSWAP_MAX_WORK_MICROSECONDS 20000000 /* twice what a stop waits for a thread; longer would hold swaps for as long */

#define HOTSWAP_CTL(n) CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800 + (n), METHOD_BUFFERED, FILE_READ_DATA | FILE_WRITE_DATA)

/* IOCTL                                           input                     output */
#define IOCTL_HOTSWAP_GET_VERSION HOTSWAP_CTL(0)    /* -                      HOTSWAP_VERSION_INFO */
#define IOCTL_HOTSWAP_CONFIGURE HOTSWAP_CTL(1)      /* HOTSWAP_CONFIGURATION  HOTSWAP_VERSION_INFO, pended */
#define IOCTL_HOTSWAP_CREATE_WORKER HOTSWAP_CTL(2)  /* HOTSWAP_CREATE_WORKER  HOTSWAP_WORKER_CREATED, pended */
#define IOCTL_HOTSWAP_QUERY_WORKER HOTSWAP_CTL(3)   /* HOTSWAP_WORKER_ID      HOTSWAP_WORKER_INFO */
#define IOCTL_HOTSWAP_STOP_WORKER HOTSWAP_CTL(4)    /* HOTSWAP_WORKER_ID      HOTSWAP_WORKER_STOPPED, pended */
#define IOCTL_HOTSWAP_ALERT_WORKER HOTSWAP_CTL(5)   /* HOTSWAP_WORKER_ID      HOTSWAP_STATUS_REPLY, pended */
#define IOCTL_HOTSWAP_SIGNAL_EVENT HOTSWAP_CTL(6)   /* HOTSWAP_EVENT_REQUEST  HOTSWAP_EVENT_REPLY */
#define IOCTL_HOTSWAP_CLEAR_EVENT HOTSWAP_CTL(7)    /* HOTSWAP_EVENT_REQUEST  HOTSWAP_EVENT_REPLY */
#define IOCTL_HOTSWAP_QUERY_EVENT HOTSWAP_CTL(8)    /* HOTSWAP_EVENT_REQUEST  HOTSWAP_EVENT_REPLY */
#define IOCTL_HOTSWAP_START_LOAD HOTSWAP_CTL(9)     /* HOTSWAP_START_LOAD     HOTSWAP_LOAD_ID, pended */
#define IOCTL_HOTSWAP_STOP_LOAD HOTSWAP_CTL(10)     /* HOTSWAP_LOAD_ID        HOTSWAP_LOAD_STOPPED, pended */
#define IOCTL_HOTSWAP_UPDATE HOTSWAP_CTL(11)        /* HOTSWAP_UPDATE         HOTSWAP_UPDATE_REPLY, pended */
#define IOCTL_HOTSWAP_QUERY_COUNTERS HOTSWAP_CTL(12) /* -                     HOTSWAP_COUNTERS */
#define IOCTL_HOTSWAP_DRAIN_TRACE HOTSWAP_CTL(13)   /* -                      TRACE_RING_CHUNK + entries (trace_ring.h) */
#define IOCTL_HOTSWAP_PROBE_RUNTIME HOTSWAP_CTL(14) /* HOTSWAP_PROBE_RUNTIME  HOTSWAP_RUNTIME_INFO, pended */
#define IOCTL_HOTSWAP_CALL_ENDPOINT HOTSWAP_CTL(15) /* HOTSWAP_CALL_ENDPOINT  HOTSWAP_CALL_REPLY, pended */
#define IOCTL_HOTSWAP_SHUTDOWN HOTSWAP_CTL(16)      /* -                      HOTSWAP_COUNTERS, pended */
#define IOCTL_HOTSWAP_PAUSE_ARM HOTSWAP_CTL(17)     /* TRACE_PAUSE_ARM        TRACE_PAUSE_ARMED (trace_pause.h) */
#define IOCTL_HOTSWAP_PAUSE_WAIT HOTSWAP_CTL(18)    /* TRACE_PAUSE_WAIT       TRACE_PAUSE_STATE (trace_pause.h), pended */
#define IOCTL_HOTSWAP_PAUSE_QUERY HOTSWAP_CTL(19)   /* -                      TRACE_PAUSE_STATE (trace_pause.h) */
#define IOCTL_HOTSWAP_PAUSE_RELEASE HOTSWAP_CTL(20) /* TRACE_PAUSE_RELEASE    TRACE_PAUSE_STATE (trace_pause.h) */
#define IOCTL_HOTSWAP_PAUSE_CLEAR HOTSWAP_CTL(21)   /* -                      TRACE_PAUSE_STATE (trace_pause.h) */

/* Who implements the DriverProxy API. Auto: native when complete and enabled, otherwise compat. */
typedef enum _HOTSWAP_RUNTIME {
    HotswapRuntimeAuto = 0,
    HotswapRuntimeNative = 1,
    HotswapRuntimeCompat = 2,
    HotswapRuntimePlain = 3 /* PsCreateSystemThread loops, update by restart: what hot-swap is measured against */
} HOTSWAP_RUNTIME;

/* What the host does wrong on purpose, so that a test sees its expectations fail. */
typedef enum _HOTSWAP_HOST_FAULT {
    HotswapFaultNone = 0,
    HotswapFaultOldCall = 1,   /* after a swap one iteration runs in the old version, past the wrapper */
    HotswapFaultKeepImage = 2, /* the image that a swap took out of force is silently not unloaded */
    HotswapFaultKeepLink = 3,  /* the link to the device outlives the driver */
    HotswapFaultKeepExtension = 4 /* the DriverProxy extension is not given back */
} HOTSWAP_HOST_FAULT;

typedef enum _HOTSWAP_WORKER_STATE {
    HotswapWorkerWaiting = 0,
    HotswapWorkerRunning = 1,
    HotswapWorkerStopping = 2,
    HotswapWorkerEnded = 3
} HOTSWAP_WORKER_STATE;

typedef enum _HOTSWAP_SIGNAL_SOURCE {
    HotswapSignalIoctl = 0,
    HotswapSignalLoad = 1,
    HotswapSignalStop = 2,
    HotswapSignalRestart = 3
} HOTSWAP_SIGNAL_SOURCE;

typedef enum _HOTSWAP_ENDPOINT_ID {
    HotswapEndpointIteration = 1, /* the host's own: writes IterationBegin/End around the wrapper call */
    HotswapEndpointWorker = 2,    /* the endpoint driver's worker routine */
    HotswapEndpointCompute = 3    /* ULONG64 (ULONG64 x 6): more parameters than registers */
} HOTSWAP_ENDPOINT_ID;

typedef struct _HOTSWAP_VERSION_INFO {
    ULONG ContractVersion;
    ULONG Runtime;          /* HOTSWAP_RUNTIME in use; Auto until the first worker or update needs one */
    LONG RuntimeStatus;     /* NTSTATUS that decided it: why native is not used */
    ULONG CurrentVersion;   /* endpoint driver version, 0 = none loaded */
    ULONG64 TickFrequency;  /* per second */
    ULONG RingSlots;
    ULONG EtwEnabled;       /* 1 when events also go through ETW */
} HOTSWAP_VERSION_INFO;

typedef struct _HOTSWAP_CONFIGURATION {
    ULONG Runtime;          /* HOTSWAP_RUNTIME */
    ULONG RingSlots;        /* 0 = default; rounded up to a power of two */
    ULONG DrainTimeoutMs;   /* 0 = default, 5000 (R12) */
    ULONG InvertReturn;     /* 1 = worker routine TRUE ends the thread, as inbox drivers do (4.9 a) */
    ULONG HostFault;        /* HOTSWAP_HOST_FAULT */
    ULONG Verbose;          /* 1 = the runtime's fine steps are traced as well (compat) */
    ULONG JoinTimeoutMs;    /* how long the end of a worker's thread is waited for; 0 = default, 10000 */
} HOTSWAP_CONFIGURATION;

typedef struct _HOTSWAP_CREATE_WORKER {
    ULONG WaitType;         /* WAIT_TYPE: 0 WaitAll, 1 WaitAny */
    ULONG WaitReason;       /* KWAIT_REASON */
    UCHAR WaitMode;         /* KPROCESSOR_MODE: 0 KernelMode, 1 UserMode */
    UCHAR Altertable;
    UCHAR HasTimeout;
    UCHAR Reserved;
    ULONG EventCount;       /* 1..64 */
    LONG64 Timeout;         /* 100 ns; negative relative, positive absolute */
    ULONG64 NotificationMask; /* bit i: event i is a NotificationEvent, else a SynchronizationEvent */
    ULONG64 InitialStateMask; /* bit i: event i starts signalled */
    ULONG WorkMicroseconds; /* how long the endpoint's work runs; HOTSWAP_MAX_WORK_MICROSECONDS at most */
    ULONG Reserved2;
} HOTSWAP_CREATE_WORKER;

typedef struct _HOTSWAP_WORKER_CREATED {
    ULONG WorkerId;         /* 1.. */
    LONG Status;            /* NTSTATUS of IoDriverProxyCreateHotSwappableWorkerThread */
    ULONG ThreadId;
    ULONG ProcessId;
} HOTSWAP_WORKER_CREATED;

typedef struct _HOTSWAP_WORKER_ID {
    ULONG WorkerId;
} HOTSWAP_WORKER_ID;

typedef struct _HOTSWAP_VERSION_COUNT {
    ULONG Version;
    ULONG Reserved;
    ULONG64 Iterations;
} HOTSWAP_VERSION_COUNT;

typedef struct _HOTSWAP_WORKER_INFO {
    ULONG WorkerId;
    ULONG State;            /* HOTSWAP_WORKER_STATE */
    ULONG64 Iterations;
    LONG LastWaitStatus;
    ULONG ThreadId;
    ULONG EventCount;
    ULONG VersionCount;
    HOTSWAP_VERSION_COUNT Versions[HOTSWAP_MAX_VERSIONS];
} HOTSWAP_WORKER_INFO;

typedef struct _HOTSWAP_WORKER_STOPPED {
    ULONG WorkerId;
    LONG Status;
    ULONG64 Iterations;
    ULONG64 FinalStateMask; /* bit i: event i was signalled when the thread had ended */
} HOTSWAP_WORKER_STOPPED;

typedef struct _HOTSWAP_STATUS_REPLY {
    LONG Status;
} HOTSWAP_STATUS_REPLY;

typedef struct _HOTSWAP_EVENT_REQUEST {
    ULONG WorkerId;
    ULONG EventIndex;
} HOTSWAP_EVENT_REQUEST;

typedef struct _HOTSWAP_EVENT_REPLY {
    LONG PreviousState;     /* what KeSetEvent / KeResetEvent / KeReadStateEvent returned */
    ULONG Notification;     /* 1 for a NotificationEvent */
    ULONG64 Signals;        /* KeSetEvent calls on this event */
    ULONG64 Accepted;       /* of these, how many returned 0 */
    LONG64 Tick;            /* after the call */
} HOTSWAP_EVENT_REPLY;

typedef struct _HOTSWAP_LOAD_ID {
    ULONG LoadId;
} HOTSWAP_LOAD_ID;

/*
 * HOTSWAP_START_LOAD.Flags. No threads: each target is signalled once per swap, on the swapping thread while calls are held
 * and none is inside. Threads, RatePerSecond and SignalLimit are 0.
 */
#define HOTSWAP_LOAD_WHILE_STALLED 1

typedef struct _HOTSWAP_START_LOAD {
    ULONG Threads;          /* 1..HOTSWAP_MAX_LOAD_THREADS */
    ULONG RatePerSecond;    /* signals per second over all threads; 0 = as fast as it goes */
    ULONG64 Seed;
    ULONG64 SignalLimit;    /* stop by itself after so many signals; 0 = none */
    ULONG TargetCount;      /* 1..HOTSWAP_MAX_LOAD_TARGETS */
    ULONG Flags;            /* HOTSWAP_LOAD_WHILE_STALLED or 0 */
    HOTSWAP_EVENT_REQUEST Targets[HOTSWAP_MAX_LOAD_TARGETS];
} HOTSWAP_START_LOAD;

typedef struct _HOTSWAP_LOAD_STOPPED {
    ULONG LoadId;
    LONG Status;
    ULONG64 Signals;
    ULONG64 Accepted;
} HOTSWAP_LOAD_STOPPED;

typedef struct _HOTSWAP_UPDATE {
    ULONG DrainTimeoutMs;   /* 0 = as configured */
    ULONG Reserved;
    WCHAR ServiceName[HOTSWAP_SERVICE_NAME_CHARS]; /* of the endpoint driver; empty = take it off, to version 0 */
} HOTSWAP_UPDATE;

/* Ticks are 0 for a phase that was not reached. */
typedef struct _HOTSWAP_UPDATE_REPLY {
    LONG Status;            /* NTSTATUS of IoRegisterDriverProxyEndpoints, or of the step before it that failed */
    ULONG FromVersion;
    ULONG ToVersion;        /* version in force after the call */
    ULONG HeldCalls;        /* calls that had to wait */
    LONG UnloadStatus;      /* NTSTATUS of ZwUnloadDriver on the image that left */
    ULONG RolledBack;
    LONG64 Begin;
    LONG64 Loaded;          /* ZwLoadDriver returned */
    LONG64 PreProcess;      /* callback returned */
    LONG64 Stalled;         /* calls are held from here on */
    LONG64 FirstHeld;       /* first call that waited */
    LONG64 Drained;         /* no call is inside */
    LONG64 Switched;
    LONG64 Released;
    LONG64 PostProcess;     /* callback returned */
    LONG64 Unloaded;        /* ZwUnloadDriver returned */
    LONG64 End;
} HOTSWAP_UPDATE_REPLY;

typedef struct _HOTSWAP_COUNTERS {
    ULONG Workers;          /* worker objects */
    ULONG Threads;          /* worker and load threads not joined yet; the lanes' threads are not counted */
    ULONG Allocations;      /* pool blocks; the ring and the device are not counted */
    ULONG Events;           /* initialised KEVENTs of workers */
    ULONG References;       /* object references and handles held */
    ULONG EndpointDrivers;  /* endpoint images loaded by the host */
    ULONG ProxyExtensions;  /* the runtime's own counts; 0 on native */
    ULONG ProxyWrappers;
    ULONG ProxyThreads;
    ULONG ProxyAllocations;
    ULONG ProxyActiveCalls;
    ULONG ProxyHeldCalls;
    ULONG64 AllocationBytes;
    ULONG64 EventsWritten;  /* trace ring */
    ULONG64 EventsDropped;
    ULONG64 Iterations;
    ULONG64 Signals;
} HOTSWAP_COUNTERS;

/* Choose a runtime with a made-up set of native exports: what would the host do on such a kernel? */
typedef struct _HOTSWAP_PROBE_RUNTIME {
    ULONG MissingMask;      /* bit i: export i of HOTSWAP_NATIVE_EXPORT is not there */
    ULONG FeatureFlags;     /* what IoGetDriverProxyFeatures answers */
    LONG CreateStatus;      /* what IoCreateDriverProxyExtension answers */
} HOTSWAP_PROBE_RUNTIME;

typedef enum _HOTSWAP_NATIVE_EXPORT {
    HotswapExportIoGetDriverProxyFeatures = 0,
    HotswapExportIoCreateDriverProxyExtension = 1,
    HotswapExportIoRegisterDriverProxyEndpoints = 2,
    HotswapExportIoGetDriverProxyEndpointWrapper = 3,
    HotswapExportIofGetDriverProxyWrapperFromEndpoint = 4,
    HotswapExportIoGetDriverProxyExtensionFromDriverObject = 5,
    HotswapExportIoDriverProxyCreateHotSwappableWorkerThread = 6,
    HotswapExportCount = 7
} HOTSWAP_NATIVE_EXPORT;

typedef struct _HOTSWAP_RUNTIME_INFO {
    ULONG Runtime;          /* HOTSWAP_RUNTIME chosen */
    LONG Status;            /* why native was not: STATUS_PROCEDURE_NOT_FOUND, STATUS_NOT_SUPPORTED, ... */
    ULONG MissingMask;      /* exports found missing */
    ULONG FeatureFlags;
} HOTSWAP_RUNTIME_INFO;

typedef struct _HOTSWAP_CALL_ENDPOINT {
    ULONG EndpointId;       /* HotswapEndpointCompute */
    ULONG ArgumentCount;
    ULONG64 Arguments[HOTSWAP_MAX_CALL_ARGUMENTS];
} HOTSWAP_CALL_ENDPOINT;

typedef struct _HOTSWAP_CALL_REPLY {
    LONG Status;
    ULONG Version;          /* in force when the call was made */
    ULONG64 Result;
} HOTSWAP_CALL_REPLY;
