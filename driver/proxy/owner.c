/*
 * The extension goes with its owner (R4), by taking over DriverObject->DriverUnload.
 *
 * DriverEntry often sets that after it has made its extension, so it is taken over lazily: at each function that is given the
 * extension or its owner, and each time a worker looks up from its wait (four times a second). A driver without DriverUnload
 * cannot be unloaded and is left as it is. No timer looks after it: on Wine those run on threads that stay.
 *
 * On unload the owner's own routine runs first and finds the extension as it was: it may end its workers, and delete the
 * extension. If it does not, the extension is closed: lookups find nothing, STATUS_DELETE_PENDING answers everything else,
 * calls are held, those inside are waited for, and then every wrapper leads to a stub that returns 0; its addresses, which
 * others may still have, never lead into the image again. A worker that waits is ended without a call, one whose routine runs
 * is ended when that returns, and their threads are joined, all before the unload goes on. What has not left by the drain
 * limit, and a second at least, is code of an image about to go: bug check DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS
 * (0xCE; on Wine the driver host ends), with the extension, the calls inside, and its threads as parameters.
 */
#include "proxy.h"

#define DP_POLL_100NS (-10 * 1000)
#define DP_LEAVE_MS 1000 /* a worker that waits looks up four times a second */
#define DP_BUG_CHECK 0xCE

static VOID NTAPI DpOwnerUnload(PDRIVER_OBJECT DriverObject);

_Use_decl_annotations_ VOID DpOwnerArm(PDRIVER_PROXY_EXTENSION Extension)
{
    PVOID volatile *place;
    PVOID own;
    PVOID unload;

    if (Extension->Owner == NULL || DpRead32(&Extension->Going)) {
        return;
    }
    place = (PVOID volatile *)&Extension->Owner->DriverUnload;
    own = DpReadPointer(&Extension->OwnerUnload);
    unload = DpReadPointer(place);
    if (unload == NULL || unload == (PVOID)(ULONG_PTR)DpOwnerUnload) {
        return;
    }
    /* Of several at once one goes on; who has read a routine that is the owner's no more leaves the other's alone. */
    if (InterlockedCompareExchangePointer(&Extension->OwnerUnload, unload, own) == own) {
        (VOID)InterlockedCompareExchangePointer(place, (PVOID)(ULONG_PTR)DpOwnerUnload, unload);
    }
}

_Use_decl_annotations_ VOID DpOwnerForget(PDRIVER_PROXY_EXTENSION Extension)
{
    PVOID own = DpReadPointer(&Extension->OwnerUnload);

    if (own != NULL) {
        (VOID)InterlockedCompareExchangePointer((PVOID volatile *)&Extension->Owner->DriverUnload, own,
                                                (PVOID)(ULONG_PTR)DpOwnerUnload);
    }
}

/* FALSE: the counter is not zero at the limit. */
static BOOLEAN DpAwaitZero(const volatile LONG *Counter, LONG Mask, ULONG64 LimitMs)
{
    LARGE_INTEGER poll = { .QuadPart = DP_POLL_100NS };
    LONG64 limit = HsTick() + DpTicks(LimitMs);

    while ((DpRead32(Counter) & Mask) != 0) {
        if (HsTick() >= limit) {
            return FALSE;
        }
        KeDelayExecutionThread(KernelMode, FALSE, &poll);
    }
    return TRUE;
}

/* Its owner's image goes when this returns. */
_IRQL_requires_(PASSIVE_LEVEL) static VOID DpOwnerGoes(PDRIVER_PROXY_EXTENSION Extension)
{
    ULONG limit = max(Extension->Options.DrainTimeoutMs, DP_LEAVE_MS);
    BOOLEAN left;

    InterlockedOr(&Extension->Users, DP_CLOSED);
    InterlockedExchange(&Extension->Going, TRUE);
    left = DpAwaitZero(&Extension->Users, ~DP_CLOSED, 2ull * limit); /* a swap may be draining, and then again */
    if (left) {
        DpWritePointer(&Extension->Rundown->Notify, NULL); /* this is no swap, and it may be in the image that goes */
        DpRundownPrepare(Extension->Rundown);
        DpRundownStall(Extension->Rundown);
        left = DpRundownDrain(Extension->Rundown, limit) == STATUS_SUCCESS; /* STATUS_TIMEOUT is no failure code */
    }
    if (left) {
        DpWrappersClose(Extension);
        DpRundownRelease(Extension->Rundown);
        left = DpAwaitZero(&Extension->WorkerThreads, ~0, limit);
    }
    if (left) {
        left = DpAwaitZero(&Extension->Rundown->Held, ~0, limit);
    }
    if (!left) {
        KeBugCheckEx(DP_BUG_CHECK, (ULONG_PTR)Extension, DpRundownCount(Extension->Rundown),
                     (ULONG_PTR)Extension->WorkerThreads, 0);
    }
    DpExtensionFree(Extension);
}

/* Called by the I/O manager in the place of the owner's. IRQL: PASSIVE_LEVEL. */
static VOID NTAPI DpOwnerUnload(PDRIVER_OBJECT DriverObject)
{
    PDRIVER_PROXY_EXTENSION extension = DpExtensionOwned(DriverObject);
    PVOID own = extension != NULL ? DpReadPointer(&extension->OwnerUnload) : NULL;

    if (own != NULL) {
        ((PDRIVER_UNLOAD)(ULONG_PTR)own)(DriverObject);
        extension = DpExtensionOwned(DriverObject); /* NULL: it has deleted it */
    }
    if (extension != NULL) {
        DpOwnerGoes(extension);
    }
}
