"""What is left behind, by counters and seen from outside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from pathlib import PureWindowsPath

import numpy as np

from hotswap.swap.finding import Finding, fails, holds, unknown
from hotswap.swap.swap_trace import END_OF_TIME, SwapTrace
from hotswap.swap.swaps import Outcome
from hotswap.swap.witnesses import ImageSnapshot, SwapWitnesses

HELD = (
    "Workers", "Threads", "Allocations", "Events", "References", "EndpointDrivers", "ProxyExtensions", "ProxyWrappers",
    "ProxyThreads", "ProxyAllocations", "ProxyActiveCalls",
)  # fmt: skip
"""HostStop fields that count what is held: zero when all was given back."""


def counters_zero_at_unload(trace: SwapTrace) -> Finding:
    """At the end the host holds nothing: no worker, thread, allocation, event, reference, image, or call."""
    stop, middle = trace.events["HostStop"], trace.witnesses.middle_counters
    if not len(stop):
        return unknown("the trace has no HostStop")
    if trace.witnesses.final_counters is None or middle is None:
        return unknown("the counters were not read")
    for name in HELD:
        if stop[name][-1]:
            return fails(f"{int(stop[name][-1])} {name} left at HostStop", [stop.row[-1]])
        if trace.witnesses.final_counters.get(name, 0):
            return fails(f"{trace.witnesses.final_counters[name]} {name} left by the counters read at the end")
    idle = [name for name in ("Workers", "Threads", "Events") if not middle.get(name)]
    if idle:
        return unknown(f"the counter {idle[0]} did not count while workers ran")
    return holds("nothing left at the end")


def endpoint_unloaded(trace: SwapTrace) -> Finding:
    """The host unloaded the endpoint driver that each swap took out of force, with success."""
    unloaded = trace.events["EndpointUnloaded"]
    failed = np.flatnonzero(unloaded["Status"] != 0)
    if len(failed):
        i = int(failed[0])
        code = int(unloaded["Status"][i]) & 0xFFFFFFFF
        return fails(f"unloading version {unloaded['Version'][i]} failed: 0x{code:08x}", [unloaded.row[i]])
    left = [swap for swap in trace.swaps if swap.switched and swap.from_version]
    for swap in left:
        switched = swap.tick("Switched") or 0
        end = swap.tick("End")
        inside = (unloaded.tick >= switched) & (unloaded.tick <= (END_OF_TIME if end is None else end))
        if not ((unloaded["Version"] == swap.from_version) & inside).any():
            rows = [step.row for step in (*swap.all("Switched"), *swap.all("End"))]
            return fails(f"version {swap.from_version} was not unloaded after swap {swap.number}", rows)
    for swap in trace.swaps:
        begun, ended = swap.tick("Begin"), swap.tick("End")
        if swap.outcome is Outcome.SUCCEEDED or swap.switched or begun is None or ended is None or trace.restart:
            continue
        inside = (unloaded.tick >= begun) & (unloaded.tick <= ended)
        if not ((unloaded["Version"] == swap.to_version) & inside).any():
            rows = [step.row for step in (*swap.all("Begin"), *swap.all("End"))]
            return fails(f"version {swap.to_version}, refused, was not unloaded by swap {swap.number}", rows)
    if not left:
        return unknown("no swap took a version out of force")
    return holds(f"{len(left)} endpoint drivers unloaded")


def old_image_gone(trace: SwapTrace) -> Finding:
    """After each swap the old endpoint image is gone, after the stop all are: for the guest, and seen from outside."""
    seen = trace.witnesses

    def look(snapshot: ImageSnapshot) -> Finding | None:
        wanted, gone = _present(seen, snapshot, (*seen.endpoint_images, *seen.host_images))
        views = {"the guest's module list": snapshot.modules, "/proc/PID/maps": snapshot.maps}
        worst: Finding | None = None
        for where, images in views.items():
            names = None if images is None else _names(images)
            worst = _worse(worst, _compare(snapshot.point, where, names, wanted, gone))
        return worst

    return _every_look(trace, look) or holds(f"old images gone, {len(seen.snapshots or ())} times looked at")


def services_stopped(trace: SwapTrace) -> Finding:
    """After each swap the old endpoint driver's service is stopped, after the stop all are, for the service manager."""
    seen = trace.witnesses

    def look(snapshot: ImageSnapshot) -> Finding | None:
        wanted, gone = _present(seen, snapshot, seen.serviced_images)
        names = None if snapshot.services is None else _names(snapshot.services)
        return _compare(snapshot.point, "the list of services that run", names, wanted, gone)

    if not seen.serviced_images:
        return unknown("it is not known which images have services")
    return _every_look(trace, look) or holds(f"services stopped, {len(seen.snapshots or ())} times looked at")


