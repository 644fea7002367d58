"""From signal to iteration: how long an accepted signal waited, by the version that served it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hotswap.report.format import count, duration
from hotswap.report.model import TraceModel

BINS_PER_DECADE = 8
WIDTH, ROW, LEFT, RIGHT, AXIS = 1000, 92, 64, 16, 26
_BAR_AREA = 62


@dataclass(frozen=True, slots=True)
class Bar:
    """One bin of the histogram in the picture's units, and what it says."""

    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A percentile in the picture."""

    x: float
    label: str


@dataclass(frozen=True, slots=True)
class Row:
    """One version: its figures, and its histogram."""

    version: int
    slot: int
    n: int
    held: int
    """How many of them waited while a swap held calls."""
    figures: tuple[tuple[str, str], ...]
    """Percentiles as text, by name."""
    top: float
    bars: tuple[Bar, ...]
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Bin:
    """One bin of the table that says the same as the picture."""

    span: str
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LatencyView:
    """The picture and the table."""

    rows: tuple[Row, ...]
    ticks: tuple[Mark, ...]
    bins: tuple[Bin, ...]
    width: int
    height: float
    unpaired: int


PERCENTILES = (("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("max", 100.0))


def latency_view(model: TraceModel) -> LatencyView | None:
    """The distribution by version; None when no signal could be paired with an iteration."""
    wakes = model.wakes
    if not len(wakes.ticks):
        return None
    microseconds = np.maximum(wakes.ticks, 1) * 1e6 / model.table.frequency
    version = model.trace.iterations.version[wakes.iteration]
    held = _held(model)
    low = math.floor(math.log10(float(microseconds.min())))
    high = max(low + 1, math.ceil(math.log10(float(microseconds.max()) * 1.0001)))
    edges = np.logspace(low, high, (high - low) * BINS_PER_DECADE + 1)
    versions = [v for v in model.versions if np.any(version == v)]
    versions += sorted({int(v) for v in np.unique(version)} - set(versions))
    counts = [np.histogram(microseconds[version == v], edges)[0] for v in versions]
    span = WIDTH - LEFT - RIGHT

    def x_of(value: float) -> float:
        return round(LEFT + (math.log10(value) - low) / (high - low) * span, 2)

    rows = tuple(
        _row(
            v, model.versions.index(v) if v in model.versions else 0, microseconds[version == v], found,
            int(np.count_nonzero(held[version == v])), edges, x_of, number * ROW,
        )
        for number, (v, found) in enumerate(zip(versions, counts, strict=True))
    )  # fmt: skip
    ticks = tuple(Mark(x_of(10.0**decade), duration(10.0**decade, short=True)) for decade in range(low, high + 1))
    bins = tuple(
        Bin(_span(edges, i), tuple(int(c[i]) for c in counts))
        for i in range(len(edges) - 1)
        if any(c[i] for c in counts)
    )
    return LatencyView(rows, ticks, bins, WIDTH, len(rows) * ROW + AXIS, wakes.unpaired)


def _row(
    version: int, slot: int, values: NDArray[np.float64], counts: NDArray[np.int64], held: int,
    edges: NDArray[np.float64], x_of: Callable[[float], float], top: float,
) -> Row:  # fmt: skip
    most = max(1, int(counts.max()))
    floor = top + ROW - 8
    bars = []
    for i in np.flatnonzero(counts).tolist():
        left, right = x_of(float(edges[i])), x_of(float(edges[i + 1]))
        height = max(1.5, float(counts[i]) / most * _BAR_AREA)
        title = f"{_span(edges, i)}: {count(int(counts[i]))}"
        bars.append(
            Bar(left + 0.5, round(floor - height, 2), round(max(1.0, right - left - 1), 2), round(height, 2), title)
        )
    at = {name: float(np.percentile(values, percent)) for name, percent in PERCENTILES}
    marks = tuple(Mark(x_of(at[name]), name) for name, _ in PERCENTILES if name != "max")
    figures = tuple((name, duration(value)) for name, value in at.items())
    return Row(version, slot, len(values), held, figures, top, tuple(bars), marks)


def _span(edges: NDArray[np.float64], i: int) -> str:
    return f"{duration(float(edges[i]), short=True)} to {duration(float(edges[i + 1]), short=True)}"


def _held(model: TraceModel) -> NDArray[np.bool_]:
    """For each pair, whether a swap held calls at some time between signal and iteration."""
    wakes = model.wakes
    begun = model.trace.signals.begin[wakes.signal]
    ended = model.trace.iterations.begin[wakes.iteration]
    held = np.zeros(len(begun), np.bool_)
    for swap in model.trace.swaps:
        for stall in swap.stalls:
            released = stall.released.tick if stall.released else None
            held |= (ended >= stall.stalled.tick) & (True if released is None else begun <= released)
    return held
