/*
 * IOCTL contract of the conformance driver, conformance.sys. Device: \Device\HotSwapConformance, link
 * \\.\HotSwapConformance. As hotswap_ioctl.h; the build writes it to conformance.json.
 *
 * The driver calls the DriverProxy API with whatever it is asked to, right or wrong, and tells all about that call in one
 * reply. It protects itself only: objects are small numbers, and a number out of range or an object that is not there fails
 * the request (STATUS_INVALID_PARAMETER, STATUS_NOT_FOUND) instead of the call. The status of the call is in the reply.
 *
 * Requests that may wait run on one of the driver's threads, a lane, in the order in which they came: two lanes are two
 * threads. The others never wait, and run at once.
 */
#pragma once

#define CONFORMANCE_CONTRACT_VERSION 1
#define CONFORMANCE_LANES 16
#define CONFORMANCE_EXTENSIONS 16
#define CONFORMANCE_VERSIONS 4
#define CONFORMANCE_ENDPOINTS 16        /* of each kind and version; behaviours go by version and endpoint, whatever the kind */
#define CONFORMANCE_EVENT_OBJECTS 128
#define CONFORMANCE_GATES 32
#define CONFORMANCE_WORKERS 32
#define CONFORMANCE_WRAPPERS 1024       /* different addresses that lookups gave out since the last reset */
#define CONFORMANCE_HELPERS 4
#define CONFORMANCE_PREPARED 64
#define CONFORMANCE_MAX_ARGUMENTS 32
#define CONFORMANCE_MAX_REGISTERED 32
#define CONFORMANCE_MAX_PHASES 8
#define CONFORMANCE_MAX_CONDITIONS 16
#define CONFORMANCE_MAX_LOOKUPS 16
#define CONFORMANCE_MAX_WORKER_EVENTS 66
#define CONFORMANCE_LAST_STATUSES 16
#define CONFORMANCE_PREPARED_BYTES 1280
#define CONFORMANCE_BENCH_SAMPLES 4096
#define CONFORMANCE_BENCH_WORKERS 64
#define CONFORMANCE_BENCH_ENDPOINTS 256
#define CONFORMANCE_BENCH_MAX_COUNT 100000000
#define CONFORMANCE_BENCH_MAX_WORK_MICROSECONDS 1000000
#define CONFORMANCE_SERVICE_NAME_CHARS 64
#define CONFORMANCE_NONE 0xFFFFFFFF     /* no object: a NULL pointer where the call takes one */
#define CONFORMANCE_UNTOUCHED 0xC5C5C5C5C5C5C5C5ULL /* what out values hold before the call */

#define CONFORMANCE_CTL(n) CTL_CODE(FILE_DEVICE_UNKNOWN, 0x900 + (n), METHOD_BUFFERED, FILE_READ_DATA | FILE_WRITE_DATA)

