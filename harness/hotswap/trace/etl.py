"""Reading standard `.etl` files: header facts, loss, problems, and the events as a table.

Layout, time and loss rules: etl.md, section 2. Damage never raises: what is whole is returned, the rest is reported as
problems. Only a file that is no ETL at all is a UsageError.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from hotswap.errors import UsageError
from hotswap.trace.buffers import BufferImage, read_buffers
from hotswap.trace.clock import ClockType, SessionClock
from hotswap.trace.event_kind import LOST_EVENT_GUID, NO_PROVIDER, EventKind, unnamed
from hotswap.trace.framing import (
    BUFFER_HEADER_SIZE,
    BufferFlag,
    Frames,
    HeaderType,
    Problem,
    family_of,
    header_name,
)
from hotswap.trace.grouping import group_rows
from hotswap.trace.headers import Headers, carry_times, read_headers
from hotswap.trace.modes import MODE_CIRCULAR, MODE_KB_SIZES, MODE_NEW_FILE
from hotswap.trace.schema import EventSchema, MetadataError
from hotswap.trace.schemas.book import SchemaBook
from hotswap.trace.schemas.files import NOTHING_GIVEN, GivenSchemas
from hotswap.trace.table import EventTable
from hotswap.trace.tracelogging import parse_schema, parse_traits

_POINTER32 = (
    *(HeaderType.SYSTEM32, HeaderType.COMPACT32, HeaderType.PERFINFO32),
    *(HeaderType.FULL32, HeaderType.INSTANCE32, HeaderType.EVENT32),
)
_BAD_ITEMS = "broken extended items"
_MOST_BAD = 16
"""As many events with a broken header are reported one by one."""
_SOME = 8
"""As many payloads of a kind are looked at to tell how long its pointers are."""


@dataclass(frozen=True, slots=True)
class LogFileHeader:
    """TRACE_LOGFILE_HEADER; times are FILETIME, `end_time` is 0 when the session was not closed."""

    buffer_size: int
    version: int
    os_build: int
    processors: int
    end_time: int
    timer_resolution: int
    maximum_file_size: int
    mode: int
    buffers_written: int
    pointer_size: int
    events_lost: int
    cpu_mhz: int
    boot_time: int
    perf_freq: int
    start_time: int
    clock_type: int
    buffers_lost: int
    logger_name: str
    file_name: str
    first_tick: int
    """TimeStamp of the header event itself."""

    @property
    def clock(self) -> SessionClock:
        """The session's clock."""
        return SessionClock.of(self.clock_type, self.perf_freq, self.cpu_mhz, self.first_tick, self.start_time)


@dataclass(frozen=True, slots=True)
class LossReport:
    """What got lost, by source. Nothing was lost only when all of them say so."""

    events_lost: int
    """Log-file header."""
    buffers_lost: int
    """Log-file header."""
    flagged_buffers: int
    """Buffers with the flag EVENTS_LOST or BUFFER_LOST."""
    missing_sequence_numbers: int
    lost_events: int
    """RT_LostEvent events."""

    @property
    def any(self) -> bool:
        """Whether any source reports a loss."""
        return bool(self.describe())

    def describe(self) -> str:
        """What was lost, in words; empty when nothing was."""
        parts = {
            "events lost (file header)": self.events_lost,
            "buffers lost (file header)": self.buffers_lost,
            "buffers flagged as following a loss": self.flagged_buffers,
            "buffer sequence numbers missing": self.missing_sequence_numbers,
            "lost-event records": self.lost_events,
        }
        return ", ".join(f"{count} {what}" for what, count in parts.items() if count)


