"""The session that a written file comes from, and the log-file header event that tells of it (etl.md, section 2.5)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np

from hotswap.errors import UsageError
from hotswap.trace.clock import ClockType, SessionClock
from hotswap.trace.compression import Compression
from hotswap.trace.framing import BUFFER_HEADER_SIZE, HeaderType
from hotswap.trace.modes import (
    MODE_APPEND,
    MODE_CIRCULAR,
    MODE_COMPRESSED,
    MODE_KB_SIZES,
    MODE_PREALLOCATE,
    MODE_RELOG,
    MODE_SEQUENTIAL,
)
from hotswap.trace.writer.rows import Row

_PROCESSORS = 2048


class Layout(Enum):
    """What the kernel that wrote the file was like."""

    WINDOWS_10 = auto()
    WINDOWS_7 = auto()
    """Buffers name their processor in one byte, and have no SavedOffset."""
    RELOGGED = auto()
    """A file that was merged or written again: buffers have a FILETIME as their time, and State 0."""


_VERSIONS = {Layout.WINDOWS_10: 0x0501000A, Layout.WINDOWS_7: 0x05010106, Layout.RELOGGED: 0x0501000A}
_VERSION_COMPRESSED = 0x0002000A
_BUILDS = {Layout.WINDOWS_10: 19041, Layout.WINDOWS_7: 7601, Layout.RELOGGED: 19041}


@dataclass(frozen=True, slots=True)
class Session:
    """The session that a file claims to come from, and what is to be wrong with it."""

    name: str = "hotswap"
    frequency: int = 10_000_000
    clock_type: ClockType = ClockType.QPC
    cpu_mhz: int = 3000
    first_tick: int = 0
    """Raw tick of the log-file header event. With system time it is a FILETIME, and the session's start."""
    start_time: int = 133_800_000_000_000_000
    processors: int = 1
    buffer_size: int = 65_536
    mode: int = MODE_SEQUENTIAL
    """LogFileMode. Circular, new-file, sequential with a size, preallocate, append and no-per-processor-buffering do
    what they say; the bits for compression and relogging come by themselves."""
    maximum_file_size: int = 0
    """In MB, or in KB with MODE_KB_SIZES; 0: no limit."""
    events_lost: int = 0
    buffers_lost: int = 0
    layout: Layout = Layout.WINDOWS_10
    pointer_size: int = 8
    """4: the log-file header comes from a 32-bit writer. Events say their own."""
    compression: Compression | None = None
    """How all buffers but the first are compressed. The mode gets the bit for it."""
    closed: bool = True
    """False: EndTime 0, BuffersWritten stale, no flush marker on the last buffer, a preallocated file at full size."""
    lost_flag: int = 0
    """BufferFlag bits to add to the last buffer."""
    gap_before: int | None = None
    """Leave out one sequence number before this buffer (1 is the first after the header buffer)."""
    flush_every: int = 0
    """Ticks of the flush timer, which writes all buffers that hold events; 0: full buffers only."""
    head_events: tuple[Row, ...] = ()
    """Events behind the log-file header in the header buffer, as some sessions have there."""

    def __post_init__(self) -> None:
        if not BUFFER_HEADER_SIZE < self.buffer_size <= 1 << 24 or self.buffer_size % 8:
            raise UsageError(
                f"a buffer size of {self.buffer_size}: it is a multiple of 8, above 72, and 16 MiB at most"
            )
        if self.pointer_size not in (4, 8):
            raise UsageError(f"a pointer size of {self.pointer_size}: it is 4 or 8")
        if self.mode & (MODE_CIRCULAR | MODE_PREALLOCATE) and not self.maximum_file_size:
            raise UsageError(f"mode 0x{self.mode:x} needs a maximum file size")
        if self.mode & MODE_APPEND and self.clock_type != ClockType.SYSTEM_TIME:
            raise UsageError("mode append needs system time: ticks of another session mean other times")
        if self.compression is not None and self.mode & (MODE_CIRCULAR | MODE_PREALLOCATE):
            raise UsageError("compressed buffers have sizes of their own, so that none can be written over")

    @property
    def clock(self) -> SessionClock:
        """The session's clock."""
        return SessionClock.of(self.clock_type, self.frequency, self.cpu_mhz, self.first_tick, self.start_time)

    @property
    def most_buffers(self) -> int | None:
        """How many buffers, the first one counted, the file may have; None: any number."""
        if not self.maximum_file_size:
            return None
        size = self.maximum_file_size * (1 << 10 if self.mode & MODE_KB_SIZES else 1 << 20)
        return max(size // self.buffer_size, 2)

    def filetime(self, tick: int) -> int:
        """FILETIME of a raw tick."""
        return int(self.clock.filetimes(np.array([tick]))[0])

    def check_cpu(self, cpu: int) -> None:
        """Raise UsageError for a processor that no buffer can name."""
        most = 256 if self.layout is Layout.WINDOWS_7 else _PROCESSORS
        if not 0 <= cpu < most:
            raise UsageError(f"an event of processor {cpu}: a buffer can name 0 to {most - 1}")


@dataclass(frozen=True, slots=True)
class Ending:
    """What the log-file header says of the rest of the file: while the session runs, and when it was closed."""

    buffers_written: int = 1
    end_time: int = 0


def header_event(session: Session, ending: Ending) -> bytes:
    """The log-file header event, padded to 8 bytes."""
    narrow = session.pointer_size == 4
    shift = -8 if narrow else 0
    names = f"{session.name}\0{session.name}.etl\0".encode("utf-16-le")
    body = bytearray(0x118 + shift)
    compressed = session.compression is not None
    mode = session.mode | (MODE_COMPRESSED if compressed else 0)
    struct.pack_into(
        "<IIIIQIIIIIIII",
        body,
        0,
        session.buffer_size,
        _VERSION_COMPRESSED if compressed else _VERSIONS[session.layout],
        _BUILDS[session.layout],
        session.processors,
        ending.end_time,
        156_250,
        session.maximum_file_size,
        mode | (MODE_RELOG if session.layout is Layout.RELOGGED else 0),
        ending.buffers_written,
        1,
        session.pointer_size,
        session.events_lost,
        session.cpu_mhz,
    )
    # The host has no time zone of the guest's, so it stays UTC.
    struct.pack_into("<QQQII", body, 0xF8 + shift, session.start_time, session.frequency, session.start_time,
                     session.clock_type, session.buffers_lost)  # fmt: skip
    size = 32 + len(body) + len(names)
    kind = HeaderType.SYSTEM32 if narrow else HeaderType.SYSTEM64
    head = struct.pack("<HBBHHIIqII", 2, kind, 0xC0, size, 0, 0, 0, session.first_tick, 0, 0)
    return head + bytes(body) + names + bytes(-size % 8)
