"""Signals against iterations: nothing lost, nothing made up.

A KEVENT is a bit. A signal is *accepted* when KeSetEvent returned 0; accepted signals and what takes them away (a wait
that names the event, a clear that found it signalled) alternate strictly. A SignalBegin/SignalEnd pair encloses the
moment of the signal; a wait took its signal between the worker's iteration before and its IterationBegin. Events of
different threads are compared by tick only, inclusively, so that equal ticks never count as an order. EventClear is one
event, written after the call: the clear happened between the thread's event before it and that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hotswap.swap.finding import Finding, and_more, fails, holds, unknown
from hotswap.swap.swap_trace import BEGINNING, END_OF_TIME, Column, Ints, SwapTrace
from hotswap.swap.witnesses import WAIT_ALL, WAIT_ANY, WorkerDefinition
from hotswap.trace.expect import status_text

STATUS_USER_APC = 0xC0
STATUS_ALERTED = 0x101
STATUS_TIMEOUT = 0x102
# Waits are as exact as the clock ticks: 64 times a second (W43). In 100 ns.
_CLOCK_TICK = 156_250


@dataclass(frozen=True)
class EventHistory:
    """What happened to one event of one worker. Index arrays point into the trace's signals, iterations, clears."""

    worker: WorkerDefinition
    event: int
    signals: Ints
    iterations: Ints
    """Those whose wait status names the event, in order."""
    clears: Column
    """EventClear that found it signalled, for a notification event all."""
    cleared_from: Ints
    """The earliest moment at which each clear can have happened."""
    pending: int
    initial: int

    @property
    def notification(self) -> bool:
        """Whether it stays signalled until cleared."""
        return bool(self.worker.notification_mask >> self.event & 1)

    @property
    def name(self) -> str:
        """For messages."""
        return f"worker {self.worker.worker} event {self.event}"


def histories(trace: SwapTrace) -> Iterator[EventHistory]:
    """Every event of every worker, synchronization and notification events."""
    signals, runs, clears = trace.signals, trace.iterations, trace.events["EventClear"]
    before = trace.previous_tick_on_thread[clears.row]
    for worker in trace.workers.values():
        mine = np.flatnonzero(signals.worker == worker.worker)
        ran = np.flatnonzero(runs.worker == worker.worker)
        cleared = np.flatnonzero(clears["Worker"] == worker.worker)
        pending = signals.pending
        for event in range(worker.event_count):
            named = 0 if worker.wait_type == WAIT_ALL else event
            notification = bool(worker.notification_mask >> event & 1)
            take = cleared[(clears["EventIndex"][cleared] == event)]
            if not notification:
                take = take[clears["PreviousState"][take] != 0]
            yield EventHistory(
                worker,
                event,
                mine[signals.event[mine] == event],
                ran[runs.status[ran] == named],
                clears.take(take),
                before[take],
                int(np.count_nonzero((pending["Worker"] == worker.worker) & (pending["EventIndex"] == event))),
                int(worker.initial_state_mask >> event & 1),
            )


def signals_accounted(trace: SwapTrace) -> Finding:
    """Per auto-reset event: accepted signals = iterations that name it + final state, and never two without one."""
    if not trace.workers:
        return unknown("no worker in the trace")
    failures: list[Finding] = []
    open_questions: list[Finding] = []
    events = signals = 0
    for history in histories(trace):
        if history.notification:
            continue
        events += 1
        signals += len(history.signals)
        finding = _account(trace, history)
        if finding is not None:
            (failures if finding.rows or finding.verdict == "fail" else open_questions).append(finding)
    found = failures or open_questions
    if found:
        first = found[0]
        make = fails if failures else unknown
        more = f" (and {len(found) - 1} more events)" if len(found) > 1 else ""
        return make(first.message + more, first.rows)
    if not signals:
        return unknown("no auto-reset event was signalled")
    return holds(f"{signals} signals of {events} auto-reset events")


def _account(trace: SwapTrace, history: EventHistory) -> Finding | None:
    signals, runs = trace.signals, trace.iterations
    accepted = history.signals[signals.accepted[history.signals]]
    total = len(accepted) + history.initial
    used, cleared = len(history.iterations), len(history.clears)
    mask = trace.final_states.get(history.worker.worker)
    final = None if mask is None else mask >> history.event & 1
    balance = total - used - cleared
    text = (
        f"{history.name}: {len(accepted)} signals accepted, initial state {history.initial}, "
        f"{used} iterations name it, {cleared} cleared, final state {'unknown' if final is None else final}"
    )
    if balance > (1 if final is None else final):
        lost = balance - (1 if final is None else final)
        return fails(f"lost wake-up: {text}; {lost} missing", _lost_slice(trace, history, accepted, balance - lost))
    if balance + history.pending < (0 if final is None else final):
        return fails(f"iteration without a signal: {text}", _unfounded_slice(trace, history, accepted))
    # Totals can agree while a lost signal and a made-up iteration hide each other.
    ends = np.sort(np.concatenate([np.full(history.initial, BEGINNING, np.int64), signals.end[accepted]]))
    starts = np.sort(np.concatenate([runs.previous_end[history.iterations], history.cleared_from]))
    ahead = np.arange(1, len(ends) + 1) - np.searchsorted(starts, ends, "right")
    twice = np.flatnonzero(ahead > 1)
    if len(twice):
        at = int(twice[0]) - history.initial
        ordered = accepted[np.argsort(signals.end[accepted], kind="stable")]
        near = ordered[max(at - 1, 0) : at + 1]
        rows = [*signals.begin_row[near], *signals.end_row[near]]
        return fails(f"lost wake-up: {text}; two signals were accepted with no iteration in between", rows)
    if history.pending:
        return unknown(f"{text}; {history.pending} signals never returned")
    if final is None:
        return unknown(text)
    return None


