/* hotswap_slow_callback.sys, broken on purpose: its callback holds every call for 1.5 s in the phase ProxyStalled. */
#include "endpoint_ordinary.h"

#define HOLD_MS 1500

static NTSTATUS NTAPI Phase(DRIVER_PROXY_REGISTER_CALLBACK_PHASE RegisterPhase, PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    if (RegisterPhase == DriverProxyRegisterCallbackProxyStalled) {
        EndpointSleep(HOLD_MS);
    }
    return STATUS_SUCCESS;
}

ENDPOINT_DRIVER(ENDPOINT_VERSION, EndpointWorker, EndpointCompute, Phase);
