"""The compat runtime, measured inside the guest by the conformance driver: calls, swaps, wake-ups of workers."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hotswap.bench.table import Row
from hotswap.conformance.driver import ConformanceDriver
from hotswap.conformance.guest import start_conformance
from hotswap.conformance.objects import BenchKind
from hotswap.conformance.requests import Bench
from hotswap.deadline import Deadline
from hotswap.driver.build import build_drivers
from hotswap.driver.package import DriverPackage
from hotswap.errors import GuestFault
from hotswap.machine.wine import WineMachine
from hotswap.run import RunFolder
from hotswap.swap.lab import Lab

Figures = NDArray[np.float64]

CALL_AIM_NS = 15.0
SCALING_AIM = 0.9
LATENCY_AIM = 1.1
SWITCH_AIM_US = 100.0
HOLD_AIM_US = 1000.0
BUSY_WORKERS = 8
# How long a worker's routine takes: where the figures have an aim, and where the drain is to be met by calls inside.
_SHORT_US, _LONG_US = 5, 100
_BENCH_SECONDS = 120.0
_RUNNABLE = re.compile(r"^procs_running (\d+)$", re.MULTILINE)
_SAMPLE_SECONDS = 0.005
_BOOTSTRAP = 2000


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured: rounds of calls, swaps at each point, rounds of wake-ups."""

    call_rounds: int = 500
    calls: int = 20_000
    swaps: int = 400
    swaps_each: int = 60
    workers: Sequence[int] = (1, 8, 32, 64)
    endpoints: Sequence[int] = (1, 16, 256)
    latency_rounds: int = 80
    wake_ups: int = 20


def run(scale: Scale | None = None) -> tuple[list[Row], dict[str, Any]]:
    """Rows of all parts. Times are medians unless a row says otherwise."""
    scale = scale or Scale()
    build = build_drivers()
    machine = WineMachine()
    with TemporaryDirectory(prefix="hotswap-bench-") as scratch:
        folder = RunFolder.create(Path(scratch))
        try:
            with Lab(machine, build, DriverPackage.of(build, []), folder, lambda _line: None) as lab:
                lab.start_guest(Deadline.after(300))
                return rows_of(start_conformance(lab, build), scale)
        finally:
            folder.close()


def rows_of(driver: ConformanceDriver, scale: Scale) -> tuple[list[Row], dict[str, Any]]:
    """The same on a driver that runs already."""
    rows: list[Row] = []
    details: dict[str, Any] = {}
    for part in (_calls, _swaps, _latency):
        some, more = part(driver, scale)
        rows += some
        details |= more
    return rows, details


def measure(driver: ConformanceDriver, request: Bench) -> Figures:
    """The rows of one measurement, in nanoseconds where they are ticks. Raises GuestFault."""
    reply = driver.run(request, deadline=Deadline.after(_BENCH_SECONDS))
    if not reply.status.succeeded or not reply.samples:
        raise GuestFault(f"measuring {request.kind.name.lower()} failed: {reply.status}")
    rows = np.array(reply.samples, dtype=np.float64).reshape(-1, reply.columns)
    return rows * (1e9 / reply.tick_frequency)


# Calls


def _calls(driver: ConformanceDriver, scale: Scale) -> tuple[list[Row], dict[str, Any]]:
    request = Bench(BenchKind.CALLS, rows=scale.call_rounds, count=scale.calls, threads=2)
    nanoseconds = np.median(measure(driver, request), axis=0) / scale.calls
    direct, wrapped, atomics, direct_two, wrapped_two, atomics_two = (float(each) for each in nanoseconds)
    over, limit = wrapped - direct, atomics - direct
    scaling, direct_scaling = wrapped / wrapped_two, direct / direct_two
    part = scaling / direct_scaling
    rows = [
        _row("call through a wrapper, and a direct one", wrapped, direct, "ns"),
        _row("what a wrapper adds, and what one locked exchange adds", over, limit, "ns", CALL_AIM_NS, at_most=True),
        _row("two threads, time per call of both: wrapper, direct", wrapped_two, direct_two, "ns"),
        _row(
            "two threads: what a wrapper adds, what the exchange adds",
            wrapped_two - direct_two,
            atomics_two - direct_two,
            "ns",
        ),
        Row(
            "two threads' speed-up: wrapper, direct",
            round(scaling, 3),
            round(direct_scaling, 3),
            "x",
            round(part, 3),
            f">= {SCALING_AIM:g} of direct",
            part >= SCALING_AIM,
        ),
    ]
    return rows, {"calls_each_round": scale.calls, "rounds_of_calls": scale.call_rounds}


# Swaps


