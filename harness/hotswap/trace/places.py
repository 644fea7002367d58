"""Where moments lie in a drawing whose gaps grow with the logarithm of their length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

_LEAST, _PER_DECADE = 6, 9


def place_moments(
    ticks: Sequence[int], per_us: float, left: float, room: float, widest: float = 2.6
) -> dict[int, float]:
    """For moments in order (raw ticks), how far to the right each is drawn; `widest` limits how far few lie apart.

    What lies microseconds apart is seen beside what lies seconds apart.
    """
    steps = [0.0, *(_LEAST + _PER_DECADE * math.log10(1 + (b - a) / per_us) for a, b in pairwise(ticks))]
    total = sum(steps) or 1.0
    scale = min(widest, room / total)
    where, x = {}, left + (room / 2 if len(ticks) == 1 else 0)
    for tick, step in zip(ticks, steps, strict=True):
        x += step * scale
        where[tick] = round(x, 2)
    return where


def spread(wanted: Sequence[float], gap: float, right: float) -> list[float]:
    """Places near those wanted, in their order, none closer to the one before than `gap`, none beyond `right`."""
    spots: list[float] = []
    for x in wanted:
        spots.append(max(x, spots[-1] + gap) if spots else x)
    overflow = (spots[-1] if spots else 0) - right
    for i in range(len(spots) - 1, -1, -1):
        if overflow <= 0:
            break
        limit = spots[i + 1] - gap if i + 1 < len(spots) else right
        spots[i] = min(spots[i], limit)
    return spots
