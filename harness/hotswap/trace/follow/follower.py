"""Follows a trace while it is written: its events in time order, as soon as nothing can come before them."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from hotswap.deadline import Deadline
from hotswap.errors import DeadlineExpired, LabFault
from hotswap.trace.etl import EtlFile, LogFileHeader, LossReport, parse_etl
from hotswap.trace.event_kind import LOST_EVENT_GUID, EventKind
from hotswap.trace.follow.growing import FoundBuffer, GrowingTrace, Look
from hotswap.trace.follow.order import BEGINNING, END_OF_TIME, PerProcessor, Seen, Watermark
from hotswap.trace.follow.source import TraceSource
from hotswap.trace.framing import BufferFlag, Problem
from hotswap.trace.schemas.book import SchemaBook
from hotswap.trace.schemas.files import NOTHING_GIVEN, GivenSchemas
from hotswap.trace.table import EventTable

_LOOK_SECONDS = 0.25
"""At least this often it is looked whether the file has changed, and whether its writer lives."""
_NOT_YET = ("unclosed", "cut", "missing-buffers", "no-events")
"""Problems that every file has that is not finished."""
_BUFFER_NUMBER = re.compile(r"^buffer \d+")
_SOME = 8
"""As many payloads of a kind are looked at where several layouts are possible."""
_FLAGGED = BufferFlag.EVENTS_LOST | BufferFlag.BUFFER_LOST


@dataclass(slots=True)
class _Held:
    """A buffer that has events which were not handed out yet."""

    found: FoundBuffer
    last_tick: int


class Follower:
    """Iterate over it: tables of new events, in time order within and across them, with kinds that keep their numbers.

    It ends when the session was closed, or its writer is gone; `ended` tells. What cannot be decoded is among the
    `problems`. Raises DeadlineExpired when the deadline comes first, LabFault when the file is replaced, removed or cut
    while it is followed, UsageError when it is no trace.
    """

    def __init__(
        self,
        source: TraceSource,
        deadline: Deadline,
        *,
        alive: Callable[[], str | None] | None = None,
        watermark: Watermark | None = None,
        given: GivenSchemas = NOTHING_GIVEN,
    ) -> None:
        """`alive`: None while the writer lives, else what became of it (as in Deadline.wait_for)."""
        self.header: LogFileHeader | None = None
        self.problems: list[Problem] = []
        self.events = 0
        """Handed out so far."""
        self.late = 0
        """Events that came after later ones had been handed out: the watermark was too bold."""
        self.closed = False
        self.ended = ""
        """Why there is no more; empty while there may be."""
        self._source = source
        self._deadline = deadline
        self._alive = alive or (lambda: None)
        self._watermark = watermark or PerProcessor()
        self._given = given
        self._book = SchemaBook(given)
        self._growing = GrowingTrace(source)
        self._kinds: dict[EventKind, int] = {}
        self._held: list[_Held] = []
        self._lanes: dict[int, int] = {}
        self._unsettled: deque[int] = deque()
        self._counted = 1
        self._flushed = self._settled = BEGINNING
        self._handed = self._certain = BEGINNING
        self._sequence: set[int] = set()
        self._flagged = self._lost_events = 0
        self._changed = monotonic()

    def __iter__(self) -> Iterator[EventTable]:
        while not self.ended:
            gone = self._alive()
            yield from self._look(last=gone)
            if self.ended:
                return
            if (away := self._source.gone()) is not None:
                raise LabFault(f"following {self._source.name}: {away}")
            if self._deadline.expired:
                raise DeadlineExpired(
                    f"following {self._source.name}: the deadline expired; last seen: {self._state()}"
                )
            self._source.wait(min(_LOOK_SECONDS, self._deadline.remaining))

    @property
    def certain(self) -> int:
        """Before this tick nothing is missing for want of being written. What a writer that went left amid its buffers
        is handed out at the end, and lies behind it."""
        return self._certain

    @property
    def loss(self) -> LossReport:
        """What was lost so far, by source. Missing numbers may be those of buffers that are still to be written."""
        header = self.header
        numbers = self._sequence
        missing = max(numbers) - min(numbers) + 1 - len(numbers) if numbers else 0
        return LossReport(
            header.events_lost if header else 0,
            header.buffers_lost if header else 0,
            self._flagged,
            missing,
            self._lost_events,
        )

    def _state(self) -> str:
        held = sum(len(each.found.data) for each in self._held)
        return f"{self._growing.found} buffers, {self.events} events handed out, {held} bytes held back"

    def _look(self, last: str | None) -> Iterator[EventTable]:
        look = self._growing.look()
        if look is None:
            if last is not None:
                self.ended = f"{last}, before it wrote anything"
            return
        self.header = look.header
        if look.buffers:
            self._changed = monotonic()
        self.closed = look.closed
        if look.closed:
            self.ended = "the session was closed"
        elif last is not None:
            self.ended = f"{last}, and left the session open"
        table = self._take(look)
        if table is not None and len(table):
            self.events += len(table)
            yield table

    def _take(self, look: Look) -> EventTable | None:
        """Add new buffers to those that are held, and hand out what is not too late for anything to come before."""
        before = len(self._held)
        self._held += [_Held(found, BEGINNING) for found in look.buffers]
        if not look.buffers and not self.ended and self._reached(look) <= self._handed:
            return None
        data = b"".join([self._growing.first, *(each.found.data for each in self._held)])
        etl = parse_etl(data, given=self._given)
        buffer = np.searchsorted(etl.buffers["place"], etl.events.offset, "right") - 1
        self._note(etl, buffer, before, look)
        reached = END_OF_TIME if self.closed else self._reached(look)
        self._certain = max(self._certain, reached)
        upto = END_OF_TIME if self.ended else reached
        tick = etl.events.tick
        fresh = buffer > before
        lost = np.array([kind.provider == LOST_EVENT_GUID for kind in etl.events.kinds], np.bool_)[etl.events.kind]
        self._lost_events += int(np.count_nonzero(lost & fresh))
        self._learn(etl.events, fresh)
        late = fresh & (tick < self._handed)
        self.late += int(np.count_nonzero(late))
        chosen = ((tick >= self._handed) | fresh) & (tick < upto)
        self._handed = max(self._handed, upto)
        self._held = [each for each in self._held if each.last_tick >= upto]
        return self._renumbered(etl.events, np.flatnonzero(chosen))

    def _reached(self, look: Look) -> int:
        quiet = monotonic() - self._changed
        return self._watermark.reached(Seen(look.header, self._lanes, self._flushed, self._settled, quiet))

    def _note(self, etl: EtlFile, buffer: NDArray[np.int64], before: int, look: Look) -> None:
        """What the new buffers tell: lanes, times, losses, problems."""
        ticks, buffers = etl.events.tick, etl.buffers
        last = np.full(len(buffers), BEGINNING, np.int64)
        np.maximum.at(last, buffer, ticks)
        for index in range(before + 1, min(len(self._held) + 1, len(buffers))):
            self._held[index - 1].last_tick = int(last[index])
            self._unsettled.append(int(last[index]))
            cpu = int(buffers["cpu"][index])
            self._lanes[cpu] = max(self._lanes.get(cpu, BEGINNING), int(last[index]))
            self._flushed = max(self._flushed, int(buffers["timestamp"][index]))
            self._sequence.add(int(buffers["sequence"][index]))
            self._flagged += bool(buffers["flags"][index] & _FLAGGED)
        while self._unsettled and self._counted < look.settled:
            self._settled = max(self._settled, self._unsettled.popleft())
            self._counted += 1
        starts = [0, *np.cumsum([len(self._growing.first), *(len(each.found.data) for each in self._held)]).tolist()]
        for problem in etl.problems:
            index = int(np.searchsorted(starts, problem.offset, "right")) - 1
            known = index <= before if index else bool(before)
            if problem.code in _NOT_YET or known:
                continue
            found = FoundBuffer(0, 0, b"") if index == 0 else self._held[min(index, len(self._held)) - 1].found
            message = _BUFFER_NUMBER.sub(f"buffer {found.index}", problem.message)
            self.problems.append(Problem(problem.code, message, found.place + problem.offset - starts[index]))

    def _learn(self, table: EventTable, fresh: NDArray[np.bool_]) -> None:
        """Keep what new events say of others: their buffers will be gone when those come."""
        teaching = np.array([self._book.teaches(kind) for kind in table.kinds], np.bool_)[table.kind]
        for row in np.flatnonzero(teaching & fresh).tolist():
            kind = table.kinds[int(table.kind[row])]
            self._book.learn(kind, int(table.pid[row]), table.payload(row), 0)

    def _named(self, table: EventTable) -> list[EventKind]:
        """The kinds of a table with all that was said of them so far."""
        named = []
        for index, kind in enumerate(table.kinds):
            if kind.description is None and not kind.self_describing:
                rows = np.flatnonzero(table.kind == index)[:_SOME].tolist()
                kind = self._book.named(kind, (table.payload(row) for row in rows))
            named.append(kind)
        return named

    def _renumbered(self, table: EventTable, rows: NDArray[np.int64]) -> EventTable:
        """Some rows, their kinds numbered as in the tables before."""
        kinds = self._named(table)
        number = np.array([self._kinds.setdefault(kind, len(self._kinds)) for kind in kinds], np.int32)
        part = table.take(rows)
        return replace(part, kinds=tuple(self._kinds), kind=number[part.kind] if len(number) else part.kind)
