/* Extensions: their table, owners, options and the hook (R1-R4, R30). */
#include "proxy.h"

/*
 * A table, because an owner is looked up at any IRQL and so without a lock: what is searched is never freed. The lock is for
 * those that change it. All zero: an export driver loaded by import gets no entry call on Wine.
 */
typedef struct _DP_EXTENSION_ENTRY {
    PVOID volatile Owner; /* NULL: none, or the entry is free */
    PVOID volatile Extension; /* NULL: the entry is free */
} DP_EXTENSION_ENTRY;

static DP_EXTENSION_ENTRY DpExtensions[DP_EXTENSION_COUNT];
static KSPIN_LOCK DpExtensionLock;

_Use_decl_annotations_ VOID DpNotify(PDRIVER_PROXY_EXTENSION Extension, HS_PROXY_STEP Step, NTSTATUS Status, PVOID Worker)
{
    HS_PROXY_NOTIFY *notify = Extension->Options.Notify;
    HS_PROXY_NOTIFICATION notification;

    if (notify == NULL) {
        return;
    }
    notification.Step = Step;
    notification.Status = Status;
    notification.Tick = HsTick();
    notification.HeldCalls = (ULONG)Extension->Rundown.HeldTotal;
    notification.Worker = Worker;
    notification.Function = NULL;
    notification.EndpointId = HS_PROXY_NO_ENDPOINT;
    notify(Extension->Options.NotifyContext, &notification);
}

static VOID DpFirstHeld(DP_RUNDOWN *Rundown)
{
    DpNotify(CONTAINING_RECORD(Rundown, DRIVER_PROXY_EXTENSION, Rundown), HsProxyStepFirstHeld, STATUS_SUCCESS, NULL);
}

/* IRQL: any. The extension is owned: a NULL owner finds none. */
static PDRIVER_PROXY_EXTENSION DpFindOwned(PDRIVER_OBJECT Owner)
{
    ULONG i;

    for (i = 0; Owner != NULL && i < DP_EXTENSION_COUNT; i++) {
        if (DpExtensions[i].Owner == Owner) {
            return DpExtensions[i].Extension;
        }
    }
    return NULL;
}

/* STATUS_RESOURCE_IN_USE, STATUS_INSUFFICIENT_RESOURCES. */
static NTSTATUS DpExtensionAdd(PDRIVER_PROXY_EXTENSION Extension)
{
    NTSTATUS status = STATUS_INSUFFICIENT_RESOURCES;
    KIRQL irql;
    ULONG i;

    KeAcquireSpinLock(&DpExtensionLock, &irql);
    if (DpFindOwned(Extension->Owner) != NULL) {
        status = STATUS_RESOURCE_IN_USE;
    }
    for (i = 0; i < DP_EXTENSION_COUNT && status == STATUS_INSUFFICIENT_RESOURCES; i++) {
        if (DpExtensions[i].Extension == NULL) {
            InterlockedExchangePointer(&DpExtensions[i].Extension, Extension);
            InterlockedExchangePointer(&DpExtensions[i].Owner, Extension->Owner);
            status = STATUS_SUCCESS;
        }
    }
    KeReleaseSpinLock(&DpExtensionLock, irql);
    return status;
}

static VOID DpExtensionRemove(PDRIVER_PROXY_EXTENSION Extension)
{
    KIRQL irql;
    ULONG i;

    KeAcquireSpinLock(&DpExtensionLock, &irql);
    for (i = 0; i < DP_EXTENSION_COUNT; i++) {
        if (DpExtensions[i].Extension == Extension) {
            InterlockedExchangePointer(&DpExtensions[i].Owner, NULL);
            InterlockedExchangePointer(&DpExtensions[i].Extension, NULL);
        }
    }
    KeReleaseSpinLock(&DpExtensionLock, irql);
}

_Use_decl_annotations_ VOID NTAPI HsIoGetDriverProxyFeatures(PDRIVER_OBJECT DriverObject, PDRIVER_PROXY_FEATURE_FLAGS Flags)
{
    UNREFERENCED_PARAMETER(DriverObject);
    Flags->AsUlong = 0;
    Flags->Enabled = 1;
}

