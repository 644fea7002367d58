/* Extensions: their table, life, options (R1-R4, R30). */
#include "image_endpoints.h"
#include "proxy.h"

/*
 * A table, because an owner is looked up at any IRQL and so without a lock: what is searched is never freed. The lock is for
 * those that change it. All zero: an export driver loaded by import gets no entry call on Wine.
 *
 * A lookup by owner counts itself in Readers and then looks at Owner again; whoever takes an extension out first takes its
 * owner away and then waits for the readers. So an extension that a lookup touches is not freed under it.
 */
typedef struct _DP_EXTENSION_ENTRY {
    PVOID volatile Owner; /* NULL: none, or the entry is free */
    PDRIVER_PROXY_EXTENSION volatile Extension; /* NULL: the entry is free */
    volatile LONG Readers;
} DP_EXTENSION_ENTRY;

static DP_EXTENSION_ENTRY DpExtensions[DP_EXTENSION_COUNT];
static DP_RUNDOWN DpRundowns[DP_EXTENSION_COUNT]; /* of the entry with the same number; see rundown.h */
static BOOLEAN DpRundownReady[DP_EXTENSION_COUNT];
static KSPIN_LOCK DpExtensionLock;

#define DP_POLL_100NS (-10 * 1000)

static volatile LONG DpUnavailable;
static PVOID volatile DpBlockedDriver;

/* ---- The table ---- */

