/* hotswap_refuse_post_process.sys, to be refused: its callback fails in the phase PostProcess. */
#include "endpoint_ordinary.h"

static NTSTATUS NTAPI Phase(DRIVER_PROXY_REGISTER_CALLBACK_PHASE RegisterPhase, PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    return EndpointRefuse(RegisterPhase, DriverProxyRegisterCallbackPostProcess);
}

ENDPOINT_DRIVER(ENDPOINT_VERSION, EndpointWorker, EndpointCompute, Phase);
