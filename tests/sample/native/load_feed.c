/*
 * Drives the verifier's load notification natively: `load_feed IMAGE...`, where an image is u (of user mode) or s (of the kernel)
 * and comes while one is awaited. Prints which were looked into, and which was interposed, by number from 0.
 */
#include <stdio.h>

#include "host.h"

static LOAD_NOTIFY *Notify;

NTSTATUS PsSetLoadImageNotifyRoutine(LOAD_NOTIFY *Routine)
{
    Notify = Routine;
    return STATUS_SUCCESS;
}

NTSTATUS PsRemoveLoadImageNotifyRoutine(LOAD_NOTIFY *Routine)
{
    Notify = Routine == Notify ? NULL : Notify;
    return STATUS_SUCCESS;
}

static int Number(const VOID *Base)
{
    return (int)((ULONG_PTR)Base / 0x10000) - 1;
}

BOOLEAN VerifierImportsFrom(const VOID *Base, PCSTR Module)
{
    printf("look %d\n", Number(Base));
    return Module != NULL;
}

VOID VerifierEnter(PVOID Base, HS_VERIFIED *Verified)
{
    printf("enter %d\n", Number(Base));
    Verified->Image = NULL;
    Verified->Status = STATUS_SUCCESS;
}

VOID VerifierResolve(void)
{
}

VOID VerifierRestore(const VERIFIER_IMAGE *Image)
{
    (void)Image;
}

VOID VerifierLeave(ULONG Version, NTSTATUS UnloadStatus, HS_VERIFIED *Verified)
{
    (void)Version;
    (void)UnloadStatus;
    (void)Verified;
}

PVOID VerifierImageBase(const VOID *Inside)
{
    return (PVOID)(ULONG_PTR)Inside;
}

VOID VerifierIncomplete(VERIFIER_IMAGE *Image, NTSTATUS Status)
{
    (void)Image;
    (void)Status;
}

int main(int Count, char **Arguments)
{
    int i;

    VerifierDriverEntry();
    VerifierLoadBegin();
    for (i = 1; i < Count; i++) {
        IMAGE_INFO info = { Arguments[i][0] == 's', (PVOID)(ULONG_PTR)(i * 0x10000) };

        Notify(NULL, NULL, &info);
    }
    VerifierLoadFailed();
    VerifierStopWatching();
    return Notify != NULL;
}
