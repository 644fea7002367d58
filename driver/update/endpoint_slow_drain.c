/* hotswap_slow_drain.sys, broken on purpose: worker 1 stays 1.5 s in each iteration, which a drain has to wait for. */
#include "endpoint_ordinary.h"

#define STAY_MS 1500

static BOOLEAN NTAPI Worker(PVOID WorkerContext, NTSTATUS WaitStatus)
{
    HS_WORKER_CONTEXT *context = WorkerContext;

    if (context->WorkerId == 1) {
        LONG64 until = HsTick() + STAY_MS * HsTickFrequency() / 1000;

        while (HsTick() < until && !context->Services->Released(context)) {
            EndpointSleep(1);
        }
    }
    EndpointWork(context, WaitStatus);
    return ENDPOINT_CONTINUE;
}

ENDPOINT_DRIVER(ENDPOINT_VERSION, Worker, EndpointCompute, NULL);
