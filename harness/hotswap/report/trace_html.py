"""The report of any trace: one file, offline. Its head and losses, the timeline, latencies, and its events by kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from hotswap.report.format import count, seconds
from hotswap.report.html import COMMON, Figure, page_parts, templates
from hotswap.report.packing import json_for_script
from hotswap.report.trace_data import trace_page
from hotswap.trace.clock import FILETIME_UNIX_EPOCH
from hotswap.trace.etl import EtlFile
from hotswap.trace.shape import Loss, Shape
from hotswap.trace.source import ChosenEvents
from hotswap.trace.span_kinds import Pair
from hotswap.trace.stats import Counted, EventCounter
from hotswap.trace.table import EventTable
from hotswap.trace.threads import distinct_threads

Ints = NDArray[np.int64]

STYLES = ("theme.css", "page.css", "figures.css", "timeline.css", "trace.css", "print.css")
SCRIPTS = (
    *COMMON, "trace/model.js", "trace/draw.js", "trace/timeline.js", "trace/search.js", "trace/table.js",
    "trace/latency.js", "trace/page.js",
)  # fmt: skip
MOST_EVENTS = 2_000_000
"""What a browser holds with ease; of more, the first are shown."""
_MOST_KINDS = 300
_MOST_LISTED = 50
_CLOCKS = {0: "raw", 1: "performance counter", 2: "system time", 3: "CPU cycles"}


@dataclass(frozen=True, slots=True)
class KindRow:
    """A line of the table of kinds."""

    provider: str
    name: str
    counted: Counted


def write_trace_report(
    source: ChosenEvents, *, pairs: Sequence[Pair] = (), losses: Sequence[Loss] = (), command: str = ""
) -> str:
    """The report as HTML. Raises UsageError for a pair that there is not."""
    etl = source.etl
    table, rows, left_out = source.first(MOST_EVENTS)
    shape = Shape.of(lambda: [(table, rows)], pairs, losses)
    page = trace_page(table, rows, shape)
    kinds = _kinds(table, rows)
    return templates().get_template("trace.html.j2").render(
        etl=etl,
        figures=_figures(etl, table, rows, shape, kinds),
        facts=_facts(etl),
        kinds=kinds[:_MOST_KINDS],
        more_kinds=len(kinds) - _MOST_KINDS,
        losses=shape.losses[:_MOST_LISTED],
        more_losses=len(shape.losses) - _MOST_LISTED,
        problems=etl.problems[:_MOST_LISTED],
        more_problems=len(etl.problems) - _MOST_LISTED,
        left_out=left_out,
        shown=len(rows),
        count=count,
        seconds=seconds,
        command=command,
        meta=Markup(json_for_script(page.meta)),
        columns=page.columns,
        **page_parts(STYLES, SCRIPTS),
    )  # fmt: skip


def _kinds(table: EventTable, rows: Ints) -> list[KindRow]:
    counter = EventCounter("event")
    counter.add(table, rows)
    found = []
    for counted in counter.counted():
        provider, _, name = counted.key.partition("/")
        found.append(KindRow(provider, name, counted))
    return found


def _figures(etl: EtlFile, table: EventTable, rows: Ints, shape: Shape, kinds: Sequence[KindRow]) -> list[Figure]:
    span = (shape.last_ns - shape.first_ns) / 1e9
    lost = etl.loss.describe()
    own = rows[table.owner_tid[rows] >= 0]
    pids = np.unique(table.owner_pid[own])
    threads = len(distinct_threads(table.owner_pid[own], table.owner_tid[own])[0])
    rate = len(rows) / span if span else 0
    providers = len({kind.provider for kind in kinds})
    return [
        Figure("Events", count(len(rows)), f"{_rate(rate)} a second" if span else ""),
        Figure("Time", seconds(span) if span else "none", _when(etl)),
        Figure("Lost", "something" if lost else "nothing", lost or "that the file knows of"),
        Figure("Kinds", count(len(kinds)), f"of {_many(providers, 'provider')}"),
        Figure(
            "Threads",
            count(threads),
            f"of {_many(len(pids), 'process', 'processes')}, on {_many(etl.header.processors, 'CPU')}",
        ),
    ]


def _rate(value: float) -> str:
    return count(round(value)) if value >= 10 else f"{value:.2g}"


def _many(number: int, one: str, more: str = "") -> str:
    return f"{count(number)} {one if number == 1 else more or one + 's'}"


def _when(etl: EtlFile) -> str:
    start = (etl.header.clock.start_time - FILETIME_UNIX_EPOCH) / 1e7
    try:
        begun = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=start)
    except OverflowError:
        return ""
    return f"begun {begun:%Y-%m-%d %H:%M:%S} UTC"


def _facts(etl: EtlFile) -> list[tuple[str, str]]:
    header = etl.header
    clock = _CLOCKS.get(header.clock_type, str(header.clock_type))
    return [
        ("File", str(etl.path)),
        ("Session", header.logger_name),
        ("State", "closed" if etl.closed else "not closed, or cut"),
        ("System", f"Windows build {header.os_build}, {header.processors} CPUs, {8 * header.pointer_size}-bit writer"),
        ("Clock", f"{clock}, {count(header.clock.frequency)} ticks a second"),
        ("Buffers", f"{count(len(etl.buffers))} of {count(header.buffer_size)} bytes"),
        ("Headers", ", ".join(f"{count(number)} {name}" for name, number in etl.header_types().items())),
    ]
