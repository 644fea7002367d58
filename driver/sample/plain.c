/*
 * The way without DriverProxy: an ordinary PsCreateSystemThread loop that calls the function itself. An update has to end
 * the thread, which is what hot-swap is measured against. Also the fallback of a kernel with neither runtime.
 */
#include "host.h"

typedef struct _PLAIN_WORKER {
    PKWAIT_BLOCK WaitBlocks;
    DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE_START_CONTEXT Start; /* last: holds EventCount events */
} PLAIN_WORKER;

static HS_LOCK RestartLock;

VOID RestartDriverEntry(void)
{
    HsLockInitialize(&RestartLock);
}

/* The runtime changes only where no update is under way, and before or after all that excludes one. */
_Use_decl_annotations_ BOOLEAN RestartExclude(void)
{
    if (HsRuntimeKind != HotswapRuntimePlain) {
        return FALSE;
    }
    HsLockAcquire(&RestartLock);
    return TRUE;
}

_Use_decl_annotations_ VOID RestartInclude(BOOLEAN Excluded)
{
    if (Excluded) {
        HsLockRelease(&RestartLock);
    }
}

static VOID NTAPI PlainThread(_In_ PVOID StartContext)
{
    PLAIN_WORKER *worker = StartContext;
    const DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE_START_CONTEXT *start = &worker->Start;
    HS_WORKER *owner = CONTAINING_RECORD((HS_WORKER_CONTEXT *)start->Context, HS_WORKER, Context);
    NTSTATUS status;

    HS_TRACE(WorkerThreadStart, owner->Id, (ULONG)(ULONG_PTR)PsGetCurrentThreadId());
    do {
        LARGE_INTEGER timeout = start->Timeout;

        status = KeWaitForMultipleObjects(start->EventCount, (PVOID *)(ULONG_PTR)start->Events, start->WaitType, start->WaitReason,
                                          start->WaitMode, start->Altertable, start->HasTimeout ? &timeout : NULL, worker->WaitBlocks);
    } while ((start->WorkerRoutine(start->Context, status) != FALSE) != HsInvertReturn);
    HS_TRACE(WorkerThreadEnd, owner->Id, (ULONG)(ULONG_PTR)PsGetCurrentThreadId());
    HsFree(worker->WaitBlocks);
    HsFree(worker);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

_Use_decl_annotations_ NTSTATUS PlainCreateWorkerThread(PHANDLE ThreadHandle, PCLIENT_ID ClientId,
                                                        const DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE_START_CONTEXT *Start)
{
    SIZE_T startBytes = HS_START_CONTEXT_SIZE(Start->EventCount);
    PLAIN_WORKER *worker = HsAllocate(sizeof(*worker) + startBytes);
    OBJECT_ATTRIBUTES attributes;
    NTSTATUS status;

    if (worker == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlCopyMemory(&worker->Start, Start, startBytes);
    if (Start->EventCount > THREAD_WAIT_OBJECTS) {
        worker->WaitBlocks = HsAllocate(Start->EventCount * sizeof(KWAIT_BLOCK));
        if (worker->WaitBlocks == NULL) {
            HsFree(worker);
            return STATUS_INSUFFICIENT_RESOURCES;
        }
    }
    InitializeObjectAttributes(&attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    status = PsCreateSystemThread(ThreadHandle, THREAD_ALL_ACCESS, &attributes, NULL, ClientId, PlainThread, worker);
    if (!NT_SUCCESS(status)) {
        HsFree(worker->WaitBlocks);
        HsFree(worker);
    }
    return status;
}
