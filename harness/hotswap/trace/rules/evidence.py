"""What is missing from a trace, and when: a statement that depends on such a time cannot be told.

Each loss has a time, in raw ticks, and a CPU where that is known. How they are found:

* A sequence number that is missing is of a buffer whose CPU nobody knows: on each CPU it can only lie between the
  buffers before and after it.
* A flagged buffer follows a loss, or holds one: it lies between the buffers before and after it on its CPU.
* The counters of the file header have no place. They are taken as told by flagged buffers and missing numbers where
  there are such; where there are none, the loss may be anywhere.
* An RT_LostEvent record tells of what was lost since the one before it.
* What is damaged lies between what is whole before and after it.
* A session that was not stopped, or whose file was cut, goes on after the last event of each CPU; of a CPU without a
  buffer all may be missing. A circular file that wrapped, and one of a series, begins before its first events.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.etl import EtlFile
from hotswap.trace.event_kind import LOST_EVENT_GUID
from hotswap.trace.framing import BufferFlag, Problem
from hotswap.trace.modes import MODE_CIRCULAR, MODE_NEW_FILE
from hotswap.trace.rules.order import BEGINNING, END_OF_TIME, Ints, Mask, distinct
from hotswap.trace.source import tables_of
from hotswap.trace.table import EventTable

_OPEN_END = ("unclosed", "cut", "missing-buffers")
_DAMAGE = ("bad-buffer", "bad-event", "too-large")
_MOST_PLACES = 20_000


@dataclass(frozen=True, slots=True)
class Loss:
    """Events may be missing between these ticks, ends included, of this CPU (None: of any)."""

    start: int
    end: int
    what: str
    cpu: int | None = None

    @classmethod
    def anywhere(cls, what: str) -> Self:
        """A loss of which it is not known when it was."""
        return cls(BEGINNING, END_OF_TIME, what)


@dataclass(frozen=True)
class Evidence:
    """The losses of a trace. `start` and `end` are the ticks between which it was recorded."""

    losses: tuple[Loss, ...] = ()
    start: int = BEGINNING
    end: int = END_OF_TIME

    @classmethod
    def of(cls, etl: EtlFile) -> Self:
        """What is missing from a file."""
        return cls(tuple(_losses(etl)), etl.header.first_tick, max(etl.last_tick, _end_tick(etl)))

    @classmethod
    def whole(cls, table: EventTable) -> Self:
        """Of a table of which nothing is missing, recorded from its first event to its last."""
        if not len(table):
            return cls()
        return cls((), int(table.tick[0]), int(table.tick[-1]))

    def plus(self, losses: Iterable[Loss]) -> Self:
        """With further losses."""
        return type(self)((*self.losses, *losses), self.start, self.end)

    def hits(self, low: Ints, high: Ints, cpu: Ints | None = None) -> Mask:
        """For each time from `low` to `high` (empty where they cross), whether something may be missing from it."""
        if not self.losses:
            return np.zeros(len(low), np.bool_)
        if cpu is None or all(loss.cpu is None for loss in self.losses):
            return _overlap(*self._merged, low, high)
        hit = np.zeros(len(low), np.bool_)
        for number in distinct(cpu).tolist():
            mine = cpu == number
            hit[mine] = _overlap(*_merge(self._of_cpu(number)), low[mine], high[mine])
        return hit

    def within(self, low: int, high: int, cpu: int | None = None) -> list[Loss]:
        """The losses in a time, the surest first."""
        chosen = self.losses if cpu is None else self._of_cpu(cpu)
        found = [loss for loss in chosen if loss.start <= high and loss.end >= low]
        return sorted(found, key=lambda loss: (loss.end == END_OF_TIME, loss.start == BEGINNING))

    def _of_cpu(self, number: int) -> tuple[Loss, ...]:
        return tuple(loss for loss in self.losses if loss.cpu in (None, number))

    @cached_property
    def _merged(self) -> tuple[Ints, Ints]:
        return _merge(self.losses)


def _merge(losses: Iterable[Loss]) -> tuple[Ints, Ints]:
    """Starts in order, and for each the latest end of it and those before."""
    ordered = sorted((loss.start, loss.end) for loss in losses)
    starts = np.array([start for start, _ in ordered], np.int64)
    return starts, np.maximum.accumulate(np.array([end for _, end in ordered], np.int64))


def _overlap(starts: Ints, ends: Ints, low: Ints, high: Ints) -> Mask:
    if not len(starts):
        return np.zeros(len(low), np.bool_)
    at = np.searchsorted(starts, high, "right") - 1
    return np.asarray((low <= high) & (at >= 0) & (ends[np.maximum(at, 0)] >= low), np.bool_)


def _end_tick(etl: EtlFile) -> int:
    """When the session was stopped, by the file header; the beginning when it does not say so."""
    header, clock = etl.header, etl.header.clock
    if not header.end_time:
        return BEGINNING
    return clock.first_tick + (header.end_time - clock.start_time) * clock.frequency // 10_000_000


@dataclass(frozen=True)
class _Buffers:
    """Buffers with events: arrays of one length, in the order of the file."""

    index: Ints
    cpu: Ints
    sequence: Ints
    flags: Ints
    first: Ints
    last: Ints

    @classmethod
    def of(cls, etl: EtlFile) -> Self:
        facts = etl.index.facts
        index = np.flatnonzero(facts["count"])
        first, last = facts["least"][index], facts["most"][index]
        rows = etl.buffers[index]
        sequence, flags = rows["sequence"].astype(np.int64), rows["flags"].astype(np.int64)
        return cls(index, rows["cpu"].astype(np.int64), sequence, flags, first, last)

    def holes(self, before: NDArray[np.bool_], after: NDArray[np.bool_], what: str, cpus: Ints) -> Iterator[Loss]:
        """On each CPU, from the last event of the buffers before to the first one of those after."""
        for cpu in cpus.tolist():
            mine = self.cpu == cpu
            start = int(self.last[mine & before].max(initial=BEGINNING))
            end = int(self.first[mine & after].min(initial=END_OF_TIME))
            yield Loss(min(start, end), max(start, end), what, cpu)


def _losses(etl: EtlFile) -> Iterator[Loss]:
    buffers = _Buffers.of(etl)
    cpus = distinct(buffers.cpu)
    placed = BufferFlag(0)
    for at in np.flatnonzero(buffers.flags & (BufferFlag.EVENTS_LOST | BufferFlag.BUFFER_LOST)).tolist():
        placed |= BufferFlag(int(buffers.flags[at]))
        sequence, cpu = buffers.sequence[at], buffers.cpu[at : at + 1]
        text = f"buffer {int(sequence)} is flagged as following a loss"
        yield from buffers.holes(buffers.sequence < sequence, buffers.sequence > sequence, text, cpu)
    yield from _missing_numbers(etl, buffers, cpus)
    loss = etl.loss
    if loss.events_lost and not placed & BufferFlag.EVENTS_LOST:
        yield Loss.anywhere(f"the file header counts {loss.events_lost} lost events")
    if loss.buffers_lost > loss.missing_sequence_numbers and not placed & BufferFlag.BUFFER_LOST:
        yield Loss.anywhere(f"the file header counts {loss.buffers_lost} lost buffers")
    yield from _lost_records(etl)
    yield from _damage(etl, buffers, cpus)


def _lost_records(etl: EtlFile) -> Iterator[Loss]:
    """What an RT_LostEvent record tells of was lost since the one before it."""
    kinds = [index for index, kind in enumerate(etl.kinds) if kind.provider == LOST_EVENT_GUID]
    if not kinds:
        return
    start = BEGINNING
    for table in tables_of(etl):
        for tick in table.tick[np.isin(table.kind, kinds)].tolist():
            yield Loss(start, tick, "a lost-event record tells of a loss")
            start = tick


def _missing_numbers(etl: EtlFile, buffers: _Buffers, cpus: Ints) -> Iterator[Loss]:
    numbers = np.unique(etl.buffers["sequence"].astype(np.int64))
    jumps = np.flatnonzero(np.diff(numbers) > 1).tolist()
    if etl.header.mode & (MODE_CIRCULAR | MODE_NEW_FILE) and jumps[:1] == [0]:
        # What was written before the first buffer that is left.
        text = "the file begins later than the session"
        yield from buffers.holes(buffers.sequence < numbers[0], buffers.sequence > numbers[0], text, cpus)
        jumps = jumps[1:]
    if len(jumps) * len(cpus) > _MOST_PLACES:
        yield Loss.anywhere(f"{etl.loss.missing_sequence_numbers} buffer sequence numbers are missing")
        return
    for at in jumps:
        low, high = int(numbers[at]), int(numbers[at + 1])
        named = f"{low + 1}" if high - low == 2 else f"{low + 1} to {high - 1}"
        text = f"buffer {named} is missing" if high - low == 2 else f"buffers {named} are missing"
        yield from buffers.holes(buffers.sequence <= low, buffers.sequence >= high, text, cpus)


def _damage(etl: EtlFile, buffers: _Buffers, cpus: Ints) -> Iterator[Loss]:
    open_end = [problem for problem in etl.problems if problem.code in _OPEN_END]
    if open_end:
        never = np.zeros(len(buffers.cpu), np.bool_)
        yield from buffers.holes(~never, never, open_end[0].message, cpus)
        if len(silent := np.setdiff1d(np.arange(etl.header.processors), cpus)):
            # Their first buffers may not have been written.
            names = f"nothing is here of CPU {silent[0]}" + (f" and {len(silent) - 1} more" if len(silent) > 1 else "")
            yield Loss(etl.header.first_tick, END_OF_TIME, f"{open_end[0].message}; {names}")
    damage = [problem for problem in etl.problems if problem.code in _DAMAGE]
    if len(damage) * max(len(cpus), 1) > _MOST_PLACES:
        yield Loss.anywhere(f"{len(damage)} places of the file are damaged")
        return
    for problem in damage:
        yield from _damaged(etl, buffers, cpus, problem)


def _damaged(etl: EtlFile, buffers: _Buffers, cpus: Ints, problem: Problem) -> Iterator[Loss]:
    number = int(np.searchsorted(etl.buffers["offset"], problem.offset, "right")) - 1
    own = np.array([etl.buffers["cpu"][max(number, 0)]], np.int64)
    # Where a buffer header is damaged, it is not known whose events are missing.
    cpus = own if problem.code == "bad-event" else cpus
    yield from buffers.holes(buffers.index <= number, buffers.index > number, problem.message, cpus)
