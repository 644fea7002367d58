/*
 * IoDriverProxyCreateHotSwappableWorkerThread: the kernel owns loop and wait, the driver supplies one iteration (W1-W61).
 *
 * Between iterations no driver code is on the thread's stack, so a swap may happen while it waits (W53).
 */
#include "proxy.h"

typedef struct _DP_WORKER {
    PDRIVER_PROXY_EXTENSION Extension;
    PKWAIT_BLOCK WaitBlocks; /* NULL: the thread's own THREAD_WAIT_OBJECTS are enough */
    BOOLEAN TrueEndsThread;
    DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE_START_CONTEXT Start; /* last: holds EventCount events (W6) */
} DP_WORKER;

C_ASSERT(sizeof(KWAIT_BLOCK) == 0x30); /* the kernel fills them by its own layout */

static volatile LONG DpWorkerThreads;

/* IoCreateSystemThread keeps the driver in memory while the thread runs; PsCreateSystemThread does not. */
typedef NTSTATUS(NTAPI *DP_IO_CREATE_SYSTEM_THREAD)(PVOID IoObject, PHANDLE ThreadHandle, ULONG DesiredAccess,
                                                    POBJECT_ATTRIBUTES ObjectAttributes, HANDLE ProcessHandle, PCLIENT_ID ClientId,
                                                    PKSTART_ROUTINE StartRoutine, PVOID StartContext);

ULONG DpWorkerThreadCount(void)
{
    return (ULONG)DpWorkerThreads;
}

static VOID DpWorkerFree(DP_WORKER *Worker)
{
    DpFree(Worker->WaitBlocks);
    DpFree(Worker);
}

/* IRQL: PASSIVE_LEVEL. One wait, one call, until the routine says to end (W15-W19). */
static VOID DpWorkerLoop(DP_WORKER *Worker)
{
    const DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE_START_CONTEXT *start = &Worker->Start;
    BOOLEAN again;

    do {
        LARGE_INTEGER timeout = start->Timeout; /* re-armed in full for each wait (W39) */
        NTSTATUS status;

        if (start->EventCount != 0) {
            status = KeWaitForMultipleObjects(start->EventCount, (PVOID *)(ULONG_PTR)start->Events, start->WaitType, start->WaitReason,
                                              start->WaitMode, start->Altertable, start->HasTimeout ? &timeout : NULL,
                                              Worker->WaitBlocks);
        } else {
            status = KeDelayExecutionThread(start->WaitMode, start->Altertable, &timeout);
            if (status == STATUS_SUCCESS) {
                status = STATUS_TIMEOUT;
            }
        }
        again = start->WorkerRoutine(start->Context, status) != FALSE;
        if (Worker->TrueEndsThread) {
            again = !again;
        }
    } while (again);
}

static VOID NTAPI DpWorkerThread(_In_ PVOID StartContext)
{
    DP_WORKER *worker = StartContext;
    PDRIVER_PROXY_EXTENSION extension = worker->Extension;

    DpNotify(extension, HsProxyStepThreadStart, STATUS_SUCCESS, worker->Start.Context);
    DpWorkerLoop(worker);
    DpNotify(extension, HsProxyStepThreadEnd, STATUS_SUCCESS, worker->Start.Context);
    DpWorkerFree(worker);
    InterlockedDecrement(&DpWorkerThreads);
    InterlockedDecrement(&extension->WorkerThreads); /* last use of the extension */
    PsTerminateSystemThread(STATUS_SUCCESS);
}

