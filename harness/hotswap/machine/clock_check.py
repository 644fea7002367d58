"""The clock check: a guest's time and the rate of its tick counter against this host, each with its error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import CLOCK_MONOTONIC_RAW, clock_gettime_ns, time_ns

from hotswap.errors import LabFault

_FILE_TIME_EPOCH = 116_444_736_000_000_000


class ClockOff(LabFault):
    """The guest's clock is not fit for a test: its verdict would be inconclusive."""


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


def read_clocks(guest: Callable[[], tuple[int, int]]) -> ClockReading:
    """One reading; `guest` returns its time (since 1970) and its ticks, both in nanoseconds."""
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


def of_file_time(file_time: int) -> int:
    """A Windows file time as nanoseconds since 1970."""
    return (file_time - _FILE_TIME_EPOCH) * 100
