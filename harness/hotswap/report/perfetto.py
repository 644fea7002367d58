"""The run as a Perfetto trace (protobuf TrackEvent), for ui.perfetto.dev and trace_processor.

Tracks: one per worker thread with its iterations, named by version, and a flow from the signal that woke each; one per
signalling thread; one for the swaps with their parts nested; one for the rest of the host's events; a counter of the
accepted signals that wait for their iteration. Times are nanoseconds since the trace session started.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import (
    CounterDescriptor,
    Trace,
    TracePacket,
    TrackEvent,
)

from hotswap.report.model import TraceModel, swap_parts, worker_text
from hotswap.swap.swap_trace import END_OF_TIME
from hotswap.swap.witnesses import SwapWitnesses
from hotswap.trace.etl import EtlFile
from hotswap.trace.event_kind import LOG_FILE_HEADER
from hotswap.trace.expect import status_text

_SEQUENCE = 1
_PROCESS, _SWAPS, _HOST, _WAITING = 1, 2, 3, 4
_FIRST_THREAD = 100
_DRAWN = ("Signal", "Iteration", "Swap")


def write_perfetto(etl: EtlFile, witnesses: SwapWitnesses | None) -> bytes:
    """The trace file's content. An empty trace gives a valid file with no events."""
    return _Writer(TraceModel(etl, witnesses)).write()