def device_gone(trace: SwapTrace) -> Finding:
    """The host driver's device and link are there until the stop, and not after it."""
    seen = trace.witnesses

    def look(snapshot: ImageSnapshot) -> Finding | None:
        names = set(seen.host_objects)
        wanted, gone = (names, set[str]()) if snapshot.host_loaded else (set[str](), names)
        return _compare(snapshot.point, "the object manager", snapshot.objects, wanted, gone)

    if not seen.host_objects:
        return unknown("it is not known which device and link the host makes")
    return _every_look(trace, look) or holds(f"{' and '.join(seen.host_objects)} gone with the driver")


def _every_look(trace: SwapTrace, look: Callable[[ImageSnapshot], Finding | None]) -> Finding | None:
    """The first failure of all looks, or the first question; None: every look holds."""
    seen = trace.witnesses
    if seen.snapshots is None:
        return unknown("nobody looked at what is loaded")
    wanted = seen.looks or len(seen.updates or ()) + 1
    if len(seen.snapshots) < wanted:
        return unknown(f"what is loaded was looked at {len(seen.snapshots)} times instead of {wanted}")
    if seen.snapshots[-1].host_loaded or seen.snapshots[-1].image:
        return unknown("nobody looked at what is loaded after the stop")
    worst: Finding | None = None
    for snapshot in seen.snapshots:
        worst = _worse(worst, look(snapshot))
    return worst


def _worse(first: Finding | None, second: Finding | None) -> Finding | None:
    if first is None or (second is not None and second.verdict == "fail" != first.verdict):
        return second
    return first


def _present(seen: SwapWitnesses, snapshot: ImageSnapshot, known: Iterable[str]) -> tuple[set[str], set[str]]:
    """Of the images `known`, those that have to be there now, and those that must not."""
    present = set(seen.host_images) if snapshot.host_loaded else set()
    if snapshot.image:
        present.add(snapshot.image)
    names = _names(known)
    wanted = _names(present) & names
    return wanted, names - wanted


def _compare(point: str, where: str, names: Set[str] | None, wanted: Set[str], gone: Set[str]) -> Finding | None:
    if names is None:
        return unknown(f"{point}: {where} could not be read")
    if left := sorted(gone & names):
        return fails(f"{point}: {left[0]} is still in {where}")
    if blind := sorted(wanted - names):
        # A list that lacks what must be there proves nothing about what it lacks besides.
        return unknown(f"{point}: {where} does not show {blind[0]}, which is there")
    return None


def _names(images: Iterable[str]) -> set[str]:
    """File names in one case, of paths of either style."""
    return {PureWindowsPath(image).name.lower() for image in images}


def threads_gone(trace: SwapTrace) -> Finding:
    """After the stop the driver host has no more threads than before the workers."""
    counts = trace.witnesses.threads
    if counts is None:
        return unknown("the threads of the driver host were not counted")
    if counts.working <= counts.baseline:
        return unknown(f"the workers' threads were not seen ({counts.baseline} before, {counts.working} with them)")
    if counts.stopped > counts.baseline:
        return fails(f"{counts.stopped} threads after the stop, {counts.baseline} before the workers")
    return holds(f"{counts.baseline} threads before, {counts.working} with workers, {counts.stopped} after")
