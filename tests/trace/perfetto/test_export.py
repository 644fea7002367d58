"""Any trace as a Perfetto file, read back with Perfetto's own description of it."""

from __future__ import annotations

from collections import Counter
from io import BytesIO

import numpy as np
import pytest
from made import HOSTILE, SESSION, rows
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TracePacket, TrackEvent

from hotswap.trace.etl import parse_etl
from hotswap.trace.perfetto.export import write_perfetto
from hotswap.trace.shape import Loss, Shape
from hotswap.trace.span_kinds import Pair
from hotswap.trace.table import EventTable
from hotswap.trace.writer import Session, build_etl
from support.tables import pieces

UNIX_NS = 1_735_526_400_000_000_000


def exported(table: EventTable, parts: int = 1, pairs: tuple[Pair, ...] = (), losses: tuple[Loss, ...] = ()) -> bytes:
    def tables() -> object:
        return pieces(table, parts)

    stream = BytesIO()
    shape = Shape.of(tables, pairs, losses)  # type: ignore[arg-type]
    written = write_perfetto(tables, shape, stream, unix_ns=UNIX_NS)  # type: ignore[arg-type]
    assert written == int(np.count_nonzero(table.recorded))
    return stream.getvalue()


class Reading:
    """The file with its names resolved, each before it is needed."""

    def __init__(self, data: bytes) -> None:
        self.trace = Trace()
        self.trace.ParseFromString(data)
        names: dict[tuple[str, int], str] = {}
        self.tracks: dict[int, str] = {}
        self.parents: dict[int, int] = {}
        self.events: list[tuple[TracePacket, str, dict[str, object]]] = []
        for packet in self.trace.packet:
            for kind in ("event_names", "debug_annotation_names", "event_categories"):
                names |= {(kind, item.iid): item.name for item in getattr(packet.interned_data, kind)}
            for item in packet.interned_data.debug_annotation_string_values:
                names["strings", item.iid] = item.str.decode()
            if packet.HasField("track_descriptor"):
                told = packet.track_descriptor
                self.parents[told.uuid] = told.parent_uuid
                self.tracks[told.uuid] = told.name or (
                    f"{told.thread.pid}/{told.thread.tid}" if told.HasField("thread") else told.process.process_name
                )
            if packet.HasField("track_event"):
                event = packet.track_event
                assert event.track_uuid in self.tracks
                fields = {
                    names["debug_annotation_names", item.name_iid]: names["strings", item.string_value_iid]
                    if item.HasField("string_value_iid")
                    else getattr(item, item.WhichOneof("value"))
                    for item in event.debug_annotations
                }
                name = names["event_names", event.name_iid] if event.name_iid else ""
                assert event.type == TrackEvent.TYPE_SLICE_END or names["event_categories", event.category_iids[0]]
                self.events.append((packet, name, fields))

    def counts(self) -> Counter[tuple[str, str, str]]:
        types = {TrackEvent.TYPE_SLICE_BEGIN: "begin", TrackEvent.TYPE_SLICE_END: "end", TrackEvent.TYPE_INSTANT: "at"}
        return Counter(
            (types[packet.track_event.type], self.tracks[packet.track_event.track_uuid], name)
            for packet, name, _ in self.events
        )


@pytest.fixture(scope="module")
def table() -> EventTable:
    return parse_etl(build_etl(sorted(rows(), key=lambda row: row.tick), SESSION)).events


def test_every_event_is_there_once_on_its_track(table: EventTable) -> None:
    reading = Reading(exported(table))
    switches = sum(len(packet.etw_events.event) for packet in reading.trace.packet)
    assert switches == 60
    assert len(reading.events) + switches == int(np.count_nonzero(table.recorded))
    assert reading.counts() == Counter({
        ("begin", "500/601", "Call"): 41, ("end", "500/601", ""): 40, ("at", "500/601", "Note"): 22,
        ("at", "500/602", "Note"): 3, ("at", "CPU 1", "PerfInfo/Sample"): 1, ("at", "500/602", "id 17"): 1,
        ("at", "500/603", "hook 0x0b01"): 1, ("at", "4/8", "ProcessInfo"): 1, ("at", "500/601", "Idle"): 1,
    })  # fmt: skip
    assert "app.exe" in reading.tracks.values()


def test_times_are_exact_and_in_order(table: EventTable) -> None:
    reading = Reading(exported(table))
    told = sorted(packet.timestamp for packet in reading.trace.packet if packet.timestamp)
    assert told == sorted(table.ns[table.recorded].tolist())
    of_events = [packet.timestamp for packet, _, _ in reading.events]
    assert of_events == sorted(of_events)
    (snapshot,) = [packet.clock_snapshot for packet in reading.trace.packet if packet.HasField("clock_snapshot")]
    assert {clock.clock_id: clock.timestamp for clock in snapshot.clocks} == {6: 0, 1: UNIX_NS}


