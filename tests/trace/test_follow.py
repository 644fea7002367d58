"""Following a trace: every event once, in time order, as soon as nothing can come before it, whatever it grows like."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from time import monotonic
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.deadline import Deadline
from hotswap.errors import DeadlineExpired, LabFault, UsageError
from hotswap.trace.compression import Compression
from hotswap.trace.etl import parse_etl
from hotswap.trace.follow import FileSource, Follower, PerProcessor, Together, Watermark, follow
from hotswap.trace.modes import MODE_CIRCULAR, MODE_KB_SIZES, MODE_PREALLOCATE
from hotswap.trace.rules import contiguous, event
from hotswap.trace.rules.live import watch
from hotswap.trace.schema import EventSchema, Field, InType
from hotswap.trace.table import EventTable
from hotswap.trace.tracelogging import Provider
from hotswap.trace.writer import (
    EtlWriter,
    EventRow,
    ManifestRow,
    Row,
    Session,
    build_etl,
    event_info_row,
    lost_event,
    manifest_rows,
    write_etl,
)
from support.etl_rows import COUNT, PROVIDER, SESSION, row_lists
from support.growing import Racing, Recording, States

OWN = UUID("11223344-5566-7788-99aa-bbccddeeff00")
XML = (
    b"<instrumentationManifest><instrumentation><events>"
    b'<provider name="Own-Source" guid="{11223344-5566-7788-99aa-bbccddeeff00}">'
    b'<templates><template tid="t"><data name="n" inType="win:Int32"/></template></templates>'
    b'<tasks><task name="Pong" value="1"/></tasks><events><event value="1" task="Pong" template="t"/></events>'
    b"</provider></events></instrumentation></instrumentationManifest>"
)
NEVER_IDLE = PerProcessor(idle=1e6, still=1e6)
PREALLOCATED = replace(SESSION, mode=MODE_KB_SIZES | MODE_PREALLOCATE | 1, maximum_file_size=200)
CIRCULAR = replace(SESSION, mode=MODE_KB_SIZES | MODE_CIRCULAR, maximum_file_size=16)


def counts(number: int, *, cpus: int = 3, first: int = 1000) -> list[Row]:
    return [EventRow(first + i, i % cpus, 7, 8, PROVIDER, COUNT, {"Value": i, "Text": "text"}) for i in range(number)]


def states_of(rows: list[Row], session: Session, batch: int = 10) -> list[bytes]:
    """A file after each write of its session."""
    stream = Recording()
    with EtlWriter(stream, session) as writer:
        for begin in range(0, len(rows), batch):
            writer.write(rows[begin : begin + batch])
    return stream.states


def followed(
    states: list[bytes], watermark: Watermark = NEVER_IDLE, alive: Callable[[], str | None] | None = None
) -> tuple[list[EventTable], Follower]:
    follower = Follower(States(states), Deadline.after(20), alive=alive, watermark=watermark)
    return list(follower), follower


def events(tables: list[EventTable]) -> list[tuple[int, int, int, int, str, bytes]]:
    return [
        (tick, cpu, pid, tid, table.kinds[kind].name, bytes(table.data[at : at + size]))
        for table in tables
        for tick, cpu, pid, tid, kind, at, size in zip(
            table.tick.tolist(), table.cpu.tolist(), table.pid.tolist(), table.tid.tolist(), table.kind.tolist(),
            table.offset.tolist(), table.size.tolist(), strict=True,
        )
    ]  # fmt: skip


def whole(data: bytes) -> list[tuple[int, int, int, int, str, bytes]]:
    """All events but the header's, whose bytes change at the close."""
    return events([parse_etl(data).events])[1:]


# ---- Every event once and in order ----


@given(row_lists(most=40, timed=True), st.integers(1, 7), st.sampled_from([SESSION, PREALLOCATED]), st.data())
@settings(max_examples=20, deadline=None)
def test_what_is_handed_out_is_what_the_whole_file_holds(
    rows: list[Row], batch: int, session: Session, data: st.DataObject
) -> None:
    """Also when it is looked at only now and then, and in the middle of a write."""
    session = replace(session, flush_every=data.draw(st.sampled_from([0, 10])))
    every = states_of(rows, session, batch)
    seen = sorted(data.draw(st.sets(st.integers(0, len(every) - 1), max_size=8)))
    states = [every[index] for index in seen]
    if session is SESSION and states:
        states.append(every[-1][: data.draw(st.integers(len(states[-1]), len(every[-1])))])
    tables, follower = followed([b"", *states, every[-1]])
    assert events(tables)[1:] == whole(every[-1])
    assert (follower.closed, follower.late, follower.problems) == (True, 0, [])
    assert follower.events == len(whole(every[-1])) + 1
    ticks = np.concatenate([table.tick for table in tables])
    assert (np.diff(ticks[1:]) >= 0).all()


