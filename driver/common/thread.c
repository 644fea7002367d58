/* Threads of a driver are referenced when made and joined by their object, never merely signalled. */
#include "common.h"

typedef NTSTATUS(NTAPI *ZW_ALERT_THREAD)(HANDLE ThreadHandle);

_Use_decl_annotations_ NTSTATUS HsThreadFromHandle(HANDLE Handle, PVOID *ThreadObject)
{
    NTSTATUS status = ObReferenceObjectByHandle(Handle, THREAD_ALL_ACCESS, HS_THREAD_OBJECT_TYPE, KernelMode, ThreadObject, NULL);

    if (NT_SUCCESS(status)) {
        InterlockedIncrement(&HsCounters.Threads);
        InterlockedIncrement(&HsCounters.References);
    }
    return status;
}

_Use_decl_annotations_ NTSTATUS HsThreadCreate(PKSTART_ROUTINE Routine, PVOID Context, PVOID *ThreadObject)
{
    OBJECT_ATTRIBUTES attributes;
    HANDLE handle;
    NTSTATUS status;

    InitializeObjectAttributes(&attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    status = PsCreateSystemThread(&handle, THREAD_ALL_ACCESS, &attributes, NULL, NULL, Routine, Context);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    status = HsThreadFromHandle(handle, ThreadObject);
    ZwClose(handle);
    return status;
}

/* STATUS_TIMEOUT: it still runs, and stays referenced. */
_Use_decl_annotations_ NTSTATUS HsThreadJoin(PVOID ThreadObject, ULONG TimeoutMs)
{
    LARGE_INTEGER timeout;
    NTSTATUS status;

    timeout.QuadPart = -(LONG64)TimeoutMs * 10000;
    status = KeWaitForSingleObject(ThreadObject, Executive, KernelMode, FALSE, &timeout);
    if (status == STATUS_SUCCESS) {
        ObDereferenceObject(ThreadObject);
        InterlockedDecrement(&HsCounters.References);
        InterlockedDecrement(&HsCounters.Threads);
    }
    return status;
}

_Use_decl_annotations_ NTSTATUS HsThreadAlert(PVOID ThreadObject)
{
    ZW_ALERT_THREAD alertThread = (ZW_ALERT_THREAD)(ULONG_PTR)HsResolveSystem(NULL, L"ZwAlertThread");
    HANDLE handle;
    NTSTATUS status;

    if (alertThread == NULL) {
        return STATUS_NOT_IMPLEMENTED;
    }
    status = ObOpenObjectByPointer(ThreadObject, OBJ_KERNEL_HANDLE, NULL, THREAD_ALL_ACCESS, HS_THREAD_OBJECT_TYPE, KernelMode, &handle);
    if (NT_SUCCESS(status)) {
        status = alertThread(handle);
        ZwClose(handle);
    }
    return status;
}
