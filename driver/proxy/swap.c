/*
 * The phases of a swap, which a first registration runs as well (R6-R27, R32).
 *
 * PreProcess -> stall -> drain -> ProxyStalled -> switch -> release -> PostProcess. Everything that can fail for want of
 * memory is done before the first phase; after it only a callback or the drain limit can, and both leave the old version.
 */
#include "proxy.h"

_Use_decl_annotations_ VOID DpSwapFreeNew(DP_SWAP *Swap)
{
    ULONG i;

    for (i = 0; i < Swap->Count; i++) {
        if (Swap->Changes[i].Wrapper != NULL && Swap->Changes[i].OldFunction == NULL) {
            DpWrapperFree(Swap->Changes[i].Wrapper);
        }
    }
}

/*
 * New endpoints can be found when nothing can fail any more, or never: a wrapper whose address somebody may have looked up
 * cannot be given back.
 */
static VOID DpSwapPublishNew(DP_SWAP *Swap)
{
    ULONG i;

    for (i = 0; i < Swap->Count; i++) {
        if (Swap->Changes[i].OldFunction == NULL) {
            DpWrapperPublish(Swap->Changes[i].Wrapper, Swap->Extension);
        }
    }
}

static VOID DpNotify(const DP_SWAP *Swap, HS_PROXY_STEP Step, NTSTATUS Status)
{
    DpTell(Swap->Extension->Rundown, Step, Status, NULL, NULL);
}

static VOID DpNotifyVerbose(const DP_SWAP *Swap, HS_PROXY_STEP Step, const DP_WRAPPER *Wrapper)
{
    if ((DpRead64(&Swap->Extension->Rundown->State) & DP_VERBOSE) != 0) {
        DpTell(Swap->Extension->Rundown, Step, STATUS_SUCCESS, NULL, Wrapper);
    }
}

/* Whatever is not STATUS_SUCCESS refuses, also a status like STATUS_PENDING; the caller gets one that says failure. */
static NTSTATUS DpCallPhase(const DP_SWAP *Swap, DRIVER_PROXY_REGISTER_CALLBACK_PHASE Phase, HS_PROXY_STEP Step)
{
    NTSTATUS status = STATUS_SUCCESS;

    if (Swap->Callback != NULL) {
        status = Swap->Callback(Phase, Swap->Context);
    }
    DpNotify(Swap, Step, status);
    return status != STATUS_SUCCESS && NT_SUCCESS(status) ? STATUS_UNSUCCESSFUL : status;
}

/* Hold new calls and wait for those inside. They are held also when it fails. */
static NTSTATUS DpStallAndDrain(const DP_SWAP *Swap)
{
    DP_RUNDOWN *rundown = Swap->Extension->Rundown;
    NTSTATUS status;

    DpRundownPrepare(rundown);
    /* Told before it happens: a call held by it must not appear earlier in a trace. */
    DpNotify(Swap, HsProxyStepStalled, STATUS_SUCCESS);
    DpRundownStall(rundown);
    DpNotifyVerbose(Swap, HsProxyStepStallSet, NULL);
    status = DpRundownDrain(rundown, Swap->Extension->Options.DrainTimeoutMs);
    DpNotify(Swap, HsProxyStepDrained, status);
    return status;
}

static VOID DpReleaseCalls(const DP_SWAP *Swap)
{
    DpNotify(Swap, HsProxyStepReleased, STATUS_SUCCESS);
    DpRundownRelease(Swap->Extension->Rundown);
    DpNotifyVerbose(Swap, HsProxyStepReleaseDone, NULL);
}

/*
 * Only while drained. Whatever interrupts this thread is not held (DpMustWait), and has to find the pointers all old or all new
 * as well (R17).
 */
static VOID DpSwitch(DP_SWAP *Swap)
{
    ULONG i;

    DpAlone(&Swap->Moment);
    for (i = 0; i < Swap->Count; i++) {
        DP_CHANGE *change = &Swap->Changes[i];

        DpWritePointer(&change->Wrapper->Function, change->NewFunction);
    }
    DpNotAlone(&Swap->Moment);
    for (i = 0; i < Swap->Count; i++) {
        DpNotifyVerbose(Swap, HsProxyStepPointerSwitched, Swap->Changes[i].Wrapper);
    }
    Swap->InForce = TRUE;
    DpNotify(Swap, HsProxyStepSwitched, STATUS_SUCCESS);
}

