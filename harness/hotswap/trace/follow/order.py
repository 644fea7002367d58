"""Up to which time the events of a growing trace are all there, so that none that comes later precedes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from hotswap.trace.etl import LogFileHeader

END_OF_TIME = (1 << 63) - 1
BEGINNING = -(1 << 63)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a follower has seen so far."""

    header: LogFileHeader
    lanes: dict[int, int]
    """By processor, the tick of its last event."""
    flushed: int
    """The latest tick at which a buffer was written."""
    settled: int
    """The latest tick of an event in a buffer that the header counts; BEGINNING: none."""
    quiet: float
    """Seconds for which nothing was written."""


class Watermark(Protocol):
    """A rule that tells it."""

    def reached(self, seen: Seen) -> int:
        """Events before this tick are all there."""
        ...


@dataclass(frozen=True, slots=True)
class PerProcessor:
    """Each processor's events come in order, so a time is reached when each has an event of that time or later.

    A processor that does nothing writes nothing. So an event waits for it no longer than `idle` seconds of the trace's
    own clock, and when nothing at all is written, `still` seconds of this computer's. That is exact for a session whose
    flush timer, with all that can delay it, is shorter; later events are handed out of order, and counted.
    """

    idle: float = 3.0
    still: float = 3.0

    def reached(self, seen: Seen) -> int:
        """As Watermark says."""
        if seen.quiet >= self.still:
            return END_OF_TIME
        floor = seen.flushed - int(self.idle * seen.header.clock.frequency)
        silent = max(seen.header.processors - len(seen.lanes), 0)
        ticks = [max(tick, floor) for tick in seen.lanes.values()]
        return min([*ticks, floor] if silent else ticks, default=BEGINNING)


@dataclass(frozen=True, slots=True)
class Together:
    """The writer takes all events from one queue in time order, writes the buffers of all processors together, and then
    counts them in the file's header, as the agent does. So nothing before the last event that was counted is to come.
    """

    def reached(self, seen: Seen) -> int:
        """As Watermark says."""
        return seen.settled
