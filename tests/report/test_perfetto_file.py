"""The Perfetto file of a run, read back with Perfetto's own descriptions of it."""

from __future__ import annotations

from collections import Counter

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TracePacket, TrackEvent

from hotswap.report.model import TraceModel
from hotswap.report.perfetto import write_perfetto
from hotswap.swap.swap_trace import SwapTrace
from hotswap.trace.etl import parse_etl
from hotswap.trace.writer import build_etl
from support.reports import failed, passed, refused
from support.swap_trace import Run


class Reading:
    """The file with its names resolved: tracks by uuid, events in the order of the file."""

    def __init__(self, run: Run) -> None:
        self.trace = Trace()
        self.trace.ParseFromString(write_perfetto(run.etl(), run.witnesses))
        self.tracks: dict[int, str] = {}
        self.names: dict[int, str] = {}
        self.fields: dict[int, str] = {}
        for packet in self.trace.packet:
            if packet.HasField("track_descriptor"):
                told = packet.track_descriptor
                self.tracks[told.uuid] = told.thread.thread_name or told.name or told.process.process_name
            self.names |= {item.iid: item.name for item in packet.interned_data.event_names}
            self.fields |= {item.iid: item.name for item in packet.interned_data.debug_annotation_names}
        self.events = [packet for packet in self.trace.packet if packet.HasField("track_event")]

    def of(self, kind: int, track: str = "") -> list[TracePacket]:
        return [
            packet
            for packet in self.events
            if packet.track_event.type == kind and self.tracks[packet.track_event.track_uuid].startswith(track)
        ]

    def name(self, packet: TracePacket) -> str:
        return self.names[packet.track_event.name_iid]


def test_every_iteration_is_a_slice_of_its_workers_thread_named_by_version() -> None:
    run = passed()
    reading = Reading(run)
    for worker in range(1, 7):
        slices = reading.of(TrackEvent.TYPE_SLICE_BEGIN, f"worker {worker} (")
        expected = Counter(f"v{e['Version']}" for e in run.find("IterationBegin", Worker=worker))
        assert Counter(map(reading.name, slices)) == expected
        assert len(reading.of(TrackEvent.TYPE_SLICE_END, f"worker {worker} (")) == len(slices)


def test_times_are_nanoseconds_in_order_and_slices_are_nested() -> None:
    run = passed()
    reading = Reading(run)
    table = run.etl().events
    first, base = int(table.tick[0]), int(table.ns[0])
    begins = sorted(e.tick for e in run.find("IterationBegin", Worker=2))
    told = [packet.timestamp for packet in reading.of(TrackEvent.TYPE_SLICE_BEGIN, "worker 2 (")]
    assert told == [base + (tick - first) * 100 for tick in begins]
    assert [p.timestamp for p in reading.events] == sorted(p.timestamp for p in reading.events)
    depth: Counter[int] = Counter()
    for packet in reading.events:
        event = packet.track_event
        change = {TrackEvent.TYPE_SLICE_BEGIN: 1, TrackEvent.TYPE_SLICE_END: -1}.get(event.type, 0)
        depth[event.track_uuid] += change
        assert depth[event.track_uuid] >= 0, "an end without its begin"
    assert set(depth.values()) == {0}


def test_signals_flow_to_the_iterations_they_woke() -> None:
    run = passed()
    reading = Reading(run)
    wakes = TraceModel(run.etl(), run.witnesses).wakes
    starts = [flow for packet in reading.events for flow in packet.track_event.flow_ids]
    ends = [flow for packet in reading.events for flow in packet.track_event.terminating_flow_ids]
    assert len(starts) == len(wakes.signal) > 100
    assert Counter(starts) == Counter(ends)
    assert max(Counter(starts).values()) == 1
    signals = [p for p in reading.of(TrackEvent.TYPE_INSTANT) if reading.name(p).startswith("signal worker")]
    assert len(signals) == len(run.find("SignalEnd"))


def test_swaps_hold_their_parts_and_a_refused_one_its_roll_back() -> None:
    run = refused()
    reading = Reading(run)
    names = [reading.name(packet) for packet in reading.of(TrackEvent.TYPE_SLICE_BEGIN, "Swaps")]
    swaps = SwapTrace(run.etl(), run.witnesses).swaps
    assert [name for name in names if name.startswith("swap ")] == [
        f"swap {swap.number}: v{swap.from_version} to v{swap.to_version}" for swap in swaps
    ]
    second = names[names.index("swap 2: v1 to v2") : names.index("swap 3: v1 to v2")]
    assert second[1:] == [
        "prepare",
        "drain",
        "switch",
        "release",
        "finish",
        "roll back",
        "drain",
        "roll back",
        "finish",
    ]


def test_an_iteration_without_an_end_stays_open() -> None:
    run = passed()
    run.remove(run.find("IterationEnd", Worker=1)[-1])
    reading = Reading(run)
    begun, ended = (
        len(reading.of(kind, "worker 1 (")) for kind in (TrackEvent.TYPE_SLICE_BEGIN, TrackEvent.TYPE_SLICE_END)
    )
    assert begun == ended + 1


def test_the_counter_of_waiting_signals_is_never_negative() -> None:
    values = [p.track_event.counter_value for p in Reading(failed()).of(TrackEvent.TYPE_COUNTER)]
    assert values[-1] == 0
    assert min(values) == 0
    assert max(values) >= 2


def test_an_empty_trace_gives_an_empty_file_that_is_read() -> None:
    trace = Trace()
    trace.ParseFromString(write_perfetto(parse_etl(build_etl([])), None))
    assert not [packet for packet in trace.packet if packet.HasField("track_event")]
