"""Arrow columns as events: any table comes back value by value, and what no event can hold is refused."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.errors import UsageError
from hotswap.trace.clock import FILETIME_UNIX_EPOCH
from hotswap.trace.etl import parse_etl
from hotswap.trace.table import EventTable
from hotswap.trace.tracelogging import Provider
from hotswap.trace.writer import arrow_batch, build_etl, write_etl
from support.etl_rows import SESSION
from support.foreign_readers import foreign_events

PROVIDER = Provider.named("HotSwap.Tests")
_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
_TYPES: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.int8(), st.integers(-(2**7), 2**7 - 1)),
    (pa.uint16(), st.integers(0, 2**16 - 1)),
    (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.float64(), st.floats(allow_nan=False)),
    (pa.bool_(), st.booleans()),
    (pa.string(), _text),
    (pa.large_string(), st.text("ab", max_size=9)),
    (pa.binary(), st.binary(max_size=9)),
    (pa.binary(4), st.binary(min_size=4, max_size=4)),
    (pa.list_(pa.int16()), st.lists(st.integers(-9, 9), max_size=4)),
    (pa.list_(pa.string()), st.lists(_text, max_size=3)),
    (pa.struct([("x", pa.uint8()), ("name", pa.string())]), st.fixed_dictionaries({"x": st.just(3), "name": _text})),
    (
        pa.list_(pa.struct([("y", pa.list_(pa.string())), ("z", pa.int64())])),
        st.lists(st.fixed_dictionaries({"y": st.lists(_text, max_size=2), "z": st.integers(0, 9)}), max_size=3),
    ),
]


def written(table: pa.Table, provider: Provider | None = PROVIDER) -> EventTable:
    """The events of a file made of it, without the file's own header event."""
    etl = parse_etl(build_etl(arrow_batch(table, provider), SESSION))
    assert etl.problems == ()
    return etl.events.take(np.flatnonzero(etl.events.recorded))


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    rows = draw(st.integers(0, 12))
    columns: dict[str, pa.Array] = {
        "tick": pa.array(sorted(draw(st.lists(st.integers(900, 2000), min_size=rows, max_size=rows)))),
        "cpu": pa.array(draw(st.lists(st.integers(0, 2), min_size=rows, max_size=rows)), pa.int32()),
        "tid": pa.array(draw(st.lists(st.integers(0, 2**32 - 2), min_size=rows, max_size=rows)), pa.int64()),
        "event": pa.array(draw(st.lists(st.sampled_from(["A", "Bb"]), min_size=rows, max_size=rows)), pa.string()),
        "keyword": pa.array(draw(st.lists(st.integers(0, 2**64 - 1), min_size=rows, max_size=rows)), pa.uint64()),
    }
    for index, (kind, values) in enumerate(draw(st.lists(st.sampled_from(_TYPES), max_size=5))):
        content = draw(st.lists(values | st.none(), min_size=rows, max_size=rows))
        columns[f"f{index}"] = pa.array(content, kind)
    table = pa.table(columns)
    return pa.concat_tables([table.slice(0, rows // 2), table.slice(rows // 2)])


@given(tables())
@settings(max_examples=80, deadline=None)
def test_a_table_comes_back_row_by_row(table: pa.Table) -> None:
    events = written(table)
    wanted = sorted(
        ((row["tick"], row["cpu"], at, row) for at, row in enumerate(table.to_pylist())), key=lambda each: each[:3]
    )
    assert len(events) == len(wanted)
    for index, (*_, row) in enumerate(wanted):
        event = events.row(index)
        assert (event["tick"], event["cpu"], event["tid"], event["event"]) == (
            row["tick"], row["cpu"], row["tid"], row["event"],
        )  # fmt: skip
        assert int(events.keyword[index]) == row["keyword"]
        expected = {name: value for name, value in row.items() if name.startswith("f") and value is not None}
        assert event["fields"] == expected


def test_what_the_table_of_a_file_gives_makes_the_same_events_again() -> None:
    """Also where two events have fields of one name and another type."""
    first = pa.table(
        {
            "tick": [1000, 1001, 1002],
            "provider": ["HotSwap.Tests", "Other", "Other"],
            "event": ["A", "B", "A"],
            "Text": pa.array(["one", None, "three"]),
            "B.Text": pa.array([None, 7, None]),
        }
    )
    again = written(first, None)
    names = [(kind.provider_name, kind.name, kind.provider) for kind in (again.kinds[i] for i in again.kind.tolist())]
    assert names == [
        (name, event, Provider.named(name).guid)
        for name, event in (("HotSwap.Tests", "A"), ("Other", "B"), ("Other", "A"))
    ]
    assert [again.row(i)["fields"] for i in range(3)] == [{"Text": "one"}, {"Text": 7}, {"Text": "three"}]
    twice = written(again.to_arrow(), None)
    assert [twice.row(i) for i in range(3)] == [again.row(i) for i in range(3)]


def test_times_become_file_times() -> None:
    when = dt.datetime(2026, 3, 1, 12, 30, 1, 500, tzinfo=dt.UTC)
    table = pa.table({"tick": [1000], "event": ["A"], "when": pa.array([when], pa.timestamp("us", "UTC"))})
    fields = written(table).row(0)["fields"]
    assert fields == {"when": int(when.timestamp()) * 10_000_000 + 5000 + FILETIME_UNIX_EPOCH}


def test_others_read_a_table_of_many_events(tmp_path: Path) -> None:
    count = 3000
    table = pa.table(
        {
            "tick": np.arange(count) + 1000,
            "cpu": np.arange(count) % 3,
            "event": pa.array(["A", "B", "C"] * (count // 3)).dictionary_encode(),
            "Name": pa.array([f"worker {i % 64}" for i in range(count)]),
        }
    )
    write_etl(tmp_path / "table.etl", arrow_batch(table, PROVIDER), SESSION)
    found = foreign_events("dissect", tmp_path / "table.etl")[1:]
    assert sorted(int(words[2]) for words in found) == table["tick"].to_pylist()
    names = {int(words[2]): "worker".encode("utf-16-le").hex() in words[5] for words in found}
    assert all(names.values())


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"event": ["A"]}, "no column tick"),
        ({"tick": [1]}, "no column event"),
        ({"tick": [1, 2], "event": ["A", None]}, "column event has nulls"),
        ({"tick": [1, None], "event": ["A", "A"]}, "column tick has nulls"),
        ({"tick": [1], "event": ["A"], "x": pa.array([[[1]]])}, "no field of an event can hold"),
        ({"tick": [1], "event": ["A"], "x": pa.array([[b"1"]])}, "no field of an event can hold"),
        ({"tick": [1], "event": ["A"], "x": pa.array([[1, None]])}, "has nulls where"),
        ({"tick": [1], "event": ["A"], "x": pa.array([b"1" * 70_000])}, "70000 bytes"),
        ({"tick": [1], "event": ["A"], "x": pa.array([b"1" * 65_500])}, "65535 is the most"),
    ],
)
def test_what_no_event_can_hold_is_refused(columns: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        arrow_batch(pa.table(columns), PROVIDER)
    with pytest.raises(UsageError, match="no column"):
        arrow_batch(pa.table({"tick": [1], "event": ["A"]}))
