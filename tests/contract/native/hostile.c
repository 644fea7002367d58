/*
 * Callers of driver/proxy whose memory changes under it, and lookups of an owner whose extension goes.
 *
 *   hostile arrays | starts | lookups | one-processor     TIMES
 *
 * Prints what was counted as "name=value", and a line "violation: ..." for what must never happen.
 */
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proxy.h"

#define ENDPOINTS 4

typedef DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE_START_CONTEXT START;

static PDRIVER_PROXY_EXTENSION Extension;
static DRIVER_PROXY_ENDPOINT_INFORMATION Endpoints[ENDPOINTS];
static START *Start;
static KEVENT Event;
static DRIVER_OBJECT Owner;
static volatile LONG Stop, Violations;
static LONG64 Tried, Accepted, Changed, Found;
static unsigned Random = 1;

static void Violation(const char *What)
{
    if (InterlockedIncrement(&Violations) <= 10) {
        printf("violation: %s\n", What);
        fflush(stdout);
    }
}

VOID KeBugCheckEx(ULONG Code, ULONG_PTR First, ULONG_PTR Second, ULONG_PTR Third, ULONG_PTR Fourth)
{
    printf("violation: bug check 0x%x (%zx, %zx, %zx, %zx)\n", Code, First, Second, Third, Fourth);
    exit(1);
}

static unsigned Below(unsigned Limit)
{
    Random = Random * 1103515245 + 12345;
    return (Random >> 8) % Limit;
}

/* ---- Arrays of endpoints ---- */

static VOID Function(VOID)
{
}

static VOID ChooseEndpoint(ULONG At)
{
    static const ULONG parameters[] = { 2, 2, 2, 2, 6, 33, 100000 };

    Endpoints[At].Id = Below(8);
    Endpoints[At].EndpointFunction = Below(8) == 0 ? NULL : Function;
    Endpoints[At].ParameterCount = parameters[Below(7)];
}

static VOID ChangeArray(VOID)
{
    Changed++;
    ChooseEndpoint(Below(ENDPOINTS));
}

static VOID CheckWrappers(VOID)
{
    const DP_WRAPPER *one, *other;

    for (one = Extension->First; one != NULL; one = one->Next) {
        ULONG stack = one->ParameterCount > 4 ? (one->ParameterCount - 4) * 8 : 0;

        if (one->Function == NULL) {
            Violation("a wrapper leads to NULL");
        }
        if (one->ParameterCount > DP_MAX_PARAMETERS || one->StackBytes != stack) {
            Violation("a wrapper copies another number of arguments than was checked");
        }
        for (other = one->Next; other != NULL; other = other->Next) {
            if (other->Id == one->Id) {
                Violation("an id has two wrappers");
            }
        }
    }
}

static VOID RunArrays(VOID)
{
    DRIVER_PROXY_EXTENSION_CREATION_FLAGS none = { 0 };
    ULONG i;

    if (HsIoCreateDriverProxyExtension(NULL, none, &Extension) != STATUS_SUCCESS) {
        Violation("no extension");
        return;
    }
    for (i = 0; i < ENDPOINTS; i++) {
        ChooseEndpoint(i);
    }
    Tried++;
    ModelInterrupt = ChangeArray;
    if (HsIoRegisterDriverProxyEndpoints(Extension, Endpoints, 1 + Below(ENDPOINTS), NULL, Endpoints) == STATUS_SUCCESS) {
        Accepted++;
    }
    ModelInterrupt = NULL;
    CheckWrappers();
    if (HsDeleteDriverProxyExtension(Extension) != STATUS_SUCCESS) {
        Violation("the extension cannot be deleted");
    }
}

/* ---- Start contexts ---- */

static VOID ChooseStart(VOID)
{
    static const ULONG counts[] = { 1, 2, 3, 4, 64, 65, 1u << 31 };
    ULONG i;

    Start->EventCount = counts[Below(7)];
    Start->WaitType = Below(16) == 0 ? (WAIT_TYPE)7 : WaitAny;
    Start->WaitMode = Below(16) == 0 ? 3 : KernelMode;
    Start->WorkerRoutine =
        Below(16) == 0 ? (DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE *)Function : (DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE *)DpWrapperAddress(Extension->First);
    for (i = 0; i < 64; i++) {
        Start->Events[i] = &Event;
    }
    if (Below(4) == 0) {
        Start->Events[Below(4)] = NULL;
    }
}

static VOID ChangeStart(VOID)
{
    Changed++;
    ChooseStart();
}

/* In the place of the thread that would use it. */
NTSTATUS DpThreadCreate(DP_WORKER *Worker, PHANDLE Handle, ULONG DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes, HANDLE ProcessHandle,
                        PCLIENT_ID ClientId)
{
    const START *start = &Worker->Start;
    const DP_WRAPPER *wrapper = DpWrapperFromAddress((PVOID)start->WorkerRoutine);
    ULONG i;

    (void)Handle;
    (void)DesiredAccess;
    (void)ObjectAttributes;
    (void)ProcessHandle;
    (void)ClientId;
    Accepted++;
    if (start->EventCount > MAXIMUM_WAIT_OBJECTS ||
        malloc_usable_size(Worker) < FIELD_OFFSET(DP_WORKER, Start) + HS_START_CONTEXT_SIZE(start->EventCount)) {
        Violation("a worker has more events than were copied");
        return STATUS_UNSUCCESSFUL;
    }
    if ((Worker->WaitBlocks == NULL) != (start->EventCount <= THREAD_WAIT_OBJECTS) ||
        (Worker->WaitBlocks != NULL && malloc_usable_size(Worker->WaitBlocks) < start->EventCount * sizeof(KWAIT_BLOCK))) {
        Violation("a worker has too few wait blocks");
    }
    if ((start->WaitType != WaitAll && start->WaitType != WaitAny) || (start->WaitMode != KernelMode && start->WaitMode != UserMode)) {
        Violation("a worker waits in another way than was checked");
    }
    if (wrapper == NULL || wrapper->Extension != Extension) {
        Violation("a worker's routine is no wrapper");
    }
    for (i = 0; i < start->EventCount; i++) {
        if (start->Events[i] == NULL) {
            Violation("a worker waits for NULL");
            break;
        }
    }
    return STATUS_UNSUCCESSFUL;
}

