/*
 * Endpoint images and what each has not given back. An image is entered when it has been mapped, before its DriverEntry
 * (verifier_load.c), and judged when ZwUnloadDriver has returned: EndpointVerified.
 */
#include "host.h"

VERIFIER_IMAGE VerifierImages[VERIFIER_IMAGES];

typedef struct _VERIFIER_LEFT {
    ULONG PoolBlocks;
    ULONG64 PoolBytes;
    ULONG Threads;
    ULONG Events;
    ULONG Handles;
    ULONG References;
} VERIFIER_LEFT;

/* Only the first reason is kept. */
_Use_decl_annotations_ VOID VerifierIncomplete(VERIFIER_IMAGE *Image, NTSTATUS Status)
{
    InterlockedCompareExchange((volatile LONG *)&Image->Status, Status, STATUS_SUCCESS);
}

static VERIFIER_IMAGE *VerifierClaim(PVOID Base)
{
    ULONG i;

    for (i = 0; i < VERIFIER_IMAGES; i++) {
        VERIFIER_IMAGE *image = &VerifierImages[i];

        if (InterlockedCompareExchange(&image->InUse, 1, 0) == 0) {
            image->Status = STATUS_SUCCESS;
            image->Base = Base;
            image->Imports = 0;
            image->Calls = 0;
            return image;
        }
    }
    return NULL;
}

_Use_decl_annotations_ VOID VerifierEnter(PVOID Base, HS_VERIFIED *Verified)
{
    VERIFIER_IMAGE *image = VerifierClaim(Base);

    Verified->Image = NULL;
    if (image == NULL) {
        Verified->Status = STATUS_TOO_MANY_NAMES;
        return;
    }
    Verified->Status = VerifierPatch(image, VerifierReplacement, &image->Imports);
    if (NT_SUCCESS(Verified->Status) || Verified->Status == STATUS_PARTIAL_COPY) {
        Verified->Image = image;
    } else {
        image->InUse = 0;
    }
}

_Use_decl_annotations_ VOID VerifierTakeThread(VERIFIER_IMAGE *Image, HANDLE Handle)
{
    LARGE_INTEGER now = { 0 };
    VERIFIER_ENTRY *threads;
    PVOID thread;
    NTSTATUS status = ObReferenceObjectByHandle(Handle, SYNCHRONIZE, HS_THREAD_OBJECT_TYPE, KernelMode, &thread, NULL);

    VerifierTake(Image, VERIFIER_HANDLE, Handle, 0);
    if (!NT_SUCCESS(status)) {
        VerifierIncomplete(Image, status);
        return;
    }
    /* Those that have ended are done with: a driver may make any number of threads, one after another. */
    threads = VerifierTakeOut(Image, VERIFIER_THREAD);
    while (threads != NULL) {
        VERIFIER_ENTRY *next = threads->Next;

        if (KeWaitForSingleObject(threads->Key, Executive, KernelMode, FALSE, &now) == STATUS_SUCCESS) {
            ObDereferenceObject(threads->Key);
            VerifierPutAway(threads);
        } else {
            VerifierPutBack(threads);
        }
        threads = next;
    }
    if (!VerifierTake(Image, VERIFIER_THREAD, thread, 0)) {
        ObDereferenceObject(thread);
    }
}

static VOID VerifierCount(const VERIFIER_ENTRY *Entry, VERIFIER_LEFT *Left)
{
    LARGE_INTEGER now = { 0 };

    switch (Entry->Kind) {
    case VERIFIER_POOL:
        Left->PoolBlocks++;
        Left->PoolBytes += Entry->Bytes;
        break;
    case VERIFIER_THREAD:
        if (KeWaitForSingleObject(Entry->Key, Executive, KernelMode, FALSE, &now) != STATUS_SUCCESS) {
            Left->Threads++;
        }
        break;
    case VERIFIER_EVENT:
        Left->Events++;
        break;
    case VERIFIER_HANDLE:
        Left->Handles++;
        break;
    case VERIFIER_REFERENCE:
        Left->References += Entry->Count;
        break;
    default:
        break;
    }
}

/* What an image has on record. The record is closed when it has left, and stays when it has not. */
static VOID VerifierSettle(const VERIFIER_IMAGE *Image, BOOLEAN Gone, VERIFIER_LEFT *Left)
{
    VERIFIER_ENTRY *entry = VerifierTakeOut(Image, VERIFIER_ALL);

    RtlZeroMemory(Left, sizeof(*Left));
    while (entry != NULL) {
        VERIFIER_ENTRY *next = entry->Next;

        VerifierCount(entry, Left);
        if (!Gone) {
            VerifierPutBack(entry);
        } else {
            if (entry->Kind == VERIFIER_THREAD) {
                ObDereferenceObject(entry->Key);
            }
            VerifierPutAway(entry);
        }
        entry = next;
    }
}

_Use_decl_annotations_ VOID VerifierLeave(ULONG Version, NTSTATUS UnloadStatus, HS_VERIFIED *Verified)
{
    VERIFIER_IMAGE *image = Verified->Image;
    BOOLEAN gone = NT_SUCCESS(UnloadStatus);
    NTSTATUS status = gone ? Verified->Status : UnloadStatus;
    VERIFIER_LEFT left;

    if (image == NULL) {
        HS_TRACE(EndpointVerified, Version, status, 0, 0, 0, 0, 0, 0, 0, 0);
        return;
    }
    VerifierSettle(image, gone, &left);
    if (NT_SUCCESS(status)) {
        status = image->Status;
    }
    HS_TRACE(EndpointVerified, Version, status, image->Imports, (ULONG)image->Calls, left.PoolBlocks, left.PoolBytes, left.Threads,
             left.Events, left.Handles, left.References);
    if (gone) {
        Verified->Image = NULL;
        InterlockedExchange(&image->InUse, 0);
    }
}

/* An image that went without the host (its service was stopped by hand) is not there any more. */
_Use_decl_annotations_ VOID VerifierRestore(const VERIFIER_IMAGE *Image)
{
    ULONG restored;

    if (VerifierImageBase(Image->Base) == Image->Base) {
        (VOID)!VerifierPatch(Image, VerifierOriginal, &restored);
    }
}

VOID VerifierUnload(void)
{
    VERIFIER_LEFT left;
    ULONG i;

    VerifierStopWatching();
    for (i = 0; i < VERIFIER_IMAGES; i++) {
        VERIFIER_IMAGE *image = &VerifierImages[i];

        if (image->InUse != 0) {
            VerifierSettle(image, TRUE, &left);
            VerifierRestore(image);
            image->InUse = 0;
        }
    }
}
