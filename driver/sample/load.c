/*
 * Load: threads that signal chosen events at a rate, in an order given by a seed. It comes from driver threads because IRPs
 * can be dispatched one at a time per driver host, so that an IOCTL load would stop for as long as a swap takes.
 *
 * A load while stalled has no thread: the swapping thread signals for it.
 */
#include "host.h"

#define LOAD_JOIN_MS 10000
#define LOAD_TICK_100NS (-10 * 1000)
#define LOAD_FLAT_OUT 16        /* signals between two looks at Stop */
#define LOAD_ARREARS_PER_SECOND 10 /* a tenth of a second's signals are made up for at most */

typedef struct _LOAD LOAD;

typedef struct _LOAD_THREAD {
    LOAD *Load;
    ULONG64 Random; /* xorshift64*, never 0 */
    ULONG RatePerSecond;
    ULONG64 Limit;
    PVOID ThreadObject;
} LOAD_THREAD;

struct _LOAD {
    ULONG Id;
    BOOLEAN WhileStalled;
    HS_RUNDOWN Signalling; /* of a load while stalled: closed before it goes */
    KEVENT Stop;
    volatile LONG Stopping; /* the same, for a thread that does not wait */
    volatile LONG64 Signals;
    volatile LONG64 Accepted;
    ULONG TargetCount;
    ULONG ThreadCount;
    LOAD_THREAD Threads[HOTSWAP_MAX_LOAD_THREADS];
    struct {
        HS_WORKER *Worker; /* referenced */
        ULONG EventIndex;
    } Targets[ANYSIZE_ARRAY];
};

static LOAD *Loads[HOTSWAP_MAX_LOADS]; /* changed on the control lane only, and under LoadLock */
static KSPIN_LOCK LoadLock; /* for those that look from elsewhere */
static ULONG LoadNextId = 1;

static ULONG64 LoadRandom(LOAD_THREAD *Thread)
{
    Thread->Random ^= Thread->Random >> 12;
    Thread->Random ^= Thread->Random << 25;
    Thread->Random ^= Thread->Random >> 27;
    return Thread->Random * 0x2545F4914F6CDD1Dull;
}

static VOID LoadSignalTarget(LOAD *Load, ULONG Target)
{
    LONG previous;

    if (NT_SUCCESS(SignalEvent(Load->Targets[Target].Worker, Load->Targets[Target].EventIndex, HotswapSignalLoad, &previous))) {
        InterlockedIncrement64(&Load->Signals);
        if (previous == 0) {
            InterlockedIncrement64(&Load->Accepted);
        }
    }
}

static VOID LoadSignalOne(LOAD_THREAD *Thread)
{
    LoadSignalTarget(Thread->Load, (ULONG)((LoadRandom(Thread) >> 33) % Thread->Load->TargetCount));
}

/*
 * How many signals are due by now. Keeps the mean rate: what a clock tick was too coarse for is made up for after it. What the
 * machine cannot do is forgiven: carried along, it would turn any such rate into flat out.
 */
static ULONG64 LoadDue(const LOAD_THREAD *Thread, LONG64 Elapsed, LONG64 Frequency, ULONG64 Done, ULONG64 *Forgiven)
{
    ULONG64 rate = Thread->RatePerSecond;
    ULONG64 most = rate / LOAD_ARREARS_PER_SECOND + 1;
    ULONG64 due;

    if (rate == 0) {
        return Done + LOAD_FLAT_OUT;
    }
    /* In two parts: ticks times a rate of 32 bits pass 64 bits within minutes. */
    due = (ULONG64)(Elapsed / Frequency) * rate + (ULONG64)(Elapsed % Frequency) * rate / (ULONG64)Frequency - *Forgiven;
    if (due > Done + most) {
        *Forgiven += due - Done - most;
        due = Done + most;
    }
    return due;
}

