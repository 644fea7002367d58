/*
 * Drives driver/proxy with as many orders of events as this machine has: threads that call, nest, and are interrupted
 * by what calls too (as a DPC: same thread, DISPATCH_LEVEL), against a thread that swaps and one that looks up.
 *
 *   stress SECONDS KEYS INTERRUPTS RECREATE DRAIN_MS
 *     KEYS        spread: the threads' keys have homes of their own; one: all have one home, so that slots and overflow are used
 *     INTERRUPTS  1: with interrupts
 *     RECREATE    1: the extension is deleted and made anew between swaps, under calls
 *
 * Prints what was counted as "name=value", and a line "violation: ..." for what must never happen.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proxy.h"

#define THREADS 24
#define ENDPOINTS 3
#define VERSIONS 4

extern VOID DpWrapperEnter(DP_CALL *Call);
extern VOID DpWrapperLeave(const DP_CALL *Call);

typedef ULONG MODEL_ENDPOINT(ULONG Depth);

static PDRIVER_PROXY_EXTENSION Extension;
static DP_WRAPPER *volatile Wrappers[ENDPOINTS];
static int Loaded[VERSIONS]; /* plain: only an endpoint of a version that is not loaded reads it while it is written */
static volatile LONG64 Inside;
static volatile LONG Stop, Violations, Stalled, FirstHeld;
static volatile LONG64 Calls, Nested, Gone, Interrupts, Held, Swaps, TimedOut, Deleted, Busy;
static pthread_t Threads[THREADS];
static int RecreateExtension, WithInterrupts;
static ULONG DrainMs;

/* Nobody owns an extension here. */
VOID DpOwnerArm(PDRIVER_PROXY_EXTENSION Owned)
{
    (void)Owned;
}

VOID DpOwnerForget(PDRIVER_PROXY_EXTENSION Owned)
{
    (void)Owned;
}

static void Violation(const char *What)
{
    if (InterlockedIncrement(&Violations) <= 10) {
        printf("violation: %s\n", What);
        fflush(stdout);
    }
}

/* The fast path of wrapper.asm, step by step. */
static BOOLEAN FastEnter(DP_CALL *Call)
{
    DP_RUNDOWN *rundown = DpReadPointer(&Call->Wrapper->Rundown);
    LONG64 key = DpThreadKey();
    DP_SLOT *slot;

    if (rundown == NULL || DpRead64(&rundown->State) != 0) {
        return FALSE;
    }
    slot = &rundown->Slots[((ULONG64)key * 0x9E3779B97F4A7C15ull) >> 56];
    if (DpRead32(&slot->Displaced) != 0 || InterlockedCompareExchange64(&slot->Word, key, 0) != 0) {
        return FALSE;
    }
    if (DpRead64(&rundown->State) != 0) {
        DpWrite64(&slot->Word, 0);
        return FALSE;
    }
    DpWrite64(&slot->Word, key | DP_INSIDE);
    if (DpReadPointer(&Call->Wrapper->Rundown) != rundown) {
        DpWrite64(&slot->Word, 0);
        return FALSE;
    }
    Call->Rundown = rundown;
    Call->Slot = slot;
    Call->Kind = DpCallOutermost;
    Call->Target = DpReadPointer(&Call->Wrapper->Function);
    return TRUE;
}

static ULONG CallWrapper(DP_WRAPPER *Wrapper, ULONG Depth)
{
    DP_CALL call = { .Wrapper = Wrapper };
    BOOLEAN fast = FastEnter(&call);
    ULONG version;

    if (!fast) {
        DpWrapperEnter(&call);
    }
    if (call.Kind == DpCallGone) {
        __atomic_add_fetch(&Gone, 1, __ATOMIC_SEQ_CST);
        return 0;
    }
    version = ((MODEL_ENDPOINT *)call.Target)(Depth);
    if (fast && DpRead64(&call.Rundown->State) == 0) {
        DpWrite64(&call.Slot->Word, 0);
    } else {
        DpWrapperLeave(&call);
    }
    return version;
}

/* Of version v; answers v + 1. */
static ULONG Body(ULONG Version, ULONG Depth)
{
    ULONG below;

    __atomic_add_fetch(&Inside, 1, __ATOMIC_SEQ_CST);
    if (!Loaded[Version]) {
        Violation("an endpoint of an image that is not loaded ran");
    }
    if (Depth > 0) {
        __atomic_add_fetch(&Nested, 1, __ATOMIC_SEQ_CST);
        below = CallWrapper(DpReadPointer(&Wrappers[Depth % ENDPOINTS]), Depth - 1);
        if (below != Version + 1 && !RecreateExtension) {
            Violation("a nested call reached another version than the call around it");
        }
    }
    __atomic_sub_fetch(&Inside, 1, __ATOMIC_SEQ_CST);
    return Version + 1;
}