/* IOCTL                                                      input                          output */
#define IOCTL_CONFORMANCE_GET_VERSION CONFORMANCE_CTL(0)      /* -                              CONFORMANCE_VERSION_INFO */
#define IOCTL_CONFORMANCE_RESET CONFORMANCE_CTL(1)            /* CONFORMANCE_RESET              CONFORMANCE_RESET_REPLY, pended */
#define IOCTL_CONFORMANCE_SELECT_RUNTIME CONFORMANCE_CTL(2)   /* CONFORMANCE_SELECT_RUNTIME     CONFORMANCE_RUNTIME_INFO */
#define IOCTL_CONFORMANCE_QUERY_COUNTERS CONFORMANCE_CTL(3)   /* -                              CONFORMANCE_COUNTERS */
#define IOCTL_CONFORMANCE_SNAPSHOT CONFORMANCE_CTL(4)         /* -                              CONFORMANCE_SNAPSHOT_REPLY */
#define IOCTL_CONFORMANCE_WAIT CONFORMANCE_CTL(5)             /* CONFORMANCE_WAIT               CONFORMANCE_WAITED, pended */
#define IOCTL_CONFORMANCE_PREPARE CONFORMANCE_CTL(6)          /* CONFORMANCE_PREPARE            CONFORMANCE_PREPARED_ID */
#define IOCTL_CONFORMANCE_QUERY_PREPARED CONFORMANCE_CTL(7)   /* CONFORMANCE_OBJECT             CONFORMANCE_PREPARED_RESULT */
#define IOCTL_CONFORMANCE_FEATURES CONFORMANCE_CTL(8)         /* CONFORMANCE_FEATURES           CONFORMANCE_FEATURES_REPLY, pended */
#define IOCTL_CONFORMANCE_CREATE_EXTENSION CONFORMANCE_CTL(9) /* CONFORMANCE_CREATE_EXTENSION   CONFORMANCE_EXTENSION_REPLY, pended */
#define IOCTL_CONFORMANCE_DELETE_EXTENSION CONFORMANCE_CTL(10) /* CONFORMANCE_EXTENSION          CONFORMANCE_DONE, pended */
#define IOCTL_CONFORMANCE_SET_OPTIONS CONFORMANCE_CTL(11)     /* CONFORMANCE_SET_OPTIONS        CONFORMANCE_DONE, pended */
#define IOCTL_CONFORMANCE_FROM_DRIVER CONFORMANCE_CTL(12)     /* CONFORMANCE_FROM_DRIVER        CONFORMANCE_EXTENSION_REPLY, pended */
#define IOCTL_CONFORMANCE_REGISTER CONFORMANCE_CTL(13)        /* CONFORMANCE_REGISTER           CONFORMANCE_REGISTERED, pended */
#define IOCTL_CONFORMANCE_LOOKUP CONFORMANCE_CTL(14)          /* CONFORMANCE_LOOKUP             CONFORMANCE_WRAPPER_REPLY, pended */
#define IOCTL_CONFORMANCE_LOOKUP_ALL CONFORMANCE_CTL(15)      /* CONFORMANCE_LOOKUP_ALL         CONFORMANCE_LOOKUP_ALL_REPLY, pended */
#define IOCTL_CONFORMANCE_CALL CONFORMANCE_CTL(16)            /* CONFORMANCE_CALL               CONFORMANCE_CALLED, pended */
#define IOCTL_CONFORMANCE_SET_BEHAVIOUR CONFORMANCE_CTL(17)   /* CONFORMANCE_BEHAVIOUR          - */
#define IOCTL_CONFORMANCE_QUERY_ENDPOINT CONFORMANCE_CTL(18)  /* CONFORMANCE_ENDPOINT_ID        CONFORMANCE_ENDPOINT_INFO */
#define IOCTL_CONFORMANCE_INIT_EVENT CONFORMANCE_CTL(19)      /* CONFORMANCE_INIT_EVENT         CONFORMANCE_EVENT_STATE */
#define IOCTL_CONFORMANCE_SET_EVENT CONFORMANCE_CTL(20)       /* CONFORMANCE_OBJECT             CONFORMANCE_EVENT_STATE */
#define IOCTL_CONFORMANCE_CLEAR_EVENT CONFORMANCE_CTL(21)     /* CONFORMANCE_OBJECT             CONFORMANCE_EVENT_STATE */
#define IOCTL_CONFORMANCE_QUERY_EVENT CONFORMANCE_CTL(22)     /* CONFORMANCE_OBJECT             CONFORMANCE_EVENT_STATE */
#define IOCTL_CONFORMANCE_SET_GATE CONFORMANCE_CTL(23)        /* CONFORMANCE_SET_GATE           CONFORMANCE_GATE_STATE */
#define IOCTL_CONFORMANCE_QUERY_GATE CONFORMANCE_CTL(24)      /* CONFORMANCE_OBJECT             CONFORMANCE_GATE_STATE */
#define IOCTL_CONFORMANCE_CREATE_WORKER CONFORMANCE_CTL(25)   /* CONFORMANCE_CREATE_WORKER      CONFORMANCE_WORKER_CREATED, pended */
#define IOCTL_CONFORMANCE_QUERY_WORKER CONFORMANCE_CTL(26)    /* CONFORMANCE_OBJECT             CONFORMANCE_WORKER_INFO */
#define IOCTL_CONFORMANCE_JOIN_WORKER CONFORMANCE_CTL(27)     /* CONFORMANCE_JOIN_WORKER        CONFORMANCE_DONE, pended */
#define IOCTL_CONFORMANCE_CLOSE_WORKER CONFORMANCE_CTL(28)    /* CONFORMANCE_WORKER             CONFORMANCE_DONE, pended */
#define IOCTL_CONFORMANCE_ALERT_WORKER CONFORMANCE_CTL(29)    /* CONFORMANCE_WORKER             CONFORMANCE_DONE, pended */
#define IOCTL_CONFORMANCE_RELEASE_WORKER CONFORMANCE_CTL(30)  /* CONFORMANCE_WORKER             CONFORMANCE_DONE, pended */
#define IOCTL_CONFORMANCE_LOAD_HELPER CONFORMANCE_CTL(31)     /* CONFORMANCE_LOAD_HELPER        CONFORMANCE_HELPER_INFO, pended */
#define IOCTL_CONFORMANCE_UNLOAD_HELPER CONFORMANCE_CTL(32)   /* CONFORMANCE_HELPER             CONFORMANCE_DONE, pended */
#define IOCTL_CONFORMANCE_QUERY_HELPER CONFORMANCE_CTL(33)    /* CONFORMANCE_OBJECT             CONFORMANCE_HELPER_INFO */
#define IOCTL_CONFORMANCE_SWAP_IMAGE CONFORMANCE_CTL(34)      /* CONFORMANCE_SWAP_IMAGE         CONFORMANCE_REGISTERED, pended */
#define IOCTL_CONFORMANCE_FAIL_ALLOCATION CONFORMANCE_CTL(35) /* CONFORMANCE_FAIL_ALLOCATION    CONFORMANCE_ATTEMPTS */
#define IOCTL_CONFORMANCE_DRAIN_TRACE CONFORMANCE_CTL(36)     /* -                              TRACE_RING_CHUNK + entries (trace_ring.h) */
#define IOCTL_CONFORMANCE_PAUSE_ARM CONFORMANCE_CTL(37)       /* TRACE_PAUSE_ARM                TRACE_PAUSE_ARMED (trace_pause.h) */
#define IOCTL_CONFORMANCE_PAUSE_WAIT CONFORMANCE_CTL(38)      /* TRACE_PAUSE_WAIT               TRACE_PAUSE_STATE (trace_pause.h), pended */
#define IOCTL_CONFORMANCE_PAUSE_QUERY CONFORMANCE_CTL(39)     /* -                              TRACE_PAUSE_STATE (trace_pause.h) */
#define IOCTL_CONFORMANCE_PAUSE_RELEASE CONFORMANCE_CTL(40)   /* TRACE_PAUSE_RELEASE            TRACE_PAUSE_STATE (trace_pause.h) */
#define IOCTL_CONFORMANCE_PAUSE_CLEAR CONFORMANCE_CTL(41)     /* -                              TRACE_PAUSE_STATE (trace_pause.h) */
#define IOCTL_CONFORMANCE_SET_AVAILABILITY CONFORMANCE_CTL(42) /* CONFORMANCE_SET_AVAILABILITY   CONFORMANCE_ATTEMPTS */
#define IOCTL_CONFORMANCE_BENCH CONFORMANCE_CTL(43)           /* CONFORMANCE_BENCH              CONFORMANCE_BENCH_REPLY, pended */
#define IOCTL_CONFORMANCE_SET_EVENT_ONCE CONFORMANCE_CTL(44)  /* CONFORMANCE_OBJECT             CONFORMANCE_EVENT_STATE */

