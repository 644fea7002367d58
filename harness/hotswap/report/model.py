"""What report and Perfetto file draw of a trace: lanes, iterations, signals, and which signal woke which iteration."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hotswap.swap.swap_trace import END_OF_TIME, Ints, SwapTrace
from hotswap.swap.swaps import Swap
from hotswap.swap.witnesses import WAIT_ALL, SwapWitnesses, WorkerDefinition
from hotswap.trace.etl import EtlFile

_PART_AFTER = {
    "Begin": "prepare",
    "PreProcess": "prepare",
    "Stalled": "drain",
    "Drained": "switch",
    "ProxyStalled": "switch",
    "Switched": "release",
    "Released": "finish",
    "PostProcess": "finish",
    "RolledBack": "roll back",
}
"""The part of a swap that each of its steps begins."""
_TIMEOUT = 0x102
_RETURN_SECONDS = 0.02
"""From a wait's return to its IterationBegin on a busy machine; measured 9 ms at 95 % on 2 cores."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a swap, in ticks. `last` is open (None) when the trace ends within it."""

    name: str
    first: int
    last: int | None


@dataclass(frozen=True)
class Wakes:
    """Which accepted signal woke which iteration: positions in the trace's signals and iterations."""

    signal: Ints
    iteration: Ints
    ticks: Ints
    """From the call of KeSetEvent to the begin of the iteration."""
    unpaired: int
    """Accepted signals of auto-reset events that no iteration took."""


class TraceModel:
    """A trace as it is drawn. Nothing here judges; it draws what is there, whole or not."""

    def __init__(self, etl: EtlFile, witnesses: SwapWitnesses | None) -> None:
        self.trace = SwapTrace(etl, witnesses or SwapWitnesses((), (), ()))
        self.table = etl.events

    @cached_property
    def workers(self) -> list[int]:
        """Every worker that was created, asked for, or only seen at work."""
        seen = {int(worker) for worker in np.unique(self.trace.iterations.worker)}
        seen |= {int(worker) for worker in np.unique(self.trace.signals.worker)}
        return sorted(seen | set(self.trace.workers))

    def definition(self, worker: int) -> WorkerDefinition | None:
        """How the worker waits, where the trace or a witness says it."""
        return self.trace.workers.get(worker)

    @cached_property
    def threads(self) -> dict[int, int]:
        """Worker by the id of each thread that it ran on."""
        runs = self.trace.iterations
        threads = {int(tid): int(worker) for tid, worker in zip(runs.tid.tolist(), runs.worker.tolist(), strict=True)}
        started = self.trace.events["WorkerThreadStart"]
        for tid, worker in zip(started.tid.tolist(), started["Worker"].tolist(), strict=True):
            threads.setdefault(int(tid), int(worker))
        return threads

    @cached_property
    def versions(self) -> list[int]:
        """Versions that are seen anywhere in the trace, without 0 (none)."""
        found = {int(version) for version in np.unique(self.trace.iterations.version)}
        for swap in self.trace.swaps:
            found |= {swap.from_version, swap.to_version}
        return sorted(found - {0})

    @cached_property
    def wakes(self) -> Wakes:
        """Pair accepted signals of auto-reset events with the iterations that took them.

        An iteration takes, of each event it was woken by, the earliest accepted signal that can have woken it. An
        iteration of a WaitAll worker counts from the last signal that completed its set.
        """
        signals, runs = self.trace.signals, self.trace.iterations
        waiting: dict[int, dict[int, deque[int]]] = defaultdict(lambda: defaultdict(deque))
        kept = [i for i in np.flatnonzero(signals.accepted).tolist() if not self._notification(i)]
        times = [(int(signals.begin[i]), 0, i) for i in kept]
        times += [(int(begin), 1, i) for i, begin in enumerate(runs.begin.tolist())]
        worker_of, event_of = signals.worker.tolist(), signals.event.tolist()
        pairs: list[tuple[int, int]] = []
        taken_signals = 0
        for _, kind, i in sorted(times):
            if kind == 0:
                waiting[worker_of[i]][event_of[i]].append(i)
                continue
            taken = [queue.popleft() for queue in self._taken_from(i, waiting[int(runs.worker[i])]) if queue]
            taken_signals += len(taken)
            if taken:
                pairs.append((max(taken, key=lambda at: int(signals.begin[at])), i))
        signal = np.array([at for at, _ in pairs], np.int64)
        iteration = np.array([at for _, at in pairs], np.int64)
        ticks = runs.begin[iteration] - signals.begin[signal]
        return Wakes(signal, iteration, ticks, len(kept) - taken_signals)

    def _taken_from(self, iteration: int, waiting: dict[int, deque[int]]) -> list[deque[int]]:
        """The queues of signals, of those of its worker by event, that an iteration takes one from."""
        runs = self.trace.iterations
        status = int(runs.status[iteration]) & 0xFFFFFFFF
        definition = self.definition(int(runs.worker[iteration]))
        if definition is not None and definition.wait_type == WAIT_ALL:
            queues = [waiting[event] for event in range(definition.event_count)] if status < 64 else []
        else:
            self._drop_taken_before(iteration, status, waiting)
            queues = [waiting[status]] if status < 64 else []
        for queue in queues:
            while len(queue) > 1 and self._lost(queue, iteration):
                queue.popleft()
        return queues

    def _drop_taken_before(self, iteration: int, status: int, waiting: dict[int, deque[int]]) -> None:
        """A wait answers the lowest event that is set, and times out only without any: what it passed over was gone."""
        begun = int(self.trace.iterations.previous_end[iteration])
        if status >= 64 and status != _TIMEOUT:
            return
        for event, queue in waiting.items():
            while event < status and queue and int(self.trace.signals.end[queue[0]]) < begun:
                queue.popleft()

    def _lost(self, queue: deque[int], iteration: int) -> bool:
        """Whether the first signal cannot have woken the iteration, given that a second one was accepted since.

        That means that a wait took the first before the second was set. It was the wait of this iteration only if it
        had not ended before the worker was back in it, and if there are no more than these two; and it takes that long
        from a wait's return to the iteration only if a swap holds the call in between.
        """
        signals, runs = self.trace.signals, self.trace.iterations
        second, begin = queue[1], int(runs.begin[iteration])
        if len(queue) > 2 or int(signals.end[second]) < int(runs.previous_end[iteration]):
            return True
        since = int(signals.begin[second])
        held = any(first <= begin and since <= last for first, last in self._stalls)
        return not held and begin - since > self.table.frequency * _RETURN_SECONDS

    @cached_property
    def _stalls(self) -> list[tuple[int, int]]:
        stalls = [stall for swap in self.trace.swaps for stall in swap.stalls]
        return [(s.stalled.tick, s.released.tick if s.released else END_OF_TIME) for s in stalls]

    def _notification(self, signal: int) -> bool:
        signals = self.trace.signals
        definition = self.definition(int(signals.worker[signal]))
        return definition is not None and bool(definition.notification_mask >> int(signals.event[signal]) & 1)