static VOID RunStarts(VOID)
{
    HANDLE handle;

    ChooseStart();
    Tried++;
    ModelInterrupt = ChangeStart;
    (void)HsIoDriverProxyCreateHotSwappableWorkerThread(Extension, &handle, 0, NULL, NULL, NULL, Start);
    ModelInterrupt = NULL;
}

/* ---- Lookups by owner ---- */

static VOID OwnUnload(PDRIVER_OBJECT DriverObject)
{
    (void)DriverObject;
}

static void *Looker(void *Key)
{
    ModelKey = (LONG64)(ULONG_PTR)Key;
    while (!DpRead32(&Stop)) {
        if (HsIoGetDriverProxyExtensionFromDriverObject(&Owner) != NULL) {
            __atomic_add_fetch(&Found, 1, __ATOMIC_SEQ_CST);
        }
    }
    return NULL;
}

static VOID RunLookups(VOID)
{
    DRIVER_PROXY_EXTENSION_CREATION_FLAGS none = { 0 };
    PDRIVER_PROXY_EXTENSION extension;

    Tried++;
    Owner.DriverUnload = OwnUnload;
    if (HsIoCreateDriverProxyExtension(&Owner, none, &extension) != STATUS_SUCCESS || HsDeleteDriverProxyExtension(extension) != STATUS_SUCCESS) {
        Violation("the extension does not come and go");
        return;
    }
    if (Owner.DriverUnload != OwnUnload) {
        Violation("an owner whose extension has gone does not have its own DriverUnload back");
    }
    Accepted++;
}

/* ---- A DPC while calls are held, on a computer with one processor ---- */

extern VOID DpWrapperEnter(DP_CALL *Call);
extern VOID DpWrapperLeave(const DP_CALL *Call);

static void Hung(int Signal)
{
    (void)Signal;
    printf("violation: a call that stops all threads waits for one of them\n");
    exit(1);
}

static VOID RunOneProcessor(VOID)
{
    DP_RUNDOWN *rundown = Extension->Rundown;
    DP_CALL call = { .Wrapper = Extension->First };

    Tried++;
    DpRundownPrepare(rundown);
    DpRundownStall(rundown);
    ModelKey += 4; /* on top of another thread than the one that stalls */
    ModelIrql = DISPATCH_LEVEL;
    DpWrapperEnter(&call);
    if (call.Target != (PVOID)Function || DpRundownCount(rundown) != 1) {
        Violation("the call is not inside");
    }
    DpWrapperLeave(&call);
    ModelIrql = 0;
    ModelKey -= 4;
    if (DpRundownDrain(rundown, 0) != STATUS_SUCCESS) {
        Violation("the call is counted after it has returned");
    }
    DpRundownRelease(rundown);
    Accepted++;
}

int main(int Count, char **Arguments)
{
    DRIVER_PROXY_EXTENSION_CREATION_FLAGS none = { 0 };
    pthread_t lookers[2];
    LONG64 times;
    ULONG i;
    int what;

    if (Count != 3) {
        return 2;
    }
    what = Arguments[1][0];
    times = atoll(Arguments[2]);
    ModelKey = 4 * 1000000;
    if (what == 'o') {
        ModelProcessors = 1;
        signal(SIGALRM, Hung);
        alarm(5);
    }
    if (what == 's' || what == 'o') {
        Start = malloc(HS_START_CONTEXT_SIZE(64));
        memset(Start, 0, HS_START_CONTEXT_SIZE(64));
        Endpoints[0] = (DRIVER_PROXY_ENDPOINT_INFORMATION){ 1, Function, 2 };
        if (HsIoCreateDriverProxyExtension(NULL, none, &Extension) != STATUS_SUCCESS ||
            HsIoRegisterDriverProxyEndpoints(Extension, Endpoints, 1, NULL, NULL) != STATUS_SUCCESS) {
            Violation("no extension");
        }
    }
    for (i = 0; i < 2 && what == 'l'; i++) {
        pthread_create(&lookers[i], NULL, Looker, (void *)(ULONG_PTR)(4 * (i + 1)));
    }
    while (Tried < times && Violations == 0) {
        if (what == 'a') {
            RunArrays();
        } else if (what == 's') {
            RunStarts();
        } else if (what == 'o') {
            RunOneProcessor();
        } else {
            RunLookups();
        }
    }
    InterlockedExchange(&Stop, 1);
    for (i = 0; i < 2 && what == 'l'; i++) {
        pthread_join(lookers[i], NULL);
    }
    printf("tried=%lld\naccepted=%lld\nchanged=%lld\nfound=%lld\nviolations=%d\n", (long long)Tried, (long long)Accepted, (long long)Changed,
           (long long)Found, (int)Violations);
    return Violations != 0;
}