/* ---- Words of all requests ---- */

/* On which thread, and what is to fail meanwhile. */
typedef struct _CONFORMANCE_CALLER {
    ULONG Lane;             /* 0..15; not looked at when a prepared request is run from inside a call */
    ULONG FailAllocation;   /* the Nth allocation or thread creation of the runtime from here on fails; 0 = none */
} CONFORMANCE_CALLER;

/* The call of the API itself. */
typedef struct _CONFORMANCE_RESULT {
    LONG Status;            /* what it returned; STATUS_SUCCESS when it returns none; STATUS_NOT_SUPPORTED: the runtime has no such call */
    ULONG Attempts;         /* allocations and thread creations of the runtime meanwhile, when one was to fail */
    LONG64 Begin;
    LONG64 End;
    ULONG Irql;             /* before the call */
    ULONG IrqlAfter;
} CONFORMANCE_RESULT;

typedef struct _CONFORMANCE_OBJECT {
    ULONG Index;
} CONFORMANCE_OBJECT;

typedef struct _CONFORMANCE_DONE {
    CONFORMANCE_RESULT Result;
} CONFORMANCE_DONE;

typedef enum _CONFORMANCE_FUNCTION_KIND {
    ConformanceFunctionNull = 0,
    ConformanceFunctionRoutine = 1, /* DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE, but returns 64 bits; Version, Index */
    ConformanceFunctionEcho = 2,    /* ULONG64 (ULONG64 x 32); Version, Index */
    ConformanceFunctionFloat = 3,   /* double (double x 6); Version, Index */
    ConformanceFunctionMixed = 4,   /* ULONG64 (ULONG64, double, ULONG64, double, double, ULONG64); Version, Index */
    ConformanceFunctionWrapper = 5, /* Index of a wrapper that a lookup gave */
    ConformanceFunctionHelper = 6,  /* in the image of helper Index; Value is its RVA */
    ConformanceFunctionRaw = 7      /* the address Value */
} CONFORMANCE_FUNCTION_KIND;

/* Every (kind, version, index) is a function of its own, with an address of its own. */
typedef struct _CONFORMANCE_FUNCTION {
    ULONG Kind;             /* CONFORMANCE_FUNCTION_KIND */
    USHORT Version;         /* 1..CONFORMANCE_VERSIONS */
    USHORT Index;
    ULONG64 Value;
} CONFORMANCE_FUNCTION;

/* ---- The driver ---- */

typedef enum _CONFORMANCE_RUNTIME {
    ConformanceRuntimeAuto = 0,   /* native when it is there and enabled, else compat */
    ConformanceRuntimeNative = 1, /* the kernel's exports, also when they are not enabled */
    ConformanceRuntimeCompat = 2
} CONFORMANCE_RUNTIME;

typedef struct _CONFORMANCE_VERSION_INFO {
    ULONG ContractVersion;
    ULONG Runtime;          /* CONFORMANCE_RUNTIME in use, never Auto */
    ULONG64 TickFrequency;
    ULONG64 DriverObject;   /* its address */
    ULONG OptionsBytes;     /* size of HS_PROXY_OPTIONS that this driver was built with */
    ULONG ProcessId;        /* of the driver's threads */
    LONG64 SystemTime;      /* now, 100 ns since 1601 */
    LONG64 Tick;            /* now */
} CONFORMANCE_VERSION_INFO;

typedef struct _CONFORMANCE_SELECT_RUNTIME {
    ULONG Runtime;          /* CONFORMANCE_RUNTIME; refused while an extension exists */
} CONFORMANCE_SELECT_RUNTIME;

typedef struct _CONFORMANCE_RUNTIME_INFO {
    ULONG Runtime;          /* CONFORMANCE_RUNTIME in use */
    LONG NativeStatus;      /* STATUS_SUCCESS, STATUS_NOT_SUPPORTED (not enabled), STATUS_PROCEDURE_NOT_FOUND */
    ULONG MissingMask;      /* bit i: export i of HOTSWAP_NATIVE_EXPORT is not there */
    ULONG FeatureFlags;     /* what the kernel's IoGetDriverProxyFeatures says; 0 without it */
} CONFORMANCE_RUNTIME_INFO;

typedef struct _CONFORMANCE_RESET {
    ULONG TimeoutMs;        /* 0 = 5000 */
    ULONG Reserved;
} CONFORMANCE_RESET;

/* Everything is let go, ended, joined, deleted, unloaded and set to its initial state; what did not go keeps its number. */
typedef struct _CONFORMANCE_RESET_REPLY {
    LONG Status;            /* STATUS_SUCCESS, or STATUS_IO_TIMEOUT: this did not go */
    ULONG StuckLanes;       /* bit i: lane i */
    ULONG StuckWorkers;     /* threads that live */
    ULONG StuckExtensions;  /* could not be deleted */
    ULONG StuckHelpers;     /* could not be unloaded */
    LONG ExtensionStatus;   /* of the last extension that could not be deleted */
    ULONG Extensions;       /* of the runtime, as in CONFORMANCE_COUNTERS, afterwards; without those that others hold */
    ULONG Wrappers;
    ULONG ProxyThreads;
    ULONG ProxyAllocations;
    ULONG ActiveCalls;
    ULONG HeldCalls;
    ULONG Allocations;      /* the driver's own */
    ULONG Reserved;
} CONFORMANCE_RESET_REPLY;

