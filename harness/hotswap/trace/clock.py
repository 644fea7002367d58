"""Session clocks: raw ticks to nanoseconds and FILETIME in exact integers (reference: etl.md, section 2.6)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

FILETIME_UNIX_EPOCH = 116_444_736_000_000_000


class ClockType(IntEnum):
    """ReservedFlags of the log-file header."""

    RAW = 0
    QPC = 1
    SYSTEM_TIME = 2
    CPU_CYCLE = 3


@dataclass(frozen=True, slots=True)
class SessionClock:
    """The clock of one session: `first_tick` is the log-file header event's, `start_time` its FILETIME."""

    frequency: int
    """Ticks per second; at least 1."""
    first_tick: int
    start_time: int

    @classmethod
    def of(cls, clock_type: int, perf_freq: int, cpu_mhz: int, first_tick: int, start_time: int) -> SessionClock:
        """The clock that a log-file header describes; a frequency of 0 is taken as 10 MHz."""
        frequency = {ClockType.SYSTEM_TIME: 10_000_000, ClockType.CPU_CYCLE: cpu_mhz * 1_000_000}.get(
            clock_type,  # type: ignore[call-overload]
            perf_freq,
        )
        start = first_tick if clock_type == ClockType.SYSTEM_TIME else start_time
        return cls(frequency if 0 < frequency < 9_000_000_000 else 10_000_000, first_tick, start)

    @property
    def unix_ns(self) -> int:
        """When the session started, in nanoseconds since 1970-01-01 UTC; negative where the file says no such time."""
        return (self.start_time - FILETIME_UNIX_EPOCH) * 100

    def nanoseconds(self, ticks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Nanoseconds since the session started, rounded down; wraps for ticks no session can have."""
        return self._scale(ticks, 1_000_000_000)

    def filetimes(self, ticks: NDArray[np.int64]) -> NDArray[np.int64]:
        """FILETIME (100 ns since 1601-01-01 UTC), rounded down."""
        return self._scale(ticks, 10_000_000) + np.array(self.start_time).astype(np.int64)

    def _scale(self, ticks: NDArray[np.int64], unit: int) -> NDArray[np.int64]:
        elapsed = np.asarray(ticks, np.int64) - np.array(self.first_tick).astype(np.int64)
        seconds, rest = np.divmod(elapsed, np.int64(self.frequency))
        return seconds * np.int64(unit) + rest * np.int64(unit) // np.int64(self.frequency)