static ULONG Version0(ULONG Depth)
{
    return Body(0, Depth);
}

static ULONG Version1(ULONG Depth)
{
    return Body(1, Depth);
}

static ULONG Version2(ULONG Depth)
{
    return Body(2, Depth);
}

static ULONG Version3(ULONG Depth)
{
    return Body(3, Depth);
}

static MODEL_ENDPOINT *const Versions[VERSIONS] = { Version0, Version1, Version2, Version3 };

static VOID Interrupt(VOID)
{
    KIRQL irql = ModelIrql;

    ModelIrql = DISPATCH_LEVEL;
    __atomic_add_fetch(&Interrupts, 1, __ATOMIC_SEQ_CST);
    CallWrapper(DpReadPointer(&Wrappers[1]), 1);
    ModelIrql = irql;
}

/* On top of the thread that swaps, which nothing holds: the versions of two endpoints must be the same all the same. */
static VOID SwapInterrupt(VOID)
{
    VOID (*interrupt)(VOID) = ModelInterrupt;
    KIRQL irql = ModelIrql;
    ULONG first, last;

    ModelIrql = DISPATCH_LEVEL;
    ModelInterrupt = NULL;
    __atomic_add_fetch(&Interrupts, 1, __ATOMIC_SEQ_CST);
    first = CallWrapper(DpReadPointer(&Wrappers[0]), 0);
    last = CallWrapper(DpReadPointer(&Wrappers[ENDPOINTS - 1]), 0);
    if (first != last) {
        Violation("an interrupt of the thread that swaps found a torn switch");
    }
    ModelInterrupt = interrupt;
    ModelIrql = irql;
}

static void *Caller(void *Key)
{
    unsigned random = (unsigned)(ULONG_PTR)Key;

    ModelKey = (LONG64)(ULONG_PTR)Key;
    ModelInterrupt = WithInterrupts ? Interrupt : NULL;
    while (!DpRead32(&Stop)) {
        random = random * 1103515245 + 12345;
        CallWrapper(DpReadPointer(&Wrappers[(random >> 8) % ENDPOINTS]), (random >> 16) % 4);
        __atomic_add_fetch(&Calls, 1, __ATOMIC_SEQ_CST);
        if (RecreateExtension && (random >> 20) % 4 == 0) {
            usleep(50);
        }
    }
    return NULL;
}

static void *Looker(void *Nothing)
{
    HS_PROXY_COUNTERS counters;

    (void)Nothing;
    ModelKey = 4 * 1000002;
    while (!DpRead32(&Stop)) {
        HsQueryDriverProxyCounters(&counters);
        if (!RecreateExtension && HsIoGetDriverProxyEndpointWrapper(Extension, 1) != DpWrapperAddress(Wrappers[1])) {
            Violation("a lookup did not find its wrapper");
        }
        usleep(100);
    }
    return NULL;
}

static VOID Notify(PVOID Context, const HS_PROXY_NOTIFICATION *Notification)
{
    (void)Context;
    switch (Notification->Step) {
    case HsProxyStepStalled:
        InterlockedExchange(&FirstHeld, 0);
        InterlockedExchange(&Stalled, 1);
        break;
    case HsProxyStepFirstHeld:
        usleep(50);
        if (InterlockedIncrement(&FirstHeld) != 1 || !DpRead32(&Stalled)) {
            Violation("the first held call was told twice, or outside of a stall");
        }
        break;
    case HsProxyStepReleased:
        __atomic_add_fetch(&Held, Notification->HeldCalls, __ATOMIC_SEQ_CST);
        break;
    default:
        break;
    }
}

static NTSTATUS Phase(DRIVER_PROXY_REGISTER_CALLBACK_PHASE Phase, PVOID Context)
{
    int i;

    (void)Context;
    for (i = 0; Phase == DriverProxyRegisterCallbackProxyStalled && i < 20; i++) {
        if (__atomic_load_n(&Inside, __ATOMIC_SEQ_CST) != 0) {
            Violation("a call was inside an endpoint while all were stalled");
        }
        sched_yield();
    }
    return STATUS_SUCCESS;
}

static NTSTATUS Swap(ULONG Version)
{
    DRIVER_PROXY_ENDPOINT_INFORMATION endpoints[ENDPOINTS];
    NTSTATUS status;
    ULONG i;

    for (i = 0; i < ENDPOINTS; i++) {
        endpoints[i] = (DRIVER_PROXY_ENDPOINT_INFORMATION){ i, (PDRIVER_PROXY_ENDPOINT_FUNCTION)Versions[Version], 1 };
    }
    ModelInterrupt = WithInterrupts && Wrappers[0] != NULL && !RecreateExtension ? SwapInterrupt : NULL;
    status = HsIoRegisterDriverProxyEndpoints(Extension, endpoints, ENDPOINTS, Phase, NULL);
    ModelInterrupt = NULL;
    InterlockedExchange(&Stalled, 0);
    return status;
}