typedef struct _CONFORMANCE_COUNTERS {
    ULONG Extensions;       /* the runtime's own counts; 0 on native */
    ULONG Wrappers;
    ULONG ProxyThreads;
    ULONG ProxyAllocations;
    ULONG ActiveCalls;
    ULONG HeldCalls;
    ULONG Allocations;      /* of the driver: pool blocks */
    ULONG Threads;          /* of the driver: thread objects referenced, the lanes not counted */
    ULONG64 Calls;          /* of endpoints, since the last reset */
    ULONG64 EventsWritten;
    ULONG64 EventsDropped;
    ULONG StalledExtensions; /* of the runtime */
    ULONG Reserved;
} CONFORMANCE_COUNTERS;

/* ---- Extensions ---- */

typedef enum _CONFORMANCE_OWNER {
    ConformanceOwnerNone = 0,
    ConformanceOwnerSelf = 1,      /* this driver's object */
    ConformanceOwnerHelper = 2,    /* that of a loaded helper */
    ConformanceOwnerUnready = 3    /* a driver object whose DriverExtension is NULL (2.4a) */
} CONFORMANCE_OWNER;

typedef struct _CONFORMANCE_DRIVER {
    ULONG Owner;            /* CONFORMANCE_OWNER */
    ULONG Helper;
} CONFORMANCE_DRIVER;

typedef struct _CONFORMANCE_FEATURES {
    CONFORMANCE_CALLER Caller;
    CONFORMANCE_DRIVER Driver;
    ULONG Irql;
    ULONG Reserved;
} CONFORMANCE_FEATURES;

typedef struct _CONFORMANCE_FEATURES_REPLY {
    CONFORMANCE_RESULT Result;
    ULONG Before;           /* what Flags held before the call: CONFORMANCE_UNTOUCHED */
    ULONG Flags;
    ULONG Guard;            /* the 4 bytes behind it */
    ULONG Reserved;
} CONFORMANCE_FEATURES_REPLY;

typedef struct _CONFORMANCE_CREATE_EXTENSION {
    CONFORMANCE_CALLER Caller;
    ULONG Extension;        /* the number it gets, 0..15 and free */
    ULONG Flags;            /* raw */
    CONFORMANCE_DRIVER Driver;
} CONFORMANCE_CREATE_EXTENSION;

typedef struct _CONFORMANCE_EXTENSION {
    CONFORMANCE_CALLER Caller;
    ULONG Extension;        /* or CONFORMANCE_NONE */
    ULONG Reserved;
} CONFORMANCE_EXTENSION;

typedef struct _CONFORMANCE_EXTENSION_REPLY {
    CONFORMANCE_RESULT Result;
    ULONG64 Pointer;        /* raw; CONFORMANCE_UNTOUCHED: not written */
    ULONG Extension;        /* whose pointer that is; CONFORMANCE_NONE: of none that this driver knows */
    ULONG Reserved;
} CONFORMANCE_EXTENSION_REPLY;

/* HS_PROXY_OPTIONS, raw; the Notify hook is always the driver's own trace. */
typedef struct _CONFORMANCE_SET_OPTIONS {
    CONFORMANCE_CALLER Caller;
    ULONG Extension;
    ULONG Size;             /* 0 = CONFORMANCE_VERSION_INFO.OptionsBytes */
    ULONG DrainTimeoutMs;
    UCHAR TrueEndsThread;
    UCHAR AllowZeroEvents;
    UCHAR AllowRawRoutine;
    UCHAR KeepAfterPostProcess;
    UCHAR RecreateThread;
    UCHAR TimeoutOnce;
    UCHAR Verbose;
    UCHAR NoNotify;         /* Notify NULL */
    ULONG Reserved;
} CONFORMANCE_SET_OPTIONS;

typedef struct _CONFORMANCE_FROM_DRIVER {
    CONFORMANCE_CALLER Caller;
    CONFORMANCE_DRIVER Driver;
    ULONG Irql;
    ULONG Reserved;
} CONFORMANCE_FROM_DRIVER;

/* ---- Registration ---- */

/* What the phase callback does in one phase, in this order: wait, run, spin, return. */
typedef struct _CONFORMANCE_PHASE {
    LONG Status;            /* what it returns */
    ULONG Gate;             /* gate + 1 to wait at; 0 = none */
    ULONG Prepared;         /* prepared request + 1 to run there; 0 = none */
    ULONG SpinMicroseconds;
} CONFORMANCE_PHASE;

typedef struct _CONFORMANCE_ENDPOINT {
    ULONG Id;
    ULONG ParameterCount;
    CONFORMANCE_FUNCTION Function;
} CONFORMANCE_ENDPOINT;

typedef struct _CONFORMANCE_REGISTER {
    CONFORMANCE_CALLER Caller;
    ULONG Extension;        /* or CONFORMANCE_NONE */
    ULONG Count;            /* raw */
    UCHAR NullArray;
    UCHAR WithCallback;
    UCHAR Reserved[2];
    ULONG Fill;             /* elements of the array; those past EndpointCount repeat the last one with rising ids; 0 = EndpointCount */
    ULONG64 Context;        /* raw */
    CONFORMANCE_PHASE Phases[3]; /* PreProcess, ProxyStalled, PostProcess */
    ULONG Reserved2;
    ULONG EndpointCount;
    CONFORMANCE_ENDPOINT Endpoints[CONFORMANCE_MAX_REGISTERED];
} CONFORMANCE_REGISTER;