class _Writer:
    def __init__(self, model: TraceModel) -> None:
        self.model = model
        self.table = model.table
        self.first = int(self.table.tick[0]) if len(self.table) else 0
        self.start = int(self.table.ns[0]) if len(self.table) else 0
        pids, counts = np.unique(self.table.pid[self.table.pid >= 0], return_counts=True)
        self.pid = int(pids[counts.argmax()]) if len(pids) else 0
        self.packets: list[tuple[int, bytes]] = []
        self.names: dict[str, int] = {}
        self.fields: dict[str, int] = {}
        self.tracks: dict[int, int] = {}

    def write(self) -> bytes:
        self._swaps()
        self._iterations()
        self._signals()
        self._others()
        self._waiting()
        head = Trace()
        head.packet.extend(self._descriptors())
        head.packet.append(self._interned())
        # A trace is its packets one after the other. The sort is stable: one moment keeps the order of writing.
        ordered = (content for _, content in sorted(self.packets, key=lambda item: item[0]))
        return bytes(head.SerializeToString()) + b"".join(ordered)

    def _ns(self, tick: int) -> int:
        return self.start + (tick - self.first) * 1_000_000_000 // self.table.frequency

    def _event(
        self,
        tick: int,
        kind: int,
        track: int,
        name: str = "",
        fields: Mapping[str, int | str] | None = None,
        *,
        flow: int = 0,
        ends_flow: int = 0,
        counter: int | None = None,
    ) -> None:
        trace = Trace()
        packet = trace.packet.add()
        packet.timestamp = self._ns(tick)
        packet.trusted_packet_sequence_id = _SEQUENCE
        packet.sequence_flags = TracePacket.SEQ_NEEDS_INCREMENTAL_STATE
        event = packet.track_event
        event.type = kind
        event.track_uuid = track
        if name:
            event.name_iid = self.names.setdefault(name, len(self.names) + 1)
        for field, value in (fields or {}).items():
            annotation = event.debug_annotations.add()
            annotation.name_iid = self.fields.setdefault(field, len(self.fields) + 1)
            if isinstance(value, str):
                annotation.string_value = value
            else:
                annotation.int_value = value if value < 1 << 63 else value - (1 << 64)
        if flow:
            event.flow_ids.append(flow)
        if ends_flow:
            event.terminating_flow_ids.append(ends_flow)
        if counter is not None:
            event.counter_value = counter
        self.packets.append((packet.timestamp, trace.SerializeToString()))

    def _thread(self, tid: int) -> int:
        return self.tracks.setdefault(tid, _FIRST_THREAD + len(self.tracks))

    def _swaps(self) -> None:
        for swap in self.model.trace.swaps:
            parts = swap_parts(swap)
            if not parts:
                continue
            title = f"swap {swap.number}: v{swap.from_version} to v{swap.to_version}"
            self._event(parts[0].first, TrackEvent.TYPE_SLICE_BEGIN, _SWAPS, title, {"outcome": str(swap.outcome)})
            for part in parts:
                self._event(part.first, TrackEvent.TYPE_SLICE_BEGIN, _SWAPS, part.name)
                if part.last is not None:
                    self._event(part.last, TrackEvent.TYPE_SLICE_END, _SWAPS)
            if parts[-1].last is not None:
                self._event(parts[-1].last, TrackEvent.TYPE_SLICE_END, _SWAPS)
            for step in swap.steps:
                if step.name == "FirstHeld":
                    tid = int(self.table.tid[step.row])
                    self._event(step.tick, TrackEvent.TYPE_INSTANT, self._thread(tid), "first call held")

    def _iterations(self) -> None:
        runs = self.model.trace.iterations
        woken_by = dict(zip(self.model.wakes.iteration.tolist(), self.model.wakes.signal.tolist(), strict=True))
        for i, (tick, end, tid) in enumerate(
            zip(runs.begin.tolist(), runs.end.tolist(), runs.tid.tolist(), strict=True)
        ):
            status = status_text(int(runs.status[i]), wait=True)
            self._event(
                tick, TrackEvent.TYPE_SLICE_BEGIN, self._thread(tid), f"v{int(runs.version[i])}",
                {"iteration": int(runs.iteration[i]), "wait_status": status}, ends_flow=woken_by.get(i, -1) + 1,
            )  # fmt: skip
            if end != END_OF_TIME:
                self._event(end, TrackEvent.TYPE_SLICE_END, self._thread(tid))

    def _signals(self) -> None:
        signals = self.model.trace.signals
        waking = set(self.model.wakes.signal.tolist())
        for i, row in enumerate(signals.begin_row.tolist()):
            worker, index = int(signals.worker[i]), int(signals.event[i])
            self._event(
                int(signals.begin[i]), TrackEvent.TYPE_INSTANT, self._thread(int(self.table.tid[row])),
                f"signal worker {worker}", {"event": index, "accepted": int(signals.accepted[i])},
                flow=i + 1 if i in waking else 0,
            )  # fmt: skip

    def _others(self) -> None:
        """Every other event with its fields: on its worker's thread when it is the worker's own, else on the host's."""
        kinds = [kind for kind in self.table.kinds if kind.hook != LOG_FILE_HEADER and not kind.name.startswith(_DRAWN)]
        names = {(kind.provider, kind.name) for kind in kinds}
        for provider, name in sorted(names, key=str):
            events = self.table.events(name, provider)
            columns = [(field, values.tolist()) for field, values in events.fields.items()]
            for i, (tick, tid) in enumerate(zip(events.tick.tolist(), events.tid.tolist(), strict=True)):
                fields = {field: v if isinstance(v := values[i], int) else str(v) for field, values in columns}
                track = self._thread(tid) if tid in self.model.threads else _HOST
                self._event(tick, TrackEvent.TYPE_INSTANT, track, name, fields)

    def _waiting(self) -> None:
        signals, runs, wakes = self.model.trace.signals, self.model.trace.iterations, self.model.wakes
        changes = [(int(tick), 1) for tick in signals.begin[wakes.signal]]
        changes += [(int(tick), -1) for tick in runs.begin[wakes.iteration]]
        waiting = 0
        for tick, change in sorted(changes, key=lambda item: (item[0], -item[1])):
            waiting += change
            self._event(tick, TrackEvent.TYPE_COUNTER, _WAITING, counter=waiting)

    def _descriptors(self) -> Iterable[TracePacket]:
        process = TracePacket()
        process.track_descriptor.uuid = _PROCESS
        process.track_descriptor.process.pid = self.pid
        process.track_descriptor.process.process_name = "driver host"
        yield process
        for uuid, name in ((_SWAPS, "Swaps"), (_HOST, "Host"), (_WAITING, "Accepted signals waiting")):
            track = TracePacket()
            track.track_descriptor.uuid = uuid
            track.track_descriptor.parent_uuid = _PROCESS
            track.track_descriptor.name = name
            if uuid == _WAITING:
                track.track_descriptor.counter.unit = CounterDescriptor.UNIT_COUNT
            yield track
        for tid, uuid in self.tracks.items():
            thread = TracePacket()
            thread.track_descriptor.uuid = uuid
            thread.track_descriptor.parent_uuid = _PROCESS
            thread.track_descriptor.thread.pid = self.pid
            thread.track_descriptor.thread.tid = tid
            thread.track_descriptor.thread.thread_name = self._thread_name(tid)
            yield thread

    def _thread_name(self, tid: int) -> str:
        worker = self.model.threads.get(tid)
        if worker is None:
            return f"thread {tid}"
        waits = worker_text(self.model.definition(worker))
        return f"worker {worker}" + (f" ({waits})" if waits else "")

    def _interned(self) -> TracePacket:
        packet = TracePacket()
        packet.trusted_packet_sequence_id = _SEQUENCE
        packet.sequence_flags = TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
        packet.timestamp = min((ns for ns, _ in self.packets), default=0)
        for name, iid in self.names.items():
            packet.interned_data.event_names.add(iid=iid, name=name)
        for name, iid in self.fields.items():
            packet.interned_data.debug_annotation_names.add(iid=iid, name=name)
        return packet
