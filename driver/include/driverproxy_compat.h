/*
 * What driverproxy.sys exports: the DriverProxy API under prefixed names, so that nothing clashes with ntoskrnl.lib, and
 * what a harness needs besides. The functions follow the DDI pages; what the pages leave open is an option.
 */
#pragma once

#include "driverproxy.h"
#include "endpoint.h"

#if defined(HS_BUILDING_DRIVERPROXY)
#define HSPROXY __declspec(dllexport)
#else
#define HSPROXY __declspec(dllimport)
#endif

/*
 * The API, as IoXxx. At each function stands what the DDI pages leave open and what is done here.
 *
 * No extension, endpoint function or context is checked beyond what is written here: the callers are drivers.
 */
HSPROXY VOID NTAPI HsIoGetDriverProxyFeatures(_In_opt_ PDRIVER_OBJECT DriverObject, _Out_ PDRIVER_PROXY_FEATURE_FLAGS Flags);

/*
 * Flags: STATUS_INVALID_PARAMETER_2 unless 0. Any number of extensions without an owner (R3), 64 extensions in all, else
 * STATUS_INSUFFICIENT_RESOURCES. Checked first: STATUS_NOT_SUPPORTED, STATUS_DRIVER_BLOCKED. A driver whose DriverEntry fails
 * after this has to delete its extension itself.
 *
 * An owned extension goes with its owner (R4). Nothing tells a driver that another one unloads, so DriverObject->DriverUnload is
 * taken over: by this call, by every other that is given the extension or its owner, and by its workers, four times a second. So
 * DriverEntry may set it after this call, if something of that kind still follows (a lookup will do). A driver without
 * DriverUnload cannot be unloaded, and stays so. On unload:
 *   1. The owner's own routine runs first, and finds all as it was: it may signal its workers, wait for them, and call
 *      HsDeleteDriverProxyExtension, after which nothing is left to do.
 *   2. Then lookups find nothing, and every other function answers STATUS_DELETE_PENDING. A registration that runs is waited for.
 *   3. New calls are held, those inside waited for; then held and later calls of its wrappers return 0 and call nobody.
 *   4. A worker that waits is ended without a call (within 250 ms), one whose routine runs is ended when that returns,
 *      whatever it returns. Their threads are joined. Then the extension is freed, and the unload goes on.
 * All this on the thread that unloads, 2 to 4 up to the drain limit each, but at least a second. What is inside then is code of
 * an image that is about to go: bug check 0xCE DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS (extension, calls inside, threads). On Wine the
 * driver host ends.
 */
_IRQL_requires_(PASSIVE_LEVEL) HSPROXY NTSTATUS NTAPI
HsIoCreateDriverProxyExtension(_In_opt_ PDRIVER_OBJECT OwningDriverObject, _In_ DRIVER_PROXY_EXTENSION_CREATION_FLAGS Flags,
                               _Out_ PDRIVER_PROXY_EXTENSION *DriverProxyExtension);

/*
 * Checked in this order: extension NULL STATUS_INVALID_PARAMETER_1, array NULL _2, Count 0 _3; Count above the pool of wrappers
 * (1024, of all extensions) STATUS_INSUFFICIENT_RESOURCES; STATUS_NOT_SUPPORTED for an extension of V2;
 * STATUS_POSSIBLE_DEADLOCK from a phase callback of the same extension (R26). Then each element in turn: function NULL or more
 * than 32 parameters _2, another ParameterCount than before _3 (R9), an id twice _2 (R14). Id 0 is an id like others. The array
 * is not written to.
 *
 * A first registration runs all phases too (R6); new and known ids may be mixed (R11). New ids are found when the call has
 * succeeded, not before. Registrations wait for each other (R32). A callback's status is returned as it is, a success code other
 * than STATUS_SUCCESS as STATUS_UNSUCCESSFUL; callbacks do not run again for a roll-back (R25). STATUS_UNSUCCESSFUL also when
 * the calls inside did not drain (R12): nothing has changed. When that happens to the second drain, of a failed PostProcess, the
 * new version stays in force. From inside an endpoint of the same extension it ends so too (W58).
 */
_IRQL_requires_(PASSIVE_LEVEL) HSPROXY NTSTATUS NTAPI
HsIoRegisterDriverProxyEndpoints(_In_ PDRIVER_PROXY_EXTENSION DriverProxyExtension,
                                 _Inout_updates_(Count) PDRIVER_PROXY_ENDPOINT_INFORMATION EndpointInfo, _In_ ULONG Count,
                                 _In_opt_ PDRIVER_PROXY_REGISTER_CALLBACK PhasedCallback, _In_opt_ PVOID Context);

/*
 * Lookups: IRQL any, no lock, no allocation. Extension NULL: not found. By pointer, the function in force is found, not the one
 * before (R16), and *Wrapper is NULL with STATUS_NOT_FOUND (5.4 d). By id, an extension of V2 finds none.
 */
