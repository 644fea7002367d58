"""A snapshot of the conformance driver in the words of the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hotswap.conformance.replies import Snapshot
from hotswap.conformance.requests import endpoint_number
from hotswap.conformance.script import ENDPOINTS, EVENTS, GATES, LANES, VERSIONS, WORKERS
from hotswap.errors import GuestFault


@dataclass(frozen=True, slots=True)
class Baseline:
    """What was there when the script began: others may hold extensions of the same runtime, and lanes count on."""

    extensions: int
    wrappers: int
    threads: int
    lane_done: tuple[int, ...]

    @classmethod
    def of(cls, shot: Snapshot) -> Baseline:
        """After a reset."""
        counters = shot.counters
        return cls(counters.extensions, counters.wrappers, counters.proxy_threads, shot.lane_done)


def read_snapshot(shot: Snapshot, baseline: Baseline, view: dict[tuple[Any, ...], Any]) -> None:
    """Put what it says into a view. Raises GuestFault for what may never be."""
    counters = shot.counters
    view["active calls",] = counters.active_calls
    view["held calls",] = counters.held_calls
    view["extensions",] = counters.extensions - baseline.extensions
    view["wrappers",] = counters.wrappers - baseline.wrappers
    view["threads",] = counters.proxy_threads - baseline.threads
    view["phase calls",] = shot.phase_calls
    for gate in range(GATES):
        view["gate", gate, "waiters"] = shot.gate_waiting[gate]
    for event in range(EVENTS):
        view["event", event] = bool(shot.event_states[0] >> event & 1)
    for lane in range(LANES):
        busy = shot.lanes_busy >> lane & 1
        view["lane", lane] = ("busy" if busy else "idle", shot.lane_done[lane] - baseline.lane_done[lane])
    for worker in range(WORKERS):
        if not shot.workers_existing >> worker & 1:
            continue
        if shot.worker_wrong[worker]:
            raise GuestFault(f"worker {worker} was called with another context, or while a call had not ended")
        versions = (shot.worker_version1, shot.worker_version2, shot.worker_version3, shot.worker_version4)
        view["worker", worker] = (
            "alive" if shot.workers_alive >> worker & 1 else "ended",
            shot.worker_iterations[worker],
            shot.worker_status[worker] & 0xFFFFFFFF if shot.worker_iterations[worker] else 0,
            tuple(version[worker] for version in versions),
        )
    for version in VERSIONS:
        for endpoint in range(ENDPOINTS):
            view["calls of", (version, endpoint)] = shot.endpoint_calls[endpoint_number(version, endpoint)]
