"""Hot-swap against restart update: the same drivers, workers and load, one run of each in turn."""

from __future__ import annotations

from typing import Any

import numpy as np

from hotswap.bench.table import Row, compare, single
from hotswap.errors import GuestFault
from hotswap.swap.plan import SwapPlan
from hotswap.swap.result import SwapResult
from hotswap.swap.runner import run_swap
from hotswap.trace.etl import read_etl
from hotswap.trace.expect import Verdict

SWAPS = 20
_RING_SLOTS = 1 << 20
# Enough signals that each of the eight workers finds the next one waiting when an iteration ends.
_RATE = 12_000
_WORK_US = 200
_SECONDS = 0.2


def run(swaps: int = SWAPS) -> tuple[list[Row], dict[str, Any]]:
    """Medians of this many swaps with 8 busy workers; microseconds."""
    swapped, restarted = (_run(runtime, swaps) for runtime in ("compat", "plain"))
    phases = [phase["microseconds"] for phase in swapped.phases()[1:]]
    held = [phase["hold"] for phase in phases if phase["hold"] is not None]
    if not held:
        raise GuestFault("no call was held in any swap: the load is too light to measure a hold time")
    downtime = _downtimes(restarted)
    gaps = _downtimes(swapped)
    rows = [
        compare("hold time (first call held to release) against restart downtime", held, downtime, "µs", 100),
        compare("last old iteration's end to first new one's begin, both", gaps, downtime, "µs", 10),
        single("stall to drained", [phase["drain"] for phase in phases], "µs"),
        single("drained to switched", [phase["switch"] for phase in phases], "µs"),
        single("switched to released", [phase["release"] for phase in phases], "µs"),
    ]
    details = {
        "swaps": len(phases),
        "swaps_with_held_calls": len(held),
        "workers": 8,
        "rate": _RATE,
        "work_us": _WORK_US,
        "hold_us": held,
        "restart_downtime_us": downtime,
    }
    return rows, details


def _run(runtime: str, swaps: int) -> SwapResult:
    versions = tuple(f"v{1 + number % 2}" for number in range(swaps + 1))
    plan = SwapPlan(
        updates=versions, runtime=runtime, rate=_RATE, work_us=_WORK_US, seconds=_SECONDS, ring_slots=_RING_SLOTS
    )
    result = run_swap(plan, command="ci/bench swap")
    if result.verdict is not Verdict.PASS:
        raise GuestFault(f"the {runtime} run ended in {result.verdict}: {result.reason}; see {result.report}")
    return result


def _downtimes(result: SwapResult) -> list[float]:
    """For each update: from the last iteration's end of the old version to the first begin of the new one, in µs."""
    table = read_etl(result.run_folder / "trace.etl").events
    begins, ends = table.events("IterationBegin"), table.events("IterationEnd")
    begin_ticks, versions = np.asarray(begins.tick, np.int64), np.asarray(begins["Version"], np.int64)
    end_ticks = np.asarray(ends.tick, np.int64)
    changes = np.flatnonzero(versions[1:] != versions[:-1]) + 1
    # Only iterations of the old version can have ended before the first of the new one begins.
    return [
        float((begin_ticks[at] - end_ticks[end_ticks < begin_ticks[at]].max()) * 1e6 / result.tick_frequency)
        for at in changes
        if versions[at] != 0
    ]