/* While drained, or before anything was switched. */
static VOID DpSwitchBack(DP_SWAP *Swap)
{
    ULONG i;

    DpAlone(&Swap->Moment);
    for (i = 0; i < Swap->Count; i++) {
        DP_CHANGE *change = &Swap->Changes[i];

        if (Swap->InForce && change->OldFunction != NULL) {
            DpWritePointer(&change->Wrapper->Function, change->OldFunction);
        }
    }
    DpNotAlone(&Swap->Moment);
    for (i = 0; i < Swap->Count; i++) {
        if (Swap->InForce && Swap->Changes[i].OldFunction != NULL) {
            DpNotifyVerbose(Swap, HsProxyStepPointerSwitched, Swap->Changes[i].Wrapper);
        }
    }
    Swap->InForce = FALSE;
    DpNotify(Swap, HsProxyStepRolledBack, STATUS_SUCCESS);
}

static NTSTATUS DpRunPhases(DP_SWAP *Swap)
{
    NTSTATUS status = DpCallPhase(Swap, DriverProxyRegisterCallbackPreProcess, HsProxyStepPreProcess);

    if (status != STATUS_SUCCESS) {
        return status;
    }
    if (DpStallAndDrain(Swap) != STATUS_SUCCESS) {
        DpSwitchBack(Swap);
        DpReleaseCalls(Swap);
        return STATUS_UNSUCCESSFUL; /* R12 */
    }
    status = DpCallPhase(Swap, DriverProxyRegisterCallbackProxyStalled, HsProxyStepProxyStalled);
    if (status != STATUS_SUCCESS) {
        DpSwitchBack(Swap);
        DpReleaseCalls(Swap);
        return status;
    }
    DpSwitch(Swap);
    DpReleaseCalls(Swap);

    status = DpCallPhase(Swap, DriverProxyRegisterCallbackPostProcess, HsProxyStepPostProcess);
    if (status == STATUS_SUCCESS || Swap->Extension->Options.KeepAfterPostProcess) {
        return status;
    }
    /* Calls have reached the new version, so going back needs a drain of its own (R25). */
    if (DpStallAndDrain(Swap) != STATUS_SUCCESS) {
        DpReleaseCalls(Swap); /* the new version stays in force: no step says RolledBack */
        return STATUS_UNSUCCESSFUL;
    }
    DpSwitchBack(Swap);
    DpReleaseCalls(Swap);
    return status;
}

_Use_decl_annotations_ NTSTATUS DpSwapBegin(PDRIVER_PROXY_EXTENSION Extension, PDRIVER_PROXY_REGISTER_CALLBACK Callback,
                                            PVOID Context, ULONG Count, DP_SWAP **Swap)
{
    DP_SWAP *swap;

    if (!DpExtensionUse(Extension)) {
        return STATUS_DELETE_PENDING;
    }
    if (DpRead64(&Extension->SwapThread) == DpThreadKey()) { /* from a phase callback (R26) */
        DpExtensionDone(Extension);
        return STATUS_POSSIBLE_DEADLOCK;
    }
    swap = DpAllocate(FIELD_OFFSET(DP_SWAP, Changes) + (SIZE_T)Count * sizeof(DP_CHANGE));
    if (swap == NULL) {
        DpExtensionDone(Extension);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    swap->Extension = Extension;
    swap->Callback = Callback;
    swap->Context = Context;
    swap->Count = Count;
    DpMomentPrepare(&swap->Moment); /* here: calls pay for what is done while they are held */

    KeEnterCriticalRegion(); /* a thread that is suspended here would hold all calls for as long */
    KeWaitForSingleObject(&Extension->SwapLock, Executive, KernelMode, FALSE, NULL);
    DpWrite64(&Extension->SwapThread, DpThreadKey());
    *Swap = swap;
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ NTSTATUS DpSwapRun(DP_SWAP *Swap)
{
    NTSTATUS status = DpRunPhases(Swap);

    if (!Swap->InForce) {
        DpSwapFreeNew(Swap);
        return status;
    }
    DpSwapPublishNew(Swap);
    InterlockedIncrement(&Swap->Extension->Switches);
    return status;
}

_Use_decl_annotations_ VOID DpSwapEnd(DP_SWAP *Swap)
{
    PDRIVER_PROXY_EXTENSION extension = Swap->Extension;

    DpWrite64(&extension->SwapThread, 0);
    KeSetEvent(&extension->SwapLock, IO_NO_INCREMENT, FALSE);
    KeLeaveCriticalRegion();
    DpFree(Swap);
    DpExtensionDone(extension);
}
