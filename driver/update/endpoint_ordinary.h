/* What an update does where nothing is wrong with it, so that each broken one's file shows only what is broken. */
#pragma once

#include "endpoint_driver.h"

#define ENDPOINT_MS_100NS (-10 * 1000)

/* One iteration: work, and the word of it. */
static __inline VOID EndpointWork(HS_WORKER_CONTEXT *Context, NTSTATUS WaitStatus)
{
    Context->Services->SimulateWork(Context);
    Context->Services->LogWork(Context, ENDPOINT_VERSION, WaitStatus, Context->Iteration);
}

/* PASSIVE_LEVEL. */
static __inline BOOLEAN NTAPI EndpointWorker(PVOID WorkerContext, NTSTATUS WaitStatus)
{
    EndpointWork(WorkerContext, WaitStatus);
    return ENDPOINT_CONTINUE;
}

static __inline ULONG64 NTAPI EndpointCompute(ULONG64 A, ULONG64 B, ULONG64 C, ULONG64 D, ULONG64 E, ULONG64 F)
{
    return A + B + C + D + E + F;
}

/* PASSIVE_LEVEL. */
static __inline VOID EndpointSleep(ULONG Milliseconds)
{
    LARGE_INTEGER interval;

    interval.QuadPart = (LONG64)ENDPOINT_MS_100NS * Milliseconds;
    KeDelayExecutionThread(KernelMode, FALSE, &interval);
}

/* TRUE for the first caller only. Done starts as zero. */
static __inline BOOLEAN EndpointOnce(volatile LONG *Done)
{
    return InterlockedExchange(Done, 1) == 0;
}

/* A phase callback's answer: Refusal in one phase, success in the others. */
static __inline NTSTATUS EndpointRefuse(DRIVER_PROXY_REGISTER_CALLBACK_PHASE Phase, DRIVER_PROXY_REGISTER_CALLBACK_PHASE Refused)
{
    return Phase == Refused ? STATUS_DEVICE_NOT_READY : STATUS_SUCCESS;
}