/* PASSIVE_LEVEL. */
static VOID NTAPI LoadThread(_In_ PVOID StartContext)
{
    LOAD_THREAD *thread = StartContext;
    LONG64 frequency = HsTickFrequency();
    LONG64 begin = HsTick();
    ULONG64 forgiven = 0;
    ULONG64 done = 0;
    LARGE_INTEGER wait;

    for (;;) {
        ULONG64 due = LoadDue(thread, HsTick() - begin, frequency, done, &forgiven);

        while (done < due && (thread->Limit == 0 || done < thread->Limit) && thread->Load->Stopping == 0) {
            LoadSignalOne(thread);
            done++;
        }
        wait.QuadPart = thread->RatePerSecond == 0 ? 0 : LOAD_TICK_100NS;
        if (thread->Limit != 0 && done >= thread->Limit) {
            break;
        }
        if (KeWaitForSingleObject(&thread->Load->Stop, Executive, KernelMode, FALSE, &wait) == STATUS_SUCCESS) {
            break;
        }
    }
    PsTerminateSystemThread(STATUS_SUCCESS);
}

static VOID LoadPublish(ULONG Slot, LOAD *Load)
{
    KIRQL irql;

    KeAcquireSpinLock(&LoadLock, &irql);
    Loads[Slot] = Load;
    KeReleaseSpinLock(&LoadLock, irql);
}

/* The load while stalled in this slot, in use until its rundown is released; NULL: there is none. */
static LOAD *LoadTakeStalled(ULONG Slot)
{
    LOAD *load;
    KIRQL irql;

    KeAcquireSpinLock(&LoadLock, &irql);
    load = Loads[Slot];
    if (load != NULL && !(load->WhileStalled && HsRundownAcquire(&load->Signalling))) {
        load = NULL;
    }
    KeReleaseSpinLock(&LoadLock, irql);
    return load;
}

VOID LoadSignalStalled(void)
{
    ULONG slot;
    ULONG target;

    for (slot = 0; slot < HOTSWAP_MAX_LOADS; slot++) {
        LOAD *load = LoadTakeStalled(slot);

        if (load == NULL) {
            continue;
        }
        for (target = 0; target < load->TargetCount; target++) {
            LoadSignalTarget(load, target);
        }
        HsRundownRelease(&load->Signalling);
    }
}

static VOID LoadFree(LOAD *Load)
{
    ULONG i;

    for (i = 0; i < Load->TargetCount; i++) {
        WorkerDereference(Load->Targets[i].Worker);
    }
    HsFree(Load);
}

static NTSTATUS LoadJoin(LOAD *Load)
{
    ULONG i;

    InterlockedExchange(&Load->Stopping, 1);
    KeSetEvent(&Load->Stop, IO_NO_INCREMENT, FALSE);
    HsRundownClose(&Load->Signalling);
    for (i = 0; i < Load->ThreadCount; i++) {
        if (Load->Threads[i].ThreadObject == NULL) {
            continue;
        }
        if (HsThreadJoin(Load->Threads[i].ThreadObject, LOAD_JOIN_MS) != STATUS_SUCCESS) {
            return STATUS_IO_TIMEOUT; /* the load stays, so that nothing it uses is freed */
        }
        Load->Threads[i].ThreadObject = NULL;
    }
    return STATUS_SUCCESS;
}

static NTSTATUS LoadResolve(LOAD *Load, const HOTSWAP_START_LOAD *Parameters)
{
    ULONG i;

    for (i = 0; i < Parameters->TargetCount; i++) {
        HS_WORKER *worker = WorkerReference(Parameters->Targets[i].WorkerId);

        if (worker == NULL) {
            return STATUS_NOT_FOUND;
        }
        Load->Targets[i].Worker = worker;
        Load->Targets[i].EventIndex = Parameters->Targets[i].EventIndex;
        Load->TargetCount = i + 1;
        if (Load->Targets[i].EventIndex >= worker->Context.EventCount) {
            return STATUS_INVALID_PARAMETER;
        }
    }
    return STATUS_SUCCESS;
}

/* Split so that the parts add up to the whole. */
static ULONG64 LoadShare(ULONG64 Total, ULONG Threads, ULONG Index)
{
    return Total / Threads + (Index < Total % Threads ? 1 : 0);
}