@dataclass(frozen=True)
class EtlFile:
    """A decoded file. `buffers` is a structured array in file order (see BufferImage); `frames` are all events in file
    order with their raw `ticks` (0: no time), offsets in `events.data`; `events` are all events in time order, the
    file's own header event among them."""

    path: Path
    header: LogFileHeader
    loss: LossReport
    problems: tuple[Problem, ...]
    buffers: NDArray[np.void]
    frames: Frames
    ticks: NDArray[np.int64]
    events: EventTable

    @property
    def closed(self) -> bool:
        """Whether the session was stopped and the file is all there."""
        return not {"unclosed", "cut", "missing-buffers"} & {problem.code for problem in self.problems}

    @property
    def recorded(self) -> int:
        """Number of events but the one that is the file's header."""
        return len(self.events) - 1

    @property
    def file_order_inversions(self) -> int:
        """Places where an event is followed by an earlier one: normal with several CPUs."""
        return int(np.count_nonzero(self.ticks[1:] < self.ticks[:-1]))

    def header_types(self) -> dict[str, int]:
        """Number of events by header type; an unknown type is called `0x..`."""
        return {header_name(kind): count for kind, count in sorted(Counter(self.frames.type.tolist()).items())}

    def events_per_cpu(self) -> dict[int, int]:
        """Number of events of all kinds by CPU."""
        return dict(sorted(Counter(self.buffers["cpu"][self.frames.buffer].tolist()).items()))


