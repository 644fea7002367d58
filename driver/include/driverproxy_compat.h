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

/* The API, as IoXxx. */
HSPROXY VOID NTAPI HsIoGetDriverProxyFeatures(_In_opt_ PDRIVER_OBJECT DriverObject, _Out_ PDRIVER_PROXY_FEATURE_FLAGS Flags);

_IRQL_requires_(PASSIVE_LEVEL) HSPROXY NTSTATUS NTAPI
HsIoCreateDriverProxyExtension(_In_opt_ PDRIVER_OBJECT OwningDriverObject, _In_ DRIVER_PROXY_EXTENSION_CREATION_FLAGS Flags,
                               _Out_ PDRIVER_PROXY_EXTENSION *DriverProxyExtension);

_IRQL_requires_(PASSIVE_LEVEL) HSPROXY NTSTATUS NTAPI
HsIoRegisterDriverProxyEndpoints(_In_ PDRIVER_PROXY_EXTENSION DriverProxyExtension,
                                 _Inout_updates_(Count) PDRIVER_PROXY_ENDPOINT_INFORMATION EndpointInfo, _In_ ULONG Count,
                                 _In_opt_ PDRIVER_PROXY_REGISTER_CALLBACK PhasedCallback, _In_opt_ PVOID Context);

HSPROXY PDRIVER_PROXY_EXTENSION NTAPI HsIoGetDriverProxyExtensionFromDriverObject(_In_ PDRIVER_OBJECT DriverObject);

HSPROXY PDRIVER_PROXY_WRAPPED_ENDPOINT_FUNCTION NTAPI
HsIoGetDriverProxyEndpointWrapper(_In_ PDRIVER_PROXY_EXTENSION DriverProxyExtension,
                                  _In_ DRIVER_PROXY_ENDPOINT_FUNCTION_ID FunctionId);

HSPROXY NTSTATUS NTAPI
HsIofGetDriverProxyWrapperFromEndpoint(_In_ PDRIVER_PROXY_EXTENSION DriverProxyExtension,
                                       _In_ PDRIVER_PROXY_ENDPOINT_FUNCTION Endpoint,
                                       _Out_ PDRIVER_PROXY_WRAPPED_ENDPOINT_FUNCTION *Wrapper);

_IRQL_requires_(PASSIVE_LEVEL) HSPROXY NTSTATUS NTAPI
HsIoDriverProxyCreateHotSwappableWorkerThread(_In_ PDRIVER_PROXY_EXTENSION DriverProxyExtension, _Out_ PHANDLE ThreadHandle,
                                              _In_ ULONG DesiredAccess, _In_opt_ POBJECT_ATTRIBUTES ObjectAttributes,
                                              _In_opt_ HANDLE ProcessHandle, _Out_opt_ PCLIENT_ID ClientId,
                                              _In_ PDRIVER_PROXY_HOTSWAP_WORKER_ROUTINE_START_CONTEXT WorkerStartContext);

/* Free an extension. STATUS_DEVICE_BUSY while a worker thread lives or a call is inside a wrapper. */
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
    BOOLEAN RecreateThread; /* 4.9 b, W56: a worker goes on in a new thread after a swap; handle and client id name the old one */
    BOOLEAN TimeoutOnce;    /* W39: a relative time-out counts from the creation of the worker, not from each wait */
    BOOLEAN Verbose;        /* the fine steps are told as well */
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
    ULONG HeldCalls;
} HS_PROXY_COUNTERS;

HSPROXY VOID NTAPI HsQueryDriverProxyCounters(_Out_ HS_PROXY_COUNTERS *Counters);

/*
 * For tests of failure: of all allocations and thread creations from now on the Nth fails, as if there were no memory, once;
 * 0: none does. Attempts: how many there have been since the last call of this.
 */
HSPROXY VOID NTAPI HsFailDriverProxyAllocation(_In_ ULONG Nth, _Out_opt_ ULONG *Attempts);

/*
 * One offer at a time: an endpoint driver's DriverEntry offers, the host takes after ZwLoadDriver has returned. An offer
 * that nobody took is withdrawn when the endpoint driver unloads.
 */
_Must_inspect_result_ HSPROXY NTSTATUS NTAPI HsOfferEndpoints(_In_ const HS_ENDPOINT_DESCRIPTOR *Descriptor);
HSPROXY const HS_ENDPOINT_DESCRIPTOR *NTAPI HsTakeEndpoints(void);
HSPROXY VOID NTAPI HsWithdrawEndpoints(_In_ const HS_ENDPOINT_DESCRIPTOR *Descriptor);
