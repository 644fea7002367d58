/*
 * Endpoint images: loaded and unloaded by service name, by one update at a time and with no lock held, because ZwLoadDriver
 * runs DriverEntry on the caller's thread on Wine and on a system thread on Windows.
 */
#include "host.h"

/* On failure nothing stays loaded. STATUS_NOT_FOUND: the image offered no endpoints. */
_Use_decl_annotations_ NTSTATUS ImageLoad(PCWSTR ServiceName, HS_IMAGE *Image, HS_ENDPOINTS *Endpoints)
{
    const HS_ENDPOINT_DESCRIPTOR *descriptor;
    HS_SERVICE_PATH path;
    NTSTATUS status = HsServicePath(ServiceName, &path);

    RtlZeroMemory(Image, sizeof(*Image));
    if (!NT_SUCCESS(status)) {
        return status;
    }
    (VOID)HsTakeEndpoints(); /* an offer of a load that failed elsewhere is none of ours */
    VerifierLoadBegin();
    status = ZwLoadDriver(&path.String);
    if (!NT_SUCCESS(status)) {
        VerifierLoadFailed();
        HS_TRACE(EndpointLoaded, 0, 0, status);
        return status;
    }
    InterlockedIncrement(&HsCounters.EndpointDrivers);
    Image->Loaded = TRUE;
    RtlCopyMemory(Image->ServiceName, ServiceName, sizeof(Image->ServiceName));

    descriptor = HsTakeEndpoints();
    VerifierLoadEnd(descriptor, &Image->Verified);
    status = descriptor == NULL ? STATUS_NOT_FOUND : EndpointsFromDescriptor(descriptor, Endpoints);
    Image->Version = descriptor == NULL ? 0 : descriptor->Version;
    HS_TRACE(EndpointLoaded, Image->Version, descriptor == NULL ? 0 : descriptor->EndpointCount, status);
    if (!NT_SUCCESS(status)) {
        (VOID)ImageUnload(Image);
    }
    return status;
}

/* Success of ZwUnloadDriver is no proof that the image is gone: absence from the module list is. */
_Use_decl_annotations_ NTSTATUS ImageUnload(HS_IMAGE *Image)
{
    HS_SERVICE_PATH path;
    NTSTATUS status;

    if (!Image->Loaded) {
        return STATUS_SUCCESS;
    }
    status = HsServicePath(Image->ServiceName, &path);
    if (NT_SUCCESS(status)) {
        status = ZwUnloadDriver(&path.String);
    }
    HS_TRACE(EndpointUnloaded, Image->Version, status);
    VerifierLeave(Image->Version, status, &Image->Verified);
    if (NT_SUCCESS(status)) {
        Image->Loaded = FALSE;
        InterlockedDecrement(&HsCounters.EndpointDrivers);
    }
    return status;
}
