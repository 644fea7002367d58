/* Extensions by number. */
#include "conformance.h"

typedef struct _CF_EXTENSION {
    volatile LONG State; /* CF_STATE */
    PVOID volatile Pointer;
    CONFORMANCE_DRIVER Driver;
} CF_EXTENSION;

static CF_EXTENSION Extensions[CONFORMANCE_EXTENSIONS];

_Use_decl_annotations_ NTSTATUS ExtensionFind(ULONG Number, PDRIVER_PROXY_EXTENSION *Extension)
{
    *Extension = NULL;
    if (Number == CONFORMANCE_NONE) {
        return STATUS_SUCCESS;
    }
    if (Number >= CONFORMANCE_EXTENSIONS) {
        return STATUS_INVALID_PARAMETER;
    }
    if (Extensions[Number].State != CfThere) {
        return STATUS_NOT_FOUND;
    }
    *Extension = Extensions[Number].Pointer;
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ ULONG ExtensionNumber(PVOID Pointer)
{
    ULONG i;

    for (i = 0; i < CONFORMANCE_EXTENSIONS && Pointer != NULL; i++) {
        if (Extensions[i].State == CfThere && Extensions[i].Pointer == Pointer) {
            return i;
        }
    }
    return CONFORMANCE_NONE;
}

ULONG ExtensionCount(void)
{
    ULONG count = 0;
    ULONG i;

    for (i = 0; i < CONFORMANCE_EXTENSIONS; i++) {
        count += Extensions[i].State != CfFree;
    }
    return count;
}

_Use_decl_annotations_ VOID ExtensionForgetHelper(ULONG Helper)
{
    ULONG i;

    for (i = 0; i < CONFORMANCE_EXTENSIONS; i++) {
        CF_EXTENSION *extension = &Extensions[i];

        if (extension->State == CfThere && extension->Driver.Owner == ConformanceOwnerHelper && extension->Driver.Helper == Helper) {
            extension->Pointer = NULL;
            InterlockedExchange(&extension->State, CfFree);
        }
    }
}

/* Native frees an extension with its owner, and one without an owner never: only the number is given back. */
_Use_decl_annotations_ ULONG ExtensionDeleteAll(NTSTATUS *Status)
{
    ULONG left = 0;
    ULONG i;

    for (i = 0; i < CONFORMANCE_EXTENSIONS; i++) {
        NTSTATUS status = STATUS_SUCCESS;

        if (Extensions[i].State != CfThere) {
            continue;
        }
        if (CfRuntime == ConformanceRuntimeCompat) {
            status = HsDeleteDriverProxyExtension(Extensions[i].Pointer);
        }
        if (NT_SUCCESS(status)) {
            Extensions[i].Pointer = NULL;
            InterlockedExchange(&Extensions[i].State, CfFree);
        } else {
            *Status = status;
            left |= 1u << i;
        }
    }
    return left;
}

_Use_decl_annotations_ VOID ExtensionDescribe(CONFORMANCE_SNAPSHOT_REPLY *Snapshot)
{
    ULONG i;

    for (i = 0; i < CONFORMANCE_EXTENSIONS; i++) {
        Snapshot->ExtensionPointers[i] = Extensions[i].State == CfThere ? (ULONG64)(ULONG_PTR)Extensions[i].Pointer : 0;
    }
}

_Use_decl_annotations_ NTSTATUS ExtensionFeatures(const VOID *Input, VOID *Output)
{
    const CONFORMANCE_FEATURES *request = Input;
    CONFORMANCE_FEATURES_REPLY *reply = Output;
    struct {
        DRIVER_PROXY_FEATURE_FLAGS Flags;
        ULONG Guard;
    } out = { { (ULONG)CONFORMANCE_UNTOUCHED }, (ULONG)CONFORMANCE_UNTOUCHED };
    PDRIVER_OBJECT object;
    NTSTATUS status = ApiDriverObject(&request->Driver, TRUE, &object);
    CF_API api;

    if (!NT_SUCCESS(status)) {
        return status;
    }
    reply->Before = out.Flags.AsUlong;
    ApiBegin(&api, &request->Caller, request->Irql, &reply->Result);
    if (CfTable.GetFeatures != NULL) {
        CfTable.GetFeatures(object, &out.Flags);
    } else {
        status = STATUS_NOT_SUPPORTED;
    }
    ApiEnd(&api, status);
    reply->Flags = out.Flags.AsUlong;
    reply->Guard = out.Guard;
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ NTSTATUS ExtensionCreate(const VOID *Input, VOID *Output)
{
    const CONFORMANCE_CREATE_EXTENSION *request = Input;
    CONFORMANCE_EXTENSION_REPLY *reply = Output;
    PDRIVER_PROXY_EXTENSION pointer = (PDRIVER_PROXY_EXTENSION)(ULONG_PTR)CONFORMANCE_UNTOUCHED;
    DRIVER_PROXY_EXTENSION_CREATION_FLAGS flags;
    PDRIVER_OBJECT object;
    CF_EXTENSION *extension;
    NTSTATUS status;
    BOOLEAN made;
    CF_API api;

    if (request->Extension >= CONFORMANCE_EXTENSIONS) {
        return STATUS_INVALID_PARAMETER;
    }
    status = ApiDriverObject(&request->Driver, FALSE, &object);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    extension = &Extensions[request->Extension];
    if (InterlockedCompareExchange(&extension->State, CfBusy, CfFree) != CfFree) {
        return STATUS_OBJECT_NAME_COLLISION;
    }
    flags.AsUlong = request->Flags;
    ApiBegin(&api, &request->Caller, PASSIVE_LEVEL, &reply->Result);
    status = CfTable.CreateExtension != NULL ? CfTable.CreateExtension(object, flags, &pointer) : STATUS_NOT_SUPPORTED;
    ApiEnd(&api, status);
    made = NT_SUCCESS(status) && pointer != NULL && (ULONG64)(ULONG_PTR)pointer != CONFORMANCE_UNTOUCHED;
    reply->Pointer = (ULONG64)(ULONG_PTR)pointer;
    reply->Extension = made ? request->Extension : CONFORMANCE_NONE;
    extension->Driver = request->Driver;
    extension->Pointer = made ? pointer : NULL;
    InterlockedExchange(&extension->State, made ? CfThere : CfFree);
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ NTSTATUS ExtensionDelete(const VOID *Input, VOID *Output)
{
    const CONFORMANCE_EXTENSION *request = Input;
    CONFORMANCE_DONE *done = Output;
    PDRIVER_PROXY_EXTENSION pointer;
    NTSTATUS status = ExtensionFind(request->Extension, &pointer);
    CF_API api;

    if (!NT_SUCCESS(status)) {
        return status;
    }
    ApiBegin(&api, &request->Caller, PASSIVE_LEVEL, &done->Result);
    status = CfRuntime == ConformanceRuntimeCompat ? HsDeleteDriverProxyExtension(pointer) : STATUS_NOT_SUPPORTED;
    ApiEnd(&api, status);
    if (NT_SUCCESS(status) && request->Extension < CONFORMANCE_EXTENSIONS &&
        InterlockedCompareExchangePointer(&Extensions[request->Extension].Pointer, NULL, pointer) == pointer) {
        InterlockedExchange(&Extensions[request->Extension].State, CfFree);
    }
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ NTSTATUS ExtensionSetOptions(const VOID *Input, VOID *Output)
{
    const CONFORMANCE_SET_OPTIONS *request = Input;
    CONFORMANCE_DONE *done = Output;
    PDRIVER_PROXY_EXTENSION pointer;
    HS_PROXY_OPTIONS options = { 0 };
    NTSTATUS status = ExtensionFind(request->Extension, &pointer);
    CF_API api;

    if (!NT_SUCCESS(status)) {
        return status;
    }
    options.Size = request->Size != 0 ? request->Size : sizeof(options);
    options.DrainTimeoutMs = request->DrainTimeoutMs;
    options.TrueEndsThread = request->TrueEndsThread;
    options.AllowZeroEvents = request->AllowZeroEvents;
    options.AllowRawRoutine = request->AllowRawRoutine;
    options.KeepAfterPostProcess = request->KeepAfterPostProcess;
    options.Notify = request->NoNotify != 0 ? NULL : NotifyTrace;
    options.NotifyContext = (PVOID)(ULONG_PTR)request->Extension;
    options.RecreateThread = request->RecreateThread;
    options.TimeoutOnce = request->TimeoutOnce;
    options.Verbose = request->Verbose;
    ApiBegin(&api, &request->Caller, PASSIVE_LEVEL, &done->Result);
    status = CfRuntime == ConformanceRuntimeCompat ? HsSetDriverProxyOptions(pointer, &options) : STATUS_NOT_SUPPORTED;
    ApiEnd(&api, status);
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ NTSTATUS ExtensionFromDriver(const VOID *Input, VOID *Output)
{
    const CONFORMANCE_FROM_DRIVER *request = Input;
    CONFORMANCE_EXTENSION_REPLY *reply = Output;
    PDRIVER_PROXY_EXTENSION pointer = NULL;
    PDRIVER_OBJECT object;
    NTSTATUS status = ApiDriverObject(&request->Driver, TRUE, &object);
    CF_API api;

    if (!NT_SUCCESS(status)) {
        return status;
    }
    ApiBegin(&api, &request->Caller, request->Irql, &reply->Result);
    if (CfTable.FromDriverObject != NULL) {
        pointer = CfTable.FromDriverObject(object);
    } else {
        status = STATUS_NOT_SUPPORTED;
    }
    ApiEnd(&api, status);
    reply->Pointer = (ULONG64)(ULONG_PTR)pointer;
    reply->Extension = ExtensionNumber(pointer);
    return STATUS_SUCCESS;
}
