/*
 * The two lanes, and the end of all. Updates have a lane of their own, so that workers are created, stopped and loaded while
 * a swap is under way; they are serialised among themselves. Every other request that may wait goes through the control lane.
 */
#include "host.h"

static HS_LANE ControlLane;
static HS_LANE UpdateLane;
static volatile BOOLEAN ControlEnding;  /* all that waits is to give up soon */
static volatile BOOLEAN ControlLeaving; /* DriverUnload is running */
static BOOLEAN ControlEnded;            /* control lane, then DriverUnload */

/* Also when the request waits its turn: what it waits for may be a call that waits for whoever asks this. */
BOOLEAN ControlShuttingDown(void)
{
    return ControlEnding || LaneHolds(&ControlLane, IOCTL_HOTSWAP_SHUTDOWN);
}

BOOLEAN ControlUnloading(void)
{
    return ControlLeaving;
}

_Use_decl_annotations_ NTSTATUS ControlQueue(PIRP Irp, BOOLEAN IsUpdate)
{
    return LaneQueue(IsUpdate ? &UpdateLane : &ControlLane, Irp);
}

_Use_decl_annotations_ VOID ControlCancelFile(PFILE_OBJECT FileObject)
{
    LaneCancelFile(&UpdateLane, FileObject);
    LaneCancelFile(&ControlLane, FileObject);
}

/*
 * Everything but ring and device is taken down. Once, but for what a thread that did not end in time kept: that is tried
 * again before the driver leaves. No update is under way.
 *
 * While DriverUnload runs the endpoint image stays loaded, though nothing calls it any more: Wine holds its driver lock over
 * DriverUnload, so that ZwUnloadDriver would never return. HostStop then counts it; a shutdown request before the stop avoids
 * it.
 */
static VOID ControlTakeDown(void)
{
    HOTSWAP_UPDATE none = { 0 };
    HOTSWAP_UPDATE_REPLY reply;
    HOTSWAP_COUNTERS c;

    LoadStopAll();
    WorkerStopAll();
    if (HsRuntimeKind != HotswapRuntimeAuto) {
        if (HsEndpoints.Version != 0 && !ControlUnloading()) {
            UpdateRun(&none, &reply);
        }
        (VOID)RuntimeStop();
    }
    HsQueryCounters(&c);
    HS_TRACE(HostStop, c.Workers, c.Threads, c.Allocations, c.Events, c.References, c.EndpointDrivers, c.ProxyExtensions, c.ProxyWrappers,
             c.ProxyThreads, c.ProxyAllocations, c.ProxyActiveCalls, c.Iterations, c.Signals, c.EventsDropped);
    ControlEnded = TRUE;
}

/* On the control lane. The update under way is waited for, those behind it are refused. */
VOID ControlShutDown(void)
{
    ControlEnding = TRUE;
    PauseClear(NULL);
    LaneClose(&UpdateLane);
    LaneWaitIdle(&UpdateLane);
    ControlTakeDown();
    LaneClose(&ControlLane);
}

_Use_decl_annotations_ NTSTATUS ControlDriverEntry(void)
{
    NTSTATUS status;

    status = LaneOpen(&ControlLane, DispatchRunPended);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    status = LaneOpen(&UpdateLane, DispatchRunPended);
    if (!NT_SUCCESS(status)) {
        LaneEnd(&ControlLane);
    }
    return status;
}

/*
 * On Windows no handle is open any more, so no request is queued or under way. Wine unloads all the same: what is under way
 * is waited for, and begins with no endpoint image (see above). One that is in ZwLoadDriver or ZwUnloadDriver at that moment
 * waits for what Wine holds over DriverUnload, and neither ever ends: another reason for a shutdown request before the stop.
 */
VOID ControlUnload(void)
{
    ControlLeaving = TRUE;
    ControlEnding = TRUE;
    PauseUnload();
    LaneEnd(&ControlLane);
    LaneEnd(&UpdateLane);
    if (!ControlEnded) {
        ControlTakeDown();
    }
    while (HsCounters.Threads != 0) { /* they run code of this image: a stop that hangs is better than a crash */
        LoadStopAll();
        WorkerStopAll();
    }
    (VOID)RuntimeStop();
}
