/* Wrapper lookups: any IRQL, no allocation, no lock, also during a stall (R7, R30). */
#include "proxy.h"

_Use_decl_annotations_ PDRIVER_PROXY_WRAPPED_ENDPOINT_FUNCTION NTAPI
HsIoGetDriverProxyEndpointWrapper(PDRIVER_PROXY_EXTENSION DriverProxyExtension, DRIVER_PROXY_ENDPOINT_FUNCTION_ID FunctionId)
{
    DP_WRAPPER *wrapper = DpWrapperFind(DriverProxyExtension, FunctionId);

    return wrapper == NULL ? NULL : (PDRIVER_PROXY_WRAPPED_ENDPOINT_FUNCTION)(ULONG_PTR)DpWrapperAddress(wrapper);
}

_Use_decl_annotations_ NTSTATUS NTAPI
HsIofGetDriverProxyWrapperFromEndpoint(PDRIVER_PROXY_EXTENSION DriverProxyExtension, PDRIVER_PROXY_ENDPOINT_FUNCTION Endpoint,
                                       PDRIVER_PROXY_WRAPPED_ENDPOINT_FUNCTION *Wrapper)
{
    DP_WRAPPER *wrapper = DpWrapperFindFunction(DriverProxyExtension, (PVOID)(ULONG_PTR)Endpoint);

    *Wrapper = NULL;
    if (wrapper == NULL) {
        return STATUS_NOT_FOUND;
    }
    *Wrapper = (PDRIVER_PROXY_WRAPPED_ENDPOINT_FUNCTION)(ULONG_PTR)DpWrapperAddress(wrapper);
    return STATUS_SUCCESS;
}