/* One call of the phase callback. */
typedef struct _CONFORMANCE_PHASE_CALL {
    ULONG Phase;            /* raw */
    ULONG Irql;
    ULONG64 Context;        /* raw */
    LONG Status;            /* returned */
    ULONG ThreadId;
    LONG64 Begin;
    LONG64 End;
    ULONG Inside;           /* calls inside the driver's endpoints at its begin */
    ULONG64 Calls;          /* of the driver's endpoints since the last reset, at its begin */
} CONFORMANCE_PHASE_CALL;

typedef struct _CONFORMANCE_REGISTERED {
    CONFORMANCE_RESULT Result;
    ULONG ArrayWritten;     /* the array was written to */
    ULONG GuardWritten;     /* bytes behind it were */
    ULONG ThreadId;         /* of the caller */
    ULONG PhaseCount;
    CONFORMANCE_PHASE_CALL Phases[CONFORMANCE_MAX_PHASES];
} CONFORMANCE_REGISTERED;

/* HsIoHotSwapDriverProxyEndpoints: V2 */
typedef struct _CONFORMANCE_SWAP_IMAGE {
    CONFORMANCE_CALLER Caller;
    ULONG Extension;        /* or CONFORMANCE_NONE */
    UCHAR WithCallback;
    UCHAR Reserved[3];
    CONFORMANCE_DRIVER Driver;
    ULONG64 Context;        /* raw */
    CONFORMANCE_PHASE Phases[3];
} CONFORMANCE_SWAP_IMAGE;

/* ---- Lookup and call ---- */

typedef enum _CONFORMANCE_LOOKUP_KIND {
    ConformanceLookupById = 0,
    ConformanceLookupByPointer = 1
} CONFORMANCE_LOOKUP_KIND;

typedef struct _CONFORMANCE_LOOKUP {
    CONFORMANCE_CALLER Caller;
    ULONG Extension;        /* or CONFORMANCE_NONE */
    ULONG Kind;             /* CONFORMANCE_LOOKUP_KIND */
    ULONG Id;
    ULONG Irql;
    CONFORMANCE_FUNCTION Function;
} CONFORMANCE_LOOKUP;

typedef struct _CONFORMANCE_WRAPPER_REPLY {
    CONFORMANCE_RESULT Result;
    ULONG64 Address;        /* of the wrapper; 0 = NULL, CONFORMANCE_UNTOUCHED = *Wrapper not written */
    ULONG Wrapper;          /* its number here, the same for the same address; CONFORMANCE_NONE: no wrapper */
    ULONG Reserved;
} CONFORMANCE_WRAPPER_REPLY;

typedef struct _CONFORMANCE_LOOKUP_ALL {
    CONFORMANCE_CALLER Caller;
    ULONG Extension;        /* or CONFORMANCE_NONE */
    ULONG Reserved;
    ULONG IdCount;
    ULONG FunctionCount;
    ULONG Ids[CONFORMANCE_MAX_LOOKUPS];
    CONFORMANCE_FUNCTION Functions[CONFORMANCE_MAX_LOOKUPS];
} CONFORMANCE_LOOKUP_ALL;

typedef struct _CONFORMANCE_FOUND {
    LONG Status;            /* STATUS_SUCCESS for a lookup by id */
    ULONG Wrapper;
    ULONG64 Address;
} CONFORMANCE_FOUND;

typedef struct _CONFORMANCE_LOOKUP_ALL_REPLY {
    CONFORMANCE_RESULT Result;
    ULONG ByIdCount;
    ULONG ByPointerCount;
    CONFORMANCE_FOUND ById[CONFORMANCE_MAX_LOOKUPS];
    CONFORMANCE_FOUND ByPointer[CONFORMANCE_MAX_LOOKUPS];
} CONFORMANCE_LOOKUP_ALL_REPLY;

typedef enum _CONFORMANCE_CALL_KIND {
    ConformanceCallIntegers = 0, /* ULONG64 (ULONG64 x 32) */
    ConformanceCallFloats = 1,   /* double (double x 6): Arguments are bits of doubles */
    ConformanceCallMixed = 2,    /* ULONG64 (ULONG64, double, ULONG64, double, double, ULONG64) */
    ConformanceCallRoutine = 3,  /* BOOLEAN (PVOID, NTSTATUS) */
    ConformanceCallCaught = 4    /* as Integers; an exception is caught, ends the repetition, and its code is the status */
} CONFORMANCE_CALL_KIND;

/*
 * All 32 arguments are always passed, those not given as CONFORMANCE_UNTOUCHED + number. Repeat: as often, or until
 * StopGate opens, or a reset.
 */
typedef struct _CONFORMANCE_CALL {
    CONFORMANCE_CALLER Caller;
    CONFORMANCE_FUNCTION Function; /* a wrapper, or any other function */
    ULONG Kind;             /* CONFORMANCE_CALL_KIND */
    ULONG Irql;             /* raised to before, lowered from after */
    ULONG64 Repeat;         /* 0 = once */
    ULONG StopGate;         /* gate + 1; 0 = none */
    ULONG ArgumentCount;
    ULONG64 Arguments[CONFORMANCE_MAX_ARGUMENTS];
} CONFORMANCE_CALL;

