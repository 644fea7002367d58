"""Exports in Perfetto's own trace processor: it must find in them what was written, and nothing to complain of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made import HOSTILE, SESSION, rows
from perfetto.common.exceptions import PerfettoException

from hotswap.report.perfetto import write_perfetto
from hotswap.trace.etl import parse_etl, read_etl
from hotswap.trace.export import export_timeline
from hotswap.trace.shape import Loss
from hotswap.trace.span_kinds import Pair
from hotswap.trace.spans import SpanFinder
from hotswap.trace.table import EventTable
from hotswap.trace.writer import build_etl
from support.real_samples import samples_folder
from support.reports import passed
from support.tables import pieces
from support.trace_processor import TraceProcessor

SLICES = "select count(*) as n, sum(dur < 0) as open, sum(iif(dur > 0, dur, 0)) as total from slice"


def exported(table: EventTable, folder: Path, kind: str, parts: int = 1, **more: object) -> bytes:
    path = folder / f"out.{kind}"
    export_timeline(lambda: pieces(table, parts), path, kind, unix_ns=1_735_526_400_000_000_000, **more)  # type: ignore[arg-type]
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["perfetto", "chrome"])
def test_all_that_was_written_is_found(processor: TraceProcessor, tmp_path: Path, kind: str) -> None:
    table = parse_etl(build_etl(sorted(rows(), key=lambda row: row.tick), SESSION)).events
    data = exported(table, tmp_path, kind, 3, pairs=[Pair.parse("Idle:Note")], losses=[Loss(None, 70_000, "lost")])
    processor.load(data)
    assert processor.complaints() == {}
    kernel = 0 if kind == "perfetto" else 60
    spans, instants = 41, 30 + kernel
    (slices,) = processor.query(SLICES)
    calls = 20 * (6000 + 2000)
    assert slices == {"n": spans + instants + 2, "open": 1, "total": calls + 10_000 + 69_500}
    named = (
        "select thread.name as name, process.name as process, tid from thread join process using (upid) where tid = 601"
    )
    assert [row["process"] for row in processor.query(named)] == ["app.exe"]
    depths = (
        "select max(depth) as d from slice join thread_track on track_id = thread_track.id where slice.name = 'Call'"
    )
    assert processor.value(depths) == 1, "calls nest on their thread"
    assert processor.value("select count(*) from flow") == 3
    text = "select display_value from args where flat_key = '{}.Text' and display_value like 'na%'"
    prefix = "debug" if kind == "perfetto" else "args"
    assert processor.query(text.format(prefix)) == [{"display_value": HOSTILE}]
    if kind == "perfetto":
        assert processor.value("select count(*) from sched") == 40
        ran = "select sum(dur) from sched join thread using (utid) where tid = 601 and dur > 0"
        assert processor.value(ran) == 20 * 6500
        assert (
            processor.value(
                "select count(*) from slice s join track t on s.track_id = t.id where t.name = 'Lost events'"
            )
            == 1
        )


def test_the_trace_of_a_swap_run_is_found_as_it_was_drawn(processor: TraceProcessor) -> None:
    run = passed()
    processor.load(write_perfetto(run.etl(), run.witnesses))
    assert processor.complaints() == {}
    iterations = "select count(*) as n, sum(dur) as total from slice where name in ('v1', 'v2')"
    begins = run.find("IterationBegin")
    keyed = {(e["Worker"], e["Iteration"]): e.tick for e in begins}
    total = sum(e.tick - keyed[e["Worker"], e["Iteration"]] for e in run.find("IterationEnd")) * 100
    assert processor.query(iterations) == [{"n": len(begins), "total": total}]
    assert processor.value("select count(*) from slice where dur < 0") == 0
    assert processor.value("select count(*) from flow") > 100
    assert processor.value("select count(*) from counter") > 200
    names = {row["name"] for row in processor.query("select name from thread where name like 'worker %'")}
    assert len(names) == 6
    assert processor.value("select name from process where pid = 1234") == "driver host"


def test_a_file_that_was_cut_has_fewer_events_and_broken_json_none(processor: TraceProcessor, tmp_path: Path) -> None:
    """What the other tests rest on: the processor says nothing of a cut file, so that they count."""
    table = parse_etl(build_etl(sorted(rows(), key=lambda row: row.tick), SESSION)).events
    data = exported(table, tmp_path, "perfetto")
    processor.load(data[: len(data) // 2])
    assert processor.complaints() == {}
    assert 0 < processor.value("select count(*) from slice") < 50
    with pytest.raises(PerfettoException):
        processor.load(b'{"traceEvents":[{"ph":')


@pytest.mark.parametrize("name", ["kernel-clr-compressed-8cpu", "eventsource-compressed-ptr4", "tl-kernel-lxcore"])
def test_real_traces_are_found_whole(processor: TraceProcessor, tmp_path: Path, name: str) -> None:
    folder = samples_folder()
    if folder is None:
        pytest.skip("real samples: not run")
    table = read_etl(folder / f"{name}.etl").events
    processor.load(exported(table, tmp_path, "perfetto"))
    assert processor.complaints() == {}
    finder = SpanFinder()
    finder.add(table)
    spans = finder.spans()
    recorded, ended = int(np.count_nonzero(table.recorded)), int(np.count_nonzero(spans.end >= 0))
    (slices,) = processor.query(SLICES)
    lasted = table.ns[spans.end] - table.ns[spans.begin]
    assert slices == {
        "n": recorded - ended, "open": len(spans) - ended, "total": int(lasted[spans.end >= 0].sum()),
    }  # fmt: skip
