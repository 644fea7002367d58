"""Hot-swap against restart update: the same drivers, workers and load, one run of each in turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hotswap.bench.table import Row, compare, single
from hotswap.errors import GuestFault
from hotswap.swap.plan import SwapPlan
from hotswap.swap.result import SwapResult
from hotswap.swap.runner import run_swap
from hotswap.swap.witnesses import UpdateReply
from hotswap.trace.etl import read_etl
from hotswap.trace.expect import Verdict

SWAPS = 20
_RING_SLOTS = 1 << 20
# The workers poll, so they are busy without it; it is there for the expectations on signals.
_RATE = 500
_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Load:
    """How long an iteration works, and by what factor a swap is to hold calls shorter than a restart."""

    work_us: int
    aim: float


LOADS = (Load(20, 100), Load(200, 100))


def run(swaps: int = SWAPS) -> tuple[list[Row], dict[str, Any]]:
    """Medians of this many swaps with 8 busy workers, for short and for long iterations; microseconds.

    Not every swap is met by a call. So besides the hold time of those that are (first call held to release) there is
    the whole stall window, the most that a call can be held, which every swap has.
    """
    rows: list[Row] = []
    details: dict[str, Any] = {"workers": 8, "signals_per_second": _RATE}
    for load in LOADS:
        swapped, restarted = (_run(runtime, load, swaps) for runtime in ("compat", "plain"))
        phases = [phase["microseconds"] for phase in swapped.phases()[1:]]
        windows = [_window(update, swapped.tick_frequency) for update in swapped.updates[1:]]
        held = [phase["hold"] for phase in phases if phase["hold"] is not None]
        downtime = _downtimes(restarted)
        name = f"{load.work_us} µs iterations"
        rows.append(compare(f"{name}: stall to release, the most a call is held", windows, downtime, "µs", load.aim))
        if held:
            what = f"{name}: first call held to release, {len(held)} of {len(phases)} swaps"
            rows.append(compare(what, held, downtime, "µs", load.aim))
        rows += [
            compare(f"{name}: last old end to first new begin", _downtimes(swapped), downtime, "µs", load.aim),
            single(f"{name}: stall to drained", [phase["drain"] for phase in phases], "µs"),
            single(f"{name}: drained to switched", [phase["switch"] for phase in phases], "µs"),
            single(f"{name}: switched to released", [phase["release"] for phase in phases], "µs"),
        ]
        details[name] = {"stall_window_us": windows, "hold_us": held, "restart_downtime_us": downtime}
    return rows, details


def _window(update: UpdateReply, frequency: int) -> float:
    return round((update.ticks["released"] - update.ticks["stalled"]) * 1e6 / frequency, 1)


def _run(runtime: str, load: Load, swaps: int) -> SwapResult:
    plan = SwapPlan(
        updates=tuple(f"v{1 + number % 2}" for number in range(swaps + 1)),
        runtime=runtime,
        rate=_RATE,
        work_us=load.work_us,
        seconds=_SECONDS,
        busy=True,
        ring_slots=_RING_SLOTS,
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
