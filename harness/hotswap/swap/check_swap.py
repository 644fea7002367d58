"""Swaps: updates, phases, how long calls were held, which version ran when."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from hotswap.swap.finding import Finding, and_more, fails, holds, unknown, versions_differ
from hotswap.swap.swap_trace import END_OF_TIME, Ints, SwapTrace
from hotswap.swap.swaps import Outcome, Stall, Swap, irregular
from hotswap.swap.witnesses import WAIT_ALL, UpdateReply
from hotswap.trace.expect import status_text


def updates_succeed_or_roll_back(trace: SwapTrace) -> Finding:
    """Every update succeeds and unloads the old image; or it is refused, and the old version stays in force alone."""
    replies, swaps = trace.witnesses.updates, {swap.number: swap for swap in trace.swaps}
    if replies is None:
        return unknown("the replies to the updates are not known")
    refused = 0
    for number, reply in enumerate(replies, 1):
        name = f"update {reply.from_version}->{reply.to_version}"
        if reply.status:
            found = _refused(trace, reply, swaps.get(number))
            if found is not None:
                return found
            refused += 1
        elif reply.rolled_back:
            return fails(f"{name} was rolled back, and the reply says success")
        if reply.unload_status:
            which = "refused" if reply.status else "old"
            status = status_text(reply.unload_status, wait=False)
            return fails(f"{name}: unloading the {which} image failed: {status}")
    succeeded = [(reply.from_version, reply.to_version) for reply in replies if not reply.status]
    wrong = versions_differ(succeeded, trace.witnesses.expected_versions)
    if wrong:
        return fails(f"the updates are not the ones asked for: {wrong}")
    if refused:
        return holds(f"{len(succeeded)} updates succeeded, {refused} refused with the old version left in force")
    return holds(f"{len(replies)} updates succeeded")


def _refused(trace: SwapTrace, reply: UpdateReply, swap: Swap | None) -> Finding | None:
    """What is wrong with an update that failed; None: it left everything as it was."""
    status = reply.status_name or status_text(reply.status, wait=False)
    if not reply.from_version:
        what = f"the first endpoint driver{f', {reply.image},' if reply.image else ''}"
        return fails(f"{what} did not come into force: {status}{_cause(reply.status)}", swap.rows if swap else ())
    if trace.restart:
        return fails(f"the restart from version {reply.from_version} failed: {status}")
    if swap is None:
        return unknown(
            f"an update from version {reply.from_version} failed ({status}), and the trace does not tell why"
        )
    if swap.outcome is Outcome.NOT_BEGUN:
        what = reply.image or f"an update from version {reply.from_version}"
        return fails(f"{what} failed before the swap began: {status}{_cause(reply.status)}", swap.rows)
    if reply.to_version != reply.from_version:
        text = f"{swap.name} failed ({status}) and left version {reply.to_version} in force"
        return fails(text, swap.rows)
    return None


def _cause(status: int) -> str:
    """What the host means by a status when a new image does not get as far as a swap."""
    return {
        0xC0000225: ": it offers no endpoints, not all of them, or one without a routine",
        0xC0000059: ": its descriptor is of another contract version, or it says version 0",
    }.get(status & 0xFFFFFFFF, "")


def refusals(trace: SwapTrace) -> list[str]:
    """For each update that was refused, one sentence that says so."""
    return [
        f"{swap.name} was refused and version {swap.from_version} stayed in force: {swap.why_refused()}"
        for swap in trace.swaps
        if swap.outcome not in (Outcome.SUCCEEDED, Outcome.NOT_BEGUN, Outcome.NOT_DRAINED)
    ]


def swap_phases_in_order(trace: SwapTrace) -> Finding:
    """Each swap goes once through all the phases that its outcome demands, in order."""
    swaps = trace.swaps
    if not swaps:
        return unknown("no swap in the trace")
    for swap in swaps:
        if swap.outcome is Outcome.NOT_BEGUN:
            continue
        wrong = irregular(swap)
        if wrong is not None:
            return fails(wrong.message, wrong.rows)
    for before, after in pairwise(swaps):
        ended, begun = before.first("End"), after.first("Begin")
        if ended is not None and begun is not None and begun.tick < ended.tick:
            text = f"swap {after.number} began before swap {before.number} had ended"
            return fails(text, [ended.row, begun.row])
    done = [(s.from_version, s.to_version) for s in swaps if s.outcome is Outcome.SUCCEEDED]
    wrong_versions = versions_differ(done, trace.witnesses.expected_versions)
    if wrong_versions:
        rows = [step.row for swap in swaps for step in swap.all("Begin")]
        return fails(f"the swaps are not the ones asked for: {wrong_versions}", rows)
    return holds(f"{len(swaps)} swaps, each phase once and in order")


def _stalls(trace: SwapTrace) -> list[tuple[Swap, Stall]]:
    return [(swap, stall) for swap in trace.swaps for stall in swap.stalls]


def drained_in_time(trace: SwapTrace) -> Finding:
    """In every stall the last call leaves within the drain limit."""
    stalls = _stalls(trace)
    if not stalls:
        return unknown("no stall in the trace")
    runs = trace.iterations
    for swap, stall in stalls:
        if stall.drained is None or stall.drained_in_time:
            continue
        stayed = spanning(runs.begin, runs.end, stall.drained.tick)
        rows = [stall.stalled.row, *runs.row[stayed], stall.drained.row]
        which = "; ".join(f"iteration {runs.iteration[i]} of worker {runs.worker[i]}" for i in stayed[:3])
        waited = (stall.drained.tick - stall.stalled.tick) * 1000 / trace.table.frequency
        text = f"{swap.name}: calls were still inside after {waited:,.0f} ms: {which or 'none that the trace shows'}"
        return fails(text + (f" (and {len(stayed) - 3} more)" if len(stayed) > 3 else ""), rows)
    return holds(f"{len(stalls)} stalls drained")


def hold_time_in_budget(trace: SwapTrace) -> Finding:
    """No swap holds calls longer than the budget. One that did not drain at all is `drained-in-time`'s business."""
    budget, longest = trace.witnesses.hold_budget_ms, 0.0
    seen = 0
    for swap, stall in _stalls(trace):
        if stall.released is None or not stall.drained_in_time:
            continue
        seen += 1
        held = (stall.released.tick - stall.stalled.tick) * 1000 / trace.table.frequency
        longest = max(longest, held)
        if held > budget:
            rows = [step.row for step in swap.steps if stall.stalled.tick <= step.tick <= stall.released.tick]
            return fails(
                f"{swap.name} held calls for {held:,.{1 if held >= 1 else 4}f} ms; the budget is {budget:,g} ms", rows
            )
    if not seen:
        return unknown("no stall and release in the trace")
    return holds(f"calls held for {longest:,.3f} ms at the longest, in {seen} stalls")