static NTSTATUS DpCheckStart(PDRIVER_PROXY_EXTENSION Extension, const DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE_START_CONTEXT *Start)
{
    const DP_WRAPPER *wrapper;
    ULONG i;

    if (Extension == NULL || Start == NULL || Start->WorkerRoutine == NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    if (Start->EventCount > MAXIMUM_WAIT_OBJECTS) {
        return STATUS_INVALID_PARAMETER;
    }
    if (Start->EventCount == 0 && !(Extension->Options.AllowZeroEvents && Start->HasTimeout)) {
        return STATUS_INVALID_PARAMETER;
    }
    if ((Start->WaitType != WaitAll && Start->WaitType != WaitAny) || (Start->WaitMode != KernelMode && Start->WaitMode != UserMode)) {
        return STATUS_INVALID_PARAMETER; /* W52 */
    }
    for (i = 0; i < Start->EventCount; i++) {
        if (Start->Events[i] == NULL) {
            return STATUS_INVALID_PARAMETER; /* W52 */
        }
    }
    wrapper = DpWrapperFromAddress((PVOID)(ULONG_PTR)Start->WorkerRoutine);
    if (!Extension->Options.AllowRawRoutine && (wrapper == NULL || wrapper->Extension != Extension)) {
        return STATUS_INVALID_PARAMETER; /* W9 */
    }
    return STATUS_SUCCESS;
}

static NTSTATUS DpWorkerCreate(PDRIVER_PROXY_EXTENSION Extension, const DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE_START_CONTEXT *Start,
                               DP_WORKER **Worker)
{
    /* The declared structure has room for one event; W8: no byte beyond EventCount events is read. */
    SIZE_T startBytes = HS_START_CONTEXT_SIZE(Start->EventCount);
    SIZE_T bytes = FIELD_OFFSET(DP_WORKER, Start) + startBytes;
    DP_WORKER *worker = DpAllocate(max(bytes, sizeof(DP_WORKER)));

    if (worker == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlCopyMemory(&worker->Start, Start, startBytes);
    worker->Extension = Extension;
    worker->TrueEndsThread = Extension->Options.TrueEndsThread;
    if (Start->EventCount > THREAD_WAIT_OBJECTS) { /* W50 */
        worker->WaitBlocks = DpAllocate(Start->EventCount * sizeof(KWAIT_BLOCK));
        if (worker->WaitBlocks == NULL) {
            DpWorkerFree(worker);
            return STATUS_INSUFFICIENT_RESOURCES;
        }
    }
    *Worker = worker;
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ NTSTATUS NTAPI
HsIoDriverProxyCreateHotSwappableWorkerThread(PDRIVER_PROXY_EXTENSION DriverProxyExtension, PHANDLE ThreadHandle, ULONG DesiredAccess,
                                              POBJECT_ATTRIBUTES ObjectAttributes, HANDLE ProcessHandle, PCLIENT_ID ClientId,
                                              PDRIVER_PROXY_HOTSWAP_WORKER_ROUTINE_START_CONTEXT WorkerStartContext)
{
    UNICODE_STRING name;
    DP_IO_CREATE_SYSTEM_THREAD ioCreateSystemThread;
    DP_WORKER *worker;
    NTSTATUS status;

    if (ThreadHandle == NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    status = DpCheckStart(DriverProxyExtension, WorkerStartContext);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    status = DpWorkerCreate(DriverProxyExtension, WorkerStartContext, &worker);
    if (!NT_SUCCESS(status)) {
        return status;
    }

    /* Counted before it runs: it may have ended by the time that the create call returns. */
    InterlockedIncrement(&DpWorkerThreads);
    InterlockedIncrement(&DriverProxyExtension->WorkerThreads);
    RtlInitUnicodeString(&name, L"IoCreateSystemThread");
    ioCreateSystemThread = (DP_IO_CREATE_SYSTEM_THREAD)(ULONG_PTR)MmGetSystemRoutineAddress(&name);
    if (DpFailNow()) {
        status = STATUS_INSUFFICIENT_RESOURCES;
    } else if (ioCreateSystemThread != NULL && DriverProxyExtension->Owner != NULL) {
        status = ioCreateSystemThread(DriverProxyExtension->Owner, ThreadHandle, DesiredAccess, ObjectAttributes, ProcessHandle, ClientId,
                                      DpWorkerThread, worker);
    } else {
        status = PsCreateSystemThread(ThreadHandle, DesiredAccess, ObjectAttributes, ProcessHandle, ClientId, DpWorkerThread, worker);
    }
    if (!NT_SUCCESS(status)) {
        InterlockedDecrement(&DriverProxyExtension->WorkerThreads);
        InterlockedDecrement(&DpWorkerThreads);
        DpWorkerFree(worker);
    }
    return status;
}
