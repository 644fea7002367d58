"""When a fault is made: at a point of the test, at a trace event, or where a seed says.

`load-running`, `SwapStalled:2`, `seed:7`. The same seed is the same moment.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from hotswap.driver.host_events import host_events
from hotswap.errors import UsageError
from hotswap.swap.drive import POINTS
from hotswap.testing.trace_event import meant

BOOTING = "booting"
_FINE_STEPS = "Proxy"
# What a seed draws from: each is in every swap test, and this often at least (v1 is loaded, then v2, then v1 again).
_SEEDED: tuple[tuple[str, int], ...] = (
    ("SwapBegin", 3), ("EndpointLoaded", 3), ("SwapPreProcess", 3), ("SwapStalled", 3), ("SwapDrained", 3),
    ("SwapSwitched", 3), ("SwapReleased", 3), ("SwapPostProcess", 3), ("EndpointUnloaded", 2), ("SwapEnd", 3),
    ("WorkerThreadStart", 4), ("IterationBegin", 100), ("EndpointWork", 100), ("SignalEnd", 200),
)  # fmt: skip
_LOAD_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class AtPoint:
    """When the test gets to one of its points the nth time, and then so many milliseconds later."""

    point: str
    nth: int = 1
    milliseconds: int = 0

    def __str__(self) -> str:
        later = f", {self.milliseconds} ms later" if self.milliseconds else ""
        return f"{self.point}:{self.nth}{later}"


@dataclass(frozen=True, slots=True)
class AtEvent:
    """When a thread of the driver has written this trace event the nth time: it stands there meanwhile."""

    event: str
    nth: int = 1

    def __str__(self) -> str:
        return f"{self.event}:{self.nth}"


Moment = AtPoint | AtEvent


def parse_moment(text: str, seconds: float) -> Moment:
    """Of what stands behind the @. `seconds` is how long load runs on each version. UsageError names what there is."""
    name, colon, number = text.partition(":")
    if colon and not (number.isascii() and number.isdigit() and 0 < int(number) < 1 << 32):
        raise UsageError(f"the moment {text!r}: behind the colon stands a number from 1 on, not {number!r}")
    if name == "seed":
        if not colon:
            raise UsageError("the moment 'seed' needs its number: seed:7")
        return seeded_moment(int(number), seconds)
    nth = int(number) if colon else 1
    if name in (*POINTS, BOOTING):
        return AtPoint(name, nth)
    events = [event for event in host_events() if not event.startswith(_FINE_STEPS)]
    if name in events:
        return AtEvent(name, nth)
    points = ", ".join((BOOTING, *POINTS))
    raise UsageError(
        f"there is no moment {name!r}{meant(name, [*events, *POINTS])}; it is a trace event, seed:N, or one of {points}"
    )


def seeded_moment(seed: int, seconds: float) -> Moment:
    """Some moment of a test: one in four at a time of the load, the others at an event of the trace."""
    draw = random.Random(seed)
    if draw.random() < _LOAD_SHARE:
        return AtPoint("load-running", draw.randint(1, 2), draw.randrange(max(1, int(seconds * 1000))))
    event, most = draw.choice(_SEEDED)
    return AtEvent(event, draw.randint(1, most))
