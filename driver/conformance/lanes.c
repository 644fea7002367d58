/*
 * The lanes: 16 that requests name, one for waits, one for the reset. And requests that are kept, to be run from inside a
 * call or started on a lane without waiting for them.
 */
#include "conformance.h"

#define LANE_WAIT CONFORMANCE_LANES
#define LANE_COUNT (CONFORMANCE_LANES + 2)

typedef struct _CF_PREPARED {
    HS_LANE_NODE Node;
    volatile LONG Running; /* or queued, so many times; PREPARED_CHANGING while it is made */
    ULONG Code;
    UCHAR Input[CONFORMANCE_PREPARED_BYTES];
    KSPIN_LOCK Lock; /* of what follows */
    ULONG Runs;
    ULONG OutputBytes;
    NTSTATUS Status;
    UCHAR Output[CONFORMANCE_PREPARED_BYTES];
} CF_PREPARED;

#define PREPARED_CHANGING (-1)

typedef struct _CF_PREPARED_RUN {
    ULONG64 Input[CONFORMANCE_PREPARED_BYTES / sizeof(ULONG64)];
    ULONG64 Output[CONFORMANCE_PREPARED_BYTES / sizeof(ULONG64)];
} CF_PREPARED_RUN;

static HS_LANE Lanes[LANE_COUNT];
static volatile LONG LaneThreads[LANE_COUNT]; /* ids */
static volatile LONG LaneProcess; /* id; known once a request was run */
static CF_PREPARED Prepared[CONFORMANCE_PREPARED];

/* ---- Prepared requests ---- */

static const HS_DISPATCH_ENTRY *PreparedEntry(ULONG Code)
{
    const HS_DISPATCH_ENTRY *entry = DispatchFind(Code);

    return entry != NULL && entry->Where < LANE_WAIT && entry->OutputBytes <= CONFORMANCE_PREPARED_BYTES ? entry : NULL;
}

/* Running counts this run already. Each run has buffers of its own; the last reply is kept. */
static NTSTATUS PreparedDo(CF_PREPARED *Kept)
{
    const HS_DISPATCH_ENTRY *entry = PreparedEntry(Kept->Code);
    CF_PREPARED_RUN *run = HsAllocate(sizeof(*run)); /* zeroed */
    NTSTATUS status = run == NULL ? STATUS_INSUFFICIENT_RESOURCES : STATUS_CANCELLED;
    KIRQL irql;

    if (run != NULL && !CfEnding) {
        RtlCopyMemory(run->Input, Kept->Input, sizeof(run->Input));
        status = entry->Handler(run->Input, run->Output);
    }
    KeAcquireSpinLock(&Kept->Lock, &irql);
    Kept->Status = status;
    Kept->OutputBytes = NT_SUCCESS(status) ? entry->OutputBytes : 0;
    if (run != NULL) {
        RtlCopyMemory(Kept->Output, run->Output, sizeof(Kept->Output));
    }
    Kept->Runs++;
    KeReleaseSpinLock(&Kept->Lock, irql);
    HsFree(run);
    InterlockedDecrement(&Kept->Running);
    return status;
}

/* FALSE: it is being made. */
static BOOLEAN PreparedEnter(CF_PREPARED *Kept)
{
    LONG running;

    do {
        running = Kept->Running;
        if (running == PREPARED_CHANGING) {
            return FALSE;
        }
    } while (InterlockedCompareExchange(&Kept->Running, running + 1, running) != running);
    return TRUE;
}

/* Nothing when there is no such request. IRQL <= DISPATCH_LEVEL. */
_Use_decl_annotations_ VOID PreparedRun(ULONG Number)
{
    if (Number < CONFORMANCE_PREPARED && PreparedEnter(&Prepared[Number])) {
        if (Prepared[Number].Code != 0) {
            (VOID)PreparedDo(&Prepared[Number]);
        } else {
            InterlockedDecrement(&Prepared[Number].Running);
        }
    }
}

