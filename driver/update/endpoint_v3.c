/* hotswap_v3.sys: a good update that takes 50 ms to hand over while calls are held, so that time-outs expire meanwhile. */
#include "endpoint_ordinary.h"

#define HANDOVER_MS 50

static NTSTATUS NTAPI Phase(DRIVER_PROXY_REGISTER_CALLBACK_PHASE RegisterPhase, PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    if (RegisterPhase == DriverProxyRegisterCallbackProxyStalled) {
        EndpointSleep(HANDOVER_MS);
    }
    return STATUS_SUCCESS;
}

ENDPOINT_DRIVER(ENDPOINT_VERSION, EndpointWorker, EndpointCompute, Phase);
