/* Extensions: their list, owners, options and the hook (R1-R4, R30). */
#include "proxy.h"

/* Statically initialised: an export driver loaded by import gets no entry call on Wine. */
static LIST_ENTRY DpExtensions = { &DpExtensions, &DpExtensions };
static KSPIN_LOCK DpExtensionLock;

_Use_decl_annotations_ VOID DpNotify(PDRIVER_PROXY_EXTENSION Extension, HS_PROXY_STEP Step, NTSTATUS Status, PVOID Worker)
{
    HS_PROXY_NOTIFICATION notification;

    if (Extension->Options.Notify == NULL) {
        return;
    }
    notification.Step = Step;
    notification.Status = Status;
    notification.Tick = HsTick();
    notification.HeldCalls = (ULONG)Extension->Rundown.HeldTotal;
    notification.Worker = Worker;
    Extension->Options.Notify(Extension->Options.NotifyContext, &notification);
}

static VOID DpFirstHeld(DP_RUNDOWN *Rundown)
{
    DpNotify(CONTAINING_RECORD(Rundown, DRIVER_PROXY_EXTENSION, Rundown), HsProxyStepFirstHeld, STATUS_SUCCESS, NULL);
}

static PDRIVER_PROXY_EXTENSION DpFindOwnedLocked(PDRIVER_OBJECT Owner)
{
    PLIST_ENTRY entry;

    for (entry = DpExtensions.Flink; entry != &DpExtensions; entry = entry->Flink) {
        PDRIVER_PROXY_EXTENSION extension = CONTAINING_RECORD(entry, DRIVER_PROXY_EXTENSION, Link);
        if (extension->Owner == Owner) {
            return extension;
        }
    }
    return NULL;
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
    KIRQL irql;

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

    KeAcquireSpinLock(&DpExtensionLock, &irql);
    if (OwningDriverObject != NULL && DpFindOwnedLocked(OwningDriverObject) != NULL) {
        KeReleaseSpinLock(&DpExtensionLock, irql);
        DpFree(extension);
        return STATUS_RESOURCE_IN_USE;
    }
    InsertTailList(&DpExtensions, &extension->Link);
    KeReleaseSpinLock(&DpExtensionLock, irql);
    *DriverProxyExtension = extension;
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ NTSTATUS NTAPI HsDeleteDriverProxyExtension(PDRIVER_PROXY_EXTENSION DriverProxyExtension)
{
    KIRQL irql;

    if (DriverProxyExtension->WorkerThreads != 0 || DpRundownCount(&DriverProxyExtension->Rundown) != 0 ||
        DriverProxyExtension->Rundown.Held != 0) {
        return STATUS_DEVICE_BUSY;
    }
    KeAcquireSpinLock(&DpExtensionLock, &irql);
    RemoveEntryList(&DriverProxyExtension->Link);
    KeReleaseSpinLock(&DpExtensionLock, irql);
    DpWrapperFreeAll(DriverProxyExtension);
    DpFree(DriverProxyExtension);
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ PDRIVER_PROXY_EXTENSION NTAPI HsIoGetDriverProxyExtensionFromDriverObject(PDRIVER_OBJECT DriverObject)
{
    PDRIVER_PROXY_EXTENSION extension;
    KIRQL irql;

    if (DriverObject == NULL) {
        return NULL;
    }
    KeAcquireSpinLock(&DpExtensionLock, &irql);
    extension = DpFindOwnedLocked(DriverObject);
    KeReleaseSpinLock(&DpExtensionLock, irql);
    return extension;
}

_Use_decl_annotations_ NTSTATUS NTAPI HsSetDriverProxyOptions(PDRIVER_PROXY_EXTENSION DriverProxyExtension,
                                                             const HS_PROXY_OPTIONS *Options)
{
    if (Options->Size != sizeof(*Options)) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    DriverProxyExtension->Options = *Options;
    if (DriverProxyExtension->Options.DrainTimeoutMs == 0) {
        DriverProxyExtension->Options.DrainTimeoutMs = DP_DRAIN_TIMEOUT_MS;
    }
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ VOID DpExtensionTotals(ULONG *Extensions, ULONG *ActiveCalls, ULONG *HeldCalls)
{
    PLIST_ENTRY entry;
    KIRQL irql;

    *Extensions = *ActiveCalls = *HeldCalls = 0;
    KeAcquireSpinLock(&DpExtensionLock, &irql);
    for (entry = DpExtensions.Flink; entry != &DpExtensions; entry = entry->Flink) {
        PDRIVER_PROXY_EXTENSION extension = CONTAINING_RECORD(entry, DRIVER_PROXY_EXTENSION, Link);
        *Extensions += 1;
        *ActiveCalls += DpRundownCount(&extension->Rundown);
        *HeldCalls += (ULONG)extension->Rundown.Held;
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