def progress_after_swap(trace: SwapTrace) -> Finding:
    """Every version that was to be exercised was: all workers signalled while it was in force ran in it."""
    seen = trace.witnesses
    spans = _spans(trace)
    if len(spans) < len(seen.expected_versions):
        return unknown(f"{len(spans)} of {len(seen.expected_versions)} versions came into force")
    wanted = seen.exercised or (True,) * len(spans)
    asked = [span for span, exercise in zip(spans, wanted, strict=False) if exercise]
    runs, signals, works = trace.iterations, trace.signals, trace.events["EndpointWork"]
    thread_ends = trace.events["WorkerThreadEnd"]
    gone = dict(zip(thread_ends["Worker"].tolist(), thread_ends.tick.tolist(), strict=True))
    quiet: list[str] = []
    for version, start, end in asked:
        ran = (runs.version == version) & (runs.begin >= start) & (runs.begin <= end)
        if not ran.any() or not ((works.tick >= start) & (works.tick <= end)).any():
            return unknown(f"version {version} was never exercised")
        # What is signalled while the next swap runs may rightly be held for the version after.
        closing = max((b for s in trace.swaps if (b := s.tick("Begin")) is not None and start < b < end), default=end)
        inside = signals.accepted & (signals.begin >= start) & (signals.end <= closing)
        for worker, definition in trace.workers.items():
            mine = inside & (signals.worker == worker) & (signals.end <= gone.get(worker, END_OF_TIME))
            needed = definition.event_count if definition.wait_type == WAIT_ALL else 1
            if len(np.unique(signals.event[mine])) >= needed and not (ran & (runs.worker == worker)).any():
                quiet.append(f"worker {worker} never ran in version {version} though its events were signalled")
    if quiet:
        return unknown(quiet[0] + and_more(len(quiet)))
    return holds(f"{len(asked)} times a version was in force, exercised each time")


def _spans(trace: SwapTrace) -> list[tuple[int, int, int]]:
    """(version, from, to) of each endpoint driver that came into force and stayed."""
    changes = [(s.to_version, tick) for s in trace.swaps if s.switched and (tick := s.tick("Switched")) is not None]
    ends = [*(tick for _, tick in changes), END_OF_TIME][1:]
    return [(version, start, end) for (version, start), end in zip(changes, ends, strict=True) if version]


def spanning(begin: Ints, end: Ints, tick: int) -> Ints:
    """Positions of the intervals that a moment lies strictly inside of."""
    return np.flatnonzero((begin < tick) & (end > tick))