def test_kinds_keep_their_numbers() -> None:
    rows = [*counts(100), lost_event(1100, 0), *counts(100, first=1200)]
    tables, _ = followed(states_of(rows, SESSION))
    assert len(tables) > 3
    for before, after in pairwise(tables):
        assert after.kinds[: len(before.kinds)] == before.kinds
    assert sum(len(table.events("Count")) for table in tables) == 200


def test_events_are_described_by_what_was_said_long_ago() -> None:
    """The buffers with the record and the manifest were let go of when the events come."""
    schema, own = EventSchema("Ping", (Field("Number", InType.UINT32),)), Provider("Own-Source", OWN)
    said: list[Row] = [
        event_info_row(1000, 0, PROVIDER, 7, 0, schema),
        *manifest_rows(1000, 0, 4, 8, own, XML, piece=99),
    ]
    later: list[Row] = [
        ManifestRow(3000 + i, 0, 4, 8, guid, number, i.to_bytes(4, "little"))
        for i in range(40)
        for guid, number in ((PROVIDER.guid, 7), (OWN, 1))
    ]
    tables, follower = followed(
        states_of([*said, *counts(60, cpus=1, first=2000), *later], replace(SESSION, processors=1))
    )
    assert len(tables) > 5
    for name, field in (("Ping", "Number"), ("Pong", "n")):
        values = np.concatenate([table.events(name)[field] for table in tables if len(table.events(name))])
        assert values.tolist() == list(range(40))
    assert follower.problems == []


@pytest.mark.parametrize("compression", list(Compression))
def test_compressed_buffers_are_followed(compression: Compression) -> None:
    states = states_of(counts(150), replace(SESSION, compression=compression))
    tables, follower = followed(states)
    assert events(tables)[1:] == whole(states[-1])
    assert follower.problems == []


@pytest.mark.parametrize("every", [1, 2, 5])
def test_a_circular_file_is_followed_around(every: int) -> None:
    """As long as the follower is not lapped it gets what no file holds at the end."""
    rows = counts(600)
    states = states_of(rows, CIRCULAR)
    # Each buffer is there at two looks, so that it can be told from one that is being written.
    tables, follower = followed([state for state in states[::every] for _ in (1, 2)] + [states[-1]] * 2)
    values = np.concatenate([table.events("Count").fields["Value"] for table in tables]).tolist()
    assert values == list(range(600))
    assert len(parse_etl(states[-1]).events) < 150
    assert (follower.late, follower.loss.missing_sequence_numbers, follower.problems) == (0, 0, [])


def test_a_follower_that_was_lapped_says_what_it_missed() -> None:
    states = states_of(counts(2000), CIRCULAR)
    tables, follower = followed([*[states[20]] * 2, *[states[-1]] * 2])
    missed = 2000 - sum(len(table.events("Count")) for table in tables)
    assert missed > 1000
    assert follower.loss.missing_sequence_numbers > 50
    assert "sequence numbers missing" in follower.loss.describe()


def test_a_buffer_that_is_half_written_over_is_waited_for() -> None:
    states = states_of(counts(600), CIRCULAR)
    at = next(i for i in range(1, len(states)) if len(states[i]) == len(states[i - 1]) == 16 * 1024)
    before, after = states[at - 1], states[at]
    first = next(i for i in range(len(after)) if before[i] != after[i]) & ~2047
    half = after[: first + 1024] + before[first + 1024 :]
    tables, follower = followed([*states[:at], half, *[state for state in states[at:] for _ in (1, 2)], states[-1]])
    values = np.concatenate([table.events("Count").fields["Value"] for table in tables]).tolist()
    assert values == list(range(600))
    assert follower.problems == []


# ---- How long an event waits ----


def slow_and_fast(number: int) -> list[Row]:
    """Processor 1 does nothing after its first event; processor 2 has none at all."""
    return [EventRow(1000 + i, int(i == 5), 7, 8, PROVIDER, COUNT, {"Value": i, "Text": ""}) for i in range(number)]


