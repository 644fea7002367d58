"""The writer's files, as others read them: every header, every session, and the way Windows leaves each."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.errors import UsageError
from hotswap.trace.clock import ClockType
from hotswap.trace.compression import Compression
from hotswap.trace.decode import decode_payload
from hotswap.trace.etl import EtlFile, parse_etl, read_etl
from hotswap.trace.framing import BufferFlag, HeaderType
from hotswap.trace.modes import (
    MODE_APPEND,
    MODE_CIRCULAR,
    MODE_KB_SIZES,
    MODE_NEW_FILE,
    MODE_NO_PER_PROCESSOR,
    MODE_PREALLOCATE,
)
from hotswap.trace.schema import EventSchema, Field, InType, Shape
from hotswap.trace.writer import (
    EtlWriter,
    EventRow,
    KernelRow,
    Layout,
    ManifestRow,
    RawRow,
    Row,
    Session,
    append_etl,
    build_etl,
    lost_event,
    write_etl,
)
from support.etl_rows import COUNT, FILETIME, PROVIDER, SESSION, SYSTEM_TIME, every_header, row_lists
from support.foreign_readers import foreign_events

LIMIT = 20
"""Buffers of a file with a size."""
LIMITED = replace(SESSION, maximum_file_size=2 * LIMIT, mode=MODE_KB_SIZES | 1)
CIRCULAR = replace(LIMITED, mode=MODE_KB_SIZES | MODE_CIRCULAR)


def counts(number: int, *, cpus: int = 3, first: int = 1000) -> list[Row]:
    return [
        EventRow(first + i, i % cpus, 7, 8, PROVIDER, COUNT, {"Value": i, "Text": "t" * (i % 5)}) for i in range(number)
    ]


def values(etl: EtlFile) -> list[int]:
    events = etl.events.events("Count")
    return [int(value) for value in events["Value"]] if len(events) else []


def codes(etl: EtlFile) -> set[str]:
    return {problem.code for problem in etl.problems}


def written(etl: EtlFile) -> list[tuple[int, bytes]]:
    """Processor and bytes of all events but the file header, in file order."""
    cpu = etl.buffers["cpu"][etl.frames.buffer].tolist()
    places = zip(cpu, etl.frames.offset.tolist(), etl.frames.size.tolist(), strict=True)
    return [(cpu, etl.events.data[offset : offset + size]) for cpu, offset, size in places][1:]


def as_rows(rows: list[Row]) -> Counter[tuple[int, bytes]]:
    return Counter((row.cpu, row.encode()) for row in rows)


# ---- Every header ----


@pytest.mark.parametrize("session", [SESSION, replace(SESSION, layout=Layout.WINDOWS_7, pointer_size=4),
                                     replace(SESSION, layout=Layout.RELOGGED)])  # fmt: skip
def test_dissect_reads_every_header_with_its_bytes(tmp_path: Path, session: Session) -> None:
    rows = [row for cpu in range(3) for row in every_header(1000 + 50 * cpu, cpu)]
    write_etl(tmp_path / "all.etl", rows, session)
    head, *found = foreign_events("dissect", tmp_path / "all.etl")
    assert head[0] == "SystemHeader"
    assert Counter((int(cpu), bytes.fromhex(data)) for _, cpu, *_, data in found) == as_rows(rows)
    classes = Counter(words[0] for words in found)
    assert classes == {
        "EventHeader": 12, "EventTraceHeader": 6, "EventInstanceGUIDHeader": 6, "MessageTraceHeader": 6,
        "ErrorHeader": 3, "SystemHeader": 6, "CompactSystemHeader": 6, "PerfinfoTraceHeader": 12,
    }  # fmt: skip
    # What dissect takes for the time, process and thread of an event is what was meant.
    ours = {(row.cpu, row.encode().hex()): row for row in rows}
    for name, cpu, tick, pid, tid, data in found:
        row = ours[int(cpu), data]
        if name not in ("ErrorHeader",) and tick != "-":
            assert int(tick) == row.tick
        if isinstance(row, ManifestRow | EventRow):
            assert (int(pid), int(tid)) == (row.pid, row.tid)


def test_etl_parser_reads_what_it_can_read(tmp_path: Path) -> None:
    """It knows no instance, error or 32-bit-system headers, and of messages one shape."""
    rows = [row for row in every_header(1000) if not type(row).__name__.startswith(("Message", "Error"))]
    rows = [row for row in rows if getattr(row, "instance", None) is None and not getattr(row, "counters", ())]
    write_etl(tmp_path / "some.etl", rows, replace(SESSION, processors=1))
    found = foreign_events("etl-parser", tmp_path / "some.etl")
    kinds = {"EventRow": "event", "ManifestRow": "event", "ClassicRow": "classic"}
    expected = []
    for row in rows:
        kind = kinds.get(type(row).__name__)
        if isinstance(row, KernelRow):
            kind = "perfinfo" if row.header in (HeaderType.PERFINFO32, HeaderType.PERFINFO64) else "system"
        pid, tid = (str(value & 0xFFFFFFFF) for value in (row.pid, row.tid))
        expected.append([kind, str(row.tick), *(("-", "-") if kind == "perfinfo" else (pid, tid))])
    assert [words[:4] for words in found] == expected


@given(row_lists(), st.sampled_from(list(Layout)), st.sampled_from([4, 8]), st.sampled_from([None, *Compression]))
@settings(max_examples=40, deadline=None)
def test_what_is_written_is_read(
    rows: list[Row], layout: Layout, pointer_size: int, compression: Compression | None
) -> None:
    session = replace(SESSION, layout=layout, pointer_size=pointer_size, compression=compression)
    etl = parse_etl(build_etl(rows, session))
    assert etl.problems == ()
    assert not etl.loss.any
    found = written(etl)
    assert Counter(found) == as_rows(rows)
    # On each processor in the order in which they were logged.
    for cpu in range(3):
        assert [data for at, data in found if at == cpu] == [row.encode() for row in rows if row.cpu == cpu]
    assert (etl.header.pointer_size, etl.header.processors) == (pointer_size, 3)


EVERY_VALUE: dict[InType, object] = {
    InType.UNICODESTRING: "wide ä中𝄞", InType.ANSISTRING: "narrow ä", InType.INT8: -128, InType.UINT8: 255,
    InType.INT16: -32768, InType.UINT16: 65535, InType.INT32: -(2**31), InType.UINT32: 2**32 - 1,
    InType.INT64: -(2**63), InType.UINT64: 2**64 - 1, InType.FLOAT: 1.5, InType.DOUBLE: -2.25, InType.BOOL32: 1,
    InType.BINARY: b"binary", InType.GUID: bytes(range(16)), InType.POINTER: 0xFFFF0000, InType.FILETIME: FILETIME,
    InType.SYSTEMTIME: bytes(range(16)), InType.SID: bytes([1, 2, 0, 0, 0, 0, 0, 5]) + bytes(8),
    InType.HEXINT32: 0xC0000001, InType.HEXINT64: 2**63, InType.COUNTEDSTRING: "counted ä",
    InType.COUNTEDANSISTRING: "counted narrow", InType.COUNTEDBINARY: b"",
}  # fmt: skip


@pytest.mark.parametrize("pointer_size", [4, 8])
@pytest.mark.parametrize("shape", [Shape.SCALAR, Shape.CONSTANT, Shape.VARIABLE])
def test_every_in_type_of_trace_logging_comes_back(pointer_size: int, shape: Shape) -> None:
    """Alone, in arrays, and in an array of structs that have a struct in them."""
    assert set(EVERY_VALUE) == {kind for kind in InType if kind < 300} - {InType.STRUCT}
    kinds = [kind for kind in EVERY_VALUE if shape == Shape.SCALAR or kind != InType.BINARY]
    fields = tuple(Field(kind.name, kind, shape=shape, count=2 if shape == Shape.CONSTANT else 1) for kind in kinds)
    one = {kind.name: EVERY_VALUE[kind] if shape == Shape.SCALAR else [EVERY_VALUE[kind]] * 2 for kind in kinds}
    inner = Field("Inner", InType.STRUCT, fields=fields)
    schema = EventSchema("Every", (*fields, Field("Many", InType.STRUCT, shape=Shape.VARIABLE, fields=(inner,))))
    values = {**one, "Many": [{"Inner": one}, {"Inner": one}]}
    row = EventRow(1000, 0, 1, 2, PROVIDER, schema, values, pointer_size=pointer_size)
    etl = parse_etl(build_etl([row], replace(SESSION, buffer_size=1 << 16)))
    assert etl.problems == ()
    assert decode_payload(etl.events.schema_of(1) or schema, etl.events.payload(1), pointer_size) == values
    assert etl.events.schema_of(1) == schema
    assert etl.events.row(1)["problem"] is None


# ---- Clocks ----


@pytest.mark.parametrize("clock", list(ClockType))
def test_every_clock_gives_the_time_that_was_meant(clock: ClockType) -> None:
    base = SYSTEM_TIME if clock == ClockType.SYSTEM_TIME else replace(SESSION, clock_type=clock, frequency=2_109_960)
    first = base.first_tick
    etl = parse_etl(build_etl([KernelRow(first + 3_000_000, 0, 0x0F2E), *counts(3, first=first + 3_000_001)], base))
    frequency = {ClockType.SYSTEM_TIME: 10_000_000, ClockType.CPU_CYCLE: 3_000_000_000}.get(clock, 2_109_960)
    assert int(etl.events.ns[-1]) == 3_000_003 * 10**9 // frequency
    assert int(etl.events.filetime[-1]) == FILETIME + 3_000_003 * 10**7 // frequency
    assert etl.header.end_time == int(etl.events.filetime[-1])
    # No real file has a raw clock, so the reader says how it takes it.
    assert codes(etl) == ({"clock"} if clock == ClockType.RAW else set())


# ---- Files as each mode leaves them ----


def test_sequence_numbers_are_given_when_a_buffer_is_begun() -> None:
    """So that they do not follow the order in the file, as in Windows' files."""
    busy = [EventRow(1000 + i, int(i % 10 == 0), 7, 8, PROVIDER, COUNT, {"Value": i, "Text": ""}) for i in range(300)]
    etl = parse_etl(build_etl(busy, SESSION))
    sequence = etl.buffers["sequence"]
    assert sorted(sequence.tolist()) == list(range(len(sequence)))
    assert (np.diff(sequence.astype(np.int64)) < 0).any()
    assert not etl.loss.any
    assert values(etl) == list(range(300))


