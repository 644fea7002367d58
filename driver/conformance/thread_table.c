/* What is known of each thread that entered an endpoint or a callback: a table by thread id, never locked. */
#include "conformance.h"

#define HASH_WINDOW 64

static CF_THREAD Threads[CF_THREADS];

static CF_THREAD *ThreadSlot(ULONG Id, ULONG Offset)
{
    return &Threads[((Id >> 2) * 0x9E3779B1u + Offset) & (CF_THREADS - 1)];
}

_Use_decl_annotations_ CF_THREAD *ThreadFind(ULONG Id)
{
    ULONG i;

    for (i = 0; i < HASH_WINDOW; i++) {
        CF_THREAD *thread = ThreadSlot(Id, i);

        if ((ULONG)thread->Id == Id) {
            return thread;
        }
    }
    return NULL;
}

CF_THREAD *ThreadHere(void)
{
    ULONG id = (ULONG)(ULONG_PTR)PsGetCurrentThreadId();
    CF_THREAD *thread = ThreadFind(id);
    ULONG i;

    for (i = 0; i < HASH_WINDOW && thread == NULL; i++) {
        CF_THREAD *slot = ThreadSlot(id, i);

        if (slot->Id == 0 && InterlockedCompareExchange(&slot->Id, (LONG)id, 0) == 0) {
            thread = slot;
        }
    }
    return thread;
}

_Use_decl_annotations_ CF_THREAD *ThreadAt(ULONG Index)
{
    return Threads[Index].Id != 0 ? &Threads[Index] : NULL;
}

/* Nothing of the thread is inside any more. */
static VOID ThreadFree(CF_THREAD *Thread)
{
    if (Thread->Top != NULL || Thread->Seen != NULL || Thread->Registration != NULL) {
        return;
    }
    RtlZeroMemory((UCHAR *)Thread + sizeof(Thread->Id), sizeof(*Thread) - sizeof(Thread->Id));
    InterlockedExchange(&Thread->Id, 0);
}

_Use_decl_annotations_ VOID ThreadForget(ULONG Id)
{
    CF_THREAD *thread = Id != 0 ? ThreadFind(Id) : NULL;

    if (thread != NULL) {
        ThreadFree(thread);
    }
}

VOID ThreadReset(void)
{
    ULONG i;

    for (i = 0; i < CF_THREADS; i++) {
        if (Threads[i].Id != 0) {
            ThreadFree(&Threads[i]);
        }
    }
}

ULONG ThreadActor(void)
{
    ULONG id = (ULONG)(ULONG_PTR)PsGetCurrentThreadId();
    ULONG worker = WorkerOfThread(id);
    ULONG lane;

    if (worker != CONFORMANCE_NONE) {
        return worker + 1;
    }
    lane = LaneOfThread(id);
    return lane != CONFORMANCE_NONE ? CF_ACTOR_LANE + lane : 0;
}
