"""Finds the whole buffers of an `.etl` that is being written, each once (etl.md, sections 2 and 2.7).

Buffers are written one after the other. In a file that only grows, one is whole when all its bytes are there. Where
there was something before, in a preallocated or a circular file, it is whole when the one behind it was begun, or when
it was the same at two looks.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from hotswap.errors import LabFault, UsageError
from hotswap.trace.etl import LogFileHeader, parse_etl
from hotswap.trace.follow.source import TraceSource
from hotswap.trace.framing import BUFFER_HEADER_SIZE, HeaderType
from hotswap.trace.modes import MODE_CIRCULAR, MODE_COMPRESSED, MODE_KB_SIZES, MODE_PREALLOCATE

_SEQUENCE_AT = 0x18
_MOST = 1 << 24
_HEADER_KINDS = (bytes([HeaderType.SYSTEM32, 0xC0]), bytes([HeaderType.SYSTEM64, 0xC0]))


@dataclass(frozen=True, slots=True)
class FoundBuffer:
    """The bytes of a buffer, where in the file they begin, and how many were found before."""

    index: int
    place: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Look:
    """What was found at one look: new buffers in the order in which they were written, and the header as it was before.

    `settled` buffers, of all found so far, are those that the header counted: all events before theirs are there.
    """

    buffers: tuple[FoundBuffer, ...]
    header: LogFileHeader
    settled: int
    closed: bool


class GrowingTrace:
    """The buffers of a source. `look` is to be called again when the source has changed, or after some time."""

    def __init__(self, source: TraceSource) -> None:
        self.source = source
        self.first = b""
        """The buffer with the log-file header, as it was last; empty while it is not there."""
        self.found = 0
        """Buffers, the first one counted."""
        self._next = 0
        self._farthest = 0
        self._sequence: dict[int, int] = {}
        self._before: tuple[int, bytes] = (-1, b"")

    def look(self) -> Look | None:
        """What is new; None while there is not even the first buffer. Raises LabFault when the file is no more what it
        was, UsageError when it is no trace."""
        first = self._first_buffer()
        # The header is written last, so what it says was true of the buffers there after it. Seen before it, the
        # size could end amid those that it counts: some without the others would pass for all of them.
        size = self.source.size()
        if size < self._farthest:
            self._fault(f"it has {size} bytes, after {self._farthest}")
        if first is None:
            return None
        header = parse_etl(first, Path(self.source.name)).header
        if not self.first:
            self.found, self._next, self._farthest = 1, len(first), len(first)
        self.first = first
        new = self._new_buffers(header, size)
        self.found += len(new)
        return Look(tuple(new), header, min(header.buffers_written, self.found), header.end_time != 0)

    def _first_buffer(self) -> bytes | None:
        """All of buffer 0, when it is there and not the zeroes of a file that was made large at first."""
        length = int.from_bytes(self.source.read(0, 4), "little")
        if not length:
            return None
        first = self.source.read(0, min(length, _MOST))
        kind = first[BUFFER_HEADER_SIZE + 2 : BUFFER_HEADER_SIZE + 4]
        if not BUFFER_HEADER_SIZE < length <= _MOST or kind not in (b"", *_HEADER_KINDS):
            raise UsageError(f"{self.source.name}: not an ETL file (it does not start with a log-file header)")
        return first if len(first) == length else None

    def _new_buffers(self, header: LogFileHeader, size: int) -> list[FoundBuffer]:
        new: list[FoundBuffer] = []
        most = _most_bytes(header)
        over = bool(header.mode & (MODE_CIRCULAR | MODE_PREALLOCATE))
        while True:
            if header.mode & MODE_CIRCULAR and self._wraps(most, size):
                self._next = len(self.first)
            buffer = self._whole(self._next, header, size)
            if buffer is None or (over and not self._is_done(buffer, header, size)):
                return new
            new.append(FoundBuffer(self.found + len(new), self._next, buffer))
            self._sequence[self._next] = _sequence(buffer)
            self._next += len(buffer)
            self._farthest = max(self._farthest, self._next)

    def _wraps(self, most: int, size: int) -> bool:
        """Whether the next buffer of a circular file comes where the second one was."""
        if most and self._next + len(self.first) > most:
            return True
        begin = len(self.first)
        again = self._next + BUFFER_HEADER_SIZE > size and begin in self._sequence
        return again and _sequence(self.source.read(begin, BUFFER_HEADER_SIZE)) != self._sequence[begin]

    def _whole(self, at: int, header: LogFileHeader, size: int) -> bytes | None:
        """The new buffer at a place, when all its bytes are there."""
        if at + BUFFER_HEADER_SIZE > size:
            return None
        head = self.source.read(at, BUFFER_HEADER_SIZE)
        if not any(head) or (at in self._sequence and _sequence(head) == self._sequence[at]):
            return None
        length = int.from_bytes(head[:4], "little")
        if not header.mode & MODE_COMPRESSED:
            # A damaged size must not lead astray: plain buffers are all as long as the first.
            length = len(self.first)
        elif not BUFFER_HEADER_SIZE <= length <= _MOST:
            self._fault(f"a buffer of {length} bytes at byte {at}")
        if at + length > size:
            return None
        buffer = self.source.read(at, length)
        return buffer if len(buffer) == length and buffer[:BUFFER_HEADER_SIZE] == head else None

    def _is_done(self, buffer: bytes, header: LogFileHeader, size: int) -> bool:
        before, self._before = self._before, (self._next, buffer)
        if before == (self._next, buffer) or header.end_time:
            return True
        behind = self._next + len(buffer)
        most = _most_bytes(header)
        if header.mode & MODE_CIRCULAR and most and behind + len(self.first) > most:
            behind = len(self.first)
        head = self.source.read(behind, BUFFER_HEADER_SIZE) if behind + BUFFER_HEADER_SIZE <= size else b""
        return any(head) and (behind not in self._sequence or _sequence(head) != self._sequence[behind])

    def _fault(self, what: str) -> None:
        raise LabFault(f"following {self.source.name}: {what}; whoever writes it began anew, or it is damaged")


def _most_bytes(header: LogFileHeader) -> int:
    """How large the file may become; 0: any size."""
    unit = 1 << 10 if header.mode & MODE_KB_SIZES else 1 << 20
    return max(header.maximum_file_size * unit, 2 * header.buffer_size) if header.maximum_file_size else 0


def _sequence(buffer: bytes) -> int:
    return int(struct.unpack_from("<Q", buffer, _SEQUENCE_AT)[0]) if len(buffer) >= BUFFER_HEADER_SIZE else -1