@pytest.mark.parametrize("number", [100, 300, 800, 5000])
def test_a_circular_file_keeps_the_newest_buffers(number: int) -> None:
    """Two of three processors are slow, so that buffers are written out of the order of their numbers."""
    rows = [
        EventRow(1000 + i, 1 + i % 2 if i % 7 == 0 else 0, 7, 8, PROVIDER, COUNT, {"Value": i, "Text": "text"})
        for i in range(number)
    ]
    data = build_etl(rows, CIRCULAR)
    etl = parse_etl(data)
    all_of = parse_etl(build_etl(rows, SESSION))
    wrapped = len(all_of.buffers) > LIMIT
    assert len(etl.buffers) == (LIMIT if wrapped else len(all_of.buffers))
    assert etl.header.buffers_written == len(all_of.buffers)
    assert etl.problems == ()
    assert etl.closed
    assert not etl.loss.any
    # What is there is what the last buffers of an endless file hold.
    kept = all_of.buffers["sequence"][-(LIMIT - 1) :] if wrapped else all_of.buffers["sequence"][1:]
    assert sorted(etl.buffers["sequence"][1:].tolist()) == sorted(kept.tolist())
    lasting = np.isin(all_of.buffers["sequence"][all_of.frames.buffer], kept)
    all_written = [(0, b""), *written(all_of)]
    there = [all_written[row][1] for row in np.flatnonzero(lasting).tolist()]
    assert Counter(data for _, data in written(etl)) == Counter(there)
    assert values(etl) == sorted(values(etl))
    # The flush marker is on the buffer that was written last, wherever that is.
    marked = np.flatnonzero(etl.buffers["flags"][1:] & BufferFlag.FLUSH_MARKER != 0)
    last = int(np.argmax(etl.buffers["timestamp"][1:])) if wrapped else len(etl.buffers) - 2
    assert len(marked) == 1
    assert etl.buffers["timestamp"][1:][marked[0]] == etl.buffers["timestamp"][1:][last]


