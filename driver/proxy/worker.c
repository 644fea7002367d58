/*
 * IoDriverProxyCreateHotSwappableWorkerThread: the kernel owns loop and wait, the driver supplies one iteration (W1-W61).
 * Here: checks and creation; the loop is in loop.c.
 */
#include "proxy.h"

C_ASSERT(sizeof(KWAIT_BLOCK) == 0x30); /* the kernel fills them by its own layout */

/* Count: EventCount, as it was read once. */
static NTSTATUS DpCheckStart(PDRIVER_PROXY_EXTENSION Extension, const DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE_START_CONTEXT *Start,
                             ULONG Count)
{
    const DP_WRAPPER *wrapper;
    ULONG i;

    if (Start->WorkerRoutine == NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    if (Count > MAXIMUM_WAIT_OBJECTS) {
        return STATUS_INVALID_PARAMETER;
    }
    if (Count == 0 && !(Extension->Options.AllowZeroEvents && Start->HasTimeout)) {
        return STATUS_INVALID_PARAMETER;
    }
    if ((Start->WaitType != WaitAll && Start->WaitType != WaitAny) ||
        (Start->WaitMode != KernelMode && Start->WaitMode != UserMode)) {
        return STATUS_INVALID_PARAMETER; /* W52 */
    }
    for (i = 0; i < Count; i++) {
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

_Use_decl_annotations_ VOID DpWorkerFree(DP_WORKER *Worker)
{
    DpFree(Worker->WaitBlocks);
    DpFree(Worker);
}

/*
 * Checked in the caller's memory, so that what is wrong is told before anything is taken, and again in the copy: what is used is
 * what was checked, also when somebody writes to the start context meanwhile.
 */
static NTSTATUS DpWorkerCreate(PDRIVER_PROXY_EXTENSION Extension, const DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE_START_CONTEXT *Start,
                               DP_WORKER **Worker)
{
    ULONG count;
    SIZE_T startBytes;
    SIZE_T bytes;
    DP_WORKER *worker;
    NTSTATUS status;

    if (Start == NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    count = (ULONG)DpRead32((const volatile LONG *)&Start->EventCount);
    status = DpCheckStart(Extension, Start, count);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    /* The declared structure has room for one event; W8: no byte beyond EventCount events is read. */
    startBytes = HS_START_CONTEXT_SIZE(count);
    bytes = FIELD_OFFSET(DP_WORKER, Start) + startBytes;
    worker = DpAllocate(max(bytes, sizeof(DP_WORKER)));
    if (worker == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlCopyMemory(&worker->Start, Start, startBytes);
    worker->Start.EventCount = count;
    status = DpCheckStart(Extension, &worker->Start, count);
    if (!NT_SUCCESS(status)) {
        DpWorkerFree(worker);
        return status;
    }
    worker->Extension = Extension;
    worker->Switches = DpRead32(&Extension->Switches);
    worker->TrueEndsThread = Extension->Options.TrueEndsThread;
    worker->RecreateThread = Extension->Options.RecreateThread;
    worker->TimeoutOnce = Extension->Options.TimeoutOnce;
    worker->Begin = HsTick();
    if (count > THREAD_WAIT_OBJECTS) { /* W50 */
        worker->WaitBlocks = DpAllocate(count * sizeof(KWAIT_BLOCK));
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
    DP_WORKER *worker;
    NTSTATUS status;

    if (!DpAvailable(DriverProxyExtension != NULL ? DriverProxyExtension->Owner : NULL)) {
        return STATUS_NOT_SUPPORTED; /* W4 */
    }
    if (ThreadHandle == NULL || DriverProxyExtension == NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    if (!DpExtensionUse(DriverProxyExtension)) {
        return STATUS_DELETE_PENDING;
    }
    DpOwnerArm(DriverProxyExtension);
    status = DpWorkerCreate(DriverProxyExtension, WorkerStartContext, &worker);
    if (NT_SUCCESS(status)) {
        status = DpThreadCreate(worker, ThreadHandle, DesiredAccess, ObjectAttributes, ProcessHandle, ClientId);
        if (!NT_SUCCESS(status)) {
            DpWorkerFree(worker);
        }
    }
    DpExtensionDone(DriverProxyExtension);
    return status;
}
