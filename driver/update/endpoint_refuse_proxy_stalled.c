/* hotswap_refuse_proxy_stalled.sys, to be refused: its callback fails in the phase ProxyStalled. */
#include "endpoint_ordinary.h"

static NTSTATUS NTAPI Phase(DRIVER_PROXY_REGISTER_CALLBACK_PHASE RegisterPhase, PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    return EndpointRefuse(RegisterPhase, DriverProxyRegisterCallbackProxyStalled);
}

ENDPOINT_DRIVER(ENDPOINT_VERSION, EndpointWorker, EndpointCompute, Phase);