def test_a_circular_file_with_a_hole_has_lost_something() -> None:
    data = bytearray(build_etl(counts(5000), CIRCULAR))
    whole = parse_etl(bytes(data))
    middle = int(np.argsort(whole.buffers["sequence"])[-3])
    data[middle * 2048 + 0x18 : middle * 2048 + 0x20] = (10**6).to_bytes(8, "little")
    assert parse_etl(bytes(data)).loss.missing_sequence_numbers > 0


def test_a_wrapped_file_of_a_session_never_stopped_is_not_closed() -> None:
    etl = parse_etl(build_etl(counts(5000), replace(CIRCULAR, closed=False)))
    assert codes(etl) == {"unclosed"}
    assert values(etl) == sorted(values(etl))


def test_a_closed_file_that_misses_buffers_is_not_taken_for_a_wrapped_one() -> None:
    data = build_etl(counts(150), CIRCULAR)
    assert codes(parse_etl(data[: -2 * 2048])) == {"unclosed"}
    etl = parse_etl(data)
    cut = bytearray(data)
    cut[72 + 32 + 0x24] = len(etl.buffers) + 2
    assert codes(parse_etl(bytes(cut))) == {"missing-buffers"}


def test_a_sequential_file_ends_where_it_is_full() -> None:
    etl = parse_etl(build_etl(counts(5000), LIMITED))
    assert len(etl.buffers) == LIMIT
    assert etl.problems == ()
    assert etl.closed
    assert 0 < len(values(etl)) < 1000


