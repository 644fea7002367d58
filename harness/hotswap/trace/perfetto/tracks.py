"""On which track an event of a trace lies: of its thread, of its process, of its CPU, or of a lane of spans."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.perfetto.packets import Packets
from hotswap.trace.shape import Shape
from hotswap.trace.table import EventTable
from hotswap.trace.threads import distinct_threads

Ints = NDArray[np.int64]

_FIRST = 1
_LARGEST_PID = (1 << 31) - 1


class Tracks:
    """Numbers tracks as they come, and describes them to the packets once."""

    def __init__(self, packets: Packets, shape: Shape) -> None:
        self._packets, self._shape = packets, shape
        self._known: dict[tuple[int, ...], int] = {}

    def of(self, table: EventTable, rows: Ints) -> Ints:
        """The track of each row's thread; where it has none, that of its process or of its CPU."""
        pid, tid, cpu = table.owner_pid[rows], table.owner_tid[rows], table.cpu[rows]
        # Thread 0 is one for each CPU, and that is all that is known of events without a thread.
        bare = (pid <= 0) | (tid == 0) | (pid > _LARGEST_PID)
        pairs, number = distinct_threads(np.where(bare, -1, pid), np.where(bare, cpu, tid))
        uuids = [self._cpu(second) if first < 0 else self._place(first, second) for first, second in pairs]
        return np.array(uuids, np.int64)[number]

    def lanes(self, lanes: Ints) -> Ints:
        """The track of each lane of spans."""
        distinct, inverse = np.unique(lanes, return_inverse=True)
        uuids = [self._lane(lane) for lane in distinct.tolist()]
        found: Ints = np.array(uuids, np.int64)[inverse.reshape(-1)]
        return found

    def losses(self, lane: int) -> int:
        """A track on which it is told what got lost; what overlaps lies in several lanes."""
        return self._once((4, lane), lambda uuid: self._packets.track(uuid, "Lost events", rank=-1))

    def _place(self, pid: int, tid: int) -> int:
        return self._process(pid) if tid < 0 else self._thread(pid, tid)

    def _cpu(self, cpu: int) -> int:
        parent = self._once((3,), lambda uuid: self._packets.track(uuid, "CPUs"))
        return self._once((0, cpu), lambda uuid: self._packets.track(uuid, f"CPU {cpu}", parent, rank=cpu + 1))

    def _process(self, pid: int) -> int:
        return self._once((1, pid), lambda uuid: self._packets.process(uuid, pid, self._shape.names.process(pid)))

    def _thread(self, pid: int, tid: int) -> int:
        parent = self._process(pid)
        name = self._shape.names.threads.get((pid, tid), "")
        return self._once((2, pid, tid), lambda uuid: self._packets.thread(uuid, pid, tid, name, parent))

    def _lane(self, lane: int) -> int:
        pid, task = self._shape.spans.lanes[lane]
        parent = self._process(pid) if 0 < pid <= _LARGEST_PID else None
        name = self._shape.spans.tasks[task].name
        return self._once((5, lane), lambda uuid: self._packets.track(uuid, name, parent))

    def _once(self, key: tuple[int, ...], describe: Callable[[int], None]) -> int:
        if key not in self._known:
            self._known[key] = _FIRST + len(self._known)
            describe(self._known[key])
        return self._known[key]
