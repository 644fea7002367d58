"""The clock check: a guest's time and the rate of its tick counter against this host, each with its error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import CLOCK_MONOTONIC_RAW, clock_gettime_ns, time_ns

from hotswap.deadline import Deadline
from hotswap.errors import LabFault

OFFSET_MS = 250.0
RATE = 0.05
# One reading is off by chance on a very busy computer, and then takes too long to be believed; the next may do.
PATIENCE_SECONDS = 5.0
_INTERVAL_SECONDS = 0.05

Clock = Callable[[], tuple[int, int]]
"""The guest's time since 1970 and its ticks, both in nanoseconds."""


class ClockOff(LabFault):
    """The guest's clock is not fit for a test: whatever was measured by it, the verdict is inconclusive."""


@dataclass(frozen=True, slots=True)
class ClockReading:
    """One look at the guest's clocks between two looks at the host's: all in nanoseconds."""

    host_before: int
    host_after: int
    host_time: int
    guest_time: int
    guest_ticks: int

    @property
    def host(self) -> float:
        """The host's clock in the middle."""
        return (self.host_before + self.host_after) / 2

    @property
    def error(self) -> float:
        """How far the guest's may be from the middle."""
        return (self.host_after - self.host_before) / 2


@dataclass(frozen=True, slots=True)
class ClockCheck:
    """Guest against host: offset of its time in ms, rate of its ticks (1.0: the host's), each with its error."""

    offset_ms: float
    offset_error_ms: float
    rate: float
    rate_error: float

    def problem(self, *, offset_ms: float, rate: float) -> str | None:
        """What is off, for limits; None when all is well. An error over the limit is a problem, too."""
        if abs(self.offset_ms) > offset_ms + self.offset_error_ms or self.offset_error_ms > offset_ms:
            error = f"error {self.offset_error_ms:.1f} ms, limit {offset_ms:g} ms"
            return f"the guest's time is {self.offset_ms:+.1f} ms off ({error})"
        if abs(self.rate - 1) > rate + self.rate_error or self.rate_error > rate:
            return (
                f"the guest's ticks run at {self.rate:.4f} of the host's (error {self.rate_error:.4f}, limit {rate:g})"
            )
        return None


def read_clocks(guest: Clock) -> ClockReading:
    """One reading."""
    before = clock_gettime_ns(CLOCK_MONOTONIC_RAW)
    time, ticks = guest()
    after = clock_gettime_ns(CLOCK_MONOTONIC_RAW)
    return ClockReading(before, after, time_ns(), time, ticks)


def check_clock(first: ClockReading, last: ClockReading) -> ClockCheck:
    """Judge two readings, the further apart the better."""
    passed = last.host - first.host
    error = last.host_after - last.host_before
    # The host's time was read after the guest's: at most as long ago as the reading took.
    offset = last.guest_time - (last.host_time - error / 2)
    rate = (last.guest_ticks - first.guest_ticks) / passed if passed else 0.0
    rate_error = (first.error + last.error) / passed if passed else 1.0
    return ClockCheck(offset / 1e6, error / 2e6, rate, rate_error)


def checked_clock(
    guest: Clock,
    whose: str,
    alive: Callable[[], str | None],
    deadline: Deadline,
    *,
    offset_ms: float = OFFSET_MS,
    began: ClockReading | None = None,
    patience: float = PATIENCE_SECONDS,
) -> tuple[ClockReading, ClockCheck]:
    """Read the clocks until they agree; returns the first reading too, for later checks.

    `began`: a first reading that was made before, so that the rate is that of the time since. ClockOff, with what is
    off and its error, when they do not agree for `patience` seconds; LabFault when they cannot be read.
    """
    first = began or read_clocks(guest)
    return first, _agreed(guest, first, whose, alive, deadline.within(patience), offset_ms)


def later_clock_problem(
    guest: Clock,
    first: ClockReading,
    alive: Callable[[], str | None],
    deadline: Deadline,
    *,
    offset_ms: float = OFFSET_MS,
) -> str | None:
    """What is off with the clocks since the reading `first`; None: nothing. LabFault when they cannot be read."""
    try:
        _agreed(guest, first, "the guest", alive, deadline.within(PATIENCE_SECONDS), offset_ms)
    except ClockOff as off:
        return str(off)
    return None


def _agreed(
    guest: Clock,
    first: ClockReading,
    whose: str,
    alive: Callable[[], str | None],
    limit: Deadline,
    offset_ms: float,
) -> ClockCheck:
    # The rate of two readings right after one another says nothing.
    limit.wait_for(lambda: _since(first) >= _INTERVAL_SECONDS, "the clocks to go on", alive=alive)

    def settled() -> tuple[ClockCheck, str | None] | None:
        check = check_clock(first, read_clocks(guest))
        problem = check.problem(offset_ms=offset_ms, rate=RATE)
        return (check, problem) if problem is None or limit.remaining <= _INTERVAL_SECONDS else None

    check, problem = limit.wait_for(settled, f"the clocks of {whose}", alive=alive, interval=_INTERVAL_SECONDS / 2)
    if problem is not None:
        raise ClockOff(f"clock check of {whose}: {problem}")
    return check


def _since(first: ClockReading) -> float:
    return (clock_gettime_ns(CLOCK_MONOTONIC_RAW) - first.host) / 1e9