/* Seen: what the endpoint of this driver saw that was entered last, by this thread, in this call and not one nested in it. */
typedef struct _CONFORMANCE_CALLED {
    CONFORMANCE_RESULT Result;
    ULONG64 Value;          /* RAX; the bits of XMM0 for ConformanceCallFloats */
    ULONG ThreadId;
    ULONG SeenKind;         /* CONFORMANCE_FUNCTION_KIND; Null: no endpoint of this driver was entered */
    ULONG SeenVersion;
    ULONG SeenEndpoint;
    ULONG SeenIrql;
    ULONG SeenCalls;        /* of this driver's endpoints, directly in this call */
    ULONG64 Seen[CONFORMANCE_MAX_ARGUMENTS]; /* arguments; doubles as bits */
    ULONG64 Calls;          /* that returned */
    ULONG64 VersionCalls[5]; /* of these, in which version they were; [0] = no endpoint of this driver */
    ULONG64 Changes;        /* calls in another version than the one before */
    ULONG64 Backward;       /* calls in an older version than the one before */
    ULONG64 Wrong;          /* results of behaviour Compute that do not fit arguments and version */
    LONG64 Longest;         /* ticks of one call */
} CONFORMANCE_CALLED;

/* ---- Endpoints ---- */

typedef enum _CONFORMANCE_ACTION {
    ConformanceActionNone = 0,
    ConformanceActionPrepared = 1,       /* run a prepared request here */
    ConformanceActionTerminateThread = 2, /* PsTerminateSystemThread: what a routine must not do (W58) */
    ConformanceActionRaise = 3           /* STATUS_ACCESS_VIOLATION, for a caller that catches it */
} CONFORMANCE_ACTION;

/*
 * What a function of this version and endpoint does, of whatever kind: set and clear events, wait at GateBefore, act, spin,
 * wait at GateAfter, return. Above DISPATCH_LEVEL it waits by spinning.
 */
typedef struct _CONFORMANCE_BEHAVIOUR {
    ULONG Version;          /* 1..4; 0 = all */
    ULONG Endpoint;         /* 0..15; CONFORMANCE_NONE = all */
    ULONG64 ReturnValue;    /* raw, all 64 bits; initially 1 */
    ULONG64 LaterValue;     /* instead, after ReturnLimit calls */
    ULONG ReturnLimit;      /* 0 = ReturnValue always */
    ULONG Compute;          /* 1 = return Version << 56 | a sum of the first ComputeCount arguments instead */
    ULONG ComputeCount;
    ULONG GateBefore;       /* gate + 1; 0 = none */
    ULONG GateAfter;
    ULONG SetEvent;         /* event + 1; 0 = none */
    ULONG ClearEvent;
    ULONG SpinMicroseconds;
    ULONG Action;           /* CONFORMANCE_ACTION */
    ULONG Prepared;         /* prepared request, for ConformanceActionPrepared */
    ULONG ActionDepth;      /* not when that many calls of this endpoint are inside on this thread; 0 = 1: no recursion */
    ULONG Quiet;            /* 1 = no trace events CallEnter and CallExit */
} CONFORMANCE_BEHAVIOUR;

typedef struct _CONFORMANCE_ENDPOINT_ID {
    ULONG Version;
    ULONG Endpoint;
} CONFORMANCE_ENDPOINT_ID;

typedef struct _CONFORMANCE_ENDPOINT_INFO {
    ULONG64 Calls;          /* entered since the last reset */
    ULONG Inside;           /* now */
    ULONG MostInside;
    ULONG64 RoutineAddress;
    ULONG64 EchoAddress;
    ULONG64 FloatAddress;
    ULONG64 MixedAddress;
} CONFORMANCE_ENDPOINT_INFO;

/* ---- Events and gates ---- */

typedef struct _CONFORMANCE_INIT_EVENT {
    ULONG Event;
    ULONG Notification;     /* 1 = NotificationEvent, 0 = SynchronizationEvent (the initial kind) */
    ULONG Signalled;
} CONFORMANCE_INIT_EVENT;

typedef struct _CONFORMANCE_EVENT_STATE {
    LONG PreviousState;     /* what KeSetEvent, KeResetEvent or KeReadStateEvent returned */
    ULONG Notification;
    LONG64 Tick;            /* before the call */
} CONFORMANCE_EVENT_STATE;

/* All gates are closed initially. */
typedef struct _CONFORMANCE_SET_GATE {
    ULONG Gate;
    ULONG Open;             /* 1 = for all, 0 = closed */
    ULONG Pass;             /* while closed: let so many through, now or when they come */
} CONFORMANCE_SET_GATE;

typedef struct _CONFORMANCE_GATE_STATE {
    ULONG Open;
    ULONG Waiting;          /* threads now */
    ULONG64 Passed;         /* since the last reset */
} CONFORMANCE_GATE_STATE;

/* ---- Workers ---- */

typedef struct _CONFORMANCE_CREATE_WORKER {
    CONFORMANCE_CALLER Caller;
    ULONG Worker;           /* the number it gets, 0..31 and free */
    ULONG Extension;        /* or CONFORMANCE_NONE */
    CONFORMANCE_FUNCTION Routine;
    ULONG64 Context;        /* raw */
    ULONG WaitType;         /* raw */
    ULONG WaitReason;       /* raw */
    UCHAR WaitMode;         /* raw */
    UCHAR Altertable;       /* raw */
    UCHAR HasTimeout;       /* raw */
    UCHAR NullStart;        /* WorkerStartContext NULL */
    UCHAR WithClientId;
    UCHAR WithAttributes;
    UCHAR WithProcess;      /* 0 = NULL, 1 = NtCurrentProcess(), 2 = a handle that is none */
    UCHAR Guard;            /* 1 = the start context ends where a page ends, and the next one cannot be accessed */
    LONG64 Timeout;         /* raw */
    ULONG Attributes;       /* OBJ_KERNEL_HANDLE, ... with WithAttributes */
    ULONG DesiredAccess;
    ULONG Count;            /* EventCount, raw; the start context has room for EventCount events, and is overwritten after the call */
    ULONG EventCount;
    USHORT Events[CONFORMANCE_MAX_WORKER_EVENTS]; /* 0xFFFF = NULL */
    ULONG Reserved;
} CONFORMANCE_CREATE_WORKER;

