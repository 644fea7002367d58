/*
 * The loop of a hot-swappable worker: one wait, one call, until the routine says to end (W15-W19).
 *
 * Between iterations no driver code is on the thread's stack, so a swap may happen while it waits (W53). A long wait is cut
 * into slices, each a wait of its own on the same objects, so that the thread now and then looks whether its extension has
 * gone with its owner (R4), or is to go on in a new thread (RecreateThread); a slice that ends consumes nothing (W42), so
 * nothing of it shows.
 */
#include "proxy.h"

#define DP_SLICE_100NS ((LONG64)250 * 10 * 1000)

static volatile LONG DpWorkerThreads;

ULONG DpWorkerThreadCount(void)
{
    return (ULONG)DpRead32(&DpWorkerThreads);
}

/* ---- Threads ---- */

/* IoCreateSystemThread keeps the driver in memory while the thread runs; PsCreateSystemThread does not. */
typedef NTSTATUS(NTAPI *DP_IO_CREATE_SYSTEM_THREAD)(PVOID IoObject, PHANDLE ThreadHandle, ULONG DesiredAccess,
                                                    POBJECT_ATTRIBUTES ObjectAttributes, HANDLE ProcessHandle, PCLIENT_ID ClientId,
                                                    PKSTART_ROUTINE StartRoutine, PVOID StartContext);

_Use_decl_annotations_ NTSTATUS DpThreadCreate(DP_WORKER *Worker, PHANDLE Handle, ULONG DesiredAccess,
                                               POBJECT_ATTRIBUTES ObjectAttributes, HANDLE ProcessHandle, PCLIENT_ID ClientId)
{
    PDRIVER_PROXY_EXTENSION extension = Worker->Extension;
    DP_IO_CREATE_SYSTEM_THREAD ioCreateSystemThread;
    UNICODE_STRING name;
    NTSTATUS status;

    /* Counted before it runs: it may have ended by the time that the create call returns. */
    InterlockedIncrement(&DpWorkerThreads);
    InterlockedIncrement(&extension->WorkerThreads);
    RtlInitUnicodeString(&name, L"IoCreateSystemThread");
    ioCreateSystemThread = (DP_IO_CREATE_SYSTEM_THREAD)(ULONG_PTR)MmGetSystemRoutineAddress(&name);
    if (DpFailNow()) {
        status = STATUS_INSUFFICIENT_RESOURCES;
    } else if (ioCreateSystemThread != NULL && extension->Owner != NULL) {
        status = ioCreateSystemThread(extension->Owner, Handle, DesiredAccess, ObjectAttributes, ProcessHandle, ClientId,
                                      DpWorkerThread, Worker);
    } else {
        status = PsCreateSystemThread(Handle, DesiredAccess, ObjectAttributes, ProcessHandle, ClientId, DpWorkerThread, Worker);
    }
    if (!NT_SUCCESS(status)) {
        InterlockedDecrement(&extension->WorkerThreads);
        InterlockedDecrement(&DpWorkerThreads);
    }
    return status;
}

/* The end of a worker's thread. Whoever frees the extension waits for the last one to have gone, and that for the one before. */
static VOID DpThreadLeave(PDRIVER_PROXY_EXTENSION Extension)
{
    PVOID self = PsGetCurrentThread();
    PVOID before;

    ObReferenceObject(self);
    before = InterlockedExchangePointer(&Extension->LastLeft, self);
    if (before != NULL) {
        KeWaitForSingleObject(before, Executive, KernelMode, FALSE, NULL);
        ObDereferenceObject(before);
    }
    InterlockedDecrement(&DpWorkerThreads);
    InterlockedDecrement(&Extension->WorkerThreads); /* last use of the extension */
    PsTerminateSystemThread(STATUS_SUCCESS);
}

