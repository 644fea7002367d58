/* Wrapper lookups: any IRQL, no allocation, no lock, also during a stall (R7, R30). */
#include "proxy.h"

_Use_decl_annotations_ DP_WRAPPER *DpWrapperFind(PDRIVER_PROXY_EXTENSION Extension, ULONG Id)
{
    DP_WRAPPER *wrapper = DpReadPointer(&Extension->ById[Id & (DP_ID_BUCKETS - 1)]);

    while (wrapper != NULL && wrapper->Id != Id) {
        wrapper = wrapper->NextById;
    }
    return wrapper;
}

/* By the function in force now (R16); the one registered first where several wrappers share it. */
_Use_decl_annotations_ DP_WRAPPER *DpWrapperFindFunction(PDRIVER_PROXY_EXTENSION Extension, PVOID Function)
{
    DP_WRAPPER *wrapper = DpReadPointer(&Extension->First);

    while (wrapper != NULL && DpReadPointer(&wrapper->Function) != Function) {
        wrapper = DpReadPointer(&wrapper->Next);
    }
    return wrapper;
}

/* Of an extension that goes, lookups find nothing any more. */
static PVOID DpLookupResult(PDRIVER_PROXY_EXTENSION Extension, const DP_WRAPPER *Wrapper)
{
    DpOwnerArm(Extension);
    return Wrapper == NULL || DpRead32(&Extension->Going) ? NULL : DpWrapperAddress(Wrapper);
}

_Use_decl_annotations_ PDRIVER_PROXY_WRAPPED_ENDPOINT_FUNCTION NTAPI
HsIoGetDriverProxyEndpointWrapper(PDRIVER_PROXY_EXTENSION DriverProxyExtension, DRIVER_PROXY_ENDPOINT_FUNCTION_ID FunctionId)
{
    if (DriverProxyExtension == NULL || DriverProxyExtension->Endpoints != NULL) { /* V1 only */
        return NULL;
    }
    return (PDRIVER_PROXY_WRAPPED_ENDPOINT_FUNCTION)(ULONG_PTR)DpLookupResult(DriverProxyExtension,
                                                                              DpWrapperFind(DriverProxyExtension, FunctionId));
}

_Use_decl_annotations_ NTSTATUS NTAPI
HsIofGetDriverProxyWrapperFromEndpoint(PDRIVER_PROXY_EXTENSION DriverProxyExtension, PDRIVER_PROXY_ENDPOINT_FUNCTION Endpoint,
                                       PDRIVER_PROXY_WRAPPED_ENDPOINT_FUNCTION *Wrapper)
{
    PVOID address;

    *Wrapper = NULL;
    if (DriverProxyExtension == NULL || Endpoint == NULL) {
        return STATUS_NOT_FOUND;
    }
    address = DpLookupResult(DriverProxyExtension, DpWrapperFindFunction(DriverProxyExtension, (PVOID)(ULONG_PTR)Endpoint));
    *Wrapper = (PDRIVER_PROXY_WRAPPED_ENDPOINT_FUNCTION)(ULONG_PTR)address;
    return address != NULL ? STATUS_SUCCESS : STATUS_NOT_FOUND;
}
