"""A trace read part by part is the trace read at once, wherever the parts begin and end."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.trace import native
from hotswap.trace.chunks import windows
from hotswap.trace.clock import ClockType
from hotswap.trace.compression import Compression
from hotswap.trace.etl import EtlFile, open_etl, parse_etl, read_etl
from hotswap.trace.heads import FACTS_DTYPE
from hotswap.trace.modes import MODE_CIRCULAR, MODE_KB_SIZES, MODE_NO_PER_PROCESSOR
from hotswap.trace.schema import EventSchema, Field, InType
from hotswap.trace.table import EventTable
from hotswap.trace.tracelogging import Provider
from hotswap.trace.writer import EventRow, Session, build_etl
from support.raw_events import file_of
from support.raw_streams import any_events
from support.real_samples import samples_folder

PROVIDER = Provider.named("HotSwap.Tests")
NUMBER = EventSchema("Number", (Field("Value", InType.UINT64), Field("Text", InType.COUNTEDSTRING)))
Opened = Callable[[bytes], EtlFile]


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """Open bytes as a file whose events are not read yet."""

    def open_bytes(data: bytes) -> EtlFile:
        path = tmp_path / "trace.etl"
        path.unlink(missing_ok=True)
        path.write_bytes(data)
        return open_etl(path)

    return open_bytes


def content(table: EventTable) -> list[tuple[object, ...]]:
    """All that a table says of its events, without where their bytes lie."""
    columns = [column.name for column in fields(table) if column.name not in ("offset", "payload_offset")]
    values = [getattr(table, name).tolist() for name in columns if isinstance(getattr(table, name), np.ndarray)]
    untimed = np.zeros(len(table), np.bool_)
    untimed[table.untimed] = True
    raw = [table.data[at : at + n] for at, n in zip(table.offset.tolist(), table.size.tolist(), strict=True)]
    payloads = [table.payload(row) for row in range(len(table))]
    return list(zip(*values, untimed.tolist(), raw, payloads, strict=True))


def assert_parts_are_the_whole(etl: EtlFile, whole: EtlFile, buffers: int) -> int:
    parts = list(etl.chunks(buffers))
    assert [row for part in parts for row in content(part)] == content(whole.events)
    assert all(part.kinds == whole.kinds for part in parts)
    assert all(part.tick[0] > before.tick[-1] for before, part in pairwise(parts))
    for name in ("problems", "loss", "kinds", "recorded", "timestamp_sum", "file_order_inversions", "closed"):
        assert getattr(etl, name) == getattr(whole, name), name
    assert etl.counts.tolist() == np.bincount(whole.events.kind, minlength=len(whole.kinds)).tolist()
    assert (etl.first_tick, etl.last_tick) == (int(whole.events.tick.min()), int(whole.events.tick.max()))
    assert etl.events_per_cpu() == whole.events_per_cpu()
    return len(parts)


def rows(count: int, cpus: int = 3, seed: int = 1) -> list[EventRow]:
    """Events of some processors, of which one is idle at times, with ties of the clock."""
    chance, tick, found = random.Random(seed), 1000, []
    for number in range(count):
        tick += chance.choice([0, 0, 1, 7])
        cpu = chance.randrange(cpus) if number % 100 < 50 else chance.randrange(cpus - 1)
        found.append(EventRow(tick, cpu, 7, 8, PROVIDER, NUMBER, {"Value": number, "Text": "x" * (number % 30)}))
    return found


PLAIN = Session(buffer_size=2048, processors=3)
SESSIONS = {
    "plain": PLAIN,
    "cycles": dataclasses.replace(PLAIN, clock_type=ClockType.CPU_CYCLE),
    "unclosed": dataclasses.replace(PLAIN, closed=False),
    "wrapped": dataclasses.replace(PLAIN, mode=MODE_CIRCULAR | MODE_KB_SIZES, maximum_file_size=40),
    "shared buffers": dataclasses.replace(PLAIN, mode=0x1 | MODE_NO_PER_PROCESSOR),
    **{kind.name: dataclasses.replace(PLAIN, compression=kind) for kind in Compression},
}
DATA = {name: build_etl(rows(700), session) for name, session in SESSIONS.items()}


@pytest.mark.parametrize("name", SESSIONS)
@pytest.mark.parametrize("choice", ["native", "python"])
def test_parts_of_any_size_are_the_whole(
    name: str, choice: str, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(native.CHOICE, choice)
    whole, etl = parse_etl(DATA[name]), opened(DATA[name])
    counts = [assert_parts_are_the_whole(etl, whole, buffers) for buffers in (1, 2, 5, 17, 512)]
    assert counts[0] > counts[2] > 1 == counts[-1]


def test_a_processor_whose_only_buffer_comes_last_has_its_place(opened: Opened) -> None:
    """Its first event is among the first of the trace, and its buffer is one of the last two of the file."""
    busy = [EventRow(1000 + i, 0, 7, 8, PROVIDER, NUMBER, {"Value": i, "Text": "x" * 20}) for i in range(300)]
    idle = [EventRow(1000 + i, 1, 7, 8, PROVIDER, NUMBER, {"Value": i, "Text": ""}) for i in (1, 150, 298)]
    data = build_etl(sorted([*busy, *idle], key=lambda row: row.tick), PLAIN)
    etl, whole = opened(data), parse_etl(data)
    cpus = etl.buffers["cpu"].tolist()
    assert cpus.index(1) >= len(cpus) - 2
    assert assert_parts_are_the_whole(etl, whole, 1) > 10
    assert [int(tick) for part in etl.chunks(1) for tick in part.tick[part.cpu == 1]] == [1001, 1150, 1298]


@given(
    st.lists(st.lists(any_events(), max_size=6), max_size=8),
    st.lists(st.integers(0, 2), min_size=8, max_size=8),
    st.integers(1, 4),
)
@settings(max_examples=200, deadline=None)
def test_any_events_in_any_order_are_read_part_by_part(
    tmp_path_factory: pytest.TempPathFactory, buffers: list[list[bytes]], cpus: list[int], size: int
) -> None:
    """Also where time runs backwards within a buffer, which no whole file has."""
    data = file_of(*buffers, cpus=cpus)
    path = tmp_path_factory.mktemp("any") / "trace.etl"
    path.write_bytes(data)
    parts, whole = list(open_etl(path).chunks(size)), parse_etl(data)
    assert [row for part in parts for row in content(part)] == content(whole.events)


@given(at=st.integers(0, 2**30), damage=st.binary(min_size=1, max_size=12), kind=st.sampled_from(sorted(SESSIONS)))
@settings(max_examples=150, deadline=None)
def test_a_damaged_file_is_read_part_by_part_as_at_once(
    tmp_path_factory: pytest.TempPathFactory, at: int, damage: bytes, kind: str
) -> None:
    data = bytearray(DATA[kind])
    at = 600 + at % (len(data) - 600 - len(damage))
    data[at : at + len(damage)] = damage
    path = tmp_path_factory.mktemp("damaged") / "trace.etl"
    path.write_bytes(data)
    etl, whole = open_etl(path), parse_etl(bytes(data))
    assert [row for part in etl.chunks(3) for row in content(part)] == content(whole.events)
    assert (etl.problems, etl.loss, etl.kinds) == (whole.problems, whole.loss, whole.kinds)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 20), st.booleans()), max_size=30), st.integers(1, 6))
def test_windows_follow_each_other_and_name_all_buffers_with_events_in_them(
    spans: list[tuple[int, int, bool]], buffers: int
) -> None:
    facts = np.zeros(len(spans), FACTS_DTYPE)
    for fact, (least, length, full) in zip(facts, spans, strict=True):
        fact["least"], fact["most"], fact["count"] = least, least + length, full
    found = list(windows(facts, buffers))
    for ((_, before), _), ((first, _), _) in pairwise(found):
        assert first == before + 1
    for index, (least, length, full) in enumerate(spans):
        for (first, last), chosen in found:
            overlaps = full and least <= last and least + length >= first
            assert (index in chosen.tolist()) == overlaps


def test_a_whole_read_and_a_read_on_demand_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "trace.etl"
    path.write_bytes(DATA["plain"])
    one, other = read_etl(path), open_etl(path)
    assert content(one.events) == content(other.events)
    assert np.array_equal(one.ticks, other.ticks)
    assert np.array_equal(one.frames.buffer, other.frames.buffer)


@pytest.mark.parametrize("name", ["kernel-clr-compressed-8cpu.etl", "manifest-win7-kernel-process.etl"])
def test_real_files_are_read_part_by_part(name: str) -> None:
    folder = samples_folder()
    if folder is None:
        pytest.skip("real samples: not run")
    etl, whole = open_etl(folder / name), read_etl(folder / name)
    parts = list(etl.chunks(20))
    assert len(parts) > 5
    for column in ("tick", "cpu", "kind", "pid", "tid", "payload_length", "keyword", "size"):
        joined = np.concatenate([getattr(part, column) for part in parts])
        assert np.array_equal(joined, getattr(whole.events, column)), column
    assert (etl.problems, etl.loss, etl.kinds) == (whole.problems, whole.loss, whole.kinds)


def test_progress_is_told(tmp_path: Path) -> None:
    path = tmp_path / "trace.etl"
    path.write_bytes(DATA["plain"])
    told: list[float] = []
    assert open_etl(path, progress=told.append).recorded == 700
    assert told[-1] == 1.0
