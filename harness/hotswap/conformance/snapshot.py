"""A snapshot of the conformance driver in the words of the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hotswap.conformance.requests import endpoint_number
from hotswap.conformance.script import ENDPOINTS, EVENTS, GATES, LANES, VERSIONS, WORKERS
from hotswap.conformance.wire import Flat
from hotswap.errors import GuestFault

_FUNCTIONS = tuple((version, endpoint) for version in VERSIONS for endpoint in range(ENDPOINTS))


@dataclass(frozen=True, slots=True)
class Baseline:
    """What was there when the script began: others may hold extensions of the same runtime, and lanes count on."""

    extensions: int
    wrappers: int
    threads: int
    lane_done: tuple[int, ...]


class SnapshotReader:
    """Reads the replies of one build of the driver."""

    def __init__(self, flat: Flat) -> None:
        self._flat = flat
        at = self._at = flat.at
        self._versions = [at[f"worker_version{version}"] for version in VERSIONS]
        self._calls = [(function, at["endpoint_calls"] + endpoint_number(*function)) for function in _FUNCTIONS]

    def baseline(self, data: bytes) -> Baseline:
        """After a reset."""
        shot, at = self._flat.read(data), self._at
        return Baseline(
            shot[at["counters.extensions"]],
            shot[at["counters.wrappers"]],
            shot[at["counters.proxy_threads"]],
            shot[at["lane_done"] : at["lane_done"] + LANES],
        )

    def read(self, data: bytes, baseline: Baseline, view: dict[tuple[Any, ...], Any]) -> bool:
        """Put what it says into a view; False: not all was so at once. Raises GuestFault for what may never be."""
        shot, at = self._flat.read(data), self._at
        view["active calls",] = shot[at["counters.active_calls"]]
        view["held calls",] = shot[at["counters.held_calls"]]
        view["stalled extensions",] = shot[at["counters.stalled_extensions"]]
        view["extensions",] = shot[at["counters.extensions"]] - baseline.extensions
        view["wrappers",] = shot[at["counters.wrappers"]] - baseline.wrappers
        view["threads",] = shot[at["counters.proxy_threads"]] - baseline.threads
        view["phase calls",] = shot[at["phase_calls"]]
        waiting, done = at["gate_waiting"], at["lane_done"]
        for gate in range(GATES):
            view["gate", gate, "waiters"] = shot[waiting + gate]
        signalled, busy, draining = shot[at["event_states"]], shot[at["lanes_busy"]], shot[at["lanes_draining"]]
        for event in range(EVENTS):
            view["event", event] = bool(signalled >> event & 1)
        for lane in range(LANES):
            state = "busy" if busy >> lane & 1 else "idle"
            view["lane", lane] = (state, shot[done + lane] - baseline.lane_done[lane])
            view["draining", lane] = bool(draining >> lane & 1)
        existing, alive = shot[at["workers_existing"]], shot[at["workers_alive"]]
        for worker in range(WORKERS):
            if not existing >> worker & 1:
                continue
            if shot[at["worker_wrong"] + worker]:
                raise GuestFault(f"worker {worker} was called with another context, or while a call had not ended")
            iterations = shot[at["worker_iterations"] + worker]
            view["worker", worker] = (
                "alive" if alive >> worker & 1 else "ended",
                iterations,
                shot[at["worker_status"] + worker] if iterations else 0,
                tuple(shot[version + worker] for version in self._versions),
            )
        for function, number in self._calls:
            view["calls of", function] = shot[number]
        return not shot[at["torn"]]
