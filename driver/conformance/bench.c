/* Measurements inside the guest, so that no request is in them. What they need is made here and taken down after them. */
#include "conformance.h"

#define JOIN_MS 20000

static volatile LONG BenchBusy; /* one at a time: what workers use outlives a request that gave up */

_Use_decl_annotations_ BOOLEAN BenchPut(CONFORMANCE_BENCH_REPLY *Reply, const LONG64 *Row, ULONG Count)
{
    if (Reply->SampleCount + Count > CONFORMANCE_BENCH_SAMPLES) {
        return FALSE;
    }
    RtlCopyMemory(&Reply->Samples[Reply->SampleCount], Row, Count * sizeof(*Row));
    Reply->SampleCount += Count;
    Reply->Columns = Count;
    return TRUE;
}

_Use_decl_annotations_ NTSTATUS BenchRegister(const CF_BENCH *Bench, PVOID Function, ULONG Endpoints)
{
    DRIVER_PROXY_ENDPOINT_INFORMATION *array = HsAllocate(Endpoints * sizeof(*array));
    NTSTATUS status;
    ULONG i;

    if (array == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    for (i = 0; i < Endpoints; i++) {
        array[i].Id = BENCH_ID + i;
        array[i].EndpointFunction = (PDRIVER_PROXY_ENDPOINT_FUNCTION)(ULONG_PTR)Function;
        array[i].ParameterCount = 4;
    }
    status = HsIoRegisterDriverProxyEndpoints(Bench->Extension, array, Endpoints, NULL, NULL);
    HsFree(array);
    return status;
}

_Use_decl_annotations_ PVOID BenchWrapper(const CF_BENCH *Bench)
{
    return (PVOID)(ULONG_PTR)HsIoGetDriverProxyEndpointWrapper(Bench->Extension, BENCH_ID);
}

_Use_decl_annotations_ NTSTATUS BenchWorker(CF_BENCH *Bench, PKEVENT Event, PVOID Context)
{
    DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE_START_CONTEXT start = { 0 };
    OBJECT_ATTRIBUTES attributes;
    HANDLE handle;
    NTSTATUS status;

    start.WorkerRoutine = (DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE *)(ULONG_PTR)BenchWrapper(Bench);
    start.Context = Context;
    start.WaitType = WaitAny;
    start.EventCount = 1;
    start.Events[0] = Event;
    InitializeObjectAttributes(&attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    status = HsIoDriverProxyCreateHotSwappableWorkerThread(Bench->Extension, &handle, THREAD_ALL_ACCESS, &attributes, NULL, NULL, &start);
    if (NT_SUCCESS(status)) {
        status = HsThreadFromHandle(handle, &Bench->Threads[Bench->ThreadCount]);
        Bench->ThreadCount += NT_SUCCESS(status);
        ZwClose(handle);
    }
    return status;
}

_Use_decl_annotations_ NTSTATUS BenchThread(CF_BENCH *Bench, PKSTART_ROUTINE Routine, PVOID Context)
{
    NTSTATUS status = HsThreadCreate(Routine, Context, &Bench->Threads[Bench->ThreadCount]);

    Bench->ThreadCount += NT_SUCCESS(status);
    return status;
}

/* Ending is set, and whoever waits was woken. */
static NTSTATUS BenchEnd(CF_BENCH *Bench)
{
    ULONG i;

    for (i = 0; i < Bench->ThreadCount; i++) {
        if (HsThreadJoin(Bench->Threads[i], JOIN_MS) != STATUS_SUCCESS) {
            return STATUS_IO_TIMEOUT; /* it uses what would be freed: all is kept */
        }
    }
    return HsDeleteDriverProxyExtension(Bench->Extension);
}

_Use_decl_annotations_ NTSTATUS BenchRun(const VOID *Input, VOID *Output)
{
    static CF_BENCH_KIND *const kinds[] = { BenchCalls, BenchSwaps, BenchLatency };
    DRIVER_PROXY_EXTENSION_CREATION_FLAGS none = { 0 };
    const CONFORMANCE_BENCH *request = Input;
    CONFORMANCE_BENCH_REPLY *reply = Output;
    CF_BENCH *bench;
    NTSTATUS status;

    if (request->Kind >= ARRAYSIZE(kinds) || request->Threads < 1 || request->Threads > 8 || request->Workers > CONFORMANCE_BENCH_WORKERS ||
        request->Endpoints < 1 || request->Endpoints > CONFORMANCE_BENCH_ENDPOINTS || request->Count == 0 ||
        request->Count > CONFORMANCE_BENCH_MAX_COUNT || request->WorkMicroseconds > CONFORMANCE_BENCH_MAX_WORK_MICROSECONDS) {
        return STATUS_INVALID_PARAMETER;
    }
    if (CfRuntime != ConformanceRuntimeCompat) {
        return STATUS_NOT_SUPPORTED;
    }
    if (InterlockedCompareExchange(&BenchBusy, 1, 0) != 0) {
        return STATUS_DEVICE_BUSY;
    }
    bench = HsAllocate(sizeof(*bench));
    status = bench == NULL ? STATUS_INSUFFICIENT_RESOURCES : HsIoCreateDriverProxyExtension(NULL, none, &bench->Extension);
    if (NT_SUCCESS(status)) {
        reply->TickFrequency = HsTickFrequency();
        kinds[request->Kind](request, bench, reply);
        status = BenchEnd(bench);
        if (!NT_SUCCESS(status)) {
            reply->Status = status;
            return STATUS_SUCCESS; /* nothing is freed, and no other can be run */
        }
    }
    HsFree(bench);
    InterlockedExchange(&BenchBusy, 0);
    return status;
}
