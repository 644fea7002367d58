"""Does a figure grow? Theil-Sen: the median slope of all pairs of samples, which single outliers cannot bend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from math import ceil, sqrt
from statistics import median
from typing import Any

WARM_UP = 0.1
MIN_SAMPLES = 4
_Z95 = 1.96


@dataclass(frozen=True, slots=True)
class Bound:
    """What a figure is measured in, and how much of it a step may add before that counts as growth."""

    unit: str
    per_step: float
    min_samples: int = 0
    """After the warm-up: with fewer, what is noisy by nature is shown and not judged."""


@dataclass(frozen=True, slots=True)
class Trend:
    """One figure over a series. Slopes are per step; `low` is the lower end of the slope's 95 % confidence interval.

    It grows when even `low` is above the bound: noise alone, however wide, is no growth.
    """

    what: str
    unit: str
    samples: int
    """After the warm-up."""
    first: float
    last: float
    slope: float
    low: float
    bound: float
    judged: bool = True

    @property
    def grows(self) -> bool:
        """The judgement."""
        return self.judged and self.low > self.bound

    def to_json(self) -> dict[str, Any]:
        """One row of `ci/soak --json`."""
        return {**asdict(self), "grows": self.grows}


def warm_up(count: int) -> int:
    """How many of `count` samples are left out: caches fill, allocators and thread pools find their size."""
    return min(ceil(count * WARM_UP), max(0, count - MIN_SAMPLES))


def judge(what: str, steps: Sequence[float], values: Sequence[float], bound: Bound) -> Trend:
    """The trend of `values`, sampled at `steps`, after the warm-up. ValueError for fewer than two samples."""
    skip = warm_up(len(values))
    steps, values = steps[skip:], values[skip:]
    if len(values) < 2:
        raise ValueError(f"{what}: {len(values)} samples show no trend")
    slope, low = theil_sen(steps, values)
    return Trend(
        what,
        bound.unit,
        len(values),
        values[0],
        values[-1],
        round(slope, 4),
        round(low, 4),
        bound.per_step,
        len(values) >= bound.min_samples,
    )


def judge_all(
    prefix: str, steps: Sequence[float], samples: Sequence[Mapping[str, float]], bounds: Mapping[str, Bound]
) -> list[Trend]:
    """The trend of each figure that all samples have."""
    return [
        judge(f"{prefix}{name}", steps, [sample[name] for sample in samples], bound)
        for name, bound in bounds.items()
        if samples and all(name in sample for sample in samples)
    ]


def theil_sen(steps: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """The median slope, and the lower end of its 95 % confidence interval after Sen (1968).

    With few samples that end is the smallest slope of all: then only what grows at every step grows.
    """
    pairs = combinations(zip(steps, values, strict=True), 2)
    slopes = sorted((later - earlier) / (end - begin) for (begin, earlier), (end, later) in pairs)
    count = len(values)
    # Of Kendall's S, without ties: with them the interval only gets narrower than this.
    spread = _Z95 * sqrt(count * (count - 1) * (2 * count + 5) / 18)
    return median(slopes), slopes[max(0, int((len(slopes) - spread) / 2))]