/* FALSE: no new thread could be made, and this one goes on. */
static BOOLEAN DpThreadHandOver(DP_WORKER *Worker)
{
    PVOID self = PsGetCurrentThread();
    OBJECT_ATTRIBUTES attributes;
    HANDLE handle;

    InitializeObjectAttributes(&attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    Worker->Switches = DpRead32(&Worker->Extension->Switches);
    Worker->Before = self;
    ObReferenceObject(self);
    if (!NT_SUCCESS(DpThreadCreate(Worker, &handle, THREAD_ALL_ACCESS, &attributes, NtCurrentProcess(), NULL))) {
        ObDereferenceObject(self);
        Worker->Before = NULL;
        return FALSE;
    }
    ZwClose(handle);
    return TRUE;
}

/* ---- The wait ---- */

static BOOLEAN DpMustHandOver(const DP_WORKER *Worker)
{
    return Worker->RecreateThread && Worker->Switches != DpRead32(&Worker->Extension->Switches);
}

/* As HsTick: the one place where system time is read, by plain loads. */
__declspec(noinline) static LONG64 DpSystemTime(void)
{
    LARGE_INTEGER now;

    KeQuerySystemTime(&now);
    return now.QuadPart;
}

static ULONG64 DpElapsed100ns(LONG64 Begin)
{
    LONG64 frequency = HsTickFrequency();
    LONG64 ticks = HsTick() - Begin;

    return (ULONG64)(ticks / frequency * 10000000 + ticks % frequency * 10000000 / frequency);
}

/* The next slice of the worker's wait; TRUE: the last. */
static BOOLEAN DpNextSlice(DP_WORKER *Worker, LARGE_INTEGER *Slice)
{
    LONG64 timeout = Worker->Start.Timeout.QuadPart;
    BOOLEAN first = !Worker->Waiting;
    ULONG64 wanted;
    ULONG64 elapsed;

    Worker->Waiting = TRUE;
    Slice->QuadPart = -DP_SLICE_100NS;
    if (!Worker->Start.HasTimeout) {
        return FALSE;
    }
    if (timeout > 0 && DpSystemTime() + DP_SLICE_100NS < timeout) { /* absolute, and far away */
        return FALSE;
    }
    if (timeout >= 0 || (timeout >= -DP_SLICE_100NS && first && !Worker->TimeoutOnce)) {
        Slice->QuadPart = timeout;
        return TRUE;
    }
    if (first && !Worker->TimeoutOnce) { /* in full for each wait (W39) */
        Worker->Begin = HsTick();
    }
    wanted = 0 - (ULONG64)timeout;
    elapsed = DpElapsed100ns(Worker->Begin);
    if (elapsed + DP_SLICE_100NS < wanted) {
        return FALSE;
    }
    Slice->QuadPart = elapsed < wanted ? -(LONG64)(wanted - elapsed) : 0;
    return TRUE;
}

static NTSTATUS DpWaitSlice(const DP_WORKER *Worker, LARGE_INTEGER *Slice)
{
    const DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE_START_CONTEXT *start = &Worker->Start;
    NTSTATUS status;

    if (start->EventCount != 0) {
        return KeWaitForMultipleObjects(start->EventCount, (PVOID *)(ULONG_PTR)start->Events, start->WaitType, start->WaitReason,
                                        start->WaitMode, start->Altertable, Slice, Worker->WaitBlocks);
    }
    status = KeDelayExecutionThread(start->WaitMode, start->Altertable, Slice);
    return status == STATUS_SUCCESS ? STATUS_TIMEOUT : status;
}

/* Until the wait has completed, or there is something else to do. */
static VOID DpWait(DP_WORKER *Worker)
{
    while (!DpRead32(&Worker->Extension->Going) && !DpMustHandOver(Worker)) {
        LARGE_INTEGER slice;
        BOOLEAN last = DpNextSlice(Worker, &slice);
        NTSTATUS status = DpWaitSlice(Worker, &slice);

        if (last || status != STATUS_TIMEOUT) {
            Worker->Status = status;
            Worker->Woken = TRUE;
            Worker->Waiting = FALSE;
            return;
        }
        DpOwnerArm(Worker->Extension);
    }
}

/* ---- The loop ---- */

/* FALSE: the worker ends. */
static BOOLEAN DpCallRoutine(DP_WORKER *Worker)
{
    DP_RUNDOWN *rundown = Worker->Extension->Rundown;
    BOOLEAN answer;

    Worker->Woken = FALSE;
    if ((DpRead64(&rundown->State) & DP_VERBOSE) != 0) {
        DpTell(rundown, HsProxyStepWoken, Worker->Status, Worker->Start.Context, NULL);
    }
    answer = Worker->Start.WorkerRoutine(Worker->Start.Context, Worker->Status) != FALSE;
    return answer != Worker->TrueEndsThread;
}

_Use_decl_annotations_ VOID NTAPI DpWorkerThread(PVOID StartContext)
{
    DP_WORKER *worker = StartContext;
    PDRIVER_PROXY_EXTENSION extension = worker->Extension;
    PVOID context = worker->Start.Context;
    BOOLEAN again = TRUE;

    if (worker->Before != NULL) { /* one thread at a time (W19) */
        KeWaitForSingleObject(worker->Before, Executive, KernelMode, FALSE, NULL);
        ObDereferenceObject(worker->Before);
        worker->Before = NULL;
    }
    DpTell(extension->Rundown, HsProxyStepThreadStart, STATUS_SUCCESS, context, NULL);
    while (again) {
        if (!worker->Woken) {
            DpWait(worker);
        }
        if (DpRead32(&extension->Going)) {
            break; /* its owner has gone (R4) */
        }
        if (DpMustHandOver(worker) && DpThreadHandOver(worker)) {
            worker = NULL; /* the new thread's */
            break;
        }
        if (worker->Woken) {
            again = DpCallRoutine(worker);
        }
    }
    DpTell(extension->Rundown, HsProxyStepThreadEnd, STATUS_SUCCESS, context, NULL);
    if (worker != NULL) {
        DpWorkerFree(worker);
    }
    DpThreadLeave(extension);
}
