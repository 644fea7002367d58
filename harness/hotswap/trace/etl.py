"""Reading standard `.etl` files: header facts, loss, problems, and the events as tables.

Layout, time and loss rules: etl.md, section 2. Damage never raises: what is whole is returned, the rest is reported as
problems. Only a file that is no ETL at all is a UsageError.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from hotswap.errors import UsageError
from hotswap.trace.buffers import BufferFile, Bytes
from hotswap.trace.chunks import CHUNK_BUFFERS, read_chunks, whole_table
from hotswap.trace.event_kind import EventKind
from hotswap.trace.files import buffer_file, map_file
from hotswap.trace.framing import Frames, Problem, header_name
from hotswap.trace.index import Progress, TraceIndex, index_file, index_whole
from hotswap.trace.log_header import LogFileHeader, parse_header
from hotswap.trace.loss import LossReport
from hotswap.trace.schemas.files import NOTHING_GIVEN, GivenSchemas
from hotswap.trace.table import EventTable

__all__ = ["EtlFile", "LogFileHeader", "LossReport", "Problem", "open_etl", "parse_etl", "read_etl"]


@dataclass(frozen=True)
class EtlFile:
    """A trace. What is said of the file as a whole comes from one pass over it, made when it is first asked for.

    `chunks` gives the events part by part, in memory that does not grow with the file; `events` gives all at once.
    """

    path: Path
    header: LogFileHeader
    given: GivenSchemas
    _file: BufferFile = field(repr=False)
    progress: Progress | None = field(default=None, repr=False)
    """Told how far the pass over the file is."""

    @cached_property
    def index(self) -> TraceIndex:
        """What the pass found."""
        return index_file(self._file, self.header, self.given, self.progress)

    @property
    def loss(self) -> LossReport:
        """What got lost."""
        return self.index.loss

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with the file."""
        return self.index.problems

    @property
    def kinds(self) -> tuple[EventKind, ...]:
        """All kinds of events in the file; `counts` of them by place."""
        return self.index.kinds

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of events of each of `kinds`."""
        return self.index.counts

    @property
    def buffers(self) -> NDArray[np.void]:
        """The buffers in file order (buffers.TABLE_DTYPE)."""
        return self._file.buffers

    @property
    def closed(self) -> bool:
        """Whether the session was stopped and the file is all there."""
        return not {"unclosed", "cut", "missing-buffers"} & {problem.code for problem in self.problems}

    def need_events(self) -> Self:
        """The file itself, if there is an event in it. UsageError for one that has content of which nothing could be
        read: no answer about its events would be one."""
        without = next((problem for problem in self.problems if problem.code == "no-events"), None)
        if without is not None:
            raise UsageError(f"{self.path}: {without.message}")
        return self

    @property
    def recorded(self) -> int:
        """Number of events but the one that is the file's header."""
        return self.index.events - 1

    def chunks(self, buffers: int = CHUNK_BUFFERS) -> Iterator[EventTable]:
        """All events in time order, in tables of about so many buffers, whose kinds are numbered alike in all."""
        yield from read_chunks(self._file, self.index, buffers)

    @cached_property
    def events(self) -> EventTable:
        """All events in time order, the file's own header event among them."""
        return whole_table(self._file, self.index)

    @cached_property
    def frames(self) -> Frames:
        """All events in file order; offsets are those of `events.data`."""
        table = self.events
        order = self._in_file_order
        offset = table.offset[order]
        types = np.array([kind.header for kind in table.kinds], np.uint8)[table.kind[order]]
        buffer = np.searchsorted(self.buffers["place"], offset, "right") - 1
        return Frames(offset, table.size[order], types, buffer)

    @cached_property
    def ticks(self) -> NDArray[np.int64]:
        """The raw time stamp of all events in file order; 0 for one whose header has none."""
        ticks = self.events.tick.copy()
        ticks[self.events.untimed] = 0
        return ticks[self._in_file_order]

    @cached_property
    def _in_file_order(self) -> NDArray[np.int64]:
        return np.argsort(self.events.offset, kind="stable")

    @property
    def first_tick(self) -> int:
        """The earliest tick of an event."""
        full = self.index.facts[self.index.facts["count"] > 0]
        return int(full["least"].min(initial=self.header.first_tick))

    @property
    def last_tick(self) -> int:
        """The latest tick of an event."""
        full = self.index.facts[self.index.facts["count"] > 0]
        return int(full["most"].max(initial=self.header.first_tick))

    @property
    def timestamp_sum(self) -> int:
        """Sum of the raw ticks of all events mod 2^64; events without a time stamp count as 0."""
        return int(self.index.facts["sum"].sum(dtype=np.uint64))

    @property
    def file_order_inversions(self) -> int:
        """Places where an event is followed by an earlier one: normal with several CPUs."""
        facts = self.index.facts
        full = facts[facts["count"] > 0]
        return int(facts["inversions"].sum()) + int(np.count_nonzero(full["first"][1:] < full["last"][:-1]))

    def header_types(self) -> dict[str, int]:
        """Number of events by header type; an unknown type is called `0x..`."""
        totals: Counter[int] = Counter()
        for kind, count in zip(self.kinds, self.counts.tolist(), strict=True):
            totals[int(kind.header)] += count
        return {header_name(kind): count for kind, count in sorted(totals.items())}

    def events_per_cpu(self) -> dict[int, int]:
        """Number of events of all kinds by CPU."""
        totals: Counter[int] = Counter()
        for cpu, count in zip(self.buffers["cpu"].tolist(), self.index.facts["count"].tolist(), strict=True):
            if count:
                totals[cpu] += count
        return dict(sorted(totals.items()))


def open_etl(path: Path, given: GivenSchemas = NOTHING_GIVEN, progress: Progress | None = None) -> EtlFile:
    """Open an `.etl` and read no event of it yet; `given` describes events that it does not.

    Raises UsageError for a file that cannot be read or is no such file.
    """
    data = map_file(path)
    header = parse_header(data, path)
    return EtlFile(path, header, given, buffer_file(data, header.buffer_size, header.mode), progress)


def read_etl(path: Path, given: GivenSchemas = NOTHING_GIVEN) -> EtlFile:
    """Read an `.etl` with all its events at once. Raises UsageError as open_etl."""
    return _read(map_file(path), path, given)


def parse_etl(data: Bytes, path: Path = Path("memory.etl"), given: GivenSchemas = NOTHING_GIVEN) -> EtlFile:
    """Read the bytes of an `.etl`; `path` is used in messages only."""
    return _read(data, path, given)


def _read(data: Bytes, path: Path, given: GivenSchemas) -> EtlFile:
    header = parse_header(data, path)
    file = buffer_file(data, header.buffer_size, header.mode)
    etl = EtlFile(path, header, given, file)
    index, whole = index_whole(file, header, given)
    # What one pass gave is put where the properties would have put it.
    etl.__dict__["index"] = index
    etl.__dict__["events"] = whole_table(file, index, whole)
    return etl
