/*
 * What the host does wrong when it is told to (HOTSWAP_HOST_FAULT): each fault is one that an expectation exists for, and
 * disturbs nothing else.
 */
#include "host.h"

#define FAULT_OLD_CALL_MS 2000

static PVOID volatile FaultOldWorker; /* to be called once, by the first iteration that takes it */
static ULONG FaultOldVersion;
static KEVENT FaultOldCallMade;

VOID FaultDriverEntry(void)
{
    KeInitializeEvent(&FaultOldCallMade, SynchronizationEvent, FALSE);
}

static BOOLEAN FaultBetweenVersions(const HS_ENDPOINTS *From, const HS_ENDPOINTS *To)
{
    return From->Version != 0 && To->Version != 0 && From->Version != To->Version;
}

/* On the swapping thread, the old image still there. Returns when one iteration ran in it, or when none came in time. */
_Use_decl_annotations_ VOID FaultAfterSwap(const HS_ENDPOINTS *From, const HS_ENDPOINTS *To)
{
    LARGE_INTEGER timeout;

    if (HsHostFault != HotswapFaultOldCall || !FaultBetweenVersions(From, To)) {
        return;
    }
    FaultOldVersion = From->Version;
    InterlockedExchangePointer(&FaultOldWorker, (PVOID)(ULONG_PTR)From->Worker);
    timeout.QuadPart = -10000ll * FAULT_OLD_CALL_MS;
    if (KeWaitForSingleObject(&FaultOldCallMade, Executive, KernelMode, FALSE, &timeout) != STATUS_SUCCESS &&
        InterlockedExchangePointer(&FaultOldWorker, NULL) == NULL) {
        /* Taken at the last moment: the image must not go while it runs. */
        KeWaitForSingleObject(&FaultOldCallMade, Executive, KernelMode, FALSE, NULL);
    }
}

/* TRUE for one iteration after a swap: it is to call the old worker routine, past the wrapper, and to tell when it has. */
_Use_decl_annotations_ BOOLEAN FaultTakeOldCall(DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE **Routine, ULONG *Version)
{
    PVOID old = FaultOldWorker == NULL ? NULL : InterlockedExchangePointer(&FaultOldWorker, NULL);

    if (old == NULL) {
        return FALSE;
    }
    *Routine = (DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE *)(ULONG_PTR)old;
    *Version = FaultOldVersion;
    return TRUE;
}

VOID FaultOldCallReturned(void)
{
    KeSetEvent(&FaultOldCallMade, IO_NO_INCREMENT, FALSE);
}

/* TRUE: the image that a swap took out of force was forgotten, by the counters as well; it stays loaded for good. */
_Use_decl_annotations_ BOOLEAN FaultForgetImage(HS_IMAGE *Image, const HS_ENDPOINTS *From, const HS_ENDPOINTS *To)
{
    if (HsHostFault != HotswapFaultKeepImage || !Image->Loaded || !FaultBetweenVersions(From, To)) {
        return FALSE;
    }
    Image->Loaded = FALSE;
    InterlockedDecrement(&HsCounters.EndpointDrivers);
    return TRUE;
}
