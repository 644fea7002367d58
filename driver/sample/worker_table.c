/* The table of workers: who is there, and who holds them. */
#include "host.h"

static HS_WORKER *Workers[HOTSWAP_MAX_WORKERS]; /* under WorkerLock */
static ULONG WorkerNextId = 1;
static KSPIN_LOCK WorkerLock;

_Requires_lock_held_(WorkerLock) static HS_WORKER *WorkerFind(ULONG Id)
{
    ULONG i;

    for (i = 0; i < HOTSWAP_MAX_WORKERS; i++) {
        if (Workers[i] != NULL && Workers[i]->Id == Id) {
            return Workers[i];
        }
    }
    return NULL;
}

_Use_decl_annotations_ HS_WORKER *WorkerReference(ULONG Id)
{
    HS_WORKER *worker;
    KIRQL irql;

    KeAcquireSpinLock(&WorkerLock, &irql);
    worker = WorkerFind(Id);
    if (worker != NULL) {
        InterlockedIncrement(&worker->References);
    }
    KeReleaseSpinLock(&WorkerLock, irql);
    return worker;
}

_Use_decl_annotations_ ULONG WorkerOfThread(ULONG ThreadId)
{
    ULONG id = 0;
    KIRQL irql;
    ULONG i;

    KeAcquireSpinLock(&WorkerLock, &irql);
    for (i = 0; i < HOTSWAP_MAX_WORKERS && id == 0; i++) {
        if (Workers[i] != NULL && Workers[i]->ThreadId == ThreadId) {
            id = Workers[i]->Id;
        }
    }
    KeReleaseSpinLock(&WorkerLock, irql);
    return id;
}

_Use_decl_annotations_ VOID WorkerDereference(HS_WORKER *Worker)
{
    if (Worker != NULL && InterlockedDecrement(&Worker->References) == 0) {
        InterlockedExchangeAdd(&HsCounters.Events, -(LONG)Worker->Context.EventCount);
        HsFree(Worker);
    }
}

ULONG WorkerCount(void)
{
    ULONG count = 0;
    KIRQL irql;
    ULONG i;

    KeAcquireSpinLock(&WorkerLock, &irql);
    for (i = 0; i < HOTSWAP_MAX_WORKERS; i++) {
        count += Workers[i] != NULL;
    }
    KeReleaseSpinLock(&WorkerLock, irql);
    return count;
}

_Use_decl_annotations_ BOOLEAN WorkerPublish(HS_WORKER *Worker)
{
    BOOLEAN done = FALSE;
    KIRQL irql;
    ULONG i;

    KeAcquireSpinLock(&WorkerLock, &irql);
    for (i = 0; i < HOTSWAP_MAX_WORKERS && !done; i++) {
        if (Workers[i] == NULL) {
            while (WorkerNextId == 0 || WorkerFind(WorkerNextId) != NULL) { /* it may have wrapped */
                WorkerNextId++;
            }
            Worker->Id = Worker->Context.WorkerId = WorkerNextId++;
            Workers[i] = Worker;
            done = TRUE;
        }
    }
    KeReleaseSpinLock(&WorkerLock, irql);
    return done;
}

/* Takes the table's reference; FALSE: somebody else did. */
_Use_decl_annotations_ BOOLEAN WorkerUnpublish(HS_WORKER *Worker)
{
    BOOLEAN done = FALSE;
    KIRQL irql;
    ULONG i;

    KeAcquireSpinLock(&WorkerLock, &irql);
    for (i = 0; i < HOTSWAP_MAX_WORKERS && !done; i++) {
        if (Workers[i] == Worker) {
            Workers[i] = NULL;
            done = TRUE;
        }
    }
    KeReleaseSpinLock(&WorkerLock, irql);
    return done;
}

/* Calls Action for each worker there is; returns the first failure. */
_Use_decl_annotations_ NTSTATUS WorkerForEach(NTSTATUS (*Action)(HS_WORKER *), BOOLEAN EndAtFailure)
{
    NTSTATUS status = STATUS_SUCCESS;
    ULONG i;

    for (i = 0; i < HOTSWAP_MAX_WORKERS && (NT_SUCCESS(status) || !EndAtFailure); i++) {
        HS_WORKER *worker;
        NTSTATUS one;
        KIRQL irql;

        KeAcquireSpinLock(&WorkerLock, &irql);
        worker = Workers[i];
        if (worker != NULL) {
            InterlockedIncrement(&worker->References);
        }
        KeReleaseSpinLock(&WorkerLock, irql);
        if (worker != NULL) {
            one = Action(worker);
            status = NT_SUCCESS(status) ? one : status;
            WorkerDereference(worker);
        }
    }
    return status;
}
