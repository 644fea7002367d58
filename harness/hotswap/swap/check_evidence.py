"""Is the evidence all there, and did the driver and its host live?"""

from __future__ import annotations

import numpy as np

from hotswap.swap.finding import Finding, fails, holds, unknown
from hotswap.swap.swap_trace import BEGINNING, END_OF_TIME, PROVIDER_GUID, PROVIDER_NAME, Ints, SwapTrace
from hotswap.swap.witnesses import SwapWitnesses
from hotswap.trace.rules.evidence import Evidence, Loss
from hotswap.trace.rules.matched import View


def evidence_complete(trace: SwapTrace) -> Finding:
    """Ring, file and trace session say that nothing is missing, the driver's first and last events are there, and the
    clock that the events were timed by is fit.
    """
    etl = trace.etl
    gaps, rows = _untraced(trace)
    if trace.witnesses.clock_problem:
        gaps.insert(0, trace.witnesses.clock_problem)
    if etl.loss.any:
        gaps.append(f"the file reports a loss: {etl.loss.describe()}")
    gaps += [f"damaged file: {problem.message} (offset {problem.offset})" for problem in etl.problems[:3]]
    if gaps:
        return unknown("; ".join(gaps[:4]) + (f"; and {len(gaps) - 4} more" if len(gaps) > 4 else ""), rows)
    return holds(f"{trace.driver_events} events, nothing dropped or lost")


def view_of(trace: SwapTrace) -> View:
    """The trace as rules look at it: what the file lacks has its time, what else is missing may be anywhere."""
    gaps, _ = _untraced(trace)
    return View(trace.table, Evidence.of(trace.etl).plus(map(Loss.anywhere, gaps)))


def _untraced(trace: SwapTrace) -> tuple[list[str], list[int]]:
    """What is missing besides what the file itself tells of, and the rows that show it."""
    seen, events = trace.witnesses, trace.events
    gaps: list[str] = []
    rows: list[int] = []
    if trace.driver_events == 0:
        gaps.append(f"no event of {PROVIDER_NAME} in the trace")
    gaps += [f"the trace has no {name}" for name in ("HostStart", "HostStop") if not len(events[name])]
    for name in ("HostStart", "HostStop"):
        if len(events[name]) > 1:
            gaps.append(f"the trace has {len(events[name])} {name}")
            rows += events[name].row[:2].tolist()
    outside = _outside_the_run(trace)
    if len(outside):
        gaps.append(f"{len(outside)} events before the driver's start or after its stop")
        rows += outside[:2].tolist()
    for name in _events_due(seen):
        if trace.driver_events and not len(events[name]):
            gaps.append(f"the trace has no {name}")
    ring = seen.ring
    if ring is None:
        gaps.append("it is not known whether the trace ring dropped events")
    else:
        if ring.dropped:
            gaps.append(f"the trace ring dropped {ring.dropped} events (ring-slots makes it larger)")
        if ring.drained != ring.written:
            gaps.append(f"the trace ring was not drained to its end ({ring.drained} of {ring.written} events)")
        if ring.drained != trace.driver_events:
            gaps.append(f"{ring.drained} events were drained and the file holds {trace.driver_events}")
    told = events["HostStop"]["EventsDropped"]
    if told.any():
        gaps.append(f"the host driver counts {int(told.max())} dropped events")
        rows += events["HostStop"].row.tolist()
    if seen.trace_stop_error is None:
        gaps.append("it is not known whether the trace was stopped properly")
    elif seen.trace_stop_error:
        gaps.append(f"stopping the trace failed: {seen.trace_stop_error}")
    pending, orphans = trace.signals.pending, trace.signals.orphans
    if len(pending) or len(orphans):
        gaps.append(f"{len(pending)} SignalBegin without SignalEnd and {len(orphans)} SignalEnd without SignalBegin")
        rows += [*pending.row[:1].tolist(), *orphans.row[:1].tolist()]
    signals = trace.signals
    backwards = np.flatnonzero(signals.end < signals.begin)
    if len(backwards):
        gaps.append(f"{len(backwards)} signals end before they begin")
        rows += [*signals.begin_row[backwards[:1]].tolist(), *signals.end_row[backwards[:1]].tolist()]
    return gaps + trace.defects, rows


def _outside_the_run(trace: SwapTrace) -> Ints:
    """Rows of events of the driver that came before its HostStart or after its HostStop."""
    start, stop, tick = trace.events["HostStart"], trace.events["HostStop"], trace.table.tick
    begun, ended = start.tick.min(initial=END_OF_TIME), stop.tick.max(initial=BEGINNING)
    mine = np.isin(trace.table.kind, [i for i, kind in enumerate(trace.table.kinds) if kind.provider == PROVIDER_GUID])
    early = tick < begun if len(start) else np.zeros(len(tick), np.bool_)
    late = tick > ended if len(stop) else np.zeros(len(tick), np.bool_)
    return np.flatnonzero(mine & (early | late))


def _events_due(seen: SwapWitnesses) -> list[str]:
    """What the trace must have some of: what was done by replies and counters, and what these leave open."""
    counted = seen.final_counters or {}
    due = {
        "WorkerCreate": seen.workers is None or len(seen.workers) > 0,
        "SignalEnd": counted.get("Signals", 1) > 0,
        "IterationBegin": counted.get("Iterations", 1) > 0,
        "SwapBegin": seen.updates is None or len(seen.updates) > 0,
        "RuntimeChosen": seen.workers is None or len(seen.workers) > 0,
    }
    return [name for name, wanted in due.items() if wanted]


def driver_host_alive(trace: SwapTrace) -> Finding:
    """The process that runs the driver lived until it was asked to stop."""
    seen = trace.witnesses
    if seen.driver_host_alive is None:
        return unknown("nobody watched the driver host")
    if seen.driver_host_alive:
        return holds("the driver host lived until it was stopped")
    rows = [len(trace.table) - 1] if len(trace.table) else []
    return fails(f"the driver host died: {seen.driver_host_end or 'no reason known'}", rows)


def operations_succeed(trace: SwapTrace) -> Finding:
    """No operation on the driver failed through the guest's fault."""
    faults = trace.witnesses.guest_faults
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        return fails(faults[0] + more)
    return holds("every operation on the driver was answered")


def workers_as_asked(trace: SwapTrace) -> Finding:
    """Each worker asked for was created once, with the start context asked for."""
    asked = trace.witnesses.workers
    if asked is None:
        return unknown("it is not known which workers were asked for")
    if not asked:
        return unknown("no worker was asked for")
    created = trace.events["WorkerCreate"]
    refused = np.flatnonzero(created["Status"] != 0)
    if len(refused):
        first = int(refused[0])
        code = int(created["Status"][first]) & 0xFFFFFFFF
        return fails(f"worker {created['Worker'][first]} was not created: 0x{code:08x}", [created.row[first]])
    for worker in asked:
        rows = created.row[created["Worker"] == worker.worker]
        if len(rows) != 1:
            return fails(f"worker {worker.worker} was created {len(rows)} times", rows)
        made = trace.workers[worker.worker]
        if made != worker:
            return fails(f"worker {worker.worker} was created with another start context: {made}", rows)
    extra = sorted({made.worker for made in trace.created_workers} - {worker.worker for worker in asked})
    if extra:
        return fails(f"nobody asked for worker {extra[0]}", created.row[created["Worker"] == extra[0]])
    return holds(f"{len(asked)} workers as asked for")