HSPROXY PDRIVER_PROXY_EXTENSION NTAPI HsIoGetDriverProxyExtensionFromDriverObject(_In_ PDRIVER_OBJECT DriverObject);

HSPROXY PDRIVER_PROXY_WRAPPED_ENDPOINT_FUNCTION NTAPI
HsIoGetDriverProxyEndpointWrapper(_In_ PDRIVER_PROXY_EXTENSION DriverProxyExtension,
                                  _In_ DRIVER_PROXY_ENDPOINT_FUNCTION_ID FunctionId);

HSPROXY NTSTATUS NTAPI
HsIofGetDriverProxyWrapperFromEndpoint(_In_ PDRIVER_PROXY_EXTENSION DriverProxyExtension,
                                       _In_ PDRIVER_PROXY_ENDPOINT_FUNCTION Endpoint,
                                       _Out_ PDRIVER_PROXY_WRAPPED_ENDPOINT_FUNCTION *Wrapper);

/*
 * STATUS_NOT_SUPPORTED first (W4), then STATUS_INVALID_PARAMETER: ThreadHandle, extension (W14), start context or routine NULL,
 * more than 64 events, none (but see AllowZeroEvents), a NULL event, WaitType or WaitMode other than 0 and 1 (W52), a routine
 * that is no wrapper of this extension (W9; but see AllowRawRoutine). On failure neither *ThreadHandle nor *ClientId is written
 * (W2) and there is no thread. BOOLEANs that are not 0 are TRUE. The thread is one of IoCreateSystemThread where the system has
 * that, which keeps the owner's image in memory as long as it runs; its options are those of the moment of this call.
 *
 * A routine that ends its thread itself (PsTerminateSystemThread) leaves its call counted for good: every swap ends with the
 * drain limit, and the extension can not be deleted (W58). An exception that leaves an endpoint ends the call as a return does.
 */
_IRQL_requires_(PASSIVE_LEVEL) HSPROXY NTSTATUS NTAPI
HsIoDriverProxyCreateHotSwappableWorkerThread(_In_ PDRIVER_PROXY_EXTENSION DriverProxyExtension, _Out_ PHANDLE ThreadHandle,
                                              _In_ ULONG DesiredAccess, _In_opt_ POBJECT_ATTRIBUTES ObjectAttributes,
                                              _In_opt_ HANDLE ProcessHandle, _Out_opt_ PCLIENT_ID ClientId,
                                              _In_ PDRIVER_PROXY_HOTSWAP_WORKER_ROUTINE_START_CONTEXT WorkerStartContext);

/*
 * Free an extension. STATUS_DEVICE_BUSY: a worker thread lives, a call is inside a wrapper or held, or another function is at
 * work on it. Afterwards its wrappers return 0 and call nobody, as long as their place is not given to other endpoints.
 */
_IRQL_requires_(PASSIVE_LEVEL) HSPROXY NTSTATUS NTAPI
HsDeleteDriverProxyExtension(_In_ PDRIVER_PROXY_EXTENSION DriverProxyExtension);

/* Steps of a swap and of worker threads, told as they happen to whoever traces the extension. */
typedef enum _HS_PROXY_STEP {
    HsProxyStepPreProcess = 0,   /* callback returned Status */
    HsProxyStepStalled = 1,      /* calls are held from here on */
    HsProxyStepFirstHeld = 2,    /* on the thread that is held */
    HsProxyStepDrained = 3,      /* Status: STATUS_SUCCESS, or STATUS_TIMEOUT when calls stayed inside */
    HsProxyStepProxyStalled = 4, /* callback returned Status */
    HsProxyStepSwitched = 5,     /* pointers are the new ones, calls are still held */
    HsProxyStepReleased = 6,     /* just before held calls go on */
    HsProxyStepPostProcess = 7,  /* callback returned Status */
    HsProxyStepRolledBack = 8,   /* pointers are the old ones again, calls are still held */
    HsProxyStepThreadStart = 9,  /* on a worker thread; Worker is its Context */
    HsProxyStepThreadEnd = 10,
    /* Only with Options.Verbose. A call's steps come on its own thread, at its IRQL. */
    HsProxyStepWoken = 11,           /* a worker's wait completed with Status; its routine is not called yet */
    HsProxyStepCallEntering = 12,    /* in the wrapper, before it is looked whether calls are held */
    HsProxyStepCallInside = 13,      /* counted, about to call Function */
    HsProxyStepCallReturned = 14,    /* Function has returned, the call still counts */
    HsProxyStepCallLeft = 15,        /* no longer counted */
    HsProxyStepCallHeld = 16,        /* has found calls held, is about to wait */
    HsProxyStepCallResumed = 17,     /* has waited, is about to look again */
    HsProxyStepPointerSwitched = 18, /* one wrapper's, at a switch or a switch back; calls are still held */
    HsProxyStepStallSet = 19,        /* new calls are held now (Stalled comes just before) */
    HsProxyStepReleaseDone = 20      /* calls flow again (Released comes just before) */
} HS_PROXY_STEP;

