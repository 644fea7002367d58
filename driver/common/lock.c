/* A lock to be held over waits, by the host's own threads only: they are never suspended. Not recursive. */
#include "common.h"

_Use_decl_annotations_ VOID HsLockInitialize(HS_LOCK *Lock)
{
    KeInitializeEvent(&Lock->Free, SynchronizationEvent, TRUE);
}

_Use_decl_annotations_ VOID HsLockAcquire(HS_LOCK *Lock)
{
    KeWaitForSingleObject(&Lock->Free, Executive, KernelMode, FALSE, NULL);
}

_Use_decl_annotations_ VOID HsLockRelease(HS_LOCK *Lock)
{
    KeSetEvent(&Lock->Free, IO_NO_INCREMENT, FALSE);
}