def _lost_slice(trace: SwapTrace, history: EventHistory, accepted: Ints, settled: int) -> list[int]:
    """The first accepted signal after which the running balance never comes back, and the next one."""
    signals, runs = trace.signals, trace.iterations
    # A signal counts from its begin: then the balance is never too low, and what it does not come back from is a loss.
    ticks = np.concatenate([signals.begin[accepted], runs.begin[history.iterations], history.clears.tick])
    steps = np.concatenate([np.ones(len(accepted)), -np.ones(len(history.iterations) + len(history.clears))])
    order = np.lexsort((-steps, ticks))
    balance = history.initial + np.cumsum(steps[order])
    back = np.flatnonzero(balance <= settled)
    came_after = order[back[-1] + 1 :] if len(back) else order
    rest = accepted[came_after[came_after < len(accepted)]]
    rows = [int(row) for i in rest[:2] for row in (signals.begin_row[i], signals.end_row[i])]
    if len(rest) < 2:
        stopped = trace.events["WorkerStop"]
        rows += stopped.row[stopped["Worker"] == history.worker.worker].tolist()
    since = signals.begin[rest[0]] if len(rest) else BEGINNING
    named = history.iterations[runs.begin[history.iterations] >= since]
    return rows + [int(row) for row in runs.row[named[:1]]]


def _available(trace: SwapTrace, history: EventHistory, moments: Ints) -> Ints:
    """At most how many accepted signals can have come by each moment, less what was surely cleared by then."""
    signals, pending = trace.signals, trace.signals.pending
    accepted = history.signals[signals.accepted[history.signals]]
    mine = (pending["Worker"] == history.worker.worker) & (pending["EventIndex"] == history.event)
    begun = np.sort(np.concatenate([signals.begin[accepted], pending.tick[mine]]))
    return (
        history.initial
        + np.searchsorted(begun, moments, "right")
        - np.searchsorted(np.sort(history.clears.tick), moments, "right")
    )


def _unfounded(trace: SwapTrace, history: EventHistory) -> Ints:
    """Iterations (positions) that name the event though it cannot have been signalled."""
    runs, signals = trace.iterations, trace.signals
    begun = runs.begin[history.iterations]
    if not history.notification:
        return history.iterations[_available(trace, history, begun) < np.arange(1, len(begun) + 1)]
    mine, pending = history.signals, trace.signals.pending
    unreturned = pending.tick[(pending["Worker"] == history.worker.worker) & (pending["EventIndex"] == history.event)]
    starts = np.concatenate([signals.begin[mine], unreturned])
    ends = np.concatenate([signals.end[mine], np.full(len(unreturned), END_OF_TIME, np.int64)])
    if history.initial:
        starts, ends = np.append(starts, BEGINNING + 1), np.append(ends, BEGINNING + 1)
    order = np.argsort(starts, kind="stable")
    starts, latest = starts[order], np.maximum.accumulate(ends[order])
    clears = np.argsort(history.clears.tick, kind="stable")
    cleared = history.clears.tick[clears]
    surely = np.maximum.accumulate(history.cleared_from[clears])
    # The last moment up to which everything was surely cleared before the wait began.
    count = np.searchsorted(cleared, runs.previous_end[history.iterations], "right")
    cleared_until = np.where(count > 0, surely[count - 1] if len(surely) else BEGINNING, BEGINNING)
    known = np.searchsorted(starts, begun, "right")
    last_signal = np.where(known > 0, latest[known - 1] if len(latest) else BEGINNING, BEGINNING)
    return history.iterations[last_signal <= cleared_until]


def _unfounded_slice(trace: SwapTrace, history: EventHistory, accepted: Ints) -> list[int]:
    runs, signals = trace.iterations, trace.signals
    bad = _unfounded(trace, history)
    at = int(bad[0]) if len(bad) else int(history.iterations[-1]) if len(history.iterations) else -1
    if at < 0:
        return []
    earlier = accepted[signals.begin[accepted] <= runs.begin[at]][-1:]
    place = int(np.searchsorted(history.iterations, at))
    named = history.iterations[max(place - 1, 0) : place + 1]
    return [int(row) for row in (*signals.begin_row[earlier], *signals.end_row[earlier], *runs.row[named])]


