"""What got lost of a trace, and what is wrong with its file as a whole (reference: etl.md, section 2.7)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.clock import ClockType
from hotswap.trace.framing import BufferFlag, Problem
from hotswap.trace.log_header import LogFileHeader
from hotswap.trace.modes import MODE_CIRCULAR, MODE_KB_SIZES, MODE_NEW_FILE


@dataclass(frozen=True, slots=True)
class LossReport:
    """What got lost, by source. Nothing was lost only when all of them say so."""

    events_lost: int
    """Log-file header."""
    buffers_lost: int
    """Log-file header."""
    flagged_buffers: int
    """Buffers with the flag EVENTS_LOST or BUFFER_LOST."""
    missing_sequence_numbers: int
    lost_events: int
    """RT_LostEvent events."""

    @property
    def any(self) -> bool:
        """Whether any source reports a loss."""
        return bool(self.describe())

    def describe(self) -> str:
        """What was lost, in words; empty when nothing was."""
        parts = {
            "events lost (file header)": self.events_lost,
            "buffers lost (file header)": self.buffers_lost,
            "buffers flagged as following a loss": self.flagged_buffers,
            "buffer sequence numbers missing": self.missing_sequence_numbers,
            "lost-event records": self.lost_events,
        }
        return ", ".join(f"{count} {what}" for what, count in parts.items() if count)

    @classmethod
    def of(cls, header: LogFileHeader, buffers: NDArray[np.void], lost_events: int) -> LossReport:
        """From the table of the buffers, and the number of RT_LostEvent events."""
        flagged = buffers["flags"] & (BufferFlag.EVENTS_LOST | BufferFlag.BUFFER_LOST) != 0
        missing = _missing_numbers(header, buffers)
        return cls(header.events_lost, header.buffers_lost, int(np.count_nonzero(flagged)), missing, lost_events)


def _missing_numbers(header: LogFileHeader, buffers: NDArray[np.void]) -> int:
    numbers = np.unique(buffers["sequence"])
    # In circular and new-file mode the numbers after buffer 0 start anywhere.
    if header.mode & (MODE_CIRCULAR | MODE_NEW_FILE):
        numbers = numbers[1:]
    missing = int(numbers[-1]) - int(numbers[0]) + 1 - len(numbers) if len(numbers) else 0
    if header.mode & MODE_CIRCULAR and missing:
        # Buffers are not written in the order of their numbers, so those that were written over leave gaps at the edge:
        # of as many as were written, those before the first number are no gaps.
        over = header.buffers_written - len(buffers) - (int(numbers[0]) - 1)
        missing = max(missing - max(over, 0), 0)
    return missing


def has_wrapped(header: LogFileHeader, buffers: NDArray[np.void]) -> bool:
    """Whether a circular file is as large as it may be: then more buffers were written than there are."""
    unit = 1 << 10 if header.mode & MODE_KB_SIZES else 1 << 20
    most = max(header.maximum_file_size * unit // max(header.buffer_size, 1), 2)
    return bool(header.mode & MODE_CIRCULAR) and len(buffers) >= most


def file_problems(header: LogFileHeader, buffers: NDArray[np.void]) -> Iterator[Problem]:
    """What is wrong with the file as a whole."""
    end = int(buffers["offset"][-1])
    if len(np.unique(buffers["sequence"])) != len(buffers):
        yield Problem("bad-buffer", "buffers with the same sequence number", end)
    wrapped = header.mode & MODE_CIRCULAR and header.buffers_written > len(buffers)
    # The last buffer that was written is not the last in a circular file that began again.
    last = buffers["flags"][1:] if wrapped and len(buffers) > 1 else buffers["flags"][-1:]
    if header.end_time == 0 or not (last & BufferFlag.FLUSH_MARKER).any():
        yield Problem("unclosed", "the session was not stopped, or the file was cut", end)
    elif header.buffers_written > len(buffers) and not has_wrapped(header, buffers):
        text = f"{header.buffers_written} buffers were written and {len(buffers)} are here"
        yield Problem("missing-buffers", text, end)
    if header.clock_type not in (ClockType.QPC, ClockType.SYSTEM_TIME, ClockType.CPU_CYCLE):
        yield Problem("clock", f"clock type {header.clock_type}: times are read as QPC ticks", 0)
    if header.clock_type != ClockType.SYSTEM_TIME and header.clock.frequency == 10_000_000 != header.perf_freq:
        yield Problem("clock", f"impossible clock frequency {header.perf_freq}: 10 MHz assumed", 0)
