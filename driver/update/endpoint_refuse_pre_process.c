/* hotswap_refuse_pre_process.sys, to be refused: its callback fails in the phase PreProcess. */
#include "endpoint_ordinary.h"

static NTSTATUS NTAPI Phase(DRIVER_PROXY_REGISTER_CALLBACK_PHASE RegisterPhase, PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    return EndpointRefuse(RegisterPhase, DriverProxyRegisterCallbackPreProcess);
}

ENDPOINT_DRIVER(ENDPOINT_VERSION, EndpointWorker, EndpointCompute, Phase);
