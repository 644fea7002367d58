/*
 * Parts that the host driver and the conformance driver share. Each driver compiles them with a driver_config.h of its own:
 *
 *   HS_TAG                         of its pool blocks
 *   HS_EVENT_LIST(EVENT)           its trace events, as in hotswap_events.h
 *   HS_PROVIDER_NAME, _GUID        their provider
 *   HS_DEVICE_NAME, _LINK, _CLASS  its device
 *   HS_MAX_INPUT                   bytes of the largest input of a request that may wait
 *   HS_MAX_INPUT_HERE              and of one that does not
 *   HS_COUNTERS                    with Threads, References, Allocations and AllocationBytes; it defines HsCounters
 */
#pragma once

#include "driverproxy_compat.h"
#include "platform.h"

#include "trace_pause.h"
#include "trace_ring.h"

#include "driver_config.h"

extern HS_COUNTERS HsCounters;

/* ---- memory.c: every pool block is counted ---- */

_IRQL_requires_max_(DISPATCH_LEVEL) _Must_inspect_result_ PVOID HsAllocate(_In_ SIZE_T Bytes);
_IRQL_requires_max_(DISPATCH_LEVEL) VOID HsFree(_In_opt_ PVOID Block);

/* ---- rundown.c: in use until closed ---- */

typedef struct _HS_RUNDOWN {
    volatile LONG State; /* bit 0 closed, users from bit 1 on */
    KEVENT Idle;
} HS_RUNDOWN;

VOID HsRundownInitialize(_Out_ HS_RUNDOWN *Rundown);
_Must_inspect_result_ BOOLEAN HsRundownAcquire(_Inout_ HS_RUNDOWN *Rundown);
VOID HsRundownRelease(_Inout_ HS_RUNDOWN *Rundown);
_IRQL_requires_(PASSIVE_LEVEL) VOID HsRundownClose(_Inout_ HS_RUNDOWN *Rundown);

/* ---- lock.c ---- */

typedef struct _HS_LOCK {
    KEVENT Free;
} HS_LOCK;

VOID HsLockInitialize(_Out_ HS_LOCK *Lock);
_IRQL_requires_(PASSIVE_LEVEL) VOID HsLockAcquire(_Inout_ HS_LOCK *Lock);
VOID HsLockRelease(_Inout_ HS_LOCK *Lock);

/* ---- thread.c: threads that are joined by their object ---- */

_IRQL_requires_(PASSIVE_LEVEL) _Must_inspect_result_ NTSTATUS HsThreadCreate(_In_ PKSTART_ROUTINE Routine, _In_opt_ PVOID Context,
                                                                            _Out_ PVOID *ThreadObject);
_IRQL_requires_(PASSIVE_LEVEL) _Must_inspect_result_ NTSTATUS HsThreadFromHandle(_In_ HANDLE Handle, _Out_ PVOID *ThreadObject);
_IRQL_requires_(PASSIVE_LEVEL) _Must_inspect_result_ NTSTATUS HsThreadJoin(_In_ PVOID ThreadObject, _In_ ULONG TimeoutMs);
_IRQL_requires_(PASSIVE_LEVEL) NTSTATUS HsThreadAlert(_In_ PVOID ThreadObject); /* STATUS_NOT_IMPLEMENTED where the guest cannot */

/* ---- trace.c, ring.c, etw.c ---- */

/* Payload structures and write functions, from the list of events. */
#define HS_C_UINT32 ULONG
#define HS_C_UINT64 ULONG64
#define HS_C_HEX32 ULONG
#define HS_C_HEX64 ULONG64
#define HS_C_INT64 LONG64
#define HS_C_NTSTATUS NTSTATUS
#define HS_PAYLOAD_FIELD(Type, Name) HS_C_##Type Name;
#define HS_PAYLOAD(Name, Level, Opcode, Keyword, Fields)                                                               \
    typedef struct _HS_##Name {                                                                                        \
        Fields(HS_PAYLOAD_FIELD)                                                                                       \
    } HS_##Name;
#pragma pack(push, 1)
HS_EVENT_LIST(HS_PAYLOAD)
#pragma pack(pop)

#define HS_EVENT_ID(Name, Level, Opcode, Keyword, Fields) HsEvent##Name,
typedef enum _HS_EVENT { HS_EVENT_LIST(HS_EVENT_ID) HsEventCount } HS_EVENT;