/* The thread object is referenced; the handle stays open until CLOSE_WORKER or RELEASE_WORKER. */
typedef struct _CONFORMANCE_WORKER_CREATED {
    CONFORMANCE_RESULT Result;
    ULONG64 Handle;         /* CONFORMANCE_UNTOUCHED: not written */
    ULONG64 ProcessId;      /* of the client id; CONFORMANCE_UNTOUCHED: not written */
    ULONG64 ThreadId;
    LONG ReferenceStatus;   /* of ObReferenceObjectByHandle */
    ULONG RealThreadId;     /* of that object, 0 where it cannot be asked */
    ULONG StartWritten;     /* the start context was written to */
    ULONG Reserved;
} CONFORMANCE_WORKER_CREATED;

typedef struct _CONFORMANCE_WORKER {
    CONFORMANCE_CALLER Caller;
    ULONG Worker;
    ULONG Reserved;
} CONFORMANCE_WORKER;

typedef struct _CONFORMANCE_JOIN_WORKER {
    CONFORMANCE_CALLER Caller;
    ULONG Worker;
    ULONG TimeoutMs;        /* 0 = 1000; STATUS_TIMEOUT: the thread lives */
} CONFORMANCE_JOIN_WORKER;

/* Iterations are calls of a routine of this driver on the worker's thread. */
typedef struct _CONFORMANCE_WORKER_INFO {
    ULONG Exists;           /* the number is taken */
    ULONG Alive;            /* the thread has not ended */
    ULONG ThreadId;         /* on which routines were called last; the client's where none was */
    ULONG Inside;           /* a routine is running */
    ULONG64 Iterations;
    ULONG64 VersionIterations[5];
    ULONG64 OtherContext;   /* iterations with another WorkerContext than the one it was created with */
    ULONG64 Overlaps;       /* iterations that began before the one before had ended */
    ULONG64 LastContext;
    LONG64 FirstTick;
    LONG64 LastTick;        /* begin of the last iteration */
    ULONG LastEndpoint;
    ULONG LastVersion;
    ULONG LastIrql;
    ULONG Threads;          /* different threads that were seen */
    ULONG LastStatusCount;
    ULONG LastStatus[CONFORMANCE_LAST_STATUSES]; /* wait statuses, the newest first */
} CONFORMANCE_WORKER_INFO;

/* ---- Helper drivers: whose object owns an extension, or whose image has endpoints ---- */

/* A helper's DriverEntry calls ConformanceOfferDriver (conformance_helper.h). */
typedef struct _CONFORMANCE_LOAD_HELPER {
    CONFORMANCE_CALLER Caller;
    ULONG Helper;           /* the number it gets, 0..3 and free */
    ULONG Reserved;
    WCHAR ServiceName[CONFORMANCE_SERVICE_NAME_CHARS];
} CONFORMANCE_LOAD_HELPER;

typedef struct _CONFORMANCE_HELPER {
    CONFORMANCE_CALLER Caller;
    ULONG Helper;
    ULONG Reserved;
} CONFORMANCE_HELPER;

typedef struct _CONFORMANCE_HELPER_INFO {
    CONFORMANCE_RESULT Result; /* of ZwLoadDriver */
    ULONG Loaded;
    ULONG DriverSize;
    ULONG64 DriverObject;
    ULONG64 DriverStart;
} CONFORMANCE_HELPER_INFO;

/* ---- Failure ---- */

typedef struct _CONFORMANCE_FAIL_ALLOCATION {
    ULONG Nth;              /* 0 = off */
    ULONG Reserved;
} CONFORMANCE_FAIL_ALLOCATION;

typedef struct _CONFORMANCE_ATTEMPTS {
    LONG Status;            /* STATUS_NOT_SUPPORTED on native */
    ULONG Attempts;         /* since it was armed last */
} CONFORMANCE_ATTEMPTS;

/* A system that does not support the API, or blocks a driver, until the next of these or a reset. */
typedef struct _CONFORMANCE_SET_AVAILABILITY {
    ULONG Available;
    CONFORMANCE_DRIVER Blocked; /* ConformanceOwnerNone: no driver */
} CONFORMANCE_SET_AVAILABILITY;

/* ---- Prepared requests: run from inside a call, or started on a lane without waiting ---- */

typedef struct _CONFORMANCE_PREPARE {
    ULONG Prepared;         /* the number it gets; STATUS_DEVICE_BUSY while that one is running. Several threads may run it at once */
    ULONG Code;             /* of a pended IOCTL of this contract, but for RESET, WAIT and PAUSE_WAIT */
    ULONG Lane;             /* started there at once; CONFORMANCE_NONE: only kept */
    ULONG InputBytes;
    UCHAR Input[CONFORMANCE_PREPARED_BYTES];
} CONFORMANCE_PREPARE;

typedef struct _CONFORMANCE_PREPARED_ID {
    ULONG64 Sequence;       /* of the request on its lane, from 1; 0 when it was only kept */
} CONFORMANCE_PREPARED_ID;

typedef struct _CONFORMANCE_PREPARED_RESULT {
    ULONG Runs;             /* that have ended since it was prepared */
    ULONG Running;          /* or queued, so many times */
    LONG Status;            /* of the request, when last run */
    ULONG OutputBytes;
    UCHAR Output[CONFORMANCE_PREPARED_BYTES];
} CONFORMANCE_PREPARED_RESULT;

/* ---- Waiting for several things at once ---- */

