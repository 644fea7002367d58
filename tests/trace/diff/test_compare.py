"""Two traces differ in what was changed, in nothing else, and not in what differs from run to run."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.errors import UsageError
from hotswap.trace.diff.compare import Change, Comparison, compare
from hotswap.trace.diff.meaning import Fickle, Meaning, Side, fickle
from hotswap.trace.etl import parse_etl
from hotswap.trace.schema import EventSchema, Field, InType, OutType, Shape
from hotswap.trace.tracelogging import Provider
from hotswap.trace.writer import EventRow, Session, build_etl
from support.swap_trace import Event, Run, good_run

PROVIDER = Provider.named("HotSwap.Diff")
POINT = Field("Where", InType.STRUCT, fields=(Field("X", InType.INT32), Field("Name", InType.UNICODESTRING)))
STEP = EventSchema(
    "Step",
    (
        Field("Number", InType.UINT64),
        Field("Name", InType.UNICODESTRING),
        Field("Id", InType.GUID),
        Field("Load", InType.DOUBLE),
        Field("Raw", InType.BINARY),
        Field("List", InType.INT16, shape=Shape.VARIABLE),
        POINT,
        Field("StartTime", InType.FILETIME),
        Field("ThreadId", InType.UINT32),
        Field("Object", InType.POINTER),
    ),
)
NOTE = EventSchema("Note", (Field("Text", InType.ANSISTRING),))


def values(number: int) -> dict[str, object]:
    return {
        "Number": number, "Name": f"step {number % 7}", "Id": UUID(int=number % 5).bytes_le, "Load": number / 3,
        "Raw": bytes([number % 3]), "List": list(range(number % 4)),
        "Where": {"X": -number, "Name": "ü" * (number % 3)},
        "StartTime": 1000 + number, "ThreadId": 4 * number, "Object": 0xFFFF0000 + number,
    }  # fmt: skip


def rows(count: int = 60, threads: int = 3) -> list[EventRow]:
    found = []
    for i in range(count):
        schema, fields = (NOTE, {"Text": "idle"}) if i % 4 == 3 else (STEP, values(i))
        found.append(EventRow(1000 + 100 * i, 0, 7, 100 + i % threads, PROVIDER, schema, fields))
    return found


def side(events: list[EventRow], **session: object) -> Side:
    table = parse_etl(build_etl(sorted(events, key=lambda row: row.tick), Session(**session))).events  # type: ignore[arg-type]
    return Side(table, np.flatnonzero(table.providers == PROVIDER.guid))


def of_run(run: Run) -> Side:
    table = run.etl().events
    return Side(table, np.flatnonzero(table.recorded))


def told(found: Comparison) -> list[tuple[Change, int, int]]:
    return [(difference.change, len(difference.a), len(difference.b)) for difference in found.differences]


def test_time_threads_processes_addresses_and_cpus_do_not_matter() -> None:
    a, b = rows(), []
    for i, row in enumerate(rows()):
        fresh = {"StartTime": 99 + i, "ThreadId": i, "Object": i} if row.schema is STEP else {}
        b.append(replace(row, tick=row.tick * 3 + 777, pid=9, tid=row.tid * 8, cpu=i % 2, values=row.values | fresh))
    found = compare(side(a), side(b, processors=2), Meaning())
    assert found.equal
    assert found.counts == ()
    assert {name for names in found.tokens.ignored.values() for name in names} == {
        "Step.StartTime", "Step.ThreadId", "Step.Object",
    }  # fmt: skip
    for kind, field in (("time", "StartTime"), ("ids", "ThreadId"), ("addresses", "Object")):
        assert found.tokens.ignored[kind] == {f"Step.{field}"}
        asked = compare(side(a), side(b, processors=2), Meaning(frozenset({Fickle(kind)})))
        assert not asked.equal, f"{field} is compared when asked for"
    assert not compare(side(a), side(b, processors=2), Meaning(cpu=True)).equal


def test_how_threads_interleave_does_not_matter_but_their_own_order_does() -> None:
    a = rows()
    draw = random.Random(4)
    b = [replace(row, tick=1000 + 5000 * (row.tid - 100) + i) for i, row in enumerate(a)]
    assert compare(side(a), side(b), Meaning()).equal
    assert not compare(side(a), side(b), Meaning(), per="none").equal
    two = [i for i, row in enumerate(a) if row.tid == 101][3:5]
    a[two[0]], a[two[1]] = (replace(a[two[1]], tick=a[two[0]].tick), replace(a[two[0]], tick=a[two[1]].tick))
    draw.shuffle(a)
    assert told(compare(side(a), side(b), Meaning())) in (
        [(Change.REMOVED, 1, 0), (Change.ADDED, 0, 1)],
        [(Change.ADDED, 0, 1), (Change.REMOVED, 1, 0)],
    )


@pytest.mark.parametrize("field", [name for name in values(1) if name not in ("StartTime", "ThreadId", "Object")])
def test_a_field_that_differs_is_one_change_of_that_event(field: str) -> None:
    b = rows()
    b[21] = replace(b[21], values=b[21].values | {field: values(58)[field]})
    found = compare(side(rows()), side(b), Meaning())
    assert told(found) == [(Change.CHANGED, 1, 1)]
    (difference,) = found.differences
    assert difference.lane == "thread 7/100"
    assert found.counts == (("HotSwap.Diff/Step", 45, 45),)
    assert compare(side(rows()), side(b), Meaning(ignore=(field.lower(),))).equal
    assert compare(side(rows()), side(b), Meaning(ignore=(f"Step.{field}",))).equal


def test_a_field_to_ignore_that_there_is_not_is_told() -> None:
    with pytest.raises(UsageError, match=r"--ignore: the trace has no field 'Nmae' \(did you mean Name"):
        compare(side(rows()), side(rows()), Meaning(ignore=("Nmae",)))
    with pytest.raises(UsageError, match="--per Wroker: no event has such a field"):
        compare(side(rows()), side(rows()), Meaning(), per="Wroker")


Mutation = Callable[[Run, Event], list[tuple[Change, int, int]]]


def drop(run: Run, event: Event) -> list[tuple[Change, int, int]]:
    run.remove(event)
    return [(Change.REMOVED, 1, 0)]


def duplicate(run: Run, event: Event) -> list[tuple[Change, int, int]]:
    run.copy(event)
    return [(Change.ADDED, 0, 1)]


def retag(run: Run, event: Event) -> list[tuple[Change, int, int]]:
    event.fields["Version"] = 3 - event.fields["Version"]
    return [(Change.CHANGED, 1, 1)]


def rename(run: Run, event: Event) -> list[tuple[Change, int, int]]:
    event.name = {"IterationBegin": "EndpointWork"}.get(event.name, "IterationBegin")
    event.fields["Result"] = event.fields["Continue"] = 77
    return [(Change.CHANGED, 1, 1)]


@given(
    data=st.data(), mutate=st.sampled_from([drop, duplicate, retag, rename]), per=st.sampled_from(["thread", "Worker"])
)
@settings(max_examples=25, deadline=None)
def test_a_mutated_trace_shows_exactly_the_mutation(data: st.DataObject, mutate: Mutation, per: str) -> None:
    a, b = of_run(good_run(rounds=10)), good_run(rounds=10)
    candidates = [event for event in b.events if "Version" in event.fields and "Iteration" in event.fields]
    event = data.draw(st.sampled_from(candidates))
    where = (event.tick, event.tid, event.name)
    expected = mutate(b, event)
    found = compare(a, of_run(b), Meaning(), per=per)
    assert told(found) == expected
    (difference,) = found.differences
    for row in difference.a:
        assert (int(a.table.tick[row]), int(a.table.tid[row]), a.table.names[row]) == where


def test_a_delay_shows_only_when_times_are_compared_and_exceed_the_tolerance() -> None:
    a, b = of_run(good_run()), good_run()
    late = [event for event in b.events if event.name == "EndpointWork"][30]
    for event in b.events:
        event.tick += 5 if event.tick > late.tick else 0
    late.tick += 5
    assert compare(a, of_run(b), Meaning()).equal
    timed = Meaning(frozenset({Fickle.TIME}))
    assert compare(a, of_run(b), timed, tolerance=500, per="none").equal
    found = compare(a, of_run(b), timed, tolerance=499, per="none")
    assert told(found) == [(Change.TIME, 1, 1)]
    assert a.table.tick[found.differences[0].a[0]] + 5 == late.tick


def test_lanes_by_a_field_are_matched_by_its_value() -> None:
    a, b = rows(), rows()
    b = [replace(row, tid=200 + i % 5) for i, row in enumerate(b)]
    found = compare(side(a), side(b), Meaning(), per="Name")
    assert [lane.name for lane in found.lanes if lane.name.startswith("Name")] == [f"Name step {i}" for i in range(7)]
    assert all(lane.a == lane.b for lane in found.lanes if lane.name.startswith("Name"))
    assert all(lane.removed == lane.added == 0 for lane in found.lanes if lane.name.startswith("Name"))


def test_threads_with_no_partner_are_lanes_of_one_side() -> None:
    b = [row for row in rows() if row.tid != 102]
    found = compare(side(rows()), side(b), Meaning())
    assert told(found) == [(Change.REMOVED, 20, 0)]
    assert [lane.name for lane in found.lanes] == ["thread 7/100", "thread 7/101", "thread 7/102 of A"]


def test_payloads_without_a_schema_are_compared_by_their_bytes() -> None:
    def bare(events: list[EventRow]) -> Side:
        chosen = side(events)
        kinds = tuple(replace(kind, schema=None) for kind in chosen.table.kinds)
        return Side(replace(chosen.table, kinds=kinds), chosen.rows)

    found = compare(bare(rows()), bare(rows()), Meaning())
    assert found.equal
    assert found.tokens.undecoded == 120
    b = rows()
    b[5] = replace(b[5], values=b[5].values | {"Raw": b"x"})
    assert told(compare(bare(rows()), bare(b), Meaning())) == [(Change.CHANGED, 1, 1)]


@pytest.mark.parametrize(
    ("described", "kind"),
    [
        (Field("Started", InType.FILETIME), Fickle.TIME),
        (Field("When", InType.UINT64, OutType.DATETIME_UTC), Fickle.TIME),
        (Field("InitialTime", InType.UINT64), Fickle.TIME),
        (Field("duration_ns", InType.UINT64), Fickle.TIME),
        (Field("Runtime", InType.UINT64), None),
        (Field("Timeout", InType.INT64), None),
        (Field("ProcessID", InType.UINT32), Fickle.IDS),
        (Field("TThreadId", InType.UINT32), Fickle.IDS),
        (Field("hostPid", InType.INT32), Fickle.IDS),
        (Field("Owner", InType.UINT32, OutType.TID), Fickle.IDS),
        (Field("Grid", InType.UINT32), None),
        (Field("ThreadName", InType.UNICODESTRING), None),
        (Field("Anything", InType.POINTER), Fickle.ADDRESSES),
        (Field("FileObject", InType.UINT64), Fickle.ADDRESSES),
        (Field("Object", InType.UINT8), None),
        (Field("Database", InType.UINT64), None),
    ],
)
def test_which_fields_differ_from_run_to_run(described: Field, kind: Fickle | None) -> None:
    assert fickle(described) is kind
