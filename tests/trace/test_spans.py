"""Spans: what begins and ends them, what nests on a thread, and what needs a lane of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotswap.errors import UsageError
from hotswap.trace.etl import parse_etl
from hotswap.trace.schema import EventSchema, Field, InType
from hotswap.trace.span_kinds import Pair, base_name
from hotswap.trace.spans import SpanFinder, Spans
from hotswap.trace.table import EventTable
from hotswap.trace.tracelogging import Provider
from hotswap.trace.writer import EventRow, build_etl

MINE, OTHER = Provider.named("HotSwap.Spans"), Provider.named("HotSwap.Spans.Other")
KEY = (Field("Key", InType.UINT32),)


def made(events: Sequence[tuple[str, int, int]], *, opcodes: dict[str, int] | None = None) -> EventTable:
    """(name, thread, key): one every microsecond."""
    rows = [
        EventRow(10 * (i + 1), 0, 7, thread, MINE, EventSchema(name, KEY), {"Key": key},
                 opcode=(opcodes or {}).get(name, 0))
        for i, (name, thread, key) in enumerate(events)
    ]  # fmt: skip
    return parse_etl(build_etl(rows)).events


def spans_of(table: EventTable, *pairs: str, by_name: bool = True) -> Spans:
    finder = SpanFinder([Pair.parse(text) for text in pairs], by_name=by_name)
    finder.add(table)
    return finder.spans()


def told(spans: Spans) -> list[tuple[str, int, int, bool]]:
    """Name, begin, end (of the events, from 0), and whether it lies apart."""
    columns = (spans.task.tolist(), spans.begin.tolist(), spans.end.tolist(), spans.lane.tolist())
    return [
        (spans.tasks[task].name, begin - 1, end - 1 if end >= 0 else -1, lane >= 0)
        for task, begin, end, lane in zip(*columns, strict=True)
    ]


def test_names_that_end_alike_are_begin_and_end() -> None:
    events = [("WorkBegin", 1, 0), ("Read Start", 1, 0), ("Read Stop", 1, 0), ("LockEnter", 2, 0), ("LockExit", 2, 0)]
    events += [("WorkEnd", 1, 0), ("Append", 1, 0), ("JobStart", 1, 0), ("JobEnd", 1, 0), ("TheEnd", 1, 0)]
    assert told(spans_of(made(events))) == [
        ("Work", 0, 5, False), ("Read", 1, 2, False), ("Lock", 3, 4, False), ("Job", 7, 8, False),
    ]  # fmt: skip
    assert told(spans_of(made(events), by_name=False)) == []


def test_opcodes_begin_and_end_events_of_one_name() -> None:
    rows = [
        EventRow(10 * i, 0, 7, 1, provider, EventSchema("Parse", KEY), {"Key": 0}, opcode=opcode)
        for i, (provider, opcode) in enumerate([(MINE, 1), (OTHER, 1), (MINE, 2), (OTHER, 2), (MINE, 0)], 1)
    ]
    spans = spans_of(parse_etl(build_etl(rows)).events)
    assert [(begin, end) for _, begin, end, _ in told(spans)] == [(0, 2), (1, 3)]
    assert [task.provider for task in spans.tasks] == [MINE.name, OTHER.name]
    assert (spans.lane >= 0).all(), "they cross on one thread"


def test_what_nests_lies_on_its_thread_and_what_crosses_apart() -> None:
    nested = [("ABegin", 1, 0), ("BBegin", 1, 0), ("ABegin", 1, 0), ("AEnd", 1, 0), ("BEnd", 1, 0), ("AEnd", 1, 0)]
    assert told(spans_of(made(nested))) == [("A", 0, 5, False), ("B", 1, 4, False), ("A", 2, 3, False)]
    crossing = [("ABegin", 1, 0), ("BBegin", 1, 0), ("CBegin", 1, 0), ("CEnd", 1, 0), ("AEnd", 1, 0), ("BEnd", 1, 0)]
    assert told(spans_of(made(crossing))) == [("A", 0, 4, True), ("B", 1, 5, True), ("C", 2, 3, False)]


def test_a_begin_without_an_end_is_a_span_only_while_it_goes_on() -> None:
    events = [("ABegin", 1, 0), ("AEnd", 1, 0), ("ABegin", 1, 0), ("ABegin", 1, 0), ("AEnd", 1, 0), ("ABegin", 1, 0)]
    assert told(spans_of(made(events))) == [("A", 0, 1, False), ("A", 3, 4, False), ("A", 5, -1, False)]


def test_what_starts_here_and_stops_there_is_no_span_of_a_thread() -> None:
    events = [("ProcessStart", 1, 0), ("ProcessStart", 1, 0), ("ProcessStop", 2, 0), ("ProcessStop", 3, 0)]
    assert told(spans_of(made(events))) == []


def test_an_activity_carries_a_span_from_thread_to_thread() -> None:
    table = made([("ABegin", 1, 0), ("ABegin", 2, 0), ("AEnd", 3, 0), ("AEnd", 3, 0)])
    ids = np.array([UUID(int=i).bytes_le for i in (0, 5, 6, 6, 5)], "V16")
    table = dataclasses.replace(table)
    table.__dict__["activity"] = ids
    spans = spans_of(table)
    assert told(spans) == [("A", 0, 3, True), ("A", 1, 2, True)]
    assert spans.lane.tolist() == [0, 1], "they overlap"
    assert spans.lanes == ((7, 0), (7, 0))


def test_a_pair_that_is_asked_for_is_served_in_order_by_key() -> None:
    events = [
        ("Signal", 1, 1),
        ("Signal", 1, 2),
        ("Signal", 1, 1),
        ("Run", 2, 1),
        ("Run", 3, 1),
        ("Run", 4, 2),
        ("Run", 4, 3),
    ]
    spans = spans_of(made(events), "Signal:Run:Key")
    assert told(spans) == [("Signal → Run", 0, 3, True), ("Signal → Run", 1, 5, True), ("Signal → Run", 2, 4, True)]
    assert told(spans_of(made(events), "Signal:R*")) == [
        ("Signal → R*", 0, 3, True), ("Signal → R*", 1, 4, True), ("Signal → R*", 2, 5, True),
    ]  # fmt: skip
    again = spans_of(made([("Tick", 1, 0)] * 3), "Tick:Tick")
    assert told(again) == [("Tick → Tick", 0, 1, True), ("Tick → Tick", 1, 2, True)]
    assert again.lane.tolist() == [0, 0]


@pytest.mark.parametrize("text", ["A", "A:", ":B", "A:B:C:D"])
def test_what_is_no_pair_is_told(text: str) -> None:
    with pytest.raises(UsageError, match="is not BEGIN:END"):
        Pair.parse(text)


def test_a_pair_that_the_trace_does_not_have_is_told() -> None:
    table = made([("Signal", 1, 1), ("Run", 1, 1)])
    with pytest.raises(UsageError, match="no event 'Rnu'"):
        spans_of(table, "Signal:Rnu")
    with pytest.raises(UsageError, match="--pair: the trace has no field 'Kye'"):
        spans_of(table, "Signal:Run:Kye")


@given(
    st.lists(
        st.tuples(st.sampled_from(["ABegin", "AEnd", "BBegin", "BEnd"]), st.integers(1, 2), st.just(0)), max_size=24
    )
)
def test_on_every_track_spans_are_nested_and_none_is_lost(events: list[tuple[str, int, int]]) -> None:
    table = made(events)
    spans = spans_of(table)
    points: dict[object, list[tuple[int, int]]] = {}
    for number, (begin, end, lane) in enumerate(zip(spans.begin, spans.end, spans.lane, strict=True)):
        track = int(lane) if lane >= 0 else f"thread {table.tid[begin]}"
        points.setdefault(track, []).append((int(begin), number))
        if end >= 0:
            assert end > begin
            points[track].append((int(end), number))
    for found in points.values():
        opened: list[int] = []
        for _, number in sorted(found):
            if number in opened:
                assert opened.pop() == number
            else:
                opened.append(number)


@pytest.mark.parametrize(
    ("name", "base"),
    [("WorkBegin", "Work"), ("GC/Start", "GC"), ("task_STOP", "task"), ("Begin", "Begin"), ("Append", "Append"),
     ("Weekend", "Weekend"), ("io:end", "io"), ("Restart", "Restart")],
)  # fmt: skip
def test_names_without_their_ending(name: str, base: str) -> None:
    assert base_name(name) == base
