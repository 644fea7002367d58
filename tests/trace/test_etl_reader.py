"""The reader on the writer's files: exact values back, loss and damage reported, never an exception."""

from __future__ import annotations

import contextlib
import dataclasses
import struct
import time
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.errors import UsageError
from hotswap.trace.clock import ClockType, SessionClock
from hotswap.trace.decode import decode_payload
from hotswap.trace.etl import EtlFile, parse_etl, read_etl
from hotswap.trace.framing import BUFFER_HEADER_SIZE
from hotswap.trace.schema import EventSchema, Field, InType, OutType, Shape
from hotswap.trace.text import plain_fields
from hotswap.trace.tracelogging import Provider, build_schema, parse_schema, provider_guid
from hotswap.trace.writer import EventRow, Session, build_etl, write_etl
from support.dissect_multiset import dissect_multiset, our_multiset

PROVIDER = Provider.named("HotSwap.Tests")
COUNT = EventSchema("Count", (Field("Value", InType.UINT64), Field("Status", InType.HEXINT32, OutType.NTSTATUS)))


def rows(count: int, *, cpus: int = 1, step: int = 10, first: int = 1000) -> list[EventRow]:
    return [
        EventRow(
            first + i * step, i % cpus, 7, 100 + i % 3, PROVIDER, COUNT, {"Value": i, "Status": 0x102}, opcode=i % 3
        )
        for i in range(count)
    ]


SMALL = Session(buffer_size=2048, processors=2)


def codes(etl: EtlFile) -> set[str]:
    return {problem.code for problem in etl.problems}


def values(etl: EtlFile) -> list[int]:
    events = etl.events.events("Count")
    return [int(v) for v in events["Value"]] if len(events) else []


def test_values_come_back_in_time_order() -> None:
    etl = parse_etl(build_etl(rows(500, cpus=2), SMALL))
    assert values(etl) == list(range(500))
    assert etl.problems == ()
    assert not etl.loss.any
    assert etl.closed
    table = etl.events
    assert table.names[:2].tolist() == ["EventTrace", "Count"]
    assert table.providers[1] == PROVIDER.guid
    assert table.counts() == {
        (UUID("68fdd900-4a3e-11d1-84f4-0000f80464e3"), "EventTrace"): 1,
        (PROVIDER.guid, "Count"): 500,
    }
    assert set(table.cpu.tolist()) == {0, 1}
    assert set(table.pid[1:].tolist()) == {7}
    assert set(table.payload_length[1:].tolist()) == {12}


def test_ties_are_settled_by_cpu_and_place() -> None:
    events = [
        dataclasses.replace(row, tick=1000, cpu=cpu) for row, cpu in zip(rows(6), [1, 0, 1, 0, 1, 0], strict=True)
    ]
    etl = parse_etl(build_etl(events, SMALL))
    assert values(etl) == [1, 3, 5, 0, 2, 4]


def test_an_empty_trace_is_whole() -> None:
    etl = parse_etl(build_etl([], SMALL))
    assert (len(etl.events), etl.recorded) == (1, 0)
    assert etl.problems == ()
    assert len(etl.events.events("Count")) == 0
    assert etl.events.to_arrow().num_rows == 1


def test_the_guid_is_mixed_endian_and_derived_from_the_name() -> None:
    assert provider_guid("HotSwap.Host") == UUID("61d4d989-c89a-5331-557b-62b474aa0a83")
    data = build_etl(rows(1), SMALL)
    at = data.index(PROVIDER.guid.bytes_le)
    assert data[at : at + 16] == PROVIDER.guid.bytes_le


@pytest.mark.parametrize(
    ("session", "source", "text"),
    [
        (Session(events_lost=3), "events_lost", "3 events lost"),
        (Session(buffers_lost=2), "buffers_lost", "2 buffers lost"),
        (Session(lost_flag=0x02), "flagged_buffers", "1 buffers flagged"),
        (Session(lost_flag=0x04), "flagged_buffers", "1 buffers flagged"),
        (Session(gap_before=3), "missing_sequence_numbers", "1 buffer sequence numbers missing"),
    ],
)
def test_each_source_of_loss_is_reported(session: Session, source: str, text: str) -> None:
    session = dataclasses.replace(session, buffer_size=2048)
    loss = parse_etl(build_etl(rows(100), session)).loss
    assert loss.any
    assert getattr(loss, source) > 0
    assert text in loss.describe()


