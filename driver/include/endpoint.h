/*
 * The contract between the host driver and endpoint drivers (hotswap_v1.sys, hotswap_v2.sys, ...).
 *
 * An endpoint driver imports ntoskrnl and driverproxy.sys only. Its DriverEntry offers one HS_ENDPOINT_DESCRIPTOR to
 * driverproxy.sys and does nothing else; the host takes the offer after ZwLoadDriver has returned. It owns no device,
 * thread, timer, DPC, work item or ETW registration. The descriptor lives in the endpoint image.
 *
 * WorkerContext is not translated by a swap (W57): HS_WORKER_CONTEXT is an interface between versions. Append only.
 */
#pragma once

#include "driverproxy.h"

#define HS_ENDPOINT_CONTRACT_VERSION 1

typedef struct _HS_WORKER_CONTEXT HS_WORKER_CONTEXT, *PHS_WORKER_CONTEXT;

/* What an endpoint driver may ask of the host. Any thread, IRQL <= DISPATCH_LEVEL. */
typedef struct _HS_HOST_SERVICES {
    ULONG Size;
    /* Write the endpoint driver's own EndpointWork event. */
    VOID(NTAPI *LogWork)(_In_ PHS_WORKER_CONTEXT Context, _In_ ULONG Version, _In_ NTSTATUS WaitStatus, _In_ ULONG64 Result);
    /* Busy the processor for the time that the worker was created with. */
    VOID(NTAPI *SimulateWork)(_In_ PHS_WORKER_CONTEXT Context);
    /*
     * For an endpoint driver that leaves a thread behind on purpose: the routine of a system thread that waits until the host
     * unloads. It is the host's code, so the endpoint image may leave before it; its argument is not used.
     */
    PKSTART_ROUTINE Park;
    /* The host wants this worker to return: its stop was requested, or the host is shutting down. */
    BOOLEAN(NTAPI *Released)(_In_ PHS_WORKER_CONTEXT Context);
} HS_HOST_SERVICES, *PHS_HOST_SERVICES;

struct _HS_WORKER_CONTEXT {
    ULONG Size;
    ULONG WorkerId;
    const HS_HOST_SERVICES *Services;
    ULONG64 Iteration; /* of the call that is running, from 1 */
    ULONG EventCount;
    WAIT_TYPE WaitType;
    PKEVENT const *Events; /* the worker's own, EventCount of them */
};

typedef struct _HS_ENDPOINT_DESCRIPTOR {
    ULONG ContractVersion; /* HS_ENDPOINT_CONTRACT_VERSION */
    ULONG Version;         /* of the endpoint driver, 1.. */
    ULONG EndpointCount;
    const DRIVER_PROXY_ENDPOINT_INFORMATION *Endpoints;
    PDRIVER_PROXY_REGISTER_CALLBACK PhaseCallback; /* optional; gets CallbackContext */
    PVOID CallbackContext;
} HS_ENDPOINT_DESCRIPTOR, *PHS_ENDPOINT_DESCRIPTOR;

typedef ULONG64 NTAPI HS_COMPUTE_ENDPOINT(ULONG64 A, ULONG64 B, ULONG64 C, ULONG64 D, ULONG64 E, ULONG64 F);