def test_events_wait_for_a_silent_processor_so_long_and_no_longer() -> None:
    """`idle` is 1 ms, 10000 ticks of the trace's clock; the flush timer is shorter."""
    rows = [replace(row, tick=row.tick + 2000 * i) for i, row in enumerate(slow_and_fast(200))]
    states = states_of(rows, replace(SESSION, flush_every=5000), 1)
    idle = PerProcessor(idle=1e-3, still=1e6)
    handed: list[tuple[int, int]] = []
    source = States(states)
    follower = Follower(source, Deadline.after(60), watermark=idle)
    for table in follower:
        newest = max(parse_etl(states[source.at]).events.tick.tolist())
        if not follower.closed:
            handed.append((int(table.tick[-1]), newest))
    waits = [newest - tick for tick, newest in handed]
    assert len(handed) > 20
    assert all(5000 <= wait <= 10_000 + 3 * 5000 for wait in waits)
    assert follower.late == 0


def test_an_event_that_came_too_late_is_counted_and_handed_out() -> None:
    """The file of a session without flush timer: a processor's only event is written at the end."""
    rows = slow_and_fast(200)
    states = states_of([replace(row, tick=row.tick + 2000 * i) for i, row in enumerate(rows)], SESSION)
    tables, follower = followed(states, PerProcessor(idle=1e-3, still=1e6))
    assert follower.late == 1
    values = np.concatenate([table.events("Count").fields["Value"] for table in tables]).tolist()
    assert sorted(values) == list(range(200))
    assert values[-1] != 199 or 5 in values[20:]


def test_a_file_that_stands_still_is_handed_out_after_a_while(tmp_path: Path) -> None:
    path = tmp_path / "still.etl"
    write_etl(path, counts(5), replace(SESSION, closed=False))
    begun = monotonic()
    with follow(path, Deadline.after(60), watermark=PerProcessor(still=0.3)) as follower:
        tables = iter(follower)
        assert len(next(tables)) + len(next(tables)) == 6
    assert 0.25 < monotonic() - begun < 30


@given(row_lists(most=40, timed=True), st.integers(1, 9), st.integers(1, 9))
@settings(max_examples=15, deadline=None)
def test_what_is_written_together_goes_with_the_header(rows: list[Row], batch: int, rounds: int) -> None:
    """As the agent writes: from one queue, all buffers together, then the header with their number."""
    stream = Recording()
    with EtlWriter(stream, SESSION) as writer:
        for turn, begin in enumerate(range(0, len(rows), batch)):
            writer.write(rows[begin : begin + batch])
            if turn % rounds == 0:
                writer.flush()
                writer.update_header()
    tables, follower = followed(stream.states, Together())
    assert follower.late == 0
    assert events(tables)[1:] == whole(stream.states[-1])


@pytest.mark.parametrize("begin", range(8))
def test_what_is_written_between_two_looks_is_not_taken_for_all_that_was_counted(begin: int) -> None:
    stream = Recording()
    with EtlWriter(stream, SESSION) as writer:
        for turn in range(12):
            writer.write(counts(60, first=1000 + 60 * turn))
            writer.flush()
            writer.update_header()
    follower = Follower(Racing(stream.states[begin:]), Deadline.after(20), watermark=Together())
    tables = list(follower)
    assert follower.late == 0
    assert events(tables)[1:] == whole(stream.states[-1])


def test_a_writer_that_is_left_amid_its_buffers_proves_no_gap() -> None:
    """Nor one that goes on while the follower is told to end."""
    stream, rows = Recording(), counts(180)
    writer = EtlWriter(stream, SESSION)
    for begin in range(0, len(rows), 60):
        writer.write(rows[begin : begin + 60])
        writer.flush()
        writer.update_header()
    rule = contiguous(event(COUNT.name)["Value"])
    for state in stream.states:
        follower = Follower(States([state]), Deadline.after(20), alive=lambda: "it ended", watermark=Together())
        assert watch(follower, lambda view: [rule.answer(view)]) == []


def test_of_what_was_not_counted_nothing_is_handed_out() -> None:
    stream = Recording()
    writer = EtlWriter(stream, SESSION)
    writer.write(counts(60))
    writer.flush()
    writer.update_header()
    counted = stream.states[-1]
    writer.write(counts(60, first=2000))
    writer.flush()
    follower = Follower(States([counted, stream.states[-1]]), Deadline.after(0.5), watermark=Together())
    handed: list[EventTable] = []
    with pytest.raises(DeadlineExpired, match="bytes held back"):
        handed.extend(follower)
    # The last counted one could still be preceded by one of its own time.
    assert [tick for table in handed for tick in table.tick.tolist()][1:] == list(range(1000, 1059))


# ---- Ends ----