def test_a_gap_after_the_header_buffer_is_normal_in_new_file_mode() -> None:
    normal = Session(buffer_size=2048, gap_before=1)
    assert parse_etl(build_etl(rows(100), normal)).loss.any
    assert not parse_etl(build_etl(rows(100), dataclasses.replace(normal, mode=0x9))).loss.any


def test_a_session_never_stopped_is_read_whole_and_said_so() -> None:
    etl = parse_etl(build_etl(rows(300, cpus=2), dataclasses.replace(SMALL, closed=False)))
    assert values(etl) == list(range(300))
    assert codes(etl) == {"unclosed"}
    assert not etl.closed


def test_a_missing_last_buffer_is_noticed() -> None:
    data = build_etl(rows(300), SMALL)
    etl = parse_etl(data[:-2048])
    assert not etl.closed
    assert len(etl.events) < 300


def test_content_without_events_is_a_problem() -> None:
    data = bytearray(build_etl(rows(3), SMALL))
    data[2048 + BUFFER_HEADER_SIZE : 2048 + BUFFER_HEADER_SIZE + 4] = bytes(4)
    etl = parse_etl(bytes(data))
    assert etl.recorded == 0
    assert {"no-events", "bad-event"} <= codes(etl)


def test_a_preallocated_tail_is_no_problem_for_the_events() -> None:
    data = build_etl(rows(50), SMALL) + bytes(3 * 2048)
    etl = parse_etl(data)
    assert values(etl) == list(range(50))
    assert etl.problems == ()


def test_other_kinds_and_unknown_ones_are_framed() -> None:
    """An unknown type with the usual flags is counted and passed over; so is a WPP record."""
    data = bytearray(build_etl(rows(4), SMALL))
    first = 2048 + BUFFER_HEADER_SIZE
    data[first + 2] = 0x77
    second = first + (struct.unpack_from("<H", data, first)[0] + 7 & ~7)
    data[second + 3] = 0x90
    etl = parse_etl(bytes(data))
    assert values(etl) == [2, 3]
    assert etl.header_types() == {"SYSTEM64": 1, "MESSAGE": 1, "EVENT64": 2, "0x77": 1}
    assert etl.problems == ()


def test_a_damaged_buffer_costs_only_itself() -> None:
    session = SMALL
    data = bytearray(build_etl(rows(300), session))
    buffers = len(data) // 2048
    damaged = 3
    data[damaged * 2048 : damaged * 2048 + BUFFER_HEADER_SIZE] = b"\x5a" * BUFFER_HEADER_SIZE
    etl = parse_etl(bytes(data))
    whole = parse_etl(build_etl(rows(300), session))
    lost = int(np.count_nonzero(whole.frames.buffer == damaged))
    assert buffers == len(etl.buffers)
    assert len(etl.frames) >= len(whole.frames) - lost
    assert "bad-buffer" in codes(etl)


@pytest.mark.parametrize("filled", [0, 71, 2049, 10_000, 2**32 - 1])
def test_an_impossible_fill_level_costs_no_event_and_doubles_none(filled: int) -> None:
    data = bytearray(build_etl(rows(100), SMALL))
    struct.pack_into("<I", data, 2 * 2048 + 0x30, filled)
    etl = parse_etl(bytes(data))
    assert values(etl) == list(range(100))
    assert codes(etl) == {"bad-buffer"}


def test_a_fill_level_that_hides_events_is_noticed() -> None:
    data = bytearray(build_etl(rows(100), SMALL))
    filled = struct.unpack_from("<I", data, 2 * 2048 + 0x30)[0]
    struct.pack_into("<I", data, 2 * 2048 + 0x30, filled - 136)
    assert "bad-buffer" in codes(parse_etl(bytes(data)))