def test_new_file_mode_goes_on_in_the_next_file(tmp_path: Path) -> None:
    session = replace(LIMITED, mode=MODE_KB_SIZES | MODE_NEW_FILE | 1)
    paths = write_etl(tmp_path / "trace%d.etl", counts(2000), session)
    assert [path.name for path in paths] == [f"trace{i}.etl" for i in range(1, len(paths) + 1)]
    assert len(paths) > 3
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    found: list[int] = []
    for path in paths:
        etl = read_etl(path)
        assert (etl.problems, etl.closed, etl.loss.any) == ((), True, False)
        assert len(etl.buffers) == LIMIT or path == paths[-1]
        found += values(etl)
    assert sorted(found) == list(range(2000))
    with pytest.raises(UsageError, match="%d in the name"):
        write_etl(tmp_path / "trace.etl", counts(2), session)


def test_a_preallocated_file_is_cut_when_the_session_stops() -> None:
    session = replace(LIMITED, mode=MODE_KB_SIZES | MODE_PREALLOCATE | 1)
    closed, running = build_etl(counts(100), session), build_etl(counts(100), replace(session, closed=False))
    assert len(running) == LIMIT * 2048
    assert len(closed) < len(running)
    assert not any(running[len(closed) :])
    assert values(parse_etl(closed)) == values(parse_etl(running)) == list(range(100))
    assert parse_etl(closed).problems == ()
    assert codes(parse_etl(running)) == {"unclosed"}


def test_without_buffers_per_processor_all_events_share_them() -> None:
    rows = counts(200)
    etl = parse_etl(build_etl(rows, replace(SESSION, mode=MODE_NO_PER_PROCESSOR | 1)))
    assert set(etl.buffers["cpu"].tolist()) == {0}
    assert [data for _, data in written(etl)] == [row.encode() for row in rows]


def test_appended_events_follow_those_of_the_first_session(tmp_path: Path) -> None:
    path = tmp_path / "trace.etl"
    write_etl(path, counts(100, first=FILETIME + 10), replace(SYSTEM_TIME, events_lost=1))
    later = replace(SYSTEM_TIME, mode=MODE_APPEND, first_tick=FILETIME + 5000, buffers_lost=2)
    append_etl(path, counts(50, first=FILETIME + 6000), later)
    etl = read_etl(path)
    assert etl.problems == ()
    assert len(values(etl)) == 150
    assert int(etl.events.ns[-1]) == 6049 * 100
    assert (etl.header.events_lost, etl.header.buffers_lost) == (1, 2)
    assert etl.loss.missing_sequence_numbers == 0
    assert len(foreign_events("dissect", path)) == 151
    before = path.read_bytes()
    with pytest.raises(UsageError, match="appending needs"):
        append_etl(path, counts(1), replace(later, buffer_size=4096))
    with pytest.raises(UsageError, match="system time"):
        append_etl(path, counts(1), replace(SESSION, mode=MODE_APPEND))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