#define HS_PROXY_NO_ENDPOINT 0xFFFFFFFFu

typedef struct _HS_PROXY_NOTIFICATION {
    HS_PROXY_STEP Step;
    NTSTATUS Status;
    LONG64 Tick;     /* KeQueryPerformanceCounter at the step itself */
    ULONG HeldCalls; /* calls held so far in this swap */
    PVOID Worker;
    PVOID Function;   /* of the Call steps and PointerSwitched: what the wrapper leads to, as far as known; else NULL */
    ULONG EndpointId; /* of those steps; else HS_PROXY_NO_ENDPOINT */
} HS_PROXY_NOTIFICATION;

/*
 * IRQL: PASSIVE_LEVEL, the steps of a call at that of the call. May block at PASSIVE_LEVEL; must not call into the extension.
 */
typedef VOID NTAPI HS_PROXY_NOTIFY(_In_opt_ PVOID Context, _In_ const HS_PROXY_NOTIFICATION *Notification);

/* Every choice that the documentation leaves open, and the hook. Zero means: as documented, or the default. */
typedef struct _HS_PROXY_OPTIONS {
    ULONG Size;
    ULONG DrainTimeoutMs;         /* R12; 0 = 5000 */
    BOOLEAN TrueEndsThread;       /* 4.9 a: polarity of inbox drivers */
    BOOLEAN AllowZeroEvents;      /* W3: EventCount 0 with a time-out is a periodic call; without one it stays invalid */
    BOOLEAN AllowRawRoutine;      /* W9: WorkerRoutine that is no wrapper */
    BOOLEAN KeepAfterPostProcess; /* R25: a failing PostProcess is reported, not rolled back */
    HS_PROXY_NOTIFY *Notify;
    PVOID NotifyContext;
    /* Since here: left out by a smaller Size, and then zero. */
    /*
     * 4.9 b, W56: after a swap a worker goes on in a new thread, within 250 ms also when it waits; the wait goes on, no wake-up
     * is lost, and the new thread begins when the old one has ended. Handle, thread object and client id stay those of the first
     * thread, which has then ended: the caller is told of no other. Should no thread be had, the old one goes on.
     */
    BOOLEAN RecreateThread;
    BOOLEAN TimeoutOnce;    /* W39: a relative time-out counts from the creation of the worker, not from each wait */
    /*
     * The fine steps are told as well. CallEntering and CallLeft come while the call is not counted: whoever asks for them keeps
     * the hook's image loaded until no thread can be in a wrapper any more.
     */
    BOOLEAN Verbose;
} HS_PROXY_OPTIONS;

#define HS_PROXY_OPTIONS_SIZE_1 (FIELD_OFFSET(HS_PROXY_OPTIONS, NotifyContext) + sizeof(PVOID))

_IRQL_requires_(PASSIVE_LEVEL) HSPROXY NTSTATUS NTAPI
HsSetDriverProxyOptions(_In_ PDRIVER_PROXY_EXTENSION DriverProxyExtension, _In_ const HS_PROXY_OPTIONS *Options);

typedef struct _HS_PROXY_COUNTERS {
    ULONG Extensions;
    ULONG Wrappers;
    ULONG Threads;
    ULONG Allocations;
    ULONG ActiveCalls;
    ULONG HeldCalls;         /* that had to wait and are not inside yet, also when they are let go already */
    ULONG StalledExtensions; /* a call that came now would be held */
} HS_PROXY_COUNTERS;

HSPROXY VOID NTAPI HsQueryDriverProxyCounters(_Out_ HS_PROXY_COUNTERS *Counters);

/*
 * For tests of failure: of all allocations and thread creations from now on the Nth fails, as if there were no memory, once;
 * 0: none does. Attempts: how many there have been since the last call of this.
 */
HSPROXY VOID NTAPI HsFailDriverProxyAllocation(_In_ ULONG Nth, _Out_opt_ ULONG *Attempts);

/*
 * For tests of R1 and W4: Available FALSE, as on a system without support; Blocked, as a driver excluded by the registry.
 * Extensions that exist stay as they are.
 */
HSPROXY VOID NTAPI HsSetDriverProxyAvailability(_In_ BOOLEAN Available, _In_opt_ PDRIVER_OBJECT Blocked);

/*
 * One offer at a time: an endpoint driver's DriverEntry offers, the host takes after ZwLoadDriver has returned. An offer
 * that nobody took is withdrawn when the endpoint driver unloads.
 */
_Must_inspect_result_ HSPROXY NTSTATUS NTAPI HsOfferEndpoints(_In_ const HS_ENDPOINT_DESCRIPTOR *Descriptor);
HSPROXY const HS_ENDPOINT_DESCRIPTOR *NTAPI HsTakeEndpoints(void);
HSPROXY VOID NTAPI HsWithdrawEndpoints(_In_ const HS_ENDPOINT_DESCRIPTOR *Descriptor);