/* STATUS_INVALID_PARAMETER_2: a creation flag, of which none is defined. */
_Use_decl_annotations_ NTSTATUS NTAPI HsIoCreateDriverProxyExtension(PDRIVER_OBJECT OwningDriverObject,
                                                                    DRIVER_PROXY_EXTENSION_CREATION_FLAGS Flags,
                                                                    PDRIVER_PROXY_EXTENSION *DriverProxyExtension)
{
    PDRIVER_PROXY_EXTENSION extension;
    NTSTATUS status;

    *DriverProxyExtension = NULL;
    if (Flags.AsUlong != 0) {
        return STATUS_INVALID_PARAMETER_2;
    }
    extension = DpAllocate(sizeof(*extension));
    if (extension == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    extension->Owner = OwningDriverObject;
    extension->Options.Size = sizeof(extension->Options);
    extension->Options.DrainTimeoutMs = DP_DRAIN_TIMEOUT_MS;
    DpRundownInitialize(&extension->Rundown, DpFirstHeld);
    KeInitializeEvent(&extension->SwapLock, SynchronizationEvent, TRUE);

    status = DpExtensionAdd(extension);
    if (!NT_SUCCESS(status)) {
        DpFree(extension);
        return status;
    }
    *DriverProxyExtension = extension;
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ NTSTATUS NTAPI HsDeleteDriverProxyExtension(PDRIVER_PROXY_EXTENSION DriverProxyExtension)
{
    if (DriverProxyExtension->WorkerThreads != 0 || DpRundownCount(&DriverProxyExtension->Rundown) != 0 ||
        DriverProxyExtension->Rundown.Held != 0) {
        return STATUS_DEVICE_BUSY;
    }
    DpExtensionRemove(DriverProxyExtension);
    DpWrapperFreeAll(DriverProxyExtension);
    DpFree(DriverProxyExtension);
    return STATUS_SUCCESS;
}

/* IRQL: any (R30). */
_Use_decl_annotations_ PDRIVER_PROXY_EXTENSION NTAPI HsIoGetDriverProxyExtensionFromDriverObject(PDRIVER_OBJECT DriverObject)
{
    return DpFindOwned(DriverObject);
}

_Use_decl_annotations_ NTSTATUS NTAPI HsSetDriverProxyOptions(PDRIVER_PROXY_EXTENSION DriverProxyExtension,
                                                             const HS_PROXY_OPTIONS *Options)
{
    HS_PROXY_OPTIONS options = { 0 };

    if (Options->Size != sizeof(*Options) && Options->Size != HS_PROXY_OPTIONS_SIZE_1) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    RtlCopyMemory(&options, Options, Options->Size);
    options.Size = sizeof(options);
    if (options.DrainTimeoutMs == 0) {
        options.DrainTimeoutMs = DP_DRAIN_TIMEOUT_MS;
    }
    DriverProxyExtension->Options = options;
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ VOID DpExtensionTotals(ULONG *Extensions, ULONG *ActiveCalls, ULONG *HeldCalls)
{
    KIRQL irql;
    ULONG i;

    *Extensions = *ActiveCalls = *HeldCalls = 0;
    KeAcquireSpinLock(&DpExtensionLock, &irql);
    for (i = 0; i < DP_EXTENSION_COUNT; i++) {
        PDRIVER_PROXY_EXTENSION extension = DpExtensions[i].Extension;

        if (extension != NULL) {
            *Extensions += 1;
            *ActiveCalls += DpRundownCount(&extension->Rundown);
            *HeldCalls += (ULONG)extension->Rundown.Held;
        }
    }
    KeReleaseSpinLock(&DpExtensionLock, irql);
}

_Use_decl_annotations_ VOID NTAPI HsQueryDriverProxyCounters(HS_PROXY_COUNTERS *Counters)
{
    DpExtensionTotals(&Counters->Extensions, &Counters->ActiveCalls, &Counters->HeldCalls);
    Counters->Wrappers = DpWrapperCount();
    Counters->Threads = DpWorkerThreadCount();
    Counters->Allocations = DpAllocationCount();
}
