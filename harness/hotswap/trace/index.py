"""One pass over a whole file: what its buffers hold, which kinds of events there are, and what is wrong.

After it, events can be read from any part of the file, and their kinds have the same numbers everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.buffers import BufferFile, Image, Ints, Tail
from hotswap.trace.event_kind import LOST_EVENT_GUID, EventKind
from hotswap.trace.framing import HeaderType, Problem
from hotswap.trace.heads import FACTS_DTYPE, NO_ID, Keep, Scanner, Stop
from hotswap.trace.kind_keys import EventKey, kind_of
from hotswap.trace.log_header import LogFileHeader
from hotswap.trace.loss import LossReport, file_problems
from hotswap.trace.scan import scanner
from hotswap.trace.scan_numpy import sample_rows
from hotswap.trace.schemas.book import SchemaBook
from hotswap.trace.schemas.files import NOTHING_GIVEN, GivenSchemas

BATCH = 512
"""Buffers that are scanned at a time: 32 MiB of usual ones."""
_BAD_ITEMS, _BAD_OPTIONS = "broken extended items", "message options without their values"
Progress = Callable[[float], None]
"""Told the part that is done, 0 to 1."""


@dataclass
class TraceIndex:
    """What the pass found. `facts` are of each buffer (FACTS_DTYPE); the positions in them mean nothing afterwards."""

    header: LogFileHeader
    facts: NDArray[np.void]
    scanner: Scanner
    """Knows all kinds."""
    kinds: tuple[EventKind, ...]
    counts: NDArray[np.int64]
    """Events by kind."""
    empty: NDArray[np.int64]
    """Those without a payload, by kind."""
    loss: LossReport
    problems: tuple[Problem, ...]

    @property
    def events(self) -> int:
        """Number of events of all kinds."""
        return int(self.counts.sum())


@dataclass
class WholeImage:
    """The image of the whole file and the heads of all its events, for those who want them at once."""

    image: Image
    heads: NDArray[np.void]


def index_file(
    file: BufferFile, header: LogFileHeader, given: GivenSchemas = NOTHING_GIVEN, progress: Progress | None = None
) -> TraceIndex:
    """Pass over the file, some buffers at a time."""
    indexing = _Indexing(file, header, given)
    count = len(file.buffers)
    for begin in range(0, count, BATCH):
        chosen = np.arange(begin, min(begin + BATCH, count))
        indexing.take(chosen, file.image(chosen, indexing.problems), Keep.SAMPLES)
        file.release(chosen)
        if progress is not None:
            progress((begin + len(chosen)) / count)
    return indexing.finish()


def index_whole(
    file: BufferFile, header: LogFileHeader, given: GivenSchemas = NOTHING_GIVEN
) -> tuple[TraceIndex, WholeImage]:
    """Pass over the file at once, and keep what was found."""
    indexing = _Indexing(file, header, given)
    image = file.whole(indexing.problems)
    heads = indexing.take(np.arange(len(file.buffers)), image, Keep.ALL)
    return indexing.finish(), WholeImage(image, heads)


@dataclass
class _Sample:
    """An event whose payload tells how others, or those of its own kind, are laid out."""

    order: tuple[int, int, int]
    kind: int
    pid: int
    payload: bytes
    offset: int


@dataclass
class _Indexing:
    file: BufferFile
    header: LogFileHeader
    given: GivenSchemas
    problems: list[Problem] = field(default_factory=list)
    kinds: list[EventKind] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.scanner = scanner()
        self._facts: list[NDArray[np.void]] = []
        self._samples: list[_Sample] = []
        self._has_content = False

    def take(self, chosen: Ints, image: Image, keep: Keep) -> NDArray[np.void]:
        """Scan these buffers, and return the heads that were kept."""
        raw = image.raw
        scanned = self.scanner.scan(raw, image.begin, image.end, fallback=self.header.first_tick, keep=keep)
        self._has_content |= bool(((image.end > image.begin) | (image.tail != Tail.WHOLE))[chosen > 0].any())

        def place(position: int) -> int:
            return self.file.file_offset(image, chosen, position)

        keys, firsts = self.scanner.keys, self.scanner.firsts
        for number in range(len(self.kinds), len(keys)):
            kind, wrong = kind_of(EventKey.of(keys[number]))
            self.kinds.append(kind)
            if wrong:
                self.problems.append(Problem("bad-schema", wrong, place(int(firsts[number]))))
        self.problems += _scan_problems(scanned.facts, chosen, image, place)
        self._facts.append(scanned.facts)
        self._sample(scanned.heads, chosen, image, keep, place)
        return scanned.heads

    def _sample(
        self, heads: NDArray[np.void], chosen: Ints, image: Image, keep: Keep, place: Callable[[int], int]
    ) -> None:
        """Note payloads that tell of layouts."""
        wanted = np.array([SchemaBook.teaches(kind) or kind.schema is None for kind in self.kinds], np.bool_)
        rows = np.flatnonzero(wanted[heads["kind"]])
        if keep == Keep.ALL:
            teaches = np.array([SchemaBook.teaches(kind) for kind in self.kinds], np.bool_)
            rows = rows[sample_rows(heads["kind"][rows], np.zeros(len(self.kinds), np.int64), teaches)]
        for row in rows.tolist():
            head = heads[row]
            buffer, at = int(chosen[head["buffer"]]), int(head["offset"])
            order = (int(head["tick"]), int(self.file.buffers["cpu"][buffer]), place(at))
            pid = -1 if head["pid"] == NO_ID else int(head["pid"])
            payload = image.data[at + int(head["payload"]) : at + int(head["size"])]
            self._samples.append(_Sample(order, int(head["kind"]), pid, payload, place(at)))

    def finish(self) -> TraceIndex:
        """What was found in all."""
        facts = np.concatenate([np.zeros(0, FACTS_DTYPE), *self._facts])
        counts = self.scanner.counts
        lost = sum(
            count for kind, count in zip(self.kinds, counts.tolist(), strict=True) if kind.provider == LOST_EVENT_GUID
        )
        book = SchemaBook(self.given)
        payloads: dict[int, list[bytes]] = {}
        for sample in sorted(self._samples, key=lambda sample: sample.order):
            kind = self.kinds[sample.kind]
            if book.teaches(kind):
                book.learn(kind, sample.pid, sample.payload, sample.offset)
            payloads.setdefault(sample.kind, []).append(sample.payload)
        kinds = tuple(book.named(kind, payloads.get(number, ())) for number, kind in enumerate(self.kinds))
        problems = sorted([*self.file.problems, *self.problems], key=lambda problem: problem.offset)
        problems += [*book.problems(), *file_problems(self.header, self.file.buffers), *self._nothing(facts)]
        loss = LossReport.of(self.header, self.file.buffers, lost)
        return TraceIndex(self.header, facts, self.scanner, kinds, counts, self.scanner.empty, loss, tuple(problems))

    def _nothing(self, facts: NDArray[np.void]) -> Iterator[Problem]:
        """Whether there are buffers with content and no event in any of them."""
        if self._has_content and not facts["count"][1:].any():
            yield Problem("no-events", f"{len(facts)} buffers and no event but the file header", 0)


def _scan_problems(
    facts: NDArray[np.void], chosen: Ints, image: Image, place: Callable[[int], int]
) -> Iterator[Problem]:
    """What is wrong inside of buffers."""
    for at in np.flatnonzero(facts["bad"]).tolist():
        count, fact = int(facts["bad"][at]), facts[at]
        what = (
            "message options without their values"
            if fact["bad_type"] == HeaderType.MESSAGE
            else "broken extended items"
        )
        many = "an event" if count == 1 else f"{count} events, this the first,"
        yield Problem("bad-items", f"{many} with {what}", place(int(fact["bad_at"])))
    for at in np.flatnonzero((facts["stop"] != Stop.END) | (image.tail == Tail.CUT)).tolist():
        yield from _stop_problem(facts[at], int(chosen[at]), Tail(int(image.tail[at])), int(image.end[at]), place)


def _stop_problem(
    fact: NDArray[np.void], buffer: int, tail: Tail, end: int, place: Callable[[int], int]
) -> Iterator[Problem]:
    at, size = int(fact["stop_at"]), int(fact["stop_size"])
    what = {
        Stop.NO_HEADER: f"no event header (marker flags 0x{size:02x})",
        Stop.TOO_SMALL: f"an event of type 0x{int(fact['stop_type']):02x} that says {size} bytes",
        Stop.PASSES_END: f"an event of {size} bytes that passes the end",
    }.get(Stop(int(fact["stop"])), "")
    if tail is Tail.CUT and fact["stop"] in (Stop.PASSES_END, Stop.END):
        inside = f"an event of {size} bytes" if fact["stop"] == Stop.PASSES_END else f"buffer {buffer}"
        yield Problem(
            "cut", f"the file ends inside {inside}", place(at) if fact["stop"] == Stop.PASSES_END else place(end)
        )
    elif what and not (tail is Tail.REPORTED and fact["stop"] == Stop.PASSES_END):
        text = f"buffer {buffer}: {what}; {end - at} bytes of the buffer are not decoded"
        yield Problem("bad-event", text, place(at))
