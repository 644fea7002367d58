"""Swaps: updates, phases, which version ran when."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from hotswap.swap.finding import Finding, and_more, fails, holds, unknown, versions_differ
from hotswap.swap.swap_trace import END_OF_TIME, Column, Ints, Swap, SwapTrace
from hotswap.swap.witnesses import WAIT_ALL
from hotswap.trace.expect import status_text

ORDER = ("Begin", "PreProcess", "Stalled", "Drained", "ProxyStalled", "Switched", "Released", "PostProcess", "End")


def updates_succeeded(trace: SwapTrace) -> Finding:
    """Every update answered success, also for the unload of the old image, with the versions expected."""
    replies = trace.witnesses.updates
    if replies is None:
        return unknown("the replies to the updates are not known")
    for reply in replies:
        name = f"update {reply.from_version}->{reply.to_version}"
        if reply.status:
            return fails(f"{name} failed: {reply.status_name or status_text(reply.status, wait=False)}")
        if reply.rolled_back:
            return fails(f"{name} was rolled back")
        if reply.unload_status:
            return fails(f"{name}: unloading the old image failed: {status_text(reply.unload_status, wait=False)}")
    wrong = versions_differ([(r.from_version, r.to_version) for r in replies], trace.witnesses.expected_versions)
    if wrong:
        return fails(f"the updates are not the ones asked for: {wrong}")
    return holds(f"{len(replies)} updates succeeded")


def swap_phases_in_order(trace: SwapTrace) -> Finding:
    """Each swap goes once through all its phases, in order and with success."""
    swaps = trace.swaps
    if not swaps:
        return unknown("no swap in the trace")
    for swap in swaps:
        wrong = _phases_of(swap)
        if wrong is not None:
            return wrong
    for before, after in pairwise(swaps):
        ended, begun = before.tick("End"), after.tick("Begin")
        if ended is not None and begun is not None and begun < ended:
            rows = [before.steps["End"][0][0], after.steps["Begin"][0][0]]
            return fails(f"swap {after.number} began before swap {before.number} had ended", rows)
    wrong_versions = versions_differ([(s.from_version, s.to_version) for s in swaps], trace.witnesses.expected_versions)
    if wrong_versions:
        rows = [row for swap in swaps for row, _, _ in swap.steps.get("Begin", [])]
        return fails(f"the swaps are not the ones asked for: {wrong_versions}", rows)
    return holds(f"{len(swaps)} swaps, each phase once and in order")


def _phases_of(swap: Swap) -> Finding | None:
    name = f"swap {swap.number} ({swap.from_version}->{swap.to_version})"
    if swap.steps.get("RolledBack"):
        return fails(f"{name} was rolled back", swap.rows)
    # Putting the first endpoint driver in and taking the last one out are no swaps between two: phases may be absent.
    needed = ORDER if swap.from_version and swap.to_version else ("Begin", "End")
    for step in needed:
        if not swap.steps.get(step):
            return fails(f"{name} has no {step}", swap.rows)
    for step, entries in swap.steps.items():
        if len(entries) > 1:
            return fails(f"{name} has {step} {len(entries)} times", [row for row, _, _ in entries])
        row, _, status = entries[0]
        if status:
            return fails(f"{name}: {step} with {status_text(status, wait=False)}", [row])
    present = [step for step in ORDER if swap.steps.get(step)]
    for before, after in pairwise(present):
        first, second = swap.steps[before][0], swap.steps[after][0]
        if second[1] < first[1]:
            return fails(f"{name}: {after} before {before}", [first[0], second[0]])
    held, opened = swap.steps.get("FirstHeld"), swap.steps.get("PreProcess")
    # The thread that is held tells it itself, so it may be late; but nothing is held before PreProcess has returned.
    if held and opened and held[0][1] < opened[0][1]:
        return fails(f"{name}: FirstHeld before PreProcess", [opened[0][0], held[0][0]])
    return None


def no_old_version_after_switch(trace: SwapTrace) -> Finding:
    """Whatever runs, runs in the version in force: none of the old after the switch, none of the new before it."""
    if not any(swap.tick("Switched") is not None for swap in trace.swaps):
        return unknown("no switch in the trace")
    ticks, versions = trace.force
    begins, works = trace.events["IterationBegin"], trace.events["EndpointWork"]
    bad: list[tuple[int, int, str]] = []
    for what, events in (("IterationBegin", begins), ("EndpointWork", works)):
        early = versions[np.searchsorted(ticks, events.tick, "left").clip(1) - 1]
        late = versions[np.searchsorted(ticks, events.tick, "right").clip(1) - 1]
        wrong = np.flatnonzero((events["Version"] != early) & (events["Version"] != late))
        bad += [(int(events.tick[i]), int(i), what) for i in wrong]
    if not bad:
        return holds(f"{len(begins)} iterations and {len(works)} work events, all in the version in force")
    tick, index, what = min(bad)
    events = begins if what == "IterationBegin" else works
    version = int(events["Version"][index])
    switch = int(np.searchsorted(ticks, tick, "right")) - 1
    rows = [int(events.row[index])]
    swap = next((s for s in trace.swaps if switch > 0 and s.tick("Switched") == int(ticks[switch])), None)
    if swap:
        rows += [swap.steps["Switched"][0][0]]
    text = (
        f"{what} of worker {events['Worker'][index]} in version {version} while version {versions[switch]} was in force"
    )
    return fails(text + and_more(len(bad)), rows)


def nothing_runs_while_held(trace: SwapTrace) -> Finding:
    """Between the drain and the release of a swap no iteration begins or ends and no endpoint driver works."""
    drained = [(s, s.tick("Drained"), s.tick("Released")) for s in trace.swaps]
    windows = [(s, a, b) for s, a, b in drained if a is not None and b is not None]
    if not windows:
        return unknown("no drain and release in the trace")
    for swap, start, end in windows:
        for name in ("IterationBegin", "EndpointWork"):
            events: Column = trace.events[name]
            inside = np.flatnonzero((events.tick > start) & (events.tick < end))
            if len(inside):
                first = int(inside[0])
                rows = [swap.steps["Drained"][0][0], int(events.row[first]), swap.steps["Released"][0][0]]
                text = f"{name} of worker {events['Worker'][first]} between drain and release of swap {swap.number}"
                return fails(text + and_more(len(inside)), rows)
    return holds(f"nothing ran between drain and release of {len(windows)} swaps")


def progress_after_swap(trace: SwapTrace) -> Finding:
    """Every version was exercised: all workers whose events were signalled while it was in force ran in it."""
    ticks, versions = trace.force
    expected = trace.witnesses.expected_versions
    ends = np.append(ticks[1:], END_OF_TIME)
    spans = [(int(v), int(a), int(b)) for v, a, b in zip(versions, ticks, ends, strict=True) if v]
    if len(spans) < len(expected):
        return unknown(f"{len(spans)} of {len(expected)} versions came into force")
    runs, signals = trace.iterations, trace.signals
    quiet: list[str] = []
    for version, start, end in spans:
        ran = (runs.version == version) & (runs.begin >= start) & (runs.begin <= end)
        works = trace.events["EndpointWork"]
        worked = (works["Version"] == version) & (works.tick >= start) & (works.tick <= end)
        if not ran.any() or not worked.any():
            return unknown(f"version {version} was never exercised")
        # What is signalled while the next swap runs may rightly be held for the version after.
        closing = max((b for s in trace.swaps if (b := s.tick("Begin")) is not None and start < b < end), default=end)
        inside = signals.accepted & (signals.begin >= start) & (signals.end <= closing)
        for worker, definition in trace.workers.items():
            signalled = np.unique(signals.event[inside & (signals.worker == worker)])
            needed = definition.event_count if definition.wait_type == WAIT_ALL else 1
            if len(signalled) >= needed and not (ran & (runs.worker == worker)).any():
                quiet.append(f"worker {worker} never ran in version {version} though its events were signalled")
    if quiet:
        return unknown(quiet[0] + and_more(len(quiet)))
    return holds(f"{len(spans)} times a version was in force, exercised each time")


def swap_bounds(trace: SwapTrace) -> list[tuple[Swap, int]]:
    """Swaps that drained, with the tick of it."""
    return [(swap, tick) for swap in trace.swaps if (tick := swap.tick("Drained")) is not None]


def spanning(begin: Ints, end: Ints, tick: int) -> Ints:
    """Positions of the intervals that a moment lies strictly inside of."""
    return np.flatnonzero((begin < tick) & (end > tick))