def wait_status_names_signalled_event(trace: SwapTrace) -> Finding:
    """The status of each wait is one that the worker can get, and names an event that was signalled and not used up."""
    runs = trace.iterations
    if not len(runs.row):
        return unknown("no iteration in the trace")
    strangers = np.flatnonzero(~np.isin(runs.worker, list(trace.workers)))
    if len(strangers):
        return unknown(f"worker {runs.worker[strangers[0]]} is not described anywhere", runs.row[strangers[:1]])
    for worker in trace.workers.values():
        mine = np.flatnonzero(runs.worker == worker.worker)
        allowed = {STATUS_TIMEOUT} if worker.has_timeout else set()
        allowed |= {STATUS_ALERTED} if worker.altertable else set()
        allowed |= {STATUS_USER_APC} if worker.altertable or worker.wait_mode else set()
        indices = worker.event_count if worker.wait_type == WAIT_ANY else 1
        impossible = mine[(runs.status[mine] >= indices) & ~np.isin(runs.status[mine], list(allowed))]
        if len(impossible):
            i = int(impossible[0])
            text = f"iteration {runs.iteration[i]} of worker {worker.worker} ({_kind(worker)}): impossible wait status "
            return fails(text + status_text(int(runs.status[i]), wait=True) + and_more(len(impossible)), [runs.row[i]])
    return _founded(trace, WAIT_ANY, "names an event that was not signalled")


def time_outs_not_early(trace: SwapTrace) -> Finding:
    """No wait times out before its time: a relative one counted from the wait's begin, an absolute one by the clock.

    A wait begins after the iteration before it, so counting from there can only be too kind. There is no upper bound: a
    loaded machine may be late by any time (W43).
    """
    runs = trace.iterations
    timed = [worker for worker in trace.workers.values() if worker.has_timeout and worker.timeout]
    if not timed:
        return holds("no worker has a time-out that can be early")
    filetime, frequency = trace.table.filetime, trace.table.frequency
    checked = 0
    for worker in timed:
        mine = np.flatnonzero((runs.worker == worker.worker) & (runs.status == STATUS_TIMEOUT))
        if worker.timeout < 0:
            mine = mine[runs.previous_end[mine] != BEGINNING]
            waited = (runs.begin[mine] - runs.previous_end[mine]) * 10_000_000 // frequency
            early = np.flatnonzero(waited < -worker.timeout - _CLOCK_TICK)
        else:
            early = np.flatnonzero(filetime[runs.row[mine]] < worker.timeout - _CLOCK_TICK)
        checked += len(mine)
        if len(early):
            i = int(mine[early[0]])
            rows = [runs.row[i], *runs.end_row[(runs.worker == worker.worker) & (runs.end == runs.previous_end[i])]]
            text = f"iteration {runs.iteration[i]} of worker {worker.worker} timed out before its time"
            return fails(f"{text} ({_timeout(worker)})" + and_more(len(early)), rows)
    return holds(f"{checked} time-outs, none before its time")


def _timeout(worker: WorkerDefinition) -> str:
    return f"{-worker.timeout / 10_000:g} ms" if worker.timeout < 0 else f"absolute {worker.timeout}"


def wait_all_needs_all(trace: SwapTrace) -> Finding:
    """A WaitAll worker runs only when every one of its events was signalled and not used up."""
    asked = trace.witnesses.workers
    if asked and not any(worker.wait_type == WAIT_ALL for worker in asked):
        return holds("no WaitAll worker was asked for")
    if not any(worker.wait_type == WAIT_ALL for worker in trace.workers.values()):
        return unknown("no WaitAll worker in the trace")
    return _founded(trace, WAIT_ALL, "ran though not all of its events were signalled")


def _founded(trace: SwapTrace, wait_type: int, complaint: str) -> Finding:
    runs = trace.iterations
    checked = 0
    for history in histories(trace):
        if history.worker.wait_type != wait_type:
            continue
        checked += len(history.iterations)
        bad = _unfounded(trace, history)
        if len(bad):
            i = int(bad[0])
            accepted = history.signals[trace.signals.accepted[history.signals]]
            text = (
                f"iteration {runs.iteration[i]} of worker {history.worker.worker} {complaint} (event {history.event})"
            )
            return fails(text + and_more(len(bad)), _unfounded_slice(trace, history, accepted))
    return holds(f"{checked} waits looked at")


def _kind(worker: WorkerDefinition) -> str:
    name = "WaitAll" if worker.wait_type == WAIT_ALL else "WaitAny"
    return f"{name}, {worker.event_count} events" + (", time-out" if worker.has_timeout else "")