PREALLOCATED = replace(LIMITED, mode=MODE_KB_SIZES | MODE_PREALLOCATE | 1)


@pytest.mark.parametrize(
    ("reader", "session"),
    [("dissect", SESSION), ("dissect", CIRCULAR), ("dissect", PREALLOCATED), ("etl-parser", CIRCULAR)],
)
def test_others_read_as_many_events(tmp_path: Path, reader: str, session: Session) -> None:
    """Of etl-parser one file is enough: it takes seconds."""
    write_etl(tmp_path / "trace.etl", counts(300), session)
    found = foreign_events(reader, tmp_path / "trace.etl")
    ours = read_etl(tmp_path / "trace.etl")
    assert len(found) == len(ours.frames) - (reader == "etl-parser")
    assert len(values(ours)) == len(ours.frames) - 1 > 190


# ---- Losses, flushes, and what cannot be ----


def test_a_loss_is_in_every_place_that_tells_of_it() -> None:
    stream = io.BytesIO()
    with EtlWriter(stream, SESSION) as writer:
        writer.write(counts(60))
        writer.flush()
        writer.lose_events(1, 5)
        writer.write(counts(60, first=2000))
        writer.flush()
        writer.lose_buffer(2)
        writer.write([*counts(60, first=3000), lost_event(3100, 0), lost_event(3100, 1, 33)])
    etl = parse_etl(stream.getvalue())
    flagged = {
        flag: set(etl.buffers["cpu"][etl.buffers["flags"] & flag != 0].tolist())
        for flag in (BufferFlag.EVENTS_LOST, BufferFlag.BUFFER_LOST)
    }
    assert flagged == {BufferFlag.EVENTS_LOST: {1}, BufferFlag.BUFFER_LOST: {2}}
    loss = etl.loss
    assert (loss.events_lost, loss.buffers_lost, loss.flagged_buffers) == (5, 1, 2)
    assert (loss.missing_sequence_numbers, loss.lost_events) == (1, 2)


def test_the_flush_timer_writes_buffers_that_are_not_full() -> None:
    rows = [EventRow(1000 + 100 * i, i % 2, 7, 8, PROVIDER, COUNT, {"Value": i, "Text": ""}) for i in range(40)]
    etl = parse_etl(build_etl(rows, replace(SESSION, flush_every=1000)))
    assert len(etl.buffers) == 9
    times = etl.buffers["timestamp"][1:].tolist()
    assert times == [2000, 2000, 3000, 3000, 4000, 4000, 4800, 4900]
    for index, time in enumerate(times, 1):
        assert etl.ticks[etl.frames.buffer == index].max() <= time


def test_batches_of_any_size_make_the_same_file() -> None:
    rows = counts(500)
    stream = io.BytesIO()
    with EtlWriter(stream, SESSION) as writer:
        for begin in range(0, len(rows), 7):
            writer.write(rows[begin : begin + 7])
    assert stream.getvalue() == build_etl(rows, SESSION)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"buffer_size": 70}, "multiple of 8"),
        ({"buffer_size": 2047}, "multiple of 8"),
        ({"pointer_size": 5}, "pointer size"),
        ({"mode": MODE_CIRCULAR}, "needs a maximum file size"),
        ({"mode": MODE_APPEND}, "system time"),
        ({"mode": MODE_CIRCULAR, "maximum_file_size": 1, "compression": Compression.XPRESS}, "written over"),
    ],
)
def test_an_impossible_session_is_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        replace(SESSION, **change)


def test_an_impossible_event_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    def refused(row: Row, words: str, session: Session = SESSION) -> None:
        with pytest.raises(UsageError, match=words):
            write_etl(tmp_path / "trace.etl", [row], session)
        assert list(tmp_path.iterdir()) == []

    refused(RawRow(1000, 3000, bytes(8)), "0 to 2047")
    refused(RawRow(1000, 256, bytes(8)), "0 to 255", replace(SESSION, layout=Layout.WINDOWS_7))
    refused(RawRow(1000, 0, bytes(70_000)), "65535 is the most")
    refused(RawRow(1000, 0, bytes(2000)), "does not fit")
    refused(KernelRow(1000, 0, 1, counters=tuple(range(8))), "7 is the most")
