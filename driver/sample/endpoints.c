/*
 * The endpoints in force, and the host's own: version 0, which does nothing, stands in before an endpoint driver is
 * loaded and after the last has gone, so that wrappers never point into an image that is not there.
 */
#include "host.h"

/* The value that keeps a worker alive; polarity: reference 4.9 a. */
#define HS_WORKER_CONTINUE TRUE

HS_ENDPOINTS HsEndpoints;
HS_ENDPOINTS HsCallable;
DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE *HsIterationRoutine;

static BOOLEAN NTAPI BuiltInWorker(PVOID WorkerContext, NTSTATUS WaitStatus)
{
    HS_WORKER_CONTEXT *context = WorkerContext;

    context->Services->LogWork(context, 0, WaitStatus, 0);
    return HS_WORKER_CONTINUE;
}

static ULONG64 NTAPI BuiltInCompute(ULONG64 A, ULONG64 B, ULONG64 C, ULONG64 D, ULONG64 E, ULONG64 F)
{
    UNREFERENCED_PARAMETER(A);
    UNREFERENCED_PARAMETER(B);
    UNREFERENCED_PARAMETER(C);
    UNREFERENCED_PARAMETER(D);
    UNREFERENCED_PARAMETER(E);
    UNREFERENCED_PARAMETER(F);
    return 0;
}

#define HS_WORKER_PARAMETERS 2
#define HS_COMPUTE_PARAMETERS 6

const HS_ENDPOINTS HsBuiltInEndpoints = { 0, BuiltInWorker, BuiltInCompute, HS_WORKER_PARAMETERS, HS_COMPUTE_PARAMETERS, NULL, NULL };

/* The descriptor is in an image that may leave: everything needed is copied. */
_Use_decl_annotations_ NTSTATUS EndpointsFromDescriptor(const HS_ENDPOINT_DESCRIPTOR *Descriptor, HS_ENDPOINTS *Endpoints)
{
    ULONG i;

    RtlZeroMemory(Endpoints, sizeof(*Endpoints));
    if (Descriptor->ContractVersion != HS_ENDPOINT_CONTRACT_VERSION || Descriptor->Version == 0) {
        return STATUS_REVISION_MISMATCH;
    }
    if (Descriptor->Endpoints == NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    for (i = 0; i < Descriptor->EndpointCount; i++) {
        const DRIVER_PROXY_ENDPOINT_INFORMATION *endpoint = &Descriptor->Endpoints[i];

        switch (endpoint->Id) {
        case HotswapEndpointWorker:
            Endpoints->WorkerParameters = endpoint->ParameterCount;
            Endpoints->Worker = (DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE *)(ULONG_PTR)endpoint->EndpointFunction;
            break;
        case HotswapEndpointCompute:
            Endpoints->ComputeParameters = endpoint->ParameterCount;
            Endpoints->Compute = (HS_COMPUTE_ENDPOINT *)(ULONG_PTR)endpoint->EndpointFunction;
            break;
        default:
            return STATUS_NOT_FOUND;
        }
    }
    if (Endpoints->Worker == NULL || Endpoints->Compute == NULL) {
        return STATUS_NOT_FOUND;
    }
    Endpoints->Version = Descriptor->Version;
    Endpoints->PhaseCallback = Descriptor->PhaseCallback;
    Endpoints->CallbackContext = Descriptor->CallbackContext;
    return STATUS_SUCCESS;
}

#define HS_ENDPOINT(Id, Function, Count) { Id, (PDRIVER_PROXY_ENDPOINT_FUNCTION)(ULONG_PTR)(Function), Count }

static NTSTATUS EndpointsTakeWrappers(void)
{
    HsCallable.Worker = (DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE *)(ULONG_PTR)HsRuntime.GetWrapper(HsExtension, HotswapEndpointWorker);
    HsCallable.Compute = (HS_COMPUTE_ENDPOINT *)(ULONG_PTR)HsRuntime.GetWrapper(HsExtension, HotswapEndpointCompute);
    HsIterationRoutine = (DRIVER_PROXY_HOTSWAP_WORKER_ROUTINE *)(ULONG_PTR)HsRuntime.GetWrapper(HsExtension, HotswapEndpointIteration);
    if (HsCallable.Worker == NULL || HsCallable.Compute == NULL || HsIterationRoutine == NULL) {
        return STATUS_NOT_FOUND;
    }
    return STATUS_SUCCESS;
}

/*
 * Put these endpoints in force. The iteration endpoint is the host's and is registered once, in the same extension: a
 * worker thread enters it through its wrapper, and it calls the endpoint driver's through another. So a stall holds a call
 * before IterationBegin is written, and the version in force cannot change until IterationEnd is.
 */
_Use_decl_annotations_ NTSTATUS EndpointsRegister(const HS_ENDPOINTS *Endpoints, PDRIVER_PROXY_REGISTER_CALLBACK Callback, PVOID Context,
                                                  BOOLEAN First)
{
    DRIVER_PROXY_ENDPOINT_INFORMATION information[] = {
        HS_ENDPOINT(HotswapEndpointWorker, Endpoints->Worker, Endpoints->WorkerParameters),
        HS_ENDPOINT(HotswapEndpointCompute, Endpoints->Compute, Endpoints->ComputeParameters),
        HS_ENDPOINT(HotswapEndpointIteration, IterationRoutine, HS_WORKER_PARAMETERS),
    };
    NTSTATUS status;

    if (HsRuntimeKind == HotswapRuntimePlain) {
        if (Endpoints->WorkerParameters != HS_WORKER_PARAMETERS || Endpoints->ComputeParameters != HS_COMPUTE_PARAMETERS) {
            return STATUS_INVALID_PARAMETER_3; /* as a runtime would: they are called without one */
        }
        HsCallable = HsEndpoints = *Endpoints;
        HsIterationRoutine = IterationRoutine;
        return STATUS_SUCCESS;
    }
    status = HsRuntime.RegisterEndpoints(HsExtension, information, First ? 3 : 2, Callback, Context);
    if (NT_SUCCESS(status) && First) {
        HsEndpoints = *Endpoints;
        status = EndpointsTakeWrappers();
    }
    return status;
}
