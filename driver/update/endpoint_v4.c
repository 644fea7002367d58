/*
 * hotswap_v4.sys, a good update: takes one of each in every iteration of worker 1 and gives all back. One block
 * is kept from PreProcess, while the driver before this one is still there, to DriverUnload.
 */
#include "endpoint_leaking.h"

static PVOID KeptBlock;
VOID V4Unload(void);

static VOID FreeBlock(PVOID *Block)
{
    if (*Block != NULL) {
        ExFreePoolWithTag(*Block, LEAK_TAG);
        *Block = NULL;
    }
}

/* PASSIVE_LEVEL, on a thread of its own. */
static VOID NTAPI Short(PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

/* A thread is joined by its object, so that nothing of it runs in this image any more. */
static VOID TakeThreadAndJoin(void)
{
    HANDLE handle;
    PVOID thread;

    if (!NT_SUCCESS(LeakTakeThread(Short, &handle))) {
        return;
    }
    if (NT_SUCCESS(ObReferenceObjectByHandle(handle, THREAD_ALL_ACCESS, HS_THREAD_OBJECT_TYPE, KernelMode, &thread, NULL))) {
        KeWaitForSingleObject(thread, Executive, KernelMode, FALSE, NULL);
        ObDereferenceObject(thread);
    }
    ZwClose(handle);
}

static BOOLEAN NTAPI Worker(PVOID WorkerContext, NTSTATUS WaitStatus)
{
    HS_WORKER_CONTEXT *context = WorkerContext;
    HANDLE event;
    PVOID block;

    if (context->WorkerId == 1) {
        block = LeakTakePool();
        FreeBlock(&block);
        if (NT_SUCCESS(LeakTakeEvent(&event))) {
            ZwClose(event);
        }
        ObReferenceObject(PsGetCurrentThread());
        ObDereferenceObject(PsGetCurrentThread());
        TakeThreadAndJoin();
    }
    return EndpointWorker(context, WaitStatus);
}

static NTSTATUS NTAPI Phase(DRIVER_PROXY_REGISTER_CALLBACK_PHASE RegisterPhase, PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    if (RegisterPhase == DriverProxyRegisterCallbackPreProcess) {
        KeptBlock = LeakTakePool();
    }
    return STATUS_SUCCESS;
}

/* PASSIVE_LEVEL, from DriverUnload. */
VOID V4Unload(void)
{
    FreeBlock(&KeptBlock);
}

ENDPOINT_DRIVER(ENDPOINT_VERSION, Worker, EndpointCompute, Phase);
