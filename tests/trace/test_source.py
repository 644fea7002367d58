"""The chosen events of a file: those of a large one, read part by part, are those of a small one, read at once."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hotswap.errors import UsageError
from hotswap.trace import source
from hotswap.trace.etl import EtlFile, open_etl
from hotswap.trace.export import FORMATS, TIMELINES, export_tables, export_timeline
from hotswap.trace.latency import LatencyCollector
from hotswap.trace.losses import losses_of
from hotswap.trace.query import run_query
from hotswap.trace.schema import EventSchema, Field, InType
from hotswap.trace.select import Condition, Selection
from hotswap.trace.source import ChosenEvents, compact, joined, subset
from hotswap.trace.stats import EventCounter
from hotswap.trace.tracelogging import Provider
from hotswap.trace.writer import ClassicRow, EventRow, KernelRow, ManifestRow, Row, Session, build_etl
from hotswap.trace.writer.rows import LOST_EVENT_GUID

PROVIDER = Provider.named("HotSwap.Source")
WORK = EventSchema("WorkBegin", (Field("Worker", InType.UINT32), Field("Text", InType.UNICODESTRING)))
DONE = EventSchema("WorkEnd", (Field("Worker", InType.UINT64),))
LATE = EventSchema("Late", (Field("Worker", InType.INT32), Field("Raw", InType.BINARY)))


def rows() -> list[Row]:
    """Kinds and fields that only the first or the last parts have, kernel events, and bytes that nothing describes."""
    found: list[Row] = [KernelRow(20, 1, 0x0F2E, (300 + 1).to_bytes(8, "little") + (301).to_bytes(8, "little"))]
    for i in range(400):
        begin = {"Worker": i % 3, "Text": f"{i:04}" * 8}
        found.append(EventRow(100 + 10 * i, i % 2, 7, 300 + i % 3, PROVIDER, WORK, begin))
        found.append(EventRow(105 + 10 * i, i % 2, 7, 300 + i % 3, PROVIDER, DONE, {"Worker": i % 3}))
    found += [EventRow(5000 + i, 0, 7, 1, PROVIDER, LATE, {"Worker": -i, "Raw": bytes([i])}) for i in range(5)]
    found.append(ManifestRow(5100, 0, 7, 1, PROVIDER.guid, 4, b"what?"))
    return [*found, ClassicRow(5200, 1, 7, 1, LOST_EVENT_GUID, 32)]


@pytest.fixture
def etl(tmp_path: Path) -> EtlFile:
    path = tmp_path / "trace.etl"
    path.write_bytes(build_etl(sorted(rows(), key=lambda row: row.tick), Session(processors=2, buffer_size=4096)))
    return open_etl(path)


@contextmanager
def large() -> Iterator[None]:
    """Every file is a large one, of which some buffers are read at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "AT_ONCE", 0)
        patch.setattr(source, "PART_BUFFERS", 3)
        yield


SELECTIONS = (
    Selection(),
    Selection(["Work*"], conditions=[Condition.parse("Worker=1")]),
    Selection(["Late", "WorkEnd"]),
    Selection(after=300_000, before=520_000),
)


def test_a_large_file_is_really_read_in_parts(etl: EtlFile) -> None:
    with large():
        assert len(list(source.tables_of(etl))) > 5


@pytest.mark.parametrize("chosen", SELECTIONS)
@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_written_is_the_same(etl: EtlFile, tmp_path: Path, kind: str, chosen: Selection) -> None:
    def written(name: str) -> Path:
        events, path = ChosenEvents(etl, chosen), tmp_path / name
        if kind in TIMELINES:
            counted = export_timeline(events.tables, path, kind, unix_ns=0, losses=losses_of(etl))
        else:
            counted = export_tables(events.numbered, path, kind)
        assert counted == sum(len(rows) for _, rows in events.tables()) > 0
        return path

    small = written("small")
    with large():
        big = written("big")
    if kind in ("parquet", "arrow"):
        read = pq.read_table if kind == "parquet" else lambda path: pa.ipc.open_file(path).read_all()
        assert read(big).cast(read(small).schema).equals(read(small))
    elif kind == "perfetto":
        # Names are interned when they are first met, so that only events can be compared (perfetto/test_export.py).
        assert big.stat().st_size >= small.stat().st_size > 1000
    elif kind == "csv":
        assert big.read_text() == small.read_text()
    else:
        assert sorted(big.read_text().replace("\n]", ",\n]").splitlines()) == sorted(
            small.read_text().replace("\n]", ",\n]").splitlines()
        )


@pytest.mark.parametrize("chosen", SELECTIONS[:2])
def test_counts_and_latencies_are_the_same(etl: EtlFile, chosen: Selection) -> None:
    def told() -> tuple[object, ...]:
        events = ChosenEvents(etl, chosen)
        counters = [EventCounter(by) for by in ("event", "provider", "cpu", "thread", "Worker")]
        collector = LatencyCollector("WorkBegin", "WorkEnd", ["Worker"])
        for table, rows in events.tables():
            collector.add(table, rows)
            for counter in counters:
                counter.add(table, rows)
        found = collector.result()
        return [counter.counted() for counter in counters], found.nanoseconds.tolist(), found.by_key()

    small = told()
    with large():
        assert told() == small


def test_answers_are_the_same_and_leave_nothing(etl: EtlFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    query = "select row, time, event, Worker, Text, Raw, problem from events order by row"
    small = run_query(ChosenEvents(etl).numbered, query)
    with large():
        big = run_query(ChosenEvents(etl).numbered, query)
        with pytest.raises(UsageError, match="file system operations are disabled"):
            run_query(ChosenEvents(etl).numbered, f"copy events to '{tmp_path / 'stolen.csv'}'")
    assert big == small
    assert len(small.rows) == len(etl.events)
    assert [path.name for path in tmp_path.iterdir()] == ["trace.etl"]


def test_losses_are_the_same(etl: EtlFile) -> None:
    small = losses_of(etl)
    with large():
        assert losses_of(open_etl(etl.path)) == small
    assert [loss.what for loss in small] == ["a lost-event record tells of a loss"]


@pytest.mark.parametrize("most", [1, 7, 300, 10_000])
def test_the_first_events_are_the_same(etl: EtlFile, most: int) -> None:
    def told() -> tuple[list[object], int]:
        table, rows, left = ChosenEvents(etl, SELECTIONS[1]).first(most)
        events = [{**table.row(row), "row": 0, "owner": int(table.owner_tid[row])} for row in rows.tolist()]
        return json.loads(json.dumps(events, default=str)), left

    small = told()
    assert len(small[0]) == min(most, 266)
    with large():
        assert told() == small


def test_parts_of_tables_keep_their_events_and_whose_they_are(etl: EtlFile) -> None:
    table = etl.events
    chosen = np.arange(0, len(table), 3)
    halves = [compact(table, chosen[:100]), compact(table, chosen[100:])]
    for part in (subset(table, chosen), compact(table, chosen), joined(halves)):
        assert len(part) == len(chosen)
        for at, row in enumerate(chosen.tolist()):
            assert part.row(at) == table.row(row) | {"row": at}
        assert np.array_equal(part.owner_pid, table.owner_pid[chosen])
        assert np.array_equal(part.owner_tid, table.owner_tid[chosen])
    assert len(halves[0].data) < len(table.data) / 5