def swap_parts(swap: Swap) -> list[Part]:
    """The parts of a swap in order, as far as the trace has it; a refused one holds a part `roll back`."""
    parts: list[Part] = []
    failed = False
    for step in swap.steps:
        begins = _PART_AFTER.get(step.name)
        failed = failed or (bool(step.status) and step.name not in ("PreProcess", "End"))
        if failed and step.name in ("Drained", "ProxyStalled", "PostProcess"):
            # What would have led to the switch now leads back.
            begins = "roll back"
        if step.name != "End" and (begins is None or (parts and parts[-1].last is None and parts[-1].name == begins)):
            continue
        if parts and parts[-1].last is None:
            parts[-1] = replace(parts[-1], last=step.tick)
        if begins is not None:
            parts.append(Part(begins, step.tick, None))
    return parts


def worker_text(definition: WorkerDefinition | None) -> str:
    """How a worker waits, in a few words."""
    if definition is None:
        return ""
    count = definition.event_count
    wait = "1 event" if count == 1 else f"{'all' if definition.wait_type == WAIT_ALL else 'any'} of {count}"
    if definition.has_timeout:
        wait += " · poll" if definition.timeout == 0 else f" · {_timeout(definition.timeout)}"
    return wait


def _timeout(timeout: int) -> str:
    if timeout > 0:
        return "absolute time-out"
    milliseconds = -timeout / 10_000
    return f"{milliseconds:g} ms" if milliseconds >= 0.1 else f"{-timeout / 10:g} µs"
