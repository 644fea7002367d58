"""The agent's .etl writer, built natively (guard pages, traps), against our reader and dissect.etl."""

from __future__ import annotations

import json
import random
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ring_chunks import Event, Outcome, chunk, chunk_of, close, entry, feed, flush, run_writer

from hotswap.paths import package_data
from hotswap.trace.etl import EtlFile, read_etl

BUFFER = 65536
HERE = Path(__file__).parent
Row = tuple[int, int, int, str, int]


@pytest.fixture(scope="session")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("etl") / "etl_feed"
    agent = package_data("driver") / "agent"
    flags = ["-std=c17", "-O1", "-g", "-Wall", "-Wextra", "-Werror"]
    flags += ["-fsanitize=undefined", "-fsanitize-trap=undefined"]
    subprocess.run(
        ["clang", *flags, f"-I{agent}", HERE / "etl_feed.c", agent / "etl_writer.c", "-o", program], check=True
    )
    return program


@pytest.fixture
def etl(tmp_path: Path) -> Path:
    return tmp_path / "trace.etl"


def write(writer: Path, etl: Path, *commands: bytes, disk: int | None = None) -> Outcome:
    return run_writer(writer, etl, list(commands), disk)


def dissect(etl: Path) -> tuple[list[Row], int]:
    program = [sys.executable, HERE / "dissect_rows.py", etl]
    found = json.loads(subprocess.run(program, capture_output=True, check=True, timeout=60).stdout)
    return sorted(tuple(row) for row in found["rows"]), found["buffers"]


def buffers(etl: Path) -> list[dict[str, int]]:
    """Our own look at the buffer headers, so that the reader is not its own witness."""
    data = etl.read_bytes()
    assert len(data) % BUFFER == 0
    found = []
    for at in range(0, len(data), BUFFER):
        size, saved, current = struct.unpack_from("<III", data, at)
        sequence = struct.unpack_from("<Q", data, at + 0x18)[0]
        cpu, _, state, used, flag, kind = struct.unpack_from("<HHIIHH", data, at + 0x28)
        assert size == BUFFER
        assert saved == current == used
        assert state == 3
        assert set(data[at + used : at + BUFFER]) <= {0xFF}
        found.append({"sequence": sequence, "cpu": cpu, "used": used, "flag": flag, "type": kind})
    return found


def many(count: int, cpus: int, seed: int = 1) -> list[Event]:
    dice = random.Random(seed)
    tick = 1000
    events = []
    for _ in range(count):
        tick += dice.randrange(3)
        payload = dice.randbytes(dice.randrange(120))
        events.append(Event(tick, dice.randrange(cpus), dice.randrange(1 << 32), dice.randrange(1 << 32), payload))
    return events


def in_chunks(events: list[Event], size: int) -> list[bytes]:
    return [feed(chunk_of(events[at : at + size], written=len(events))) for at in range(0, len(events), size)]


def test_both_readers_see_the_same_events(writer: Path, etl: Path) -> None:
    events = many(5000, cpus=4)
    outcome = write(writer, etl, *in_chunks(events, 300), close())
    rows, written = dissect(etl)
    assert rows == sorted(event.row for event in events)
    ours = read_etl(etl)
    assert ours.problems == ()
    assert sorted(ours.ticks[1:]) == sorted(event.tick for event in events)
    assert not ours.loss.any
    assert written == outcome.counts["buffers"] == len(buffers(etl)) > 8
    assert outcome.counts["bytes"] == etl.stat().st_size
    assert set(outcome.codes) == {0}


def test_header_of_a_closed_file(writer: Path, etl: Path) -> None:
    write(writer, etl, feed(chunk_of([Event(2000)], dropped=17)), close(end_time=133000000100000000))
    header = read_etl(etl).header
    assert header.end_time == 133000000100000000
    assert header.start_time == 133000000000000000
    assert header.first_tick == 1000
    assert header.perf_freq == 10_000_000
    assert header.clock_type == 1
    assert header.events_lost == 17
    assert header.buffers_written == 2
    assert header.logger_name == "Test"
    assert header.processors == 4


def test_buffers_are_as_the_kernel_writes_them(writer: Path, etl: Path) -> None:
    write(writer, etl, *in_chunks(many(3000, cpus=3), 500), close())
    headers = buffers(etl)
    assert [header["sequence"] for header in headers] == list(range(len(headers)))
    assert [header["flag"] for header in headers] == [0x21, *[0x20] * (len(headers) - 2), 0x21]
    assert [header["type"] for header in headers] == [4, *[0] * (len(headers) - 1)]
    assert {header["cpu"] for header in headers[1:]} == {0, 1, 2}


def test_time_never_runs_backwards_within_a_processor(writer: Path, etl: Path) -> None:
    events = many(4000, cpus=4, seed=7)
    outcome = write(writer, etl, *in_chunks(events, 100), flush(), close())
    data = etl.read_bytes()
    ticks: dict[int, list[int]] = {}
    for index, header in enumerate(buffers(etl)[1:], start=1):
        at, end = index * BUFFER + 72, index * BUFFER + header["used"]
        while at < end:
            ticks.setdefault(header["cpu"], []).append(struct.unpack_from("<Q", data, at + 16)[0])
            at += (struct.unpack_from("<H", data, at)[0] + 7) & ~7
    assert sum(map(len, ticks.values())) == len(events)
    assert all(sequence == sorted(sequence) for sequence in ticks.values())
    assert outcome.counts["out_of_order"] == 0


