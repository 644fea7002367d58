"""Small traces for rules: made by the writer, read by the reader, and the same events as plain Python objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import strategies as st

from hotswap.trace.etl import parse_etl
from hotswap.trace.rules.evidence import Evidence, Loss
from hotswap.trace.rules.matched import View
from hotswap.trace.schema import EventSchema, Field, InType
from hotswap.trace.tracelogging import Provider
from hotswap.trace.writer import EventRow, Session, build_etl

PROVIDER = Provider.named("Rules.Test")
START = 1000
NAMES = ("A", "B", "C", "X")
_FIELDS = (Field("K", InType.UINT32), Field("V", InType.INT64), Field("S", InType.UNICODESTRING))


@dataclass(frozen=True)
class E:
    """One event; `row` is its row in the table."""

    name: str
    tick: int
    cpu: int = 0
    tid: int = 1
    k: int = 1
    v: int = 0
    s: str = ""
    row: int = -1


@dataclass
class Small:
    """A trace: its view, its events in table order, what is missing, and between which ticks it was recorded."""

    view: View
    events: list[E]
    losses: list[Loss] = field(default_factory=list)
    start: int = START
    end: int = START


def small(events: Sequence[E], losses: Sequence[Loss] = (), tail: int = 0) -> Small:
    """Make a trace. It is recorded from START to `tail` ticks after its last event."""
    ordered = sorted(events, key=lambda e: e.tick)
    rows = [
        EventRow(e.tick, e.cpu, 4, e.tid, PROVIDER, EventSchema(e.name, _FIELDS), {"K": e.k, "V": e.v, "S": e.s})
        for e in ordered
    ]
    table = parse_etl(build_etl(rows, Session(first_tick=START, processors=4))).events
    mine = [at for at in range(len(table)) if table.row(at)["event"] in NAMES]
    assert len(mine) == len(events)
    found = []
    for row in mine:
        content = table.row(row)
        fields = content["fields"]
        found.append(
            E(
                str(content["event"]), int(table.tick[row]), int(table.cpu[row]), int(table.tid[row]),
                fields["K"], fields["V"], fields["S"], row,
            )
        )  # fmt: skip
    end = max([START, *(e.tick for e in found)]) + tail
    return Small(View(table, Evidence(tuple(losses), START, end)), found, list(losses), START, end)


@st.composite
def traces(draw: st.DrawFn, *, ties: bool = True, losses: bool = True, most: int = 14) -> Small:
    """Events of few names, keys, values, threads and CPUs, at few ticks; sometimes with losses."""
    count = draw(st.integers(0, most))
    tick, events = START, []
    for _ in range(count):
        # Equal ticks are of one CPU, unless ties are wanted.
        step = draw(st.sampled_from((0, 1, 1, 2, 7) if ties else (1, 1, 2, 7)))
        tick += step
        events.append(
            E(
                draw(st.sampled_from(NAMES)), tick, draw(st.integers(0, 1)), draw(st.integers(1, 2)),
                draw(st.integers(1, 2)), draw(st.integers(0, 3)), draw(st.sampled_from(("", "a", "ab"))),
            )
        )  # fmt: skip
    lost = []
    if losses:
        for _ in range(draw(st.sampled_from((0, 0, 0, 1, 2)))):
            begin = draw(st.integers(START, tick + 2))
            end = draw(st.integers(begin, tick + 3))
            lost.append(Loss(begin, end, "lost", draw(st.sampled_from((None, None, 0, 1)))))
    return small(events, lost, draw(st.sampled_from((0, 0, 3, 20))))