def test_buffers_missing_from_a_closed_file_are_noticed() -> None:
    data = bytearray(build_etl(rows(100), SMALL))
    struct.pack_into("<I", data, 72 + 32 + 0x24, len(data) // 2048 + 1)
    assert codes(parse_etl(bytes(data))) == {"missing-buffers"}


@pytest.mark.parametrize("size", [0, 7, 8, 4000])
def test_a_broken_extended_item_costs_only_the_schema(size: int) -> None:
    data = bytearray(build_etl(rows(10), SMALL))
    struct.pack_into("<H", data, 2048 + BUFFER_HEADER_SIZE + 80, size)
    etl = parse_etl(bytes(data))
    assert etl.recorded == 10
    assert values(etl) == list(range(1, 10))
    assert codes(etl) == {"bad-items"}


@pytest.mark.parametrize("data", [b"", b"MZ", bytes(5000), b"\xff" * 5000, bytes(range(256)) * 40])
def test_what_is_no_etl_is_refused(data: bytes) -> None:
    with pytest.raises(UsageError, match="not an ETL file"):
        parse_etl(data)


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_etl(tmp_path / "none.etl")


@pytest.mark.parametrize(
    ("clock", "ticks", "ns", "filetime"),
    [
        (SessionClock.of(1, 10_000_000, 0, 1000, 50), 1007, 700, 57),
        (SessionClock.of(1, 2_109_960, 0, 0, 0), 2_109_960 * 86_400 * 365 + 1, 86_400 * 365 * 10**9 + 473, None),
        (SessionClock.of(2, 10_000_000, 0, 5_000, 77), 5_003, 300, 5_003),
        (SessionClock.of(3, 0, 3000, 0, 9), 3_000_000_000, 10**9, 10_000_009),
    ],
)
def test_clocks_are_exact(clock: SessionClock, ticks: int, ns: int, filetime: int | None) -> None:
    assert clock.nanoseconds(np.array([ticks]))[0] == ns
    if filetime is not None:
        assert clock.filetimes(np.array([ticks]))[0] == filetime


@given(
    st.integers(1, 8_999_999_999),
    st.integers(-(2**40), 2**52),
)
def test_the_clock_agrees_with_whole_numbers(frequency: int, elapsed: int) -> None:
    clock = SessionClock(frequency, 123, 456)
    exact = elapsed * 10**9 // frequency
    if abs(exact) < 2**62:
        assert clock.nanoseconds(np.array([elapsed + 123]))[0] == exact
    exact = elapsed * 10**7 // frequency
    if abs(exact) < 2**62:
        assert clock.filetimes(np.array([elapsed + 123]))[0] == exact + 456


@pytest.mark.parametrize("frequency", [3, 1_818_300, 2_109_960, 2_994_853])
def test_no_tick_is_off_by_a_rounding(frequency: int) -> None:
    elapsed = [*range(20_000), *range(frequency * 10**6, frequency * 10**6 + 20_000)]
    read = SessionClock(frequency, 0, 0).nanoseconds(np.array(elapsed)).tolist()
    assert read == [(tick // frequency) * 10**9 + tick % frequency * 10**9 // frequency for tick in elapsed]


@pytest.mark.parametrize("clock_type", [ClockType.QPC, ClockType.SYSTEM_TIME, ClockType.CPU_CYCLE])
def test_all_clock_types_are_read(clock_type: ClockType) -> None:
    session = dataclasses.replace(SMALL, clock_type=clock_type, first_tick=1000)
    etl = parse_etl(build_etl(rows(10), session))
    assert etl.problems == ()
    assert etl.events.ns[0] == 0
    assert (np.diff(etl.events.ns) >= 0).all()


_NAMES = st.text(st.characters(min_codepoint=1, max_codepoint=0x24F), max_size=12)
_SCALARS = {
    InType.INT8: st.integers(-(2**7), 2**7 - 1),
    InType.UINT8: st.integers(0, 2**8 - 1),
    InType.INT16: st.integers(-(2**15), 2**15 - 1),
    InType.UINT16: st.integers(0, 2**16 - 1),
    InType.INT32: st.integers(-(2**31), 2**31 - 1),
    InType.UINT32: st.integers(0, 2**32 - 1),
    InType.INT64: st.integers(-(2**63), 2**63 - 1),
    InType.UINT64: st.integers(0, 2**64 - 1),
    InType.DOUBLE: st.floats(allow_nan=False),
    InType.BOOL32: st.integers(0, 1),
    InType.FILETIME: st.integers(0, 2**63 - 1),
    InType.HEXINT32: st.integers(0, 2**32 - 1),
    InType.HEXINT64: st.integers(0, 2**64 - 1),
    InType.GUID: st.binary(min_size=16, max_size=16),
    InType.UNICODESTRING: st.text(st.characters(min_codepoint=1, exclude_categories=["Cs"]), max_size=8),
    InType.COUNTEDSTRING: st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    InType.BINARY: st.binary(max_size=9),
}


@st.composite
def _fields(draw: st.DrawFn, depth: int = 0) -> tuple[Field, st.SearchStrategy[object]]:
    tags = draw(st.sampled_from([0, 0, 1, 0x7F, 0x80, 0x0FFFFFFF]))
    name = draw(_NAMES)
    if depth < 2 and draw(st.integers(0, 6)) == 0:
        parts = draw(st.lists(_fields(depth + 1), min_size=1, max_size=3, unique_by=lambda part: part[0].name or "?"))
        members = [part for part in parts if part[0].name]
        if members:
            strategy: st.SearchStrategy[object] = st.fixed_dictionaries({f.name: s for f, s in members})
            field = Field(name, InType.STRUCT, tags=tags, fields=tuple(f for f, _ in members))
            return field, strategy
    in_type = draw(st.sampled_from(sorted(_SCALARS)))
    strategy = _SCALARS[in_type]
    shape = draw(st.sampled_from([Shape.SCALAR, Shape.SCALAR, Shape.VARIABLE, Shape.CONSTANT]))
    if in_type == InType.BINARY:
        shape = Shape.SCALAR
    count = draw(st.integers(1, 3)) if shape == Shape.CONSTANT else 1
    out_type = draw(st.sampled_from([0, int(OutType.HEX), 14]))
    if in_type in (InType.UNICODESTRING, InType.COUNTEDSTRING):
        out_type = 0
    if shape != Shape.SCALAR:
        size = {"min_size": count, "max_size": count} if shape == Shape.CONSTANT else {"max_size": 3}
        strategy = st.lists(strategy, **size)
    return Field(name, in_type, out_type, shape, count, tags), strategy


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_what_is_written_is_read(data: st.DataObject) -> None:
    parts = data.draw(st.lists(_fields(), max_size=6, unique_by=lambda part: part[0].name or "?"))
    parts = [part for part in parts if part[0].name]
    schema = EventSchema(data.draw(_NAMES), tuple(field for field, _ in parts), data.draw(st.sampled_from([0, 5, 300])))
    assert parse_schema(build_schema(schema)) == schema
    written = [
        {field.name: data.draw(strategy) for field, strategy in parts} for _ in range(data.draw(st.integers(1, 4)))
    ]
    events = [EventRow(10 + i, 0, 1, 2, PROVIDER, schema, row) for i, row in enumerate(written)]
    table = parse_etl(build_etl(events)).events
    assert len(table) == len(written) + 1
    for row, expected in enumerate(written, 1):
        assert decode_payload(schema, table.payload(row), 8) == expected
        assert table.row(row)["fields"] == plain_fields(schema.fields, expected)
    decoded = table.events(schema.name)
    assert decoded.malformed == 0
    assert len(decoded) == len(written)
    assert table.to_arrow().num_rows == len(table)


WHOLE_DATA = build_etl(rows(120, cpus=2), SMALL)
WHOLE = parse_etl(WHOLE_DATA)


@given(st.integers(0, len(WHOLE_DATA)))
@settings(max_examples=150, deadline=None)
def test_a_cut_file_keeps_every_whole_event(length: int) -> None:
    try:
        etl = parse_etl(WHOLE_DATA[:length])
    except UsageError:
        assert length < 1024
        return
    end = WHOLE.frames.offset + WHOLE.frames.size
    assert etl.frames.offset.tolist() == WHOLE.frames.offset[end <= length].tolist()
    assert etl.closed == (length == len(WHOLE_DATA))
    etl.events.to_arrow()


@given(st.integers(0, len(WHOLE_DATA) - 1), st.binary(min_size=1, max_size=12))
@settings(max_examples=400, deadline=None)
def test_damage_never_raises_and_keeps_what_is_before_it(at: int, damage: bytes) -> None:
    data = bytearray(WHOLE_DATA)
    data[at : at + len(damage)] = damage[: len(data) - at]
    try:
        etl = parse_etl(bytes(data))
    except UsageError:
        assert at < 2048
        return
    etl.events.to_arrow()
    for kind in etl.events.kinds:
        etl.events.events(kind.name)
    if at < 2048:  # the header says how everything is read
        return
    # Damage can reach into the next buffer's header; other buffers keep all, the damaged one what is before it.
    touched = {at // 2048, (at + len(damage) - 1) // 2048}
    untouched = ~np.isin(WHOLE.frames.buffer, list(touched))
    before = (WHOLE.frames.offset + WHOLE.frames.size <= at) & (at % 2048 >= BUFFER_HEADER_SIZE)
    kept = set(WHOLE.frames.offset[untouched | before].tolist())
    assert kept <= set(etl.frames.offset.tolist())


@given(st.binary(max_size=4000))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        parse_etl(WHOLE_DATA[:1024] + data)
        parse_etl(data)
    except UsageError:
        pass


@given(st.binary(min_size=200, max_size=400))
@settings(max_examples=100, deadline=None)
def test_any_header_event_is_read_or_refused(noise: bytes) -> None:
    data = bytearray(WHOLE_DATA)
    data[104 : 104 + len(noise)] = noise
    with contextlib.suppress(UsageError):
        parse_etl(bytes(data)).events.to_arrow()


@given(st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_schema_is_a_problem_at_worst(blob: bytes) -> None:
    """Metadata comes from the traced driver, so it can be anything."""
    good = build_schema(COUNT)
    data = WHOLE_DATA.replace(good, (struct.pack("<H", len(good)) + blob + bytes(len(good)))[: len(good)])
    etl = parse_etl(data)
    assert len(etl.events) == len(WHOLE.events)
    for kind in etl.events.kinds:
        etl.events.events(kind.name)
    etl.events.to_arrow()


@pytest.mark.parametrize(
    ("count", "session"),
    [
        (0, SMALL),
        (1, SMALL),
        (700, SMALL),
        (700, dataclasses.replace(SMALL, events_lost=4, gap_before=2)),
        (2000, Session(processors=4)),
    ],
)
def test_dissect_reads_the_same_events(tmp_path: Path, count: int, session: Session) -> None:
    path = tmp_path / "trace.etl"
    write_etl(path, rows(count, cpus=session.processors), session)
    ours = our_multiset(path)
    assert sum(ours.values()) == count
    assert ours == dissect_multiset(path)


def test_an_impossible_row_is_refused_by_the_writer() -> None:
    with pytest.raises(UsageError, match="not in time order"):
        build_etl(reversed(rows(3)), SMALL)
    big = EventSchema("Big", (Field("Data", InType.BINARY),))
    with pytest.raises(UsageError, match="does not fit"):
        build_etl([EventRow(1, 0, 1, 1, PROVIDER, big, {"Data": bytes(3000)})], SMALL)
    with pytest.raises(UsageError, match="no value for field Value"):
        build_etl([EventRow(1, 0, 1, 1, PROVIDER, COUNT, {})], SMALL)


def test_two_hundred_thousand_events_a_second() -> None:
    """Processor time, since the machine is shared; a quarter of the aim, so that only a wrong algorithm fails."""
    data = build_etl(rows(60_000, cpus=2), Session(processors=2))
    begun = time.process_time()
    etl = parse_etl(data)
    assert values(etl)[-1] == 59_999
    assert 60_000 / (time.process_time() - begun) > 50_000
