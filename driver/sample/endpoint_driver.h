/* An endpoint driver: the descriptor that its own file defines, and how it is put together. */
#pragma once

#include "driverproxy_compat.h"
#include "platform.h"

#include "hotswap_ioctl.h"

/* ENDPOINT_VERSION comes from the build: it is also the image version of the PE header. */

/* The value that keeps a worker alive; polarity: reference 4.9 a. The host turns it round where it has to. */
#define ENDPOINT_CONTINUE TRUE

extern const HS_ENDPOINT_DESCRIPTOR EndpointDescriptor;

#if !defined(ENDPOINT_COMPUTE_PARAMETERS) /* the build: what the driver says that Compute has, also to endpoint_table.asm */
#define ENDPOINT_COMPUTE_PARAMETERS 6
#endif

/* The routines get the names that endpoint_table.asm lists: the address listed is that of the endpoint registered. */
#define ENDPOINT_DRIVER(DriverVersion, WorkerRoutine, ComputeRoutine, PhaseRoutine)                                    \
    DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE HotswapWorker;                                                                 \
    HS_COMPUTE_ENDPOINT HotswapCompute;                                                                                \
    BOOLEAN NTAPI HotswapWorker(PVOID WorkerContext, NTSTATUS WaitStatus)                                              \
    {                                                                                                                  \
        return (WorkerRoutine)(WorkerContext, WaitStatus);                                                             \
    }                                                                                                                  \
    ULONG64 NTAPI HotswapCompute(ULONG64 A, ULONG64 B, ULONG64 C, ULONG64 D, ULONG64 E, ULONG64 F)                     \
    {                                                                                                                  \
        return (ComputeRoutine)(A, B, C, D, E, F);                                                                     \
    }                                                                                                                  \
    static const DRIVER_PROXY_ENDPOINT_INFORMATION EndpointList[] = {                                                  \
        { HotswapEndpointWorker, (PDRIVER_PROXY_ENDPOINT_FUNCTION)(ULONG_PTR)HotswapWorker, 2 },                       \
        { HotswapEndpointCompute, (PDRIVER_PROXY_ENDPOINT_FUNCTION)(ULONG_PTR)HotswapCompute,                          \
          ENDPOINT_COMPUTE_PARAMETERS },                                                                               \
    };                                                                                                                 \
    const HS_ENDPOINT_DESCRIPTOR EndpointDescriptor = {                                                                \
        HS_ENDPOINT_CONTRACT_VERSION, DriverVersion, ARRAYSIZE(EndpointList), EndpointList, PhaseRoutine, NULL         \
    }