_IRQL_requires_max_(DISPATCH_LEVEL) VOID HsTraceWrite(_In_ HS_EVENT Event, _In_reads_bytes_(Length) const VOID *Payload, _In_ ULONG Length);
#define HS_TRACE(Name, ...)                                                                                            \
    do {                                                                                                               \
        const HS_##Name hsPayload = { __VA_ARGS__ };                                                                   \
        HsTraceWrite(HsEvent##Name, &hsPayload, sizeof(hsPayload));                                                    \
    } while (0)

/* An event as ETW knows it: descriptor, and the two metadata blobs of TraceLogging. */
typedef struct _HS_EVENT_TEMPLATE {
    UCHAR Level;
    UCHAR Opcode;
    USHORT SchemaBytes;
    ULONG64 Keyword;
    const UCHAR *Schema;
} HS_EVENT_TEMPLATE;

extern const HS_EVENT_TEMPLATE HsEventTemplates[HsEventCount];
extern const GUID HsProviderGuid;
extern const UCHAR *const HsProviderTraits;
extern const USHORT HsProviderTraitsBytes;

#define HS_MAX_PAYLOAD 96
#define HS_DEFAULT_RING_SLOTS 65536
#define HS_MIN_RING_SLOTS 64
#define HS_MAX_RING_SLOTS (1u << 20)

typedef struct _HS_RING_SLOT {
    volatile LONG64 Commit; /* position + 1 once written */
    LONG64 Tick;
    ULONG ThreadId;
    ULONG ProcessId;
    USHORT Event;
    USHORT Processor;
    USHORT Length;
    USHORT Reserved;
    UCHAR Payload[HS_MAX_PAYLOAD];
} HS_RING_SLOT;
C_ASSERT(sizeof(HS_RING_SLOT) == 128);

_Must_inspect_result_ NTSTATUS RingDriverEntry(void);
VOID RingUnload(void);
_IRQL_requires_(PASSIVE_LEVEL) _Must_inspect_result_ NTSTATUS RingResize(_In_ ULONG Slots);
_IRQL_requires_max_(DISPATCH_LEVEL) VOID RingWrite(_In_ HS_EVENT Event, _In_reads_bytes_(Length) const VOID *Payload, _In_ ULONG Length);
_IRQL_requires_max_(DISPATCH_LEVEL) NTSTATUS RingDrain(_Out_writes_bytes_to_(Bytes, *Returned) PVOID Buffer, _In_ ULONG Bytes,
                                                       _Out_ ULONG *Returned);
_IRQL_requires_max_(DISPATCH_LEVEL) NTSTATUS RingDiscard(void);
ULONG RingSlots(void);
VOID RingTotals(_Out_ ULONG64 *Written, _Out_ ULONG64 *Dropped);

VOID EtwDriverEntry(void);
VOID EtwUnload(void);
BOOLEAN EtwActive(void);
_IRQL_requires_max_(DISPATCH_LEVEL) VOID EtwWriteEventRecord(_In_ HS_EVENT Event, _In_reads_bytes_(Length) const VOID *Payload, _In_ ULONG Length);

/* ---- pause.c: threads stop at trace events (trace_pause.h) ---- */

C_ASSERT(HsEventCount <= 64); /* bits of TRACE_PAUSE_ARM.EventMask */

extern volatile LONG HsPauseArmed; /* whether anything is; all that a trace event looks at */

VOID PauseDriverEntry(void);
VOID PauseUnload(void); /* lets all go, and stops nobody any more */
VOID PauseHere(_In_ HS_EVENT Event, _In_reads_bytes_(Length) const VOID *Payload, _In_ ULONG Length);
_Must_inspect_result_ NTSTATUS PauseArm(_In_ const TRACE_PAUSE_ARM *Arm, _In_ PFILE_OBJECT File, _Out_ TRACE_PAUSE_ARMED *Armed);
VOID PauseRelease(_In_ const TRACE_PAUSE_RELEASE *Release, _Out_ TRACE_PAUSE_STATE *State);
VOID PauseClear(_In_opt_ PFILE_OBJECT File); /* what was armed through this file; NULL: all */
VOID PauseQuery(_Out_ TRACE_PAUSE_STATE *State);
NTSTATUS PauseWait(_In_ PIRP Irp, _In_ ULONG64 Arrivals, _Out_ ULONG_PTR *Information); /* STATUS_PENDING: completed later */
VOID PauseCancelFile(_In_ PFILE_OBJECT File);

/* ---- lane.c: requests that may wait, run on a thread one after the other ---- */

typedef struct _HS_LANE HS_LANE;

/* What waits in a lane: an IRP, in whose DriverContext it lies, or something of the driver's own. */
typedef struct _HS_LANE_NODE {
    LIST_ENTRY Entry;
    PIRP Irp;
} HS_LANE_NODE;

typedef NTSTATUS HS_LANE_RUN(_In_ HS_LANE *Lane, _In_ HS_LANE_NODE *Node, _Out_ ULONG_PTR *Information);

struct _HS_LANE {
    KSPIN_LOCK Lock;
    LIST_ENTRY Nodes;
    KEVENT Work; /* synchronization */
    KEVENT Idle; /* notification: no request is under way */
    volatile BOOLEAN Closed;
    volatile BOOLEAN End;
    PVOID ThreadObject;
    HS_LANE_RUN *Run;
    VOID (*AfterEach)(void); /* optional: called when Done has changed */
    volatile LONG64 Queued; /* requests accepted so far; the number of each is this count */
    volatile LONG64 Done;   /* of these, run, refused or cancelled */
    volatile LONG Status;   /* NTSTATUS of the last that was run */
    DECLSPEC_ALIGN(8) UCHAR Input[HS_MAX_INPUT]; /* of the request under way */
};

_IRQL_requires_(PASSIVE_LEVEL) _Must_inspect_result_ NTSTATUS LaneOpen(_Out_ HS_LANE *Lane, _In_ HS_LANE_RUN *Run);
_IRQL_requires_max_(DISPATCH_LEVEL) VOID LaneClose(_Inout_ HS_LANE *Lane);
_IRQL_requires_(PASSIVE_LEVEL) VOID LaneWaitIdle(_Inout_ HS_LANE *Lane);
_IRQL_requires_(PASSIVE_LEVEL) VOID LaneEnd(_Inout_ HS_LANE *Lane);
_IRQL_requires_max_(DISPATCH_LEVEL) NTSTATUS LaneQueue(_Inout_ HS_LANE *Lane, _In_ PIRP Irp);
/* FALSE: the lane is closed. Sequence: its number on the lane. */
_IRQL_requires_max_(DISPATCH_LEVEL) _Must_inspect_result_ BOOLEAN LaneQueueNode(_Inout_ HS_LANE *Lane, _Inout_ HS_LANE_NODE *Node,
                                                                               _Out_ ULONG64 *Sequence);
_IRQL_requires_max_(DISPATCH_LEVEL) BOOLEAN LaneHolds(_Inout_ HS_LANE *Lane, _In_ ULONG Code); /* such a request is queued */
_IRQL_requires_max_(DISPATCH_LEVEL) VOID LaneCancelFile(_Inout_ HS_LANE *Lane, _In_opt_ PFILE_OBJECT FileObject); /* NULL: all IRPs */

/* ---- device.c ---- */

_Must_inspect_result_ NTSTATUS DeviceDriverEntry(_In_ PDRIVER_OBJECT DriverObject);
VOID DeviceUnload(_In_ BOOLEAN KeepLink); /* the link is not deleted: what a driver must not do */

/* ---- dispatch.c: one table of IOCTLs, the driver's own ---- */

typedef NTSTATUS HS_DISPATCH_HANDLER(_In_ const VOID *Input, _Out_ VOID *Output);
/* Does all itself but complete the IRP. STATUS_PENDING: it was marked pending, and is not the caller's any more. */
typedef NTSTATUS HS_DISPATCH_IRP(_In_ PIRP Irp, _In_ PIO_STACK_LOCATION Stack, _Out_ ULONG_PTR *Information);

#define HS_DISPATCH_HERE 0xFF /* never waits */

typedef struct _HS_DISPATCH_ENTRY {
    ULONG Code;
    ULONG InputBytes;
    ULONG OutputBytes;
    ULONG Where;              /* HS_DISPATCH_HERE, or for DispatchQueue to say */
    HS_DISPATCH_HANDLER *Handler;
    HS_DISPATCH_IRP *Irp;     /* instead */
} HS_DISPATCH_ENTRY;

extern const HS_DISPATCH_ENTRY HsDispatchTable[];
extern const ULONG HsDispatchCount;
/* The driver's own: pend the IRP on a lane, or say why not; and an end to all that a closed file has queued. */
_IRQL_requires_max_(DISPATCH_LEVEL) NTSTATUS DispatchQueue(_In_ PIRP Irp, _In_ const HS_DISPATCH_ENTRY *Entry);
_IRQL_requires_max_(DISPATCH_LEVEL) VOID DispatchCancelFile(_In_ PFILE_OBJECT FileObject);

_Dispatch_type_(IRP_MJ_DEVICE_CONTROL) DRIVER_DISPATCH DispatchDeviceControl;
const HS_DISPATCH_ENTRY *DispatchFind(_In_ ULONG Code);
BOOLEAN DispatchIsRunning(void); /* this thread dispatches a request: no other may be until it returns */
HS_LANE_RUN DispatchRunPended; /* for lanes of IRPs */
HS_DISPATCH_IRP DispatchDrainTrace;
HS_DISPATCH_IRP DispatchPauseArm;
HS_DISPATCH_IRP DispatchPauseWait;
HS_DISPATCH_HANDLER DispatchPauseQuery;
HS_DISPATCH_HANDLER DispatchPauseRelease;
HS_DISPATCH_HANDLER DispatchPauseClear;

/* ---- service.c: drivers by service name ---- */

#define HS_SERVICE_NAME_CHARS 64
#define HS_SERVICES L"\\Registry\\Machine\\System\\CurrentControlSet\\Services\\"

typedef struct _HS_SERVICE_PATH {
    UNICODE_STRING String;
    WCHAR Buffer[ARRAYSIZE(HS_SERVICES) + HS_SERVICE_NAME_CHARS];
} HS_SERVICE_PATH;

_Must_inspect_result_ NTSTATUS HsServicePath(_In_reads_(HS_SERVICE_NAME_CHARS) PCWSTR ServiceName, _Out_ HS_SERVICE_PATH *Path);

/* ---- native.c: the API by name, from the kernel or from driverproxy.sys ---- */

#define HS_NATIVE_EXPORTS 7

typedef struct _HS_RUNTIME_TABLE {
    VOID(NTAPI *GetFeatures)(PDRIVER_OBJECT, PDRIVER_PROXY_FEATURE_FLAGS);
    NTSTATUS(NTAPI *CreateExtension)(PDRIVER_OBJECT, DRIVER_PROXY_EXTENSION_CREATION_FLAGS, PDRIVER_PROXY_EXTENSION *);
    NTSTATUS(NTAPI *RegisterEndpoints)(PDRIVER_PROXY_EXTENSION, PDRIVER_PROXY_ENDPOINT_INFORMATION, ULONG, PDRIVER_PROXY_REGISTER_CALLBACK,
                                       PVOID);
    PDRIVER_PROXY_WRAPPED_ENDPOINT_FUNCTION(NTAPI *GetWrapper)(PDRIVER_PROXY_EXTENSION, DRIVER_PROXY_ENDPOINT_FUNCTION_ID);
    NTSTATUS(NTAPI *GetWrapperFromEndpoint)(PDRIVER_PROXY_EXTENSION, PDRIVER_PROXY_ENDPOINT_FUNCTION,
                                            PDRIVER_PROXY_WRAPPED_ENDPOINT_FUNCTION *);
    PDRIVER_PROXY_EXTENSION(NTAPI *FromDriverObject)(PDRIVER_OBJECT);
    NTSTATUS(NTAPI *CreateWorkerThread)(PDRIVER_PROXY_EXTENSION, PHANDLE, ULONG, POBJECT_ATTRIBUTES, HANDLE, PCLIENT_ID,
                                        PDRIVER_PROXY_HOTSWAP_WORKER_ROUTINE_START_CONTEXT);
} HS_RUNTIME_TABLE;
C_ASSERT(sizeof(HS_RUNTIME_TABLE) == HS_NATIVE_EXPORTS * sizeof(PVOID));

typedef PVOID HS_RESOLVE(_In_opt_ PVOID Context, _In_ PCWSTR Name);

extern const PCWSTR HsNativeExportNames[HS_NATIVE_EXPORTS]; /* in the order of HS_RUNTIME_TABLE and HOTSWAP_NATIVE_EXPORT */
extern const HS_RUNTIME_TABLE HsCompatTable;

HS_RESOLVE HsResolveSystem;
/* What is found, in Table; bit i of the result: export i is not there. */
_IRQL_requires_(PASSIVE_LEVEL) ULONG HsFillNative(_In_ HS_RESOLVE *Resolve, _In_opt_ PVOID Context, _Out_ HS_RUNTIME_TABLE *Table);