static void Create(ULONG Version)
{
    DRIVER_PROXY_EXTENSION_CREATION_FLAGS none = { 0 };
    HS_PROXY_OPTIONS options = { .Size = sizeof(options), .DrainTimeoutMs = DrainMs, .Notify = Notify };
    ULONG i;

    if (HsIoCreateDriverProxyExtension(NULL, none, &Extension) != STATUS_SUCCESS ||
        HsSetDriverProxyOptions(Extension, &options) != STATUS_SUCCESS || Swap(Version) != STATUS_SUCCESS) {
        Violation("no extension");
        exit(1);
    }
    for (i = 0; i < ENDPOINTS; i++) {
        DpWritePointer(&Wrappers[i], DpWrapperFind(Extension, i));
    }
}

static void Recreate(ULONG Version)
{
    int attempt;

    for (attempt = 0; attempt < 1000; attempt++) {
        if (HsDeleteDriverProxyExtension(Extension) == STATUS_SUCCESS) {
            Deleted++;
            Create(Version);
            return;
        }
        Busy++;
        sched_yield();
    }
}

int main(int Count, char **Arguments)
{
    pthread_t looker;
    HS_PROXY_COUNTERS counters;
    ULONG version = 0;
    ULONG threads;
    LONG64 end;
    ULONG i;
    int one;

    if (Count != 6) {
        return 2;
    }
    end = HsTick() + (LONG64)(atof(Arguments[1]) * 1e9);
    one = Arguments[2][0] == 'o';
    RecreateExtension = Arguments[4][0] == '1';
    DrainMs = (ULONG)atoi(Arguments[5]);
    WithInterrupts = Arguments[3][0] == '1';
    ModelKey = 4 * 1000000;
    Loaded[0] = 1;
    Create(0);
    threads = RecreateExtension ? 4 : THREADS; /* with many there is never nobody inside */
    for (i = 0; i < threads; i++) {
        LONG64 key = 4 * (LONG64)(i + 1);

        while (one && ((ULONG64)key * 0x9E3779B97F4A7C15ull) >> 56 != 250) {
            key += 4 * THREADS;
        }
        pthread_create(&Threads[i], NULL, Caller, (void *)(ULONG_PTR)key);
    }
    pthread_create(&looker, NULL, Looker, NULL);
    while (HsTick() < end && Violations == 0) {
        ULONG next = (version + 1) % VERSIONS;

        Loaded[next] = 1;
        if (Swap(next) == STATUS_SUCCESS) {
            Swaps++;
            Loaded[version] = 0; /* the image is freed */
            version = next;
        } else {
            TimedOut++;
            Loaded[next] = 0;
        }
        if (RecreateExtension) {
            Recreate(version);
        }
    }
    InterlockedExchange(&Stop, 1);
    pthread_join(looker, NULL);
    for (i = 0; i < threads; i++) {
        pthread_join(Threads[i], NULL);
    }
    HsQueryDriverProxyCounters(&counters);
    if (counters.ActiveCalls != 0 || counters.HeldCalls != 0 || Inside != 0 || Extension->Rundown->Overflow != 0) {
        Violation("calls are counted that nobody makes");
    }
    for (i = 0; i < DP_SLOTS; i++) {
        const DP_SLOT *slot = &Extension->Rundown->Slots[i];

        if (slot->Word != 0 || slot->Nested != 0 || slot->Displaced != 0) {
            Violation("a slot is taken that nobody has");
            break;
        }
    }
    if (HsDeleteDriverProxyExtension(Extension) != STATUS_SUCCESS) {
        Violation("the extension cannot be deleted");
    }
    HsQueryDriverProxyCounters(&counters);
    if (counters.Extensions != 0 || counters.Wrappers != 0 || counters.Allocations != 0) {
        Violation("something is left");
    }
    printf("calls=%lld\nnested=%lld\ngone=%lld\ninterrupts=%lld\nheld=%lld\nswaps=%lld\ntimed_out=%lld\ndeleted=%lld\nbusy=%lld\nviolations=%d\n",
           (long long)Calls, (long long)Nested, (long long)Gone, (long long)Interrupts, (long long)Held, (long long)Swaps,
           (long long)TimedOut, (long long)Deleted, (long long)Busy, (int)Violations);
    return Violations != 0;
}
