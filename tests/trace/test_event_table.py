"""The event table: typed columns, nullable where an event lacks a field, files whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from hotswap.errors import LabFault
from hotswap.trace.etl import parse_etl
from hotswap.trace.export import export
from hotswap.trace.schema import EventSchema, Field, InType
from hotswap.trace.table import EventTable
from hotswap.trace.tracelogging import Provider
from hotswap.trace.writer import EventRow, build_etl

FIRST, SECOND = Provider.named("First"), Provider.named("Second")
A = EventSchema(
    "A", (Field("Worker", InType.UINT32), Field("Mask", InType.HEXINT64), Field("Text", InType.UNICODESTRING))
)
B = EventSchema("B", (Field("Worker", InType.UINT32), Field("Text", InType.INT32), Field("Level", InType.UINT8)))
C = EventSchema("A", (Field("Worker", InType.UINT32),))
GUID = EventSchema("G", (Field("Id", InType.GUID), Field("Raw", InType.BINARY), Field("When", InType.SYSTEMTIME)))


def table() -> EventTable:
    rows = [
        EventRow(10, 0, 1, 5, FIRST, A, {"Worker": 1, "Mask": 2**64 - 1, "Text": "one"}, level=4),
        EventRow(20, 0, 1, 6, FIRST, B, {"Worker": 2, "Text": -7, "Level": 9}, level=5, keyword=2**63),
        EventRow(30, 0, 1, 5, FIRST, A, {"Worker": 3, "Mask": 0, "Text": "drei"}),
        EventRow(40, 0, 1, 5, SECOND, C, {"Worker": 4}),
        EventRow(50, 0, 1, 5, SECOND, GUID, {"Id": FIRST.guid.bytes_le, "Raw": b"\x01\x02", "When": bytes(16)}),
    ]
    return parse_etl(build_etl(rows)).events


def test_columns_have_the_fields_own_types() -> None:
    events = table().events("A", FIRST.guid)
    assert events.rows.tolist() == [1, 3]
    assert events.tick.tolist() == [10, 30]
    assert events.tid.tolist() == [5, 5]
    assert events["Mask"].tolist() == [2**64 - 1, 0]
    assert events["Text"].tolist() == ["one", "drei"]
    numbers = table().events("B")
    assert numbers["Text"].dtype == np.dtype("<i4")
    assert numbers["Level"].dtype == np.dtype("u1")


def test_events_of_one_name_and_two_schemas_share_common_fields() -> None:
    events = table().events("A")
    assert events.rows.tolist() == [1, 3, 4]
    assert list(events.fields) == ["Worker"]
    assert [int(v) for v in events["Worker"]] == [1, 3, 4]


def test_an_unknown_name_has_no_rows() -> None:
    events = table().events("Nothing")
    assert len(events) == 0
    with pytest.raises(KeyError):
        events["Worker"]


def test_parquet_has_one_nullable_typed_column_per_field(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    export(table(), path, "parquet")
    whole = pq.read_table(path)
    assert whole.slice(0, 1).to_pylist()[0]["event"] == "EventTrace"
    read = whole.slice(1).to_pydict()
    assert read["event"] == ["A", "B", "A", "A", "G"]
    assert read["provider"] == ["First"] * 3 + ["Second"] * 2
    assert read["Worker"] == [1, 2, 3, 4, None]
    assert read["Mask"] == [2**64 - 1, None, 0, None, None]
    assert read["Text"] == ["one", None, "drei", None, None]
    assert read["B.Text"] == [None, -7, None, None, None]
    assert read["B.Level"] == [None, 9, None, None, None]
    assert read["level"] == [4, 5, 4, 4, 4]
    assert read["keyword"][1] == 2**63
    assert read["Id"][4] == str(FIRST.guid)
    assert read["Raw"][4] == b"\x01\x02"
    names = [name.lower() for name in read]
    assert len(set(names)) == len(names)
    assert [path.name for path in tmp_path.iterdir()] == ["events.parquet"]


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hotswap.trace.export.pq.ParquetWriter.write_table", full)
    with pytest.raises(LabFault, match="No space left"):
        export(table(), tmp_path / "events.parquet", "parquet")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(LabFault, match=r"writing .*none"):
        export(table(), tmp_path / "none" / "events.parquet", "parquet")


def test_a_short_payload_is_counted_not_decoded() -> None:
    data = build_etl([EventRow(10, 0, 1, 5, FIRST, B, {"Worker": 2, "Text": -7, "Level": 9})])
    at = data.index(FIRST.guid.bytes_le) - 24
    size = int.from_bytes(data[at : at + 2], "little") - 4
    events = parse_etl(data[:at] + size.to_bytes(2, "little") + data[at + 2 :]).events
    assert (len(events.events("B")), events.events("B").malformed) == (0, 1)
    assert events.row(1)["fields"] is None
