"""The benchmark of the runtime: what the driver measures is what its rows say, and figures are made of it so."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from hotswap.bench import runtime
from hotswap.bench.runtime import _interval, measure
from hotswap.conformance.driver import ConformanceDriver
from hotswap.conformance.guest import conformance_driver
from hotswap.conformance.objects import BenchKind
from hotswap.conformance.requests import Bench, CreateExtension
from hotswap.errors import GuestFault
from hotswap.testing.guest import GuestMachine


@pytest.fixture
def conformance(machine: GuestMachine) -> Iterator[ConformanceDriver]:
    with conformance_driver(machine) as driver:
        yield driver


def test_calls_are_measured_on_one_thread_and_on_two(conformance: ConformanceDriver) -> None:
    rows = measure(conformance, Bench(BenchKind.CALLS, rows=7, count=20_000, threads=2))
    assert rows.shape == (7, 6)
    direct, wrapped, atomics = np.median(rows[:, :3], axis=0)
    assert wrapped > direct
    assert atomics > direct


def test_swaps_tell_how_long_calls_were_held(conformance: ConformanceDriver) -> None:
    rows = measure(conformance, Bench(BenchKind.SWAPS, rows=30, workers=8, endpoints=4, work_microseconds=300))
    assert rows.shape == (30, 5)
    assert (rows[:, :3] >= 0).all()
    assert rows[:, 0].max() > 0, "drains take time"
    held = rows[:, 3] > 0
    # A call that was held was so from the stall on at the earliest.
    assert (rows[held, 3] <= rows[held, :3].sum(axis=1)).all()
    assert ((rows[:, 4] > 0) >= held).all()


def test_wake_ups_of_both_kinds_are_measured_in_turn(conformance: ConformanceDriver) -> None:
    rows = measure(conformance, Bench(BenchKind.LATENCY, rows=4, count=5))
    assert rows.shape == (20, 2)
    assert (rows > 0).all()


def test_what_is_measured_leaves_nothing_behind(conformance: ConformanceDriver) -> None:
    for kind in BenchKind:
        measure(conformance, Bench(kind, rows=2, count=10, workers=3))
    counters = conformance.counters()
    assert (counters.extensions, counters.wrappers, counters.proxy_threads, counters.proxy_allocations) == (0, 0, 0, 0)
    assert (counters.allocations, counters.threads) == (0, 0)
    assert conformance.run(CreateExtension(0)).status == 0


@pytest.mark.parametrize(
    "wrong",
    [
        Bench(BenchKind.CALLS, threads=9),
        Bench(BenchKind.CALLS, threads=0),
        Bench(BenchKind.SWAPS, workers=65),
        Bench(BenchKind.SWAPS, endpoints=257),
        Bench(BenchKind.LATENCY, count=0),
    ],
    ids=["threads", "no thread", "workers", "endpoints", "count"],
)
def test_what_cannot_be_measured_is_refused(conformance: ConformanceDriver, wrong: Bench) -> None:
    with pytest.raises(GuestFault, match="STATUS_INVALID_PARAMETER"):
        conformance.run(wrong)


def test_no_rows_are_no_measurement(conformance: ConformanceDriver) -> None:
    with pytest.raises(GuestFault, match="measuring calls failed"):
        measure(conformance, Bench(BenchKind.CALLS, rows=0))


def test_the_interval_of_a_ratio_holds_it_and_narrows_with_the_spread() -> None:
    draw = np.random.default_rng(7)
    plain = 30 + draw.normal(0, 3, (60, 20))
    rounds = np.stack([plain * 1.2 + draw.normal(0, 3, (60, 20)), plain], axis=-1)
    low, high = _interval(rounds)
    assert low < 1.2 < high
    calm_low, calm_high = _interval(np.stack([plain * 1.2, plain], axis=-1))
    assert calm_high - calm_low < high - low


def test_the_rows_of_the_whole_have_their_aims(machine: GuestMachine) -> None:
    scale = runtime.Scale(
        call_rounds=9,
        calls=2000,
        swaps=20,
        swaps_each=4,
        workers=(1, 2),
        endpoints=(1, 3),
        latency_rounds=4,
        wake_ups=5,
    )
    with conformance_driver(machine) as driver:
        rows, details = runtime.rows_of(driver, scale)
    aims = [row.aim for row in rows if row.aim]
    assert "<= 15 ns" in aims
    assert ">= 0.9 of direct" in aims
    assert "<= 100 µs" in aims
    assert "<= 1.1 of plain" in aims
    assert {row.met for row in rows if row.aim} <= {True, False}
    assert sum("busy workers" in row.what and "endpoints" in row.what for row in rows) == 8
    assert details["swaps"] == 20
    assert "runnable threads" in details["runnable_threads"]