def _swaps(driver: ConformanceDriver, scale: Scale) -> tuple[list[Row], dict[str, Any]]:
    with _runnable_threads() as runnable:
        eight = _swap(driver, scale.swaps, BUSY_WORKERS, 8, _SHORT_US) / 1000
    threads = np.array(runnable or [0])
    switched = eight[:, 1]
    held = eight[:, 3][eight[:, 3] > 0]
    stall = eight[:, :3].sum(axis=1)
    runs = f"{np.median(threads):.0f} (p99 {_high(threads):.0f}) runnable threads on {os.cpu_count()} CPUs"
    rows = [
        _row("8 busy workers: drained to switched, p99", _high(switched), None, "µs", SWITCH_AIM_US, at_most=True),
        _row("8 busy workers: stall to release", float(np.median(stall)), None, "µs"),
        _row(f"8 busy workers: stall to release, p99; {runs}", _high(stall), None, "µs"),
    ]
    if len(held):
        met = f"{len(held)} of {len(eight)} swaps"
        rows += [
            _row(
                f"8 busy workers: first call held to release, {met}",
                float(np.median(held)),
                None,
                "µs",
                HOLD_AIM_US,
                at_most=True,
            ),
            _row(f"8 busy workers: first call held to release, p99; {runs}", _high(held), None, "µs"),
        ]
    for workers in scale.workers:
        swaps = _swap(driver, scale.swaps_each, workers, 8) / 1000
        rows += _sweep(f"8 endpoints, {workers} busy workers", swaps)
    for endpoints in scale.endpoints:
        swaps = _swap(driver, scale.swaps_each, BUSY_WORKERS, endpoints) / 1000
        rows += _sweep(f"8 busy workers, {endpoints} endpoints", swaps)
    return rows, {"swaps": scale.swaps, "swaps_at_each_point": scale.swaps_each, "runnable_threads": runs}


def _sweep(where: str, swaps: Figures) -> list[Row]:
    stall = swaps[:, :3].sum(axis=1)
    return [
        _row(f"{where}: stall to release", float(np.median(stall)), None, "µs"),
        _row(f"{where}: drained to switched", float(np.median(swaps[:, 1])), None, "µs"),
    ]


def _swap(driver: ConformanceDriver, swaps: int, workers: int, endpoints: int, work_us: int = _LONG_US) -> Figures:
    """Nanoseconds of each swap: drain, switch, release, hold of the first call held; and calls held."""
    request = Bench(BenchKind.SWAPS, rows=swaps, workers=workers, endpoints=endpoints, work_microseconds=work_us)
    return measure(driver, request)


@contextmanager
def _runnable_threads() -> Iterator[list[int]]:
    """How many threads were running or ready on the host, sampled meanwhile."""
    counts: list[int] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(_SAMPLE_SECONDS):
            if found := _RUNNABLE.search(Path("/proc/stat").read_text()):
                counts.append(int(found[1]))

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield counts
    finally:
        over.set()
        watcher.join()


# Wake-ups


def _latency(driver: ConformanceDriver, scale: Scale) -> tuple[list[Row], dict[str, Any]]:
    request = Bench(BenchKind.LATENCY, rows=scale.latency_rounds, count=scale.wake_ups)
    microseconds = measure(driver, request) / 1000
    rounds = microseconds.reshape(-1, scale.wake_ups, 2)
    worker, plain = np.median(microseconds, axis=0)
    ratio = worker / plain
    low, high = _interval(rounds)
    row = Row(
        f"signal to iteration: worker, plain loop; worker/plain 95 % in {low:.3f}..{high:.3f}",
        round(float(worker), 2),
        round(float(plain), 2),
        "µs",
        round(float(plain / worker), 3),
        f"<= {LATENCY_AIM:g} of plain",
        bool(ratio <= LATENCY_AIM),
    )
    p99 = [_high(microseconds[:, column]) for column in (0, 1)]
    rows = [row, _row("signal to iteration, p99: worker, plain loop", p99[0], p99[1], "µs")]
    interval = {"low": round(low, 4), "high": round(high, 4)}
    return rows, {"wake_ups": len(microseconds), "latency_ratio_95_percent": interval}


def _interval(rounds: Figures) -> tuple[float, float]:
    """The ratio of medians, worker over plain: its 95 % bootstrap interval over whole rounds."""
    draw = np.random.default_rng(1)
    ratios = []
    for _ in range(_BOOTSTRAP):
        chosen = rounds[draw.integers(0, len(rounds), len(rounds))]
        worker, plain = np.median(chosen.reshape(-1, 2), axis=0)
        ratios.append(worker / plain)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(low), float(high)


def _high(values: NDArray[Any]) -> float:
    """The 99th percentile: a value that was seen."""
    return float(np.quantile(values, 0.99, method="higher"))


def _row(
    what: str, ours: float, other: float | None, unit: str, aim: float | None = None, *, at_most: bool = False
) -> Row:
    ratio = None if other is None or not ours else round(other / ours, 3)
    told = "" if aim is None else f"{'<=' if at_most else '>='} {aim:g} {unit}"
    met = None if aim is None else (ours <= aim if at_most else ours >= aim)
    return Row(what, round(ours, 2), None if other is None else round(other, 2), unit, ratio, told, met)