_Use_decl_annotations_ PDRIVER_PROXY_EXTENSION DpExtensionOwned(PVOID Owner)
{
    ULONG i;

    for (i = 0; Owner != NULL && i < DP_EXTENSION_COUNT; i++) {
        DP_EXTENSION_ENTRY *entry = &DpExtensions[i];

        if (DpReadPointer(&entry->Owner) == Owner) {
            PDRIVER_PROXY_EXTENSION extension = DpReadPointer(&entry->Extension);

            if (DpReadPointer(&entry->Owner) == Owner) { /* or the entry has changed hands in between */
                return extension;
            }
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
    if (DpExtensionOwned(Extension->Owner) != NULL) {
        status = STATUS_RESOURCE_IN_USE;
    }
    for (i = 0; i < DP_EXTENSION_COUNT && status == STATUS_INSUFFICIENT_RESOURCES; i++) {
        if (DpExtensions[i].Extension == NULL) {
            /* Once: a call that comes late for the extension before may still be reading it. */
            if (!DpRundownReady[i]) {
                DpRundownInitialize(&DpRundowns[i]);
                DpRundownReady[i] = TRUE;
            }
            Extension->Rundown = &DpRundowns[i];
            DpWritePointer(&DpExtensions[i].Extension, Extension);
            DpWritePointer(&DpExtensions[i].Owner, (PVOID)Extension->Owner);
            status = STATUS_SUCCESS;
        }
    }
    KeReleaseSpinLock(&DpExtensionLock, irql);
    return status;
}

static DP_EXTENSION_ENTRY *DpExtensionEntry(PDRIVER_PROXY_EXTENSION Extension)
{
    return &DpExtensions[Extension->Rundown - DpRundowns];
}

/* From here on no lookup by owner finds it, and none that did is still at it. */
_IRQL_requires_(PASSIVE_LEVEL) static VOID DpExtensionHide(PDRIVER_PROXY_EXTENSION Extension)
{
    DP_EXTENSION_ENTRY *entry = DpExtensionEntry(Extension);
    LARGE_INTEGER poll = { .QuadPart = DP_POLL_100NS };

    (VOID)InterlockedExchangePointer(&entry->Owner, NULL);
    while (DpRead32(&entry->Readers) != 0) {
        KeDelayExecutionThread(KernelMode, FALSE, &poll);
    }
}

/* Entry and rundown may be another's at once. */
static VOID DpExtensionRemove(PDRIVER_PROXY_EXTENSION Extension)
{
    KIRQL irql;

    KeAcquireSpinLock(&DpExtensionLock, &irql);
    DpWritePointer(&DpExtensionEntry(Extension)->Extension, NULL);
    KeReleaseSpinLock(&DpExtensionLock, irql);
}

_Use_decl_annotations_ VOID DpExtensionTotals(HS_PROXY_COUNTERS *Counters)
{
    KIRQL irql;
    ULONG i;

    RtlZeroMemory(Counters, sizeof(*Counters));
    KeAcquireSpinLock(&DpExtensionLock, &irql);
    for (i = 0; i < DP_EXTENSION_COUNT; i++) {
        if (DpExtensions[i].Extension != NULL) {
            Counters->Extensions++;
            Counters->ActiveCalls += DpRundownCount(&DpRundowns[i]);
            Counters->HeldCalls += (ULONG)DpRead32(&DpRundowns[i].Held);
            Counters->StalledExtensions += (DpRead64(&DpRundowns[i].State) & DP_STALLED) != 0;
        }
    }
    KeReleaseSpinLock(&DpExtensionLock, irql);
}

/* ---- Use and end ---- */

_Use_decl_annotations_ BOOLEAN DpExtensionUse(PDRIVER_PROXY_EXTENSION Extension)
{
    if (InterlockedIncrement(&Extension->Users) > 0) {
        return TRUE;
    }
    InterlockedDecrement(&Extension->Users);
    return FALSE;
}

_Use_decl_annotations_ VOID DpExtensionDone(PDRIVER_PROXY_EXTENSION Extension)
{
    InterlockedDecrement(&Extension->Users);
}

_Use_decl_annotations_ VOID DpExtensionFree(PDRIVER_PROXY_EXTENSION Extension)
{
    PVOID thread = DpReadPointer(&Extension->LastLeft);

    if (thread != NULL) { /* its last instructions are in this driver, which may be unloaded next */
        KeWaitForSingleObject(thread, Executive, KernelMode, FALSE, NULL);
        ObDereferenceObject(thread);
    }
    DpExtensionHide(Extension); /* first: a lookup takes the owner's DriverUnload over */
    DpOwnerForget(Extension);
    InterlockedExchange64(&Extension->Rundown->State, 0);
    DpWrappersFree(Extension);
    DpImageEndpointsFree(Extension);
    DpExtensionRemove(Extension);
    if (Extension->Owner != NULL) {
        ObDereferenceObject(Extension->Owner);
    }
    DpFree(Extension);
}

/* ---- The API ---- */

_Use_decl_annotations_ VOID NTAPI HsSetDriverProxyAvailability(BOOLEAN Available, PDRIVER_OBJECT Blocked)
{
    DpWritePointer(&DpBlockedDriver, (PVOID)Blocked);
    DpWrite32(&DpUnavailable, !Available);
}

_Use_decl_annotations_ BOOLEAN DpAvailable(PVOID DriverObject)
{
    return DpRead32(&DpUnavailable) == 0 && (DriverObject == NULL || DpReadPointer(&DpBlockedDriver) != DriverObject);
}

_Use_decl_annotations_ VOID NTAPI HsIoGetDriverProxyFeatures(PDRIVER_OBJECT DriverObject, PDRIVER_PROXY_FEATURE_FLAGS Flags)
{
    Flags->AsUlong = 0;
    Flags->Enabled = DpAvailable(DriverObject);
}

_Use_decl_annotations_ NTSTATUS NTAPI HsIoCreateDriverProxyExtension(PDRIVER_OBJECT OwningDriverObject,
                                                                    DRIVER_PROXY_EXTENSION_CREATION_FLAGS Flags,
                                                                    PDRIVER_PROXY_EXTENSION *DriverProxyExtension)
{
    PDRIVER_PROXY_EXTENSION extension;
    NTSTATUS status;

    *DriverProxyExtension = NULL;
    if (!DpAvailable(NULL)) {
        return STATUS_NOT_SUPPORTED;
    }
    if (!DpAvailable(OwningDriverObject)) {
        return STATUS_DRIVER_BLOCKED;
    }
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
    KeInitializeEvent(&extension->SwapLock, SynchronizationEvent, TRUE);

    status = DpImageEndpointsPrepare(extension);
    if (NT_SUCCESS(status)) {
        status = DpExtensionAdd(extension);
    }
    if (!NT_SUCCESS(status)) {
        DpImageEndpointsAbandon(extension);
        DpFree(extension);
        return status;
    }
    DpImageEndpointsPublish(extension);
    if (OwningDriverObject != NULL) {
        ObReferenceObject(OwningDriverObject);
        DpOwnerArm(extension);
    }
    *DriverProxyExtension = extension;
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ NTSTATUS NTAPI HsDeleteDriverProxyExtension(PDRIVER_PROXY_EXTENSION DriverProxyExtension)
{
    PDRIVER_PROXY_EXTENSION extension = DriverProxyExtension;
    NTSTATUS status;

    if (extension == NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    if (DpRead32(&extension->WorkerThreads) != 0 || DpRundownCount(extension->Rundown) != 0 ||
        DpRead32(&extension->Rundown->Held) != 0) {
        return STATUS_DEVICE_BUSY;
    }
    /* Also from inside a registration or one of its callbacks. */
    if (InterlockedCompareExchange(&extension->Users, DP_CLOSED, 0) != 0) {
        return STATUS_DEVICE_BUSY;
    }
    DpWritePointer(&extension->Rundown->Notify, NULL); /* this is no swap */
    DpRundownPrepare(extension->Rundown);
    DpRundownStall(extension->Rundown);
    status = DpRundownDrain(extension->Rundown, 0);
    if (status != STATUS_SUCCESS || DpRead32(&extension->WorkerThreads) != 0) {
        DpRundownRelease(extension->Rundown);
        DpWritePointer(&extension->Rundown->Notify, (PVOID)(ULONG_PTR)extension->Options.Notify);
        InterlockedAnd(&extension->Users, ~DP_CLOSED);
        return STATUS_DEVICE_BUSY;
    }
    DpWrappersClose(extension);
    DpRundownRelease(extension->Rundown);
    DpExtensionFree(extension);
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ PDRIVER_PROXY_EXTENSION NTAPI HsIoGetDriverProxyExtensionFromDriverObject(PDRIVER_OBJECT DriverObject)
{
    PDRIVER_PROXY_EXTENSION found = NULL;
    ULONG i;

    for (i = 0; DriverObject != NULL && found == NULL && i < DP_EXTENSION_COUNT; i++) {
        DP_EXTENSION_ENTRY *entry = &DpExtensions[i];

        if (DpReadPointer(&entry->Owner) != DriverObject) {
            continue;
        }
        InterlockedIncrement(&entry->Readers);
        if (DpReadPointer(&entry->Owner) == DriverObject) { /* or the entry has changed hands in between */
            PDRIVER_PROXY_EXTENSION extension = DpReadPointer(&entry->Extension);

            if (!DpRead32(&extension->Going)) {
                DpOwnerArm(extension);
                found = extension;
            }
        }
        InterlockedDecrement(&entry->Readers);
    }
    return found;
}

_Use_decl_annotations_ NTSTATUS NTAPI HsSetDriverProxyOptions(PDRIVER_PROXY_EXTENSION DriverProxyExtension,
                                                             const HS_PROXY_OPTIONS *Options)
{
    HS_PROXY_OPTIONS options = { 0 };
    DP_RUNDOWN *rundown;
    ULONG size;

    if (DriverProxyExtension == NULL || Options == NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    size = (ULONG)DpRead32((const volatile LONG *)&Options->Size); /* once: see DpWorkerCreate */
    if (size != sizeof(*Options) && size != HS_PROXY_OPTIONS_SIZE_1) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    RtlCopyMemory(&options, Options, size);
    options.Size = sizeof(options);
    if (options.DrainTimeoutMs == 0) {
        options.DrainTimeoutMs = DP_DRAIN_TIMEOUT_MS;
    }
    options.TrueEndsThread = options.TrueEndsThread != FALSE; /* compared with another BOOLEAN */
    if (!DpExtensionUse(DriverProxyExtension)) {
        return STATUS_DELETE_PENDING;
    }
    DpOwnerArm(DriverProxyExtension);
    DriverProxyExtension->Options = options;
    rundown = DriverProxyExtension->Rundown;
    if (DpReadPointer(&rundown->NotifyContext) != options.NotifyContext) { /* no context goes to the hook before: tell.c */
        DpWritePointer(&rundown->Notify, NULL);
        DpWritePointer(&rundown->NotifyContext, options.NotifyContext);
    }
    DpWritePointer(&rundown->Notify, (PVOID)(ULONG_PTR)options.Notify);
    if (options.Verbose && options.Notify != NULL) {
        InterlockedOr64(&rundown->State, DP_VERBOSE);
    } else {
        InterlockedAnd64(&rundown->State, ~DP_VERBOSE);
    }
    DpExtensionDone(DriverProxyExtension);
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ VOID NTAPI HsQueryDriverProxyCounters(HS_PROXY_COUNTERS *Counters)
{
    DpExtensionTotals(Counters);
    Counters->Wrappers = DpWrapperCount();
    Counters->Threads = DpWorkerThreadCount();
    Counters->Allocations = DpAllocationCount();
}
