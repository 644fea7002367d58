"""Iterations: whole, in order, each with its work, on the thread they began on."""

from __future__ import annotations

import numpy as np

from hotswap.swap.check_swap import spanning, swap_bounds
from hotswap.swap.finding import Finding, and_more, fails, holds, unknown
from hotswap.swap.swap_trace import END_OF_TIME, Ints, SwapTrace, match
from hotswap.trace.expect import status_text

_STOP = 2
"""HotswapSignalStop: the source of the signal that wakes a worker to its end."""


def no_iteration_cut_short(trace: SwapTrace) -> Finding:
    """Each iteration begins and ends once, numbers run from 1 without a gap, and none spans the drain of a swap."""
    runs, ends = trace.iterations, trace.events["IterationEnd"]
    if not len(runs.row):
        return unknown("no iteration in the trace")
    _, known = match([ends["Worker"], ends["Iteration"]], [runs.worker, runs.iteration])
    if not known.all():
        first = int(np.flatnonzero(~known)[0])
        name = f"iteration {ends['Iteration'][first]} of worker {ends['Worker'][first]}"
        text = f"{name} ends more often than it begins"
        return fails(text + and_more(int(np.count_nonzero(~known))), [ends.row[first]])
    for swap, tick, row in swap_bounds(trace):
        across = spanning(runs.begin, np.where(runs.end == END_OF_TIME, runs.begin, runs.end), tick)
        if len(across):
            i = int(across[0])
            rows = [runs.row[i], row, runs.end_row[i]]
            name = f"iteration {runs.iteration[i]} of worker {runs.worker[i]}"
            text = f"{name} was still inside when swap {swap.number} had drained"
            return fails(text + and_more(len(across)), rows)
    same = runs.worker[1:] == runs.worker[:-1]
    open_ended = np.flatnonzero(runs.end == END_OF_TIME)
    if len(open_ended):
        i = int(open_ended[0])
        text = f"iteration {runs.iteration[i]} of worker {runs.worker[i]} never ended"
        return fails(text + and_more(len(open_ended)), [runs.row[i], *_next_of_worker(trace, i)])
    overlap = np.flatnonzero(same & (runs.begin[1:] < runs.end[:-1]))
    if len(overlap):
        i = int(overlap[0])
        text = f"iterations {runs.iteration[i]} and {runs.iteration[i + 1]} of worker {runs.worker[i]} overlap"
        return fails(text + and_more(len(overlap)), [runs.row[i], runs.row[i + 1], runs.end_row[i]])
    first_of = np.append(True, ~same)
    expected = np.where(first_of, 1, np.append(0, runs.iteration[:-1]) + 1)
    gap = np.flatnonzero(runs.iteration != expected)
    if len(gap):
        i = int(gap[0])
        text = f"worker {runs.worker[i]}: iteration {runs.iteration[i]} where {expected[i]} was due"
        return fails(text + and_more(len(gap)), [runs.row[i], *([] if first_of[i] else [runs.row[i - 1]])])
    wrong = _disagreeing_end(trace)
    if wrong is not None:
        return wrong
    return holds(f"{len(runs.row)} iterations, each begun and ended once")


def _next_of_worker(trace: SwapTrace, index: int) -> list[int]:
    runs = trace.iterations
    following = index + 1
    return (
        [int(runs.row[following])] if following < len(runs.row) and runs.worker[following] == runs.worker[index] else []
    )


def _disagreeing_end(trace: SwapTrace) -> Finding | None:
    runs, ends = trace.iterations, trace.events["IterationEnd"]
    at, _ = match([runs.worker, runs.iteration], [ends["Worker"], ends["Iteration"]])
    differ = np.flatnonzero((ends["Version"][at] != runs.version) | (ends["WaitStatus"][at] != runs.status))
    if not len(differ):
        return None
    i = int(differ[0])
    name = f"iteration {runs.iteration[i]} of worker {runs.worker[i]}"
    text = f"{name} ends with another version or wait status than it began with"
    return fails(text + and_more(len(differ)), [runs.row[i], runs.end_row[i]])


def work_once_per_iteration(trace: SwapTrace) -> Finding:
    """The endpoint driver's own event: one in each iteration, with the same version and wait status."""
    runs, works = trace.iterations, trace.events["EndpointWork"]
    if not len(runs.row):
        return unknown("no iteration in the trace")
    # Without an endpoint driver (version 0) the host's own endpoint runs, which logs no work.
    wanted = runs.version != 0
    at, found = match([works["Worker"], works["Iteration"]], [runs.worker, runs.iteration])
    stray = np.flatnonzero(~found)
    if len(stray):
        i = int(stray[0])
        mine = np.flatnonzero((runs.worker == works["Worker"][i]) & (runs.iteration == works["Iteration"][i]))
        name = f"iteration {works['Iteration'][i]} of worker {works['Worker'][i]}"
        if not len(mine):
            return fails(f"work without an iteration: {name}" + and_more(len(stray)), [works.row[i]])
        j = int(mine[0])
        all_work = works.row[(works["Worker"] == works["Worker"][i]) & (works["Iteration"] == works["Iteration"][i])]
        text = f"{name} ran twice: {len(all_work)} work events of version {works['Version'][i]}"
        return fails(text + and_more(len(stray)), [runs.row[j], *all_work, runs.end_row[j]])
    has_work = np.zeros(len(runs.row), np.bool_)
    has_work[at[found]] = True
    missing = np.flatnonzero(wanted & ~has_work)
    if len(missing):
        i = int(missing[0])
        text = f"no work in iteration {runs.iteration[i]} of worker {runs.worker[i]} (version {runs.version[i]})"
        return fails(text + and_more(len(missing)), [runs.row[i], runs.end_row[i]])
    outside = np.flatnonzero((works.tick < runs.begin[at]) | (works.tick > runs.end[at]))
    if len(outside):
        i = int(outside[0])
        j = int(at[i])
        name = f"iteration {works['Iteration'][i]} of worker {works['Worker'][i]}"
        text = f"the work of {name} was done before it began or after it ended"
        return fails(text + and_more(len(outside)), [runs.row[j], works.row[i], runs.end_row[j]])
    return holds(f"{len(works)} work events, one per iteration")