def test_events_before_the_session_start_count_from_the_first(table: EventTable) -> None:
    early = parse_etl(
        build_etl(sorted(rows(), key=lambda row: row.tick), Session(first_tick=1000, processors=2))
    ).events
    reading = Reading(exported(early))
    ns = early.ns[early.recorded]
    assert ns.min() < 0
    assert sorted(p.timestamp for p in reading.trace.packet if p.timestamp or p.HasField("track_event")) == sorted(
        (ns - ns.min()).tolist()
    )
    (snapshot,) = [packet.clock_snapshot for packet in reading.trace.packet if packet.HasField("clock_snapshot")]
    assert {clock.clock_id: clock.timestamp for clock in snapshot.clocks} == {6: 0, 1: UNIX_NS + int(ns.min())}


def test_fields_keep_their_values_and_types(table: EventTable) -> None:
    reading = Reading(exported(table))
    first, second = [fields for _, name, fields in reading.events if name == "Note"][:2]
    assert first == {
        "Text": HOSTILE, "Load": 10 / 3, "Delta": -10, "Huge": 2**64 - 10, "Object": 0xFFFF8000_0000000A,
        "Ready": False, "Raw": "0a",
    }  # fmt: skip
    assert second["Text"] == "idle"
    begin = next(fields for packet, name, fields in reading.events if name == "Call")
    assert begin == {"Number": 0, "Status": "STATUS_UNSUCCESSFUL"}
    ends = [fields for packet, _, fields in reading.events if packet.track_event.type == TrackEvent.TYPE_SLICE_END]
    assert ends == [{}] * 40, "an end repeats no field of its begin"
    bare = next(fields for _, name, fields in reading.events if name == "id 17")
    assert bare == {"payload": "ab" * 128 + "…", "problem": "nothing describes its payload"}


def test_flows_go_from_an_activity_to_those_related_to_it(table: EventTable) -> None:
    reading = Reading(exported(table))
    flows = [(packet.timestamp, list(packet.track_event.flow_ids)) for packet, _, _ in reading.events]
    told = {ns: ids for ns, ids in flows if ids}
    assert [len(ids) for _, ids in sorted(told.items())] == [3, 1, 1, 1]
    assert min(told) == 300_000
    assert sorted(told[300_000]) == sorted(ids[0] for ns, ids in told.items() if ns > 300_000)


def test_pairs_that_are_asked_for_come_on_top(table: EventTable) -> None:
    reading = Reading(exported(table, pairs=(Pair.parse("Idle:Note"), Pair.parse("Note:Note"))))
    counts = reading.counts()
    assert counts["begin", "Idle → Note", "Idle → Note"] == counts["end", "Idle → Note", ""] == 1
    assert counts["begin", "Note → Note", "Note → Note"] == counts["end", "Note → Note", ""] == 24
    assert counts["at", "500/601", "Note"] == 22


def test_losses_have_a_track_and_lie_side_by_side_when_they_overlap(table: EventTable) -> None:
    losses = (
        Loss(None, None, "3 events, some time"),
        Loss(10_000, 20_000, "a buffer", 1),
        Loss(30_000, 40_000, "more", 1),
    )
    reading = Reading(exported(table, losses=losses))
    lost = [
        (packet.timestamp, packet.track_event.type, name, fields, packet.track_event.track_uuid)
        for packet, name, fields in reading.events
        if reading.tracks[packet.track_event.track_uuid] == "Lost events"
    ]
    begins = [(ns, name, fields) for ns, kind, name, fields, _ in lost if kind == TrackEvent.TYPE_SLICE_BEGIN]
    assert begins == [
        (500, "3 events, some time", {}), (10_000, "a buffer", {"cpu": 1}), (30_000, "more", {"cpu": 1}),
    ]  # fmt: skip
    assert len({track for *_, track in lost}) == 2
    assert sorted(ns for ns, kind, *_ in lost if kind == TrackEvent.TYPE_SLICE_END) == [20_000, 40_000, 400_000]


@pytest.mark.parametrize("parts", [2, 7, 50])
def test_a_trace_in_chunks_gives_the_same_events(table: EventTable, parts: int) -> None:
    pairs = (Pair.parse("Note:Note"),)
    whole, cut = (Reading(exported(table, count, pairs)) for count in (1, parts))

    def told(reading: Reading) -> list[tuple[object, ...]]:
        return [
            (packet.timestamp, packet.track_event.type, reading.tracks[packet.track_event.track_uuid], name, fields,
             sorted(packet.track_event.flow_ids))
            for packet, name, fields in reading.events
        ]  # fmt: skip

    assert told(cut) == told(whole)
    switches = [[str(p.etw_events) for p in r.trace.packet if p.HasField("etw_events")] for r in (whole, cut)]
    assert switches[0] == switches[1] != []


def test_a_trace_without_events_is_a_file_that_is_read() -> None:
    reading = Reading(exported(parse_etl(build_etl([])).events))
    assert reading.events == []