def read_etl(path: Path, given: GivenSchemas = NOTHING_GIVEN) -> EtlFile:
    """Read an `.etl`; `given` describes events that it does not. Raises UsageError for what is no such file."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"reading {path}: {error.strerror or error}") from error
    return parse_etl(data, path, given)


def parse_etl(data: bytes, path: Path = Path("memory.etl"), given: GivenSchemas = NOTHING_GIVEN) -> EtlFile:
    """Read the bytes of an `.etl`; `path` is used in messages only."""
    header = _parse_header(data, path)
    image = read_buffers(data, header.buffer_size, header.mode)
    buffers, frames, problems = image.buffers, image.walk.frames(), image.walk.problems
    raw = np.frombuffer(image.data, np.uint8)
    heads = read_headers(raw, frames)
    events = _event_table(image, raw, frames, heads, header, SchemaBook(given), problems)
    loss = _loss(image.data, header, buffers, frames)
    _check_whole(header, buffers, frames, problems)
    return EtlFile(path, header, loss, tuple(problems), buffers, frames, heads.tick, events)


def _parse_header(data: bytes, path: Path) -> LogFileHeader:
    base = BUFFER_HEADER_SIZE
    if len(data) < base + 32 + 0x110:
        raise UsageError(f"{path}: not an ETL file ({len(data)} bytes)")
    kind, marker, size, hook = struct.unpack_from("<BBHH", data, base + 2)
    shift = {HeaderType.SYSTEM64: 0, HeaderType.SYSTEM32: -8}.get(kind)
    if shift is None or marker != 0xC0 or hook != 0 or size < 32 + 0x110 or base + size > len(data):
        raise UsageError(f"{path}: not an ETL file (it does not start with a log-file header)")
    at = base + 32

    def value(code: str, offset: int) -> int:
        moved = offset + shift if offset >= 0x40 else offset
        return int(struct.unpack_from("<" + code, data, at + moved)[0])

    names_at = at + 0x118 + shift
    names = data[names_at : base + size]
    texts = names[: len(names) & ~1].decode("utf-16-le", "replace").split("\0")
    return LogFileHeader(
        buffer_size=value("I", 0x00),
        version=value("I", 0x04),
        os_build=value("I", 0x08),
        processors=value("I", 0x0C),
        end_time=value("Q", 0x10),
        timer_resolution=value("I", 0x18),
        maximum_file_size=value("I", 0x1C),
        mode=value("I", 0x20),
        buffers_written=value("I", 0x24),
        pointer_size=value("I", 0x2C),
        events_lost=value("I", 0x30),
        cpu_mhz=value("I", 0x34),
        boot_time=value("Q", 0xF8),
        perf_freq=value("Q", 0x100),
        start_time=value("Q", 0x108),
        clock_type=value("I", 0x110),
        buffers_lost=value("I", 0x114),
        logger_name=texts[0],
        file_name=texts[1] if len(texts) > 1 else "",
        first_tick=struct.unpack_from("<q", data, base + 16)[0],
    )


def _event_table(
    image: BufferImage,
    raw: NDArray[np.uint8],
    frames: Frames,
    heads: Headers,
    header: LogFileHeader,
    book: SchemaBook,
    problems: list[Problem],
) -> EventTable:
    for row in np.flatnonzero(heads.bad)[:_MOST_BAD].tolist():
        what = "message options without their values" if frames.type[row] == HeaderType.MESSAGE else _BAD_ITEMS
        problems.append(Problem("bad-items", f"an event with {what}", image.file_offset(int(frames.offset[row]))))
    code, first = group_rows(image.data, heads.identity)
    kinds = tuple(_event_kind(image, frames, heads, row, problems) for row in first.tolist())
    tick = carry_times(heads, frames.buffer, header.first_tick)
    cpu = image.buffers["cpu"][frames.buffer]
    # Ties of the clock are settled by CPU, then by place in the file: the order in which ProcessTrace hands out events.
    order = np.lexsort((cpu, tick))
    tick, clock = tick[order], header.clock
    table = EventTable(
        kinds=kinds,
        kind=code[order],
        tick=tick,
        ns=clock.nanoseconds(tick),
        filetime=clock.filetimes(tick),
        cpu=cpu[order],
        pid=heads.pid[order],
        tid=heads.tid[order],
        level=heads.level[order],
        opcode=heads.opcode[order],
        keyword=heads.keyword[order],
        payload_offset=heads.payload_offset[order],
        payload_length=heads.payload_length[order],
        offset=frames.offset[order],
        size=frames.size[order],
        frequency=clock.frequency,
        data=image.data,
    )
    for row in np.flatnonzero(np.array([book.teaches(kind) for kind in kinds], np.bool_)[table.kind]).tolist():
        place = image.file_offset(int(table.offset[row]))
        book.learn(kinds[int(table.kind[row])], int(table.pid[row]), table.payload(row), place)
    table.kinds = tuple(book.named(kind, _payloads(table, index)) for index, kind in enumerate(kinds))
    problems += book.problems()
    return table


def _payloads(table: EventTable, kind: int) -> Iterator[bytes]:
    """Those of some events of a kind."""
    yield from (table.payload(row) for row in np.flatnonzero(table.kind == kind)[:_SOME].tolist())


def _event_kind(image: BufferImage, frames: Frames, heads: Headers, row: int, problems: list[Problem]) -> EventKind:
    """The kind that an event is of."""
    header, at = int(frames.type[row]), int(frames.offset[row])
    provider, descriptor, schema_blob, traits = (
        image.data[offset[row] : offset[row] + length[row]] for offset, length in heads.identity[1:]
    )
    family = family_of(header)
    pointer_size = 4 if header in _POINTER32 else 8
    if family == "classic":
        kind, level, version = struct.unpack("<BBH", descriptor)
        name = unnamed(header, kind)
        return EventKind(UUID(bytes_le=provider), "", name, 0, version, level, kind, 0, None, pointer_size, header)
    if family == "kernel":
        hook = int.from_bytes(descriptor, "little")
        name, version = unnamed(header, hook), provider[0]
        return EventKind(NO_PROVIDER, "", name, 0, version, 0, hook & 0xFF, 0, None, pointer_size, header, hook)
    if family == "message":
        number, options = struct.unpack("<HH", descriptor)
        guid = UUID(bytes_le=provider) if len(provider) == 16 else NO_PROVIDER
        pointer_size = 4 if options & 0x40 else 8
        return EventKind(guid, "", unnamed(header, number), number, 0, 0, 0, 0, None, pointer_size, header)
    if family == "unknown":
        return EventKind(NO_PROVIDER, "", unnamed(header, header), 0, 0, 0, 0, 0, None, pointer_size, header)
    schema: EventSchema | None = None
    provider_name = ""
    try:
        provider_name = parse_traits(traits) if traits else ""
        schema = parse_schema(schema_blob) if schema_blob else None
    except MetadataError as error:
        problems.append(Problem("bad-schema", str(error), image.file_offset(at)))
    number, version, channel, level, opcode, task = struct.unpack("<HBBBBH", descriptor)
    return EventKind(
        UUID(bytes_le=provider),
        provider_name,
        schema.name if schema else unnamed(header, number),
        number,
        version,
        level,
        opcode,
        task,
        schema,
        pointer_size,
        header,
        channel=channel,
        self_describing=schema is not None,
    )


def _loss(data: bytes, header: LogFileHeader, buffers: NDArray[np.void], frames: Frames) -> LossReport:
    numbers = np.unique(buffers["sequence"])
    # In circular and new-file mode the numbers after buffer 0 start anywhere.
    if header.mode & (MODE_CIRCULAR | MODE_NEW_FILE):
        numbers = numbers[1:]
    missing = int(numbers[-1]) - int(numbers[0]) + 1 - len(numbers) if len(numbers) else 0
    if header.mode & MODE_CIRCULAR and missing:
        # Buffers are not written in the order of their numbers, so those that were written over leave gaps at the edge:
        # of as many as were written, those before the first number are no gaps.
        over = header.buffers_written - len(buffers) - (int(numbers[0]) - 1)
        missing = max(missing - max(over, 0), 0)
    flagged = buffers["flags"] & (BufferFlag.EVENTS_LOST | BufferFlag.BUFFER_LOST) != 0
    full = np.flatnonzero(np.isin(frames.type, (HeaderType.FULL32, HeaderType.FULL64)))
    lost = sum(data[at + 24 : at + 40] == LOST_EVENT_GUID.bytes_le for at in frames.offset[full].tolist())
    return LossReport(header.events_lost, header.buffers_lost, int(np.count_nonzero(flagged)), missing, lost)


def _may_have_wrapped(header: LogFileHeader, buffers: NDArray[np.void]) -> bool:
    """Whether a circular file is as large as it may be: then more buffers were written than there are."""
    unit = 1 << 10 if header.mode & MODE_KB_SIZES else 1 << 20
    most = max(header.maximum_file_size * unit // max(header.buffer_size, 1), 2)
    return bool(header.mode & MODE_CIRCULAR) and len(buffers) >= most


def _check_whole(header: LogFileHeader, buffers: NDArray[np.void], frames: Frames, problems: list[Problem]) -> None:
    end = int(buffers["offset"][-1])
    if len(np.unique(buffers["sequence"])) != len(buffers):
        problems.append(Problem("bad-buffer", "buffers with the same sequence number", end))
    wrapped = header.mode & MODE_CIRCULAR and header.buffers_written > len(buffers)
    # The last buffer that was written is not the last in a circular file that began again.
    last = buffers["flags"][1:] if wrapped and len(buffers) > 1 else buffers["flags"][-1:]
    if header.end_time == 0 or not (last & BufferFlag.FLUSH_MARKER).any():
        problems.append(Problem("unclosed", "the session was not stopped, or the file was cut", end))
    elif header.buffers_written > len(buffers) and not _may_have_wrapped(header, buffers):
        text = f"{header.buffers_written} buffers were written and {len(buffers)} are here"
        problems.append(Problem("missing-buffers", text, end))
    if header.clock_type not in (ClockType.QPC, ClockType.SYSTEM_TIME, ClockType.CPU_CYCLE):
        problems.append(Problem("clock", f"clock type {header.clock_type}: times are read as QPC ticks", 0))
    if header.clock_type != ClockType.SYSTEM_TIME and header.clock.frequency == 10_000_000 != header.perf_freq:
        text = f"impossible clock frequency {header.perf_freq}: 10 MHz assumed"
        problems.append(Problem("clock", text, 0))
    content = int(np.count_nonzero(~np.isin(frames.type, (HeaderType.SYSTEM32, HeaderType.SYSTEM64))))
    if len(buffers) > 1 and len(frames) <= 1 and not content:
        problems.append(Problem("no-events", f"{len(buffers)} buffers and no event but the file header", 0))
