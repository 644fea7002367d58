/*
 * Endpoint drivers that leak are caught in the manner of Driver Verifier: what an image calls of ntoskrnl to take and give
 * back pool, threads, handles and references goes through functions of the host, which keep a record of it.
 *
 * verifier.c: images and their events. verifier_load.c: seeing them before they run. verifier_table.c: what was taken. verifier_imports.c: the functions put in place.
 * verifier_patch.c: finding and writing an image's import address table.
 */
#pragma once

#include "platform.h"

/* Images interposed at a time: versions side by side, and those that would not unload. */
#define VERIFIER_IMAGES 8

typedef struct _VERIFIER_IMAGE {
    volatile LONG InUse;
    volatile NTSTATUS Status; /* the first thing that makes the figures incomplete */
    PVOID Base;
    ULONG Imports; /* interposed */
    volatile LONG Calls;
} VERIFIER_IMAGE;

extern VERIFIER_IMAGE VerifierImages[VERIFIER_IMAGES];

/* ---- verifier.c: for image.c and main.c. One thread at a time. ---- */

/* Kept with a loaded image. Image is NULL when its imports could not be interposed; Status says why. */
typedef struct _HS_VERIFIED {
    VERIFIER_IMAGE *Image;
    NTSTATUS Status;
} HS_VERIFIED;

_IRQL_requires_(PASSIVE_LEVEL) VOID VerifierEnter(_In_ PVOID Base, _Out_ HS_VERIFIED *Verified);
/* After ZwUnloadDriver: DriverUnload gives back too. Writes EndpointVerified. */
_IRQL_requires_(PASSIVE_LEVEL) VOID VerifierLeave(_In_ ULONG Version, _In_ NTSTATUS UnloadStatus, _Inout_ HS_VERIFIED *Verified);
/* Give an image that stays loaded its own imports back. */
_IRQL_requires_(PASSIVE_LEVEL) VOID VerifierRestore(_In_ const VERIFIER_IMAGE *Image);
/* The host leaves: images that stay loaded get their own imports back. */
_IRQL_requires_(PASSIVE_LEVEL) VOID VerifierUnload(void);

/* ---- verifier_load.c: around ZwLoadDriver. One thread at a time. ---- */

_IRQL_requires_(PASSIVE_LEVEL) VOID VerifierDriverEntry(void);
_IRQL_requires_(PASSIVE_LEVEL) VOID VerifierStopWatching(void);
_IRQL_requires_(PASSIVE_LEVEL) VOID VerifierLoadBegin(void);
/* Loaded. Inside: any address of the image, or NULL when none is known. */
_IRQL_requires_(PASSIVE_LEVEL) VOID VerifierLoadEnd(_In_opt_ const VOID *Inside, _Out_ HS_VERIFIED *Verified);
/* Not loaded; if its DriverEntry ran, it is told what that left (EndpointVerified of version 0). */
_IRQL_requires_(PASSIVE_LEVEL) VOID VerifierLoadFailed(void);

/* ---- verifier_table.c ---- */

#define VERIFIER_POOL 0x01
#define VERIFIER_THREAD 0x02
#define VERIFIER_EVENT 0x04 /* handles of events; of anything else: */
#define VERIFIER_HANDLE 0x08
#define VERIFIER_REFERENCE 0x10
#define VERIFIER_HANDLES (VERIFIER_EVENT | VERIFIER_HANDLE)
#define VERIFIER_ALL 0x1F

typedef struct _VERIFIER_ENTRY {
    struct _VERIFIER_ENTRY *Next;
    VERIFIER_IMAGE *Image;
    PVOID Key; /* block, handle, or object */
    SIZE_T Bytes;
    ULONG Count; /* above 1 for references only */
    ULONG Kind;  /* one bit */
} VERIFIER_ENTRY;

/* FALSE: no room, and the image is marked. A NULL key is nothing taken. */
_IRQL_requires_max_(DISPATCH_LEVEL) BOOLEAN VerifierTake(_Inout_ VERIFIER_IMAGE *Image, _In_ ULONG Kind, _In_opt_ PVOID Key, _In_ SIZE_T Bytes);
/* Kinds: bits. What another image took counts as given back by it. A key that is not there was not taken through imports. */
_IRQL_requires_max_(DISPATCH_LEVEL) VOID VerifierGive(_In_ const VERIFIER_IMAGE *Image, _In_ ULONG Kinds, _In_opt_ PVOID Key);
/* Take an image's entries out, and put each back or away. */
_IRQL_requires_max_(DISPATCH_LEVEL) VERIFIER_ENTRY *VerifierTakeOut(_In_ const VERIFIER_IMAGE *Image, _In_ ULONG Kinds);
_IRQL_requires_max_(DISPATCH_LEVEL) VOID VerifierPutBack(_Inout_ VERIFIER_ENTRY *Entry);
_IRQL_requires_max_(DISPATCH_LEVEL) VOID VerifierPutAway(_Inout_ VERIFIER_ENTRY *Entry);

/* ---- verifier.c: for the functions put in place ---- */

/* A thread was made: its handle is taken, and its object until it has ended. */
_IRQL_requires_(PASSIVE_LEVEL) VOID VerifierTakeThread(_Inout_ VERIFIER_IMAGE *Image, _In_ HANDLE Handle);
VOID VerifierIncomplete(_Inout_ VERIFIER_IMAGE *Image, _In_ NTSTATUS Status);

/* ---- verifier_imports.c ---- */

/* Look the functions up that are put in place of; those that this kernel lacks are NULL. Idempotent. */
_IRQL_requires_(PASSIVE_LEVEL) VOID VerifierResolve(void);
/* NULL: not a function that is replaced. */
PVOID VerifierReplacement(_In_ const VERIFIER_IMAGE *Image, _In_opt_ PVOID Function);
PVOID VerifierOriginal(_In_ const VERIFIER_IMAGE *Image, _In_opt_ PVOID Function);
/* Whether this is the name of a function that is replaced. The name may have no end within Bytes. */
BOOLEAN VerifierReplaces(_In_reads_bytes_(Bytes) PCSTR Name, _In_ ULONG Bytes);

/* ---- verifier_patch.c ---- */

typedef PVOID VERIFIER_TRANSLATE(_In_ const VERIFIER_IMAGE *Image, _In_opt_ PVOID Function);

/* Whether an image that is not initialised yet imports from this module. FALSE too for what is no such image. */
_IRQL_requires_(PASSIVE_LEVEL) BOOLEAN VerifierImportsFrom(_In_ const VOID *Base, _In_ PCSTR Module);
/* The base of the image that an address is in, or NULL. */
_IRQL_requires_(PASSIVE_LEVEL) PVOID VerifierImageBase(_In_ const VOID *Inside);
/*
 * Replace what Translate knows in the import address table. STATUS_PARTIAL_COPY: the image imports other functions that should
 * have been replaced than were found. On any other failure nothing is written.
 */
_IRQL_requires_(PASSIVE_LEVEL) _Must_inspect_result_ NTSTATUS VerifierPatch(_In_ const VERIFIER_IMAGE *Image,
                                                                           _In_ VERIFIER_TRANSLATE *Translate, _Out_ ULONG *Replaced);
