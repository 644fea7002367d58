/* hotswap_slow_drain.sys, broken on purpose: worker 1 is inside when the next swap comes, and leaves 1.5 s after that. */
#include "endpoint_ordinary.h"

#define STAY_MS 1500

static volatile LONG Stayed;

/* A call is held: a swap is waiting for those inside. */
static BOOLEAN SwapIsWaiting(void)
{
    HS_PROXY_COUNTERS counters;

    HsQueryDriverProxyCounters(&counters);
    return counters.HeldCalls != 0;
}

static BOOLEAN NTAPI Worker(PVOID WorkerContext, NTSTATUS WaitStatus)
{
    HS_WORKER_CONTEXT *context = WorkerContext;
    ULONG i;

    if (context->WorkerId == 1 && EndpointOnce(&Stayed)) {
        while (!SwapIsWaiting() && !context->Services->Released(context)) {
            EndpointSleep(1);
        }
        for (i = 0; i < STAY_MS && !context->Services->Released(context); i++) {
            EndpointSleep(1);
        }
    }
    EndpointWork(context, WaitStatus);
    return ENDPOINT_CONTINUE;
}

ENDPOINT_DRIVER(ENDPOINT_VERSION, Worker, EndpointCompute, NULL);