def test_a_tick_that_runs_backwards_is_counted_and_kept(writer: Path, etl: Path) -> None:
    outcome = write(writer, etl, feed(chunk_of([Event(20), Event(10), Event(15, cpu=1)])), close())
    assert outcome.counts["out_of_order"] == 1
    assert outcome.counts["events"] == 3


def test_a_killed_run_leaves_what_was_flushed(writer: Path, etl: Path) -> None:
    events = many(50, cpus=2)
    write(writer, etl, feed(chunk_of(events[:40])), flush(), feed(chunk_of(events[40:])))
    found = read_etl(etl)
    assert sorted(found.ticks[1:]) == sorted(event.tick for event in events[:40])
    assert found.header.end_time == 0
    assert not found.closed
    assert found.header.buffers_written == 3
    assert len(dissect(etl)[0]) == 40


def test_full_buffers_reach_the_file_without_a_flush(writer: Path, etl: Path) -> None:
    write(writer, etl, *in_chunks([Event(tick, payload=bytes(1000)) for tick in range(1000, 1100)], 10))
    assert len(read_etl(etl).ticks) - 1 == 60  # one buffer holds 60 events of 1080 bytes


def test_an_empty_trace_is_a_file_of_its_own_header(writer: Path, etl: Path) -> None:
    write(writer, etl, feed(chunk([])), flush(), close())
    found = read_etl(etl)
    assert etl.stat().st_size == BUFFER
    assert found.problems == ()
    assert found.closed
    assert len(found.ticks) == 1


def test_the_last_buffer_is_marked_when_it_was_flushed_before_the_close(writer: Path, etl: Path) -> None:
    write(writer, etl, feed(chunk_of([Event(2000)])), flush(), close())
    assert [header["flag"] for header in buffers(etl)] == [0x21, 0x21]


def test_the_largest_event_fits_and_a_larger_one_is_lost_and_said_so(writer: Path, etl: Path) -> None:
    room = BUFFER - 72 - 80
    outcome = write(
        writer,
        etl,
        feed(chunk_of([Event(1), Event(2, payload=bytes(room)), Event(3, payload=bytes(room + 1))])),
        close(),
    )
    assert outcome.counts["events"] == 2
    assert outcome.counts["rejected"] == 1
    assert read_etl(etl).header.events_lost == 1


def test_entries_that_are_no_events_are_rejected(writer: Path, etl: Path) -> None:
    good = Event(5).encode()
    wrong_type = good[:2] + b"\x01" + good[3:]
    wrong_marker = good[:3] + b"\x90" + good[4:]
    too_long = struct.pack("<H", len(good) + 8) + good[2:]
    entries = [entry(event, 0) for event in (wrong_type, good, wrong_marker, too_long, bytes(16))]
    outcome = write(writer, etl, feed(chunk([*entries, entry(good, 999)])), close())
    assert outcome.counts["events"] == 1
    assert outcome.counts["rejected"] == 5


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        bytes(39),
        struct.pack("<IIQQQII", 4096, 0, 0, 0, 0, 0, 0),
        struct.pack("<IIQQQII", 40, 1, 0, 0, 0, 0, 0),
        struct.pack("<IIQQQII", 48, 1, 0, 0, 0, 0, 0) + struct.pack("<IHH", 0, 0, 0),
        struct.pack("<IIQQQII", 48, 1, 0, 0, 0, 0, 0) + struct.pack("<IHH", 96, 0, 0),
        struct.pack("<IIQQQII", 52, 1, 0, 0, 0, 0, 0) + struct.pack("<IHHI", 12, 0, 0, 0),
    ],
    ids=["empty", "short", "bytes-beyond", "entry-missing", "entry-zero", "entry-beyond", "entry-unaligned"],
)
def test_a_chunk_that_is_none_is_invalid_data_and_the_rest_stays(writer: Path, etl: Path, bad: bytes) -> None:
    outcome = write(writer, etl, feed(chunk_of([Event(2000)])), feed(bad), close())
    assert outcome.codes == [0, 0, 13, 0]
    assert len(read_etl(etl).ticks) == 2


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=20))
def test_no_damage_to_a_chunk_breaks_the_writer(writer: Path, etl: Path, flips: list[tuple[int, int]]) -> None:
    damaged = bytearray(chunk_of(many(100, cpus=4)))
    for at, value in flips:
        damaged[at % len(damaged)] = value
    write(writer, etl, feed(bytes(damaged)), close())
    closed: EtlFile = read_etl(etl)
    assert closed.closed


def test_a_full_disk_is_an_error_and_what_was_written_is_readable(writer: Path, etl: Path) -> None:
    outcome = write(writer, etl, *in_chunks(many(5000, cpus=1), 500), close(), disk=3 * BUFFER)
    assert outcome.codes[0] == 0
    assert outcome.codes[-1] == 112
    assert etl.stat().st_size == 3 * BUFFER
    assert len(read_etl(etl).ticks) > 500