static NTSTATUS LoadStartThreads(LOAD *Load, const HOTSWAP_START_LOAD *Parameters)
{
    ULONG i;

    for (i = 0; i < Parameters->Threads; i++) {
        LOAD_THREAD *thread = &Load->Threads[i];
        NTSTATUS status;

        thread->Load = Load;
        thread->Random = (Parameters->Seed + i + 1) * 0x9E3779B97F4A7C15ull;
        thread->Random = thread->Random == 0 ? 1 : thread->Random;
        thread->RatePerSecond = (ULONG)LoadShare(Parameters->RatePerSecond, Parameters->Threads, i);
        thread->Limit = LoadShare(Parameters->SignalLimit, Parameters->Threads, i);
        if ((Parameters->RatePerSecond != 0 && thread->RatePerSecond == 0) || (Parameters->SignalLimit != 0 && thread->Limit == 0)) {
            continue; /* fewer signals than threads */
        }
        status = HsThreadCreate(LoadThread, thread, &thread->ThreadObject);
        if (!NT_SUCCESS(status)) {
            return status;
        }
    }
    return STATUS_SUCCESS;
}

static BOOLEAN LoadCheck(const HOTSWAP_START_LOAD *Parameters)
{
    if (Parameters->TargetCount == 0 || Parameters->TargetCount > HOTSWAP_MAX_LOAD_TARGETS) {
        return FALSE;
    }
    if (Parameters->Flags == HOTSWAP_LOAD_WHILE_STALLED) {
        return Parameters->Threads == 0 && Parameters->RatePerSecond == 0 && Parameters->SignalLimit == 0;
    }
    return Parameters->Flags == 0 && Parameters->Threads != 0 && Parameters->Threads <= HOTSWAP_MAX_LOAD_THREADS;
}

_Use_decl_annotations_ NTSTATUS LoadStart(const HOTSWAP_START_LOAD *Parameters, HOTSWAP_LOAD_ID *Id)
{
    LOAD *load;
    NTSTATUS status;
    ULONG slot;

    if (!LoadCheck(Parameters)) {
        return STATUS_INVALID_PARAMETER;
    }
    for (slot = 0; slot < HOTSWAP_MAX_LOADS && Loads[slot] != NULL; slot++) {
    }
    if (slot == HOTSWAP_MAX_LOADS) {
        return STATUS_QUOTA_EXCEEDED;
    }
    load = HsAllocate(sizeof(*load) + Parameters->TargetCount * sizeof(load->Targets[0]));
    if (load == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    KeInitializeEvent(&load->Stop, NotificationEvent, FALSE);
    HsRundownInitialize(&load->Signalling);
    load->WhileStalled = Parameters->Flags == HOTSWAP_LOAD_WHILE_STALLED;
    load->Id = LoadNextId++;
    load->ThreadCount = Parameters->Threads;
    status = LoadResolve(load, Parameters);
    if (!NT_SUCCESS(status)) {
        LoadFree(load);
        return status;
    }
    HS_TRACE(LoadStart, load->Id, Parameters->Threads, Parameters->RatePerSecond, Parameters->Seed);
    LoadPublish(slot, load);
    Id->LoadId = load->Id;
    status = LoadStartThreads(load, Parameters);
    if (!NT_SUCCESS(status)) {
        HOTSWAP_LOAD_STOPPED stopped;
        (VOID)LoadStop(load->Id, &stopped);
    }
    return status;
}

_Use_decl_annotations_ NTSTATUS LoadStop(ULONG Id, HOTSWAP_LOAD_STOPPED *Stopped)
{
    ULONG slot;

    RtlZeroMemory(Stopped, sizeof(*Stopped));
    for (slot = 0; slot < HOTSWAP_MAX_LOADS; slot++) {
        if (Loads[slot] != NULL && Loads[slot]->Id == Id) {
            break;
        }
    }
    if (slot == HOTSWAP_MAX_LOADS) {
        return STATUS_NOT_FOUND;
    }
    Stopped->LoadId = Id;
    Stopped->Status = LoadJoin(Loads[slot]);
    Stopped->Signals = (ULONG64)Loads[slot]->Signals;
    Stopped->Accepted = (ULONG64)Loads[slot]->Accepted;
    HS_TRACE(LoadStop, Id, Stopped->Signals, Stopped->Accepted);
    if (NT_SUCCESS(Stopped->Status)) {
        LOAD *load = Loads[slot];

        LoadPublish(slot, NULL);
        LoadFree(load);
    }
    return STATUS_SUCCESS;
}

VOID LoadStopAll(void)
{
    HOTSWAP_LOAD_STOPPED stopped;
    ULONG slot;

    for (slot = 0; slot < HOTSWAP_MAX_LOADS; slot++) {
        if (Loads[slot] != NULL) {
            (VOID)LoadStop(Loads[slot]->Id, &stopped);
        }
    }
}