typedef enum _CONFORMANCE_CONDITION_KIND {
    ConformanceIterationsAtLeast = 0,    /* worker Index */
    ConformanceWorkerEnded = 1,          /* worker Index */
    ConformanceGateWaitersAtLeast = 2,   /* gate Index */
    ConformanceLaneDone = 3,             /* lane Index has finished request Value */
    ConformanceHeldCallsAtLeast = 4,     /* the runtime's counter */
    ConformanceActiveCallsEqual = 5,     /* the runtime's counter */
    ConformanceEndpointCallsAtLeast = 6, /* Index = (version - 1) * 16 + endpoint */
    ConformanceEndpointInsideEqual = 7,  /* Index as above */
    ConformanceEventState = 8,           /* event Index is (1) or is not (0) signalled */
    ConformanceProxyThreadsEqual = 9     /* the runtime's counter */
} CONFORMANCE_CONDITION_KIND;

typedef struct _CONFORMANCE_CONDITION {
    ULONG Kind;             /* CONFORMANCE_CONDITION_KIND */
    ULONG Index;
    ULONG64 Value;
} CONFORMANCE_CONDITION;

/* Runs on a thread of its own, on no lane. */
typedef struct _CONFORMANCE_WAIT {
    ULONG TimeoutMs;        /* 0 = 1000 */
    ULONG ConditionCount;
    CONFORMANCE_CONDITION Conditions[CONFORMANCE_MAX_CONDITIONS];
} CONFORMANCE_WAIT;

typedef struct _CONFORMANCE_WAITED {
    LONG Status;            /* STATUS_SUCCESS: all hold; STATUS_TIMEOUT */
    ULONG Unmet;            /* bit i: condition i did not hold */
    LONG64 Tick;
} CONFORMANCE_WAITED;

/*
 * All that can be compared at rest. Takes no lock of the runtime, waits for nothing. Read until two readings in a row are the
 * same, so that all of it was true at once; Torn: it was not, in as many readings as were made.
 */
typedef struct _CONFORMANCE_SNAPSHOT_REPLY {
    CONFORMANCE_COUNTERS Counters;
    ULONG WorkersExisting;  /* bit i: worker i */
    ULONG WorkersAlive;
    ULONG WorkersInside;
    ULONG HandlesOpen;
    ULONG WorkerIterations[CONFORMANCE_WORKERS];
    ULONG WorkerVersion1[CONFORMANCE_WORKERS]; /* of these, in version 1 */
    ULONG WorkerVersion2[CONFORMANCE_WORKERS];
    ULONG WorkerVersion3[CONFORMANCE_WORKERS];
    ULONG WorkerVersion4[CONFORMANCE_WORKERS];
    ULONG WorkerStatus[CONFORMANCE_WORKERS];   /* the last wait status */
    ULONG WorkerWrong[CONFORMANCE_WORKERS];    /* OtherContext + Overlaps */
    ULONG64 EventStates[2]; /* bit i: event i is signalled */
    ULONG GatesOpen;        /* bit i: gate i */
    ULONG LanesBusy;        /* bit i: lane i runs or has a request */
    UCHAR GateWaiting[CONFORMANCE_GATES];
    ULONG64 LaneDone[CONFORMANCE_LANES];   /* sequence number of the last finished request */
    ULONG LaneStatus[CONFORMANCE_LANES];   /* NTSTATUS of that request */
    ULONG64 ExtensionPointers[CONFORMANCE_EXTENSIONS];
    ULONG EndpointCalls[64];               /* (version - 1) * 16 + endpoint */
    UCHAR EndpointInside[64];
    ULONG64 PhaseCalls;     /* since the last reset */
    ULONG LanesDraining;    /* bit i: lane i runs a registration that holds calls and waits for those inside */
    ULONG Torn;
} CONFORMANCE_SNAPSHOT_REPLY;

/* ---- Speed: the driver measures, and gives ticks row by row ---- */

typedef enum _CONFORMANCE_BENCH_KIND {
    /*
     * Calls, Count of them at a time: row {direct, wrapper, atomics} on one thread, then the same on Threads threads at once.
     * Ticks that Count calls take when all threads are counted as one that is so much faster. Atomics: a direct call, a locked
     * exchange on a line of the thread's own, and a plain write to it.
     */
    ConformanceBenchCalls = 0,
    /*
     * Swaps of Endpoints endpoints under Workers busy workers whose routine takes WorkMicroseconds: row {stalled to drained,
     * drained to switched, switched to released, first held to released (0: none was), calls held}.
     */
    ConformanceBenchSwaps = 1,
    /* From before KeSetEvent to the iteration: row {hot-swappable worker, thread of PsCreateSystemThread}, Count of each in turn. */
    ConformanceBenchLatency = 2
} CONFORMANCE_BENCH_KIND;

typedef struct _CONFORMANCE_BENCH {
    CONFORMANCE_CALLER Caller;
    ULONG Kind;             /* CONFORMANCE_BENCH_KIND */
    ULONG Rows;             /* as many as fit into the reply; each of Latency's is one pair of iterations */
    ULONG Count;            /* 1..CONFORMANCE_BENCH_MAX_COUNT */
    ULONG Threads;          /* 1..8 */
    ULONG Workers;          /* 0..64 */
    ULONG Endpoints;        /* 1..256 */
    ULONG WorkMicroseconds;
    ULONG Reserved;
} CONFORMANCE_BENCH;

typedef struct _CONFORMANCE_BENCH_REPLY {
    LONG Status;
    ULONG Columns;
    LONG64 TickFrequency;
    ULONG Reserved;
    ULONG SampleCount;
    LONG64 Samples[CONFORMANCE_BENCH_SAMPLES];
} CONFORMANCE_BENCH_REPLY;