_Use_decl_annotations_ NTSTATUS PreparedKeep(const VOID *Input, VOID *Output)
{
    const CONFORMANCE_PREPARE *prepare = Input;
    const HS_DISPATCH_ENTRY *entry = PreparedEntry(prepare->Code);
    CF_PREPARED *kept;

    if (prepare->Prepared >= CONFORMANCE_PREPARED || entry == NULL || prepare->InputBytes != entry->InputBytes ||
        (prepare->Lane >= CONFORMANCE_LANES && prepare->Lane != CONFORMANCE_NONE)) {
        return STATUS_INVALID_PARAMETER;
    }
    kept = &Prepared[prepare->Prepared];
    if (CfEnding || InterlockedCompareExchange(&kept->Running, PREPARED_CHANGING, 0) != 0) {
        return STATUS_DEVICE_BUSY;
    }
    kept->Code = prepare->Code;
    kept->Runs = 0;
    kept->Status = STATUS_SUCCESS;
    kept->OutputBytes = 0;
    RtlCopyMemory(kept->Input, prepare->Input, prepare->InputBytes);
    if (prepare->Lane == CONFORMANCE_NONE) {
        InterlockedExchange(&kept->Running, 0);
        return STATUS_SUCCESS;
    }
    InterlockedExchange(&kept->Running, 1);
    if (!LaneQueueNode(&Lanes[prepare->Lane], &kept->Node, &((CONFORMANCE_PREPARED_ID *)Output)->Sequence)) {
        InterlockedExchange(&kept->Running, 0);
        return STATUS_DELETE_PENDING;
    }
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ NTSTATUS PreparedQuery(const VOID *Input, VOID *Output)
{
    ULONG number = ((const CONFORMANCE_OBJECT *)Input)->Index;
    CONFORMANCE_PREPARED_RESULT *result = Output;
    CF_PREPARED *kept;
    KIRQL irql;

    if (number >= CONFORMANCE_PREPARED) {
        return STATUS_INVALID_PARAMETER;
    }
    kept = &Prepared[number];
    if (kept->Code == 0) {
        return STATUS_NOT_FOUND;
    }
    result->Running = (ULONG)kept->Running; /* before the rest, which is complete then if it says no */
    KeAcquireSpinLock(&kept->Lock, &irql);
    result->Runs = kept->Runs;
    result->Status = kept->Status;
    result->OutputBytes = kept->OutputBytes;
    RtlCopyMemory(result->Output, kept->Output, sizeof(result->Output));
    KeReleaseSpinLock(&kept->Lock, irql);
    return STATUS_SUCCESS;
}

VOID PreparedReset(void)
{
    ULONG i;

    for (i = 0; i < CONFORMANCE_PREPARED; i++) {
        if (Prepared[i].Running == 0) {
            Prepared[i].Code = 0;
        }
    }
}

/* ---- Lanes ---- */

static NTSTATUS LaneRun(HS_LANE *Lane, HS_LANE_NODE *Node, ULONG_PTR *Information)
{
    ULONG index = (ULONG)(Lane - Lanes);
    ULONG actor = CF_ACTOR_LANE + index;
    ULONG64 sequence = (ULONG64)Lane->Done + 1;
    ULONG code;
    NTSTATUS status;

    InterlockedExchange(&LaneThreads[index], (LONG)(ULONG_PTR)PsGetCurrentThreadId());
    InterlockedExchange(&LaneProcess, (LONG)(ULONG_PTR)PsGetCurrentProcessId());
    code = Node->Irp != NULL ? IoGetCurrentIrpStackLocation(Node->Irp)->Parameters.DeviceIoControl.IoControlCode
                             : CONTAINING_RECORD(Node, CF_PREPARED, Node)->Code;
    if (index < CONFORMANCE_LANES) {
        HS_TRACE(RequestBegin, actor, (code >> 2) & 0x3FF, sequence);
    }
    if (Node->Irp == NULL) {
        status = PreparedDo(CONTAINING_RECORD(Node, CF_PREPARED, Node));
    } else if (CfEnding && index < LANE_WAIT) {
        status = STATUS_CANCELLED;
    } else {
        status = DispatchRunPended(Lane, Node, Information);
    }
    if (index < CONFORMANCE_LANES) {
        HS_TRACE(RequestEnd, actor, (code >> 2) & 0x3FF, sequence, status);
    }
    return status;
}

_Use_decl_annotations_ NTSTATUS DispatchQueue(PIRP Irp, const HS_DISPATCH_ENTRY *Entry)
{
    ULONG lane = Entry->Where;

    if (lane < LANE_WAIT) {
        lane = ((const CONFORMANCE_CALLER *)Irp->AssociatedIrp.SystemBuffer)->Lane;
        if (lane >= CONFORMANCE_LANES) {
            Irp->IoStatus.Status = STATUS_INVALID_PARAMETER;
            Irp->IoStatus.Information = 0;
            IoCompleteRequest(Irp, IO_NO_INCREMENT);
            return STATUS_INVALID_PARAMETER;
        }
    }
    return LaneQueue(&Lanes[lane], Irp);
}

_Use_decl_annotations_ VOID DispatchCancelFile(PFILE_OBJECT FileObject)
{
    ULONG i;

    PauseCancelFile(FileObject);
    for (i = 0; i < LANE_COUNT; i++) {
        LaneCancelFile(&Lanes[i], FileObject);
    }
}

VOID LanesCancelAll(void)
{
    ULONG i;

    for (i = 0; i < CONFORMANCE_LANES; i++) {
        LaneCancelFile(&Lanes[i], NULL);
    }
}

ULONG LanesProcessId(void)
{
    return (ULONG)LaneProcess;
}

ULONG LanesBusy(void)
{
    ULONG busy = 0;
    ULONG i;

    for (i = 0; i < CONFORMANCE_LANES; i++) {
        busy |= (ULONG)(Lanes[i].Done != Lanes[i].Queued) << i;
    }
    return busy;
}

_Use_decl_annotations_ BOOLEAN LaneHasDone(ULONG Lane, ULONG64 Sequence)
{
    return Lane < CONFORMANCE_LANES && (ULONG64)Lanes[Lane].Done >= Sequence;
}

_Use_decl_annotations_ VOID LanesDescribe(CONFORMANCE_SNAPSHOT_REPLY *Snapshot)
{
    ULONG i;

    for (i = 0; i < CONFORMANCE_LANES; i++) {
        Snapshot->LaneDone[i] = (ULONG64)Lanes[i].Done;
        Snapshot->LaneStatus[i] = (ULONG)Lanes[i].Status;
    }
    Snapshot->LanesBusy = LanesBusy();
}

_Use_decl_annotations_ ULONG LaneOfThread(ULONG ThreadId)
{
    ULONG i;

    for (i = 0; i < LANE_COUNT; i++) {
        if ((ULONG)LaneThreads[i] == ThreadId) {
            return i;
        }
    }
    return CONFORMANCE_NONE;
}

static VOID LanesEnd(ULONG Count)
{
    while (Count-- > 0) {
        LaneEnd(&Lanes[Count]);
    }
}

_Use_decl_annotations_ NTSTATUS LanesDriverEntry(void)
{
    ULONG i;

    for (i = 0; i < CONFORMANCE_PREPARED; i++) {
        KeInitializeSpinLock(&Prepared[i].Lock);
    }
    for (i = 0; i < LANE_COUNT; i++) {
        NTSTATUS status = LaneOpen(&Lanes[i], LaneRun);

        if (!NT_SUCCESS(status)) {
            LanesEnd(i);
            return status;
        }
        Lanes[i].AfterEach = WaitProgress;
    }
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ VOID LanesUnload(void)
{
    LanesEnd(LANE_COUNT);
}
