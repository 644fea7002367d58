/* An endpoint driver: the descriptor that its own file defines, and how it is put together. */
#pragma once

#include "driverproxy_compat.h"
#include "platform.h"

#include "hotswap_ioctl.h"

/* ENDPOINT_VERSION comes from the build: it is also the image version of the PE header. */

/* The value that keeps a worker alive; polarity: reference 4.9 a. The host turns it round where it has to. */
#define ENDPOINT_CONTINUE TRUE

extern const HS_ENDPOINT_DESCRIPTOR EndpointDescriptor;

#define ENDPOINT_DRIVER(DriverVersion, WorkerRoutine, ComputeRoutine, PhaseRoutine)                                    \
    ENDPOINT_DRIVER_COUNTED(DriverVersion, WorkerRoutine, 2, ComputeRoutine, 6, PhaseRoutine)

/* With the numbers of parameters that the driver says its endpoints have. */
#define ENDPOINT_DRIVER_COUNTED(DriverVersion, WorkerRoutine, WorkerParameters, ComputeRoutine, ComputeParameters,     \
                                PhaseRoutine)                                                                          \
    static const DRIVER_PROXY_ENDPOINT_INFORMATION EndpointList[] = {                                                  \
        { HotswapEndpointWorker, (PDRIVER_PROXY_ENDPOINT_FUNCTION)(ULONG_PTR)(WorkerRoutine), WorkerParameters },      \
        { HotswapEndpointCompute, (PDRIVER_PROXY_ENDPOINT_FUNCTION)(ULONG_PTR)(ComputeRoutine), ComputeParameters },   \
    };                                                                                                                 \
    const HS_ENDPOINT_DESCRIPTOR EndpointDescriptor = {                                                                \
        HS_ENDPOINT_CONTRACT_VERSION, DriverVersion, ARRAYSIZE(EndpointList), EndpointList, PhaseRoutine, NULL         \
    }
