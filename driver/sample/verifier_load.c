/*
 * An endpoint image is interposed when it has been mapped and its imports are resolved: what its DriverEntry takes is seen as
 * well. The load notification tells, on the thread that loads; before it is awaited and after it came, images are none of ours.
 */
#include "host.h"

static BOOLEAN LoadWatching; /* the notification is registered */
static volatile LONG LoadAwaited;
static PVOID LoadBase; /* of the image that came, or NULL */
static HS_VERIFIED LoadVerified;

/*
 * Any image that anybody loads. An endpoint driver imports the runtime; nothing else that is loaded meanwhile does. An image of
 * user mode is none of ours, whatever it says that it imports: its memory is its process's, to be changed while it is read.
 */
static VOID NTAPI LoadNotify(PUNICODE_STRING FullImageName, HANDLE ProcessId, PIMAGE_INFO ImageInfo)
{
    UNREFERENCED_PARAMETER(FullImageName);
    UNREFERENCED_PARAMETER(ProcessId); /* on Windows 0, that of the kernel; on Wine the driver host's */
    if (LoadAwaited != 0 && ImageInfo->SystemModeImage && VerifierImportsFrom(ImageInfo->ImageBase, "driverproxy.sys") &&
        InterlockedExchange(&LoadAwaited, 0) != 0) {
        VerifierEnter(ImageInfo->ImageBase, &LoadVerified);
        LoadBase = ImageInfo->ImageBase;
    }
}

/* Should it fail, images are interposed late, and say so. */
VOID VerifierDriverEntry(void)
{
    VerifierResolve(); /* not while an image is being loaded */
    LoadWatching = NT_SUCCESS(PsSetLoadImageNotifyRoutine(LoadNotify));
}

VOID VerifierStopWatching(void)
{
    if (LoadWatching) {
        PsRemoveLoadImageNotifyRoutine(LoadNotify);
        LoadWatching = FALSE;
    }
}

VOID VerifierLoadBegin(void)
{
    LoadBase = NULL;
    InterlockedExchange(&LoadAwaited, 1);
}

/* Put away what was entered and is not the image that was loaded. */
static VOID LoadDrop(void)
{
    InterlockedExchange(&LoadAwaited, 0);
    if (LoadBase != NULL) {
        if (LoadVerified.Image != NULL) {
            VerifierRestore(LoadVerified.Image);
        }
        VerifierLeave(0, STATUS_SUCCESS, &LoadVerified);
        LoadBase = NULL;
    }
}

_Use_decl_annotations_ VOID VerifierLoadEnd(const VOID *Inside, HS_VERIFIED *Verified)
{
    PVOID base = Inside == NULL ? NULL : VerifierImageBase(Inside);

    if (base != NULL && base == LoadBase) {
        *Verified = LoadVerified;
        return;
    }
    LoadDrop();
    Verified->Image = NULL;
    Verified->Status = STATUS_NOT_FOUND;
    if (base != NULL) {
        VerifierEnter(base, Verified);
        if (Verified->Image != NULL) {
            VerifierIncomplete(Verified->Image, STATUS_PARTIAL_COPY); /* its DriverEntry was not seen */
        }
    }
}

VOID VerifierLoadFailed(void)
{
    LoadDrop();
}