def work_names_version(trace: SwapTrace) -> Finding:
    """The endpoint driver says of each piece of work that it is of the version that the host called."""
    return _work_agrees(
        trace, "Version", trace.iterations.version, "version {} worked in {}; the host called version {}"
    )


def work_names_wait_status(trace: SwapTrace) -> Finding:
    """The endpoint driver was given the wait status that the host was given."""
    return _work_agrees(trace, "WaitStatus", trace.iterations.status, "{} was reported by {}; the wait returned {}")


def _work_agrees(trace: SwapTrace, field: str, host: Ints, complaint: str) -> Finding:
    runs, works = trace.iterations, trace.events["EndpointWork"]
    if not len(works):
        return unknown("no work in the trace")
    at, found = match([works["Worker"], works["Iteration"]], [runs.worker, runs.iteration])
    if not found.any():
        return unknown("no work belongs to an iteration in the trace")
    differs = np.flatnonzero(found & (works[field] != host[at]))
    if not len(differs):
        return holds(f"{int(np.count_nonzero(found))} work events agree")
    i = int(differs[0])
    j = int(at[i])
    name = f"iteration {works['Iteration'][i]} of worker {works['Worker'][i]}"
    said, called = (_as_text(field, int(value)) for value in (works[field][i], host[j]))
    text = complaint.format(said, name, called)
    return fails(text + and_more(len(differs)), [runs.row[j], works.row[i], runs.end_row[j]])


def _as_text(field: str, value: int) -> str:
    return status_text(value, wait=True) if field == "WaitStatus" else str(value)


def worker_threads_survive(trace: SwapTrace) -> Finding:
    """Every iteration of a worker runs on the thread that the worker was created with, which starts and ends once."""
    created, runs = trace.events["WorkerCreate"], trace.iterations
    if not len(created) or not len(runs.row):
        return unknown("no worker or no iteration in the trace")
    for i in range(len(created)):
        worker, thread = int(created["Worker"][i]), int(created["WorkerThreadId"][i])
        if created["Status"][i]:
            continue
        mine = np.flatnonzero(runs.worker == worker)
        other = mine[runs.tid[mine] != thread]
        if len(other):
            j = int(other[0])
            text = f"iteration {runs.iteration[j]} of worker {worker} on thread {runs.tid[j]} instead of {thread}"
            return fails(text + and_more(len(other)), [created.row[i], runs.row[j]])
        for name in ("WorkerThreadStart", "WorkerThreadEnd"):
            events = trace.events[name]
            at = np.flatnonzero(events["Worker"] == worker)
            wrong = at[(events["WorkerThreadId"][at] != thread) | (events.tid[at] != thread)]
            if len(wrong):
                return fails(
                    f"{name} of worker {worker} is not of thread {thread}", [created.row[i], events.row[wrong[0]]]
                )
            if len(at) != 1:
                text = f"worker {worker} has {name} {len(at)} times"
                return fails(text, [created.row[i], *events.row[at]])
        ended = trace.events["WorkerThreadEnd"]
        late = mine[runs.begin[mine] > ended.tick[ended["Worker"] == worker][0]]
        if len(late):
            rows = [*ended.row[ended["Worker"] == worker], runs.row[late[0]]]
            return fails(f"worker {worker} ran after its thread had ended" + and_more(len(late)), rows)
    return holds(f"{len(created)} workers, one thread each from the first iteration to the last")


def workers_run_until_stopped(trace: SwapTrace) -> Finding:
    """A worker's thread ends when the worker was asked to stop, and not before."""
    ends, begins = trace.events["WorkerThreadEnd"], trace.events["SignalBegin"]
    if not len(ends):
        return unknown("no worker's thread ends in the trace")
    asked = begins.take(begins["Source"] == _STOP)
    runs = trace.iterations
    early: list[int] = []
    for i in range(len(ends)):
        request = asked.tick[asked["Worker"] == ends["Worker"][i]]
        if not len(request) or ends.tick[i] < request.min():
            early.append(i)
    if early:
        i = early[0]
        worker = int(ends["Worker"][i])
        last = np.flatnonzero((runs.worker == worker) & (runs.begin <= ends.tick[i]))[-1:]
        text = f"the thread of worker {worker} ended though nobody had asked it to stop"
        if len(last):
            j = int(last[0])
            text += f": iteration {runs.iteration[j]} (version {runs.version[j]}) was its last"
        rows = [*runs.row[last], *runs.end_row[last], ends.row[i]]
        return fails(text + and_more(len(early)), rows)
    return holds(f"{len(ends)} threads ended after they had been asked to")