def test_a_file_that_was_closed_long_ago_is_read_to_its_end(tmp_path: Path) -> None:
    write_etl(tmp_path / "old.etl", counts(300), SESSION)
    with follow(tmp_path / "old.etl", Deadline.after(60)) as follower:
        tables = list(follower)
    assert events(tables) == events([parse_etl((tmp_path / "old.etl").read_bytes()).events])
    assert follower.ended == "the session was closed"


def test_when_the_writer_is_gone_the_rest_is_handed_out() -> None:
    states = states_of(counts(100), replace(SESSION, closed=False))
    deaths: Iterator[str | None] = iter([None] * len(states))
    tables, follower = followed(states, alive=lambda: next(deaths, "the agent ended with 9"))
    assert (follower.closed, follower.ended) == (False, "the agent ended with 9, and left the session open")
    assert events(tables)[1:] == whole(states[-1])
    _, silent = followed([b""], alive=lambda: "it is dead")
    assert silent.ended == "it is dead, before it wrote anything"


def test_an_expired_deadline_says_what_was_seen() -> None:
    with pytest.raises(DeadlineExpired, match=r"states.etl: the deadline expired; last seen: \d+ buffers, \d+ events"):
        list(Follower(States([states_of(counts(100), SESSION)[5]]), Deadline.after(0.01)))


def test_a_file_that_is_replaced_removed_or_cut_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "trace.etl"
    open_session = replace(SESSION, closed=False)
    write_etl(path, counts(100), open_session)

    def follow_and(do: Callable[[], object]) -> None:
        with follow(path, Deadline.after(20)) as follower:
            for _ in follower:
                do()

    with pytest.raises(LabFault, match="another file took its place"):
        follow_and(lambda: write_etl(path, counts(50), open_session))
    with pytest.raises(LabFault, match="it was removed"):
        follow_and(path.unlink)
    data = build_etl(counts(100), open_session)
    with pytest.raises(
        LabFault, match=rf"it has {len(data) // 2} bytes, after {len(data)}; whoever writes it began anew"
    ):
        followed([data, data[: len(data) // 2]])


@pytest.mark.parametrize("data", [b"MZ" + bytes(5000), b"\xff" * 5000, (100).to_bytes(4, "little") + bytes(500)])
def test_what_is_no_trace_is_refused(data: bytes) -> None:
    with pytest.raises(UsageError, match="not an ETL file"):
        followed([b"", data])


def test_a_trace_that_never_begins_runs_into_the_deadline(tmp_path: Path) -> None:
    with (
        pytest.raises(DeadlineExpired, match="to be begun: nobody writes it"),
        follow(tmp_path / "never.etl", Deadline.after(5), alive=lambda: "nobody writes it"),
    ):
        pass
    with pytest.raises(UsageError, match="No such file"):
        FileSource(tmp_path / "never.etl")
    with pytest.raises(UsageError, match="it is no file"):
        FileSource(tmp_path)


def test_damage_is_told_once_and_where_it_is() -> None:
    states = [bytearray(state) for state in states_of(counts(300), SESSION)]
    at = 3 * 2048 + 72
    for state in states:
        if len(state) > at:
            state[at + 3] = 0
    tables, follower = followed([bytes(state) for state in states])
    told = [(problem.code, problem.offset, problem.message[:9]) for problem in follower.problems]
    assert told == [("bad-event", at, "buffer 3:")]
    assert sum(map(len, tables)) == len(parse_etl(bytes(states[-1])).events)


# ---- Files ----


def test_a_file_is_followed_while_another_thread_writes_it(tmp_path: Path) -> None:
    """Every write is noticed: the reader is ready long before it would look by itself again."""
    path, rows = tmp_path / "growing.etl", counts(400)
    goes_on = threading.Semaphore(0)

    def write() -> None:
        with path.open("w+b", buffering=0) as stream, EtlWriter(stream, replace(SESSION, flush_every=50)) as writer:
            for begin in range(0, len(rows), 40):
                writer.write(rows[begin : begin + 40])
                assert goes_on.acquire(timeout=30)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        tables = []
        with follow(path, Deadline.after(60), watermark=NEVER_IDLE) as follower:
            for _ in range(12):
                goes_on.release()
            tables = list(follower)
    finally:
        goes_on.release(20)
        thread.join(30)
    assert events(tables)[1:] == whole(path.read_bytes())
    assert follower.late == 0


def test_a_change_ends_a_wait_at_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"1")
    with FileSource(path) as source, path.open("ab", buffering=0) as stream:
        begun = monotonic()
        source.wait(0.01)
        stream.write(b"2")
        source.wait(30)
        assert monotonic() - begun < 15
        assert (source.size(), source.read(0, 10)) == (2, b"12")
        source.close()
