"""The run as a Perfetto trace (protobuf TrackEvent), for ui.perfetto.dev and trace_processor.

Tracks: one per worker thread with its iterations, named by version, and a flow from the signal that woke each; one per
signalling thread; one for the swaps with their parts nested; one for the rest of the host's events; a counter of the
accepted signals that wait for their iteration. Times are nanoseconds since the trace session started.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any, TypeAlias

import numpy as np

from hotswap.report.model import TraceModel, swap_parts, worker_text
from hotswap.swap.swap_trace import END_OF_TIME
from hotswap.swap.witnesses import SwapWitnesses
from hotswap.trace.etl import EtlFile
from hotswap.trace.event_kind import LOG_FILE_HEADER
from hotswap.trace.expect import status_text
from hotswap.trace.perfetto.packets import COUNTER, INSTANT, SLICE_BEGIN, SLICE_END, Packets

Fields: TypeAlias = "Mapping[str, int | str]"

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
        self.stream = BytesIO()
        self.packets = Packets(self.stream, unix_ns=model.trace.etl.header.clock.unix_ns)
        self.tracks: dict[int, int] = {}

    def write(self) -> bytes:
        self.packets.process(_PROCESS, self.pid, "driver host")
        for uuid, name in ((_SWAPS, "Swaps"), (_HOST, "Host"), (_WAITING, "Accepted signals waiting")):
            self.packets.track(uuid, name, _PROCESS, counter=uuid == _WAITING)
        self._swaps()
        self._iterations()
        self._signals()
        self._others()
        self._waiting()
        self.packets.flush()
        return self.stream.getvalue()

    def _event(
        self, tick: int, kind: int, track: int, name: str = "", fields: Fields | None = None, **more: Any
    ) -> None:
        ns = self.start + (tick - self.first) * 1_000_000_000 // self.table.frequency
        self.packets.event(ns, ns, kind, track, name, fields, **more)

    def _thread(self, tid: int) -> int:
        if tid not in self.tracks:
            self.tracks[tid] = _FIRST_THREAD + len(self.tracks)
            self.packets.thread(self.tracks[tid], self.pid, tid, self._thread_name(tid), _PROCESS)
        return self.tracks[tid]

    def _swaps(self) -> None:
        for swap in self.model.trace.swaps:
            parts = swap_parts(swap)
            if not parts:
                continue
            title = f"swap {swap.number}: v{swap.from_version} to v{swap.to_version}"
            self._event(parts[0].first, SLICE_BEGIN, _SWAPS, title, {"outcome": str(swap.outcome)})
            for part in parts:
                self._event(part.first, SLICE_BEGIN, _SWAPS, part.name)
                if part.last is not None:
                    self._event(part.last, SLICE_END, _SWAPS)
            if parts[-1].last is not None:
                self._event(parts[-1].last, SLICE_END, _SWAPS)
            for step in swap.steps:
                if step.name == "FirstHeld":
                    tid = int(self.table.tid[step.row])
                    self._event(step.tick, INSTANT, self._thread(tid), "first call held")

    def _iterations(self) -> None:
        runs = self.model.trace.iterations
        woken_by = dict(zip(self.model.wakes.iteration.tolist(), self.model.wakes.signal.tolist(), strict=True))
        for i, (tick, end, tid) in enumerate(
            zip(runs.begin.tolist(), runs.end.tolist(), runs.tid.tolist(), strict=True)
        ):
            status = status_text(int(runs.status[i]), wait=True)
            self._event(
                tick, SLICE_BEGIN, self._thread(tid), f"v{int(runs.version[i])}",
                {"iteration": int(runs.iteration[i]), "wait_status": status},
                ends_flows=[woken_by[i] + 1] if i in woken_by else [],
            )  # fmt: skip
            if end != END_OF_TIME:
                self._event(end, SLICE_END, self._thread(tid))

    def _signals(self) -> None:
        signals = self.model.trace.signals
        waking = set(self.model.wakes.signal.tolist())
        for i, row in enumerate(signals.begin_row.tolist()):
            worker, index = int(signals.worker[i]), int(signals.event[i])
            self._event(
                int(signals.begin[i]), INSTANT, self._thread(int(self.table.tid[row])),
                f"signal worker {worker}", {"event": index, "accepted": int(signals.accepted[i])},
                flows=[i + 1] if i in waking else [],
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
                self._event(tick, INSTANT, track, name, fields)

    def _waiting(self) -> None:
        signals, runs, wakes = self.model.trace.signals, self.model.trace.iterations, self.model.wakes
        changes = [(int(tick), 1) for tick in signals.begin[wakes.signal]]
        changes += [(int(tick), -1) for tick in runs.begin[wakes.iteration]]
        waiting = 0
        for tick, change in sorted(changes, key=lambda item: (item[0], -item[1])):
            waiting += change
            self._event(tick, COUNTER, _WAITING, counter=waiting)

    def _thread_name(self, tid: int) -> str:
        worker = self.model.threads.get(tid)
        if worker is None:
            return f"thread {tid}"
        waits = worker_text(self.model.definition(worker))
        return f"worker {worker}" + (f" ({waits})" if waits else "")
