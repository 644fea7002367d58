/* hotswap_v2.sys: a good update whose behaviour shows. Result is the iteration squared, Compute weighs its arguments. */
#include "endpoint_driver.h"

static BOOLEAN NTAPI Worker(PVOID WorkerContext, NTSTATUS WaitStatus)
{
    HS_WORKER_CONTEXT *context = WorkerContext;

    context->Services->SimulateWork(context);
    context->Services->LogWork(context, ENDPOINT_VERSION, WaitStatus, context->Iteration * context->Iteration);
    return ENDPOINT_CONTINUE;
}

static ULONG64 NTAPI Compute(ULONG64 A, ULONG64 B, ULONG64 C, ULONG64 D, ULONG64 E, ULONG64 F)
{
    return A + 2 * B + 3 * C + 4 * D + 5 * E + 6 * F;
}

/* Nothing to hand over; it shows that each phase is reached. */
static NTSTATUS NTAPI Phase(DRIVER_PROXY_REGISTER_CALLBACK_PHASE RegisterPhase, PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    return RegisterPhase < DriverProxyRegisterCallbackMax ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER_1;
}

ENDPOINT_DRIVER(ENDPOINT_VERSION, Worker, Compute, Phase);
