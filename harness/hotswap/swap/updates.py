"""Which expectation catches which broken update. A good update is caught by none."""

from __future__ import annotations

from collections.abc import Mapping

CAUGHT_BY: Mapping[str, tuple[str, ...]] = {
    "lose-wakeup": ("signals-accounted",),
    "twice": ("work-once-per-iteration",),
}
