"""The buffers of an `.etl`, plain or compressed, and the frames in them (reference: etl.md, sections 2, 2.1, 2.8).

Plain buffers follow each other at one distance. Compressed ones have each a size of its own, so after damage the next
one has to be searched. Frames lie in an image: the file itself, or the file with its compressed buffers inflated.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.compression import Compression, inflate
from hotswap.trace.framing import BUFFER_DTYPE, BUFFER_HEADER_SIZE, BufferFlag, FrameWalk, Problem, Tail, gather
from hotswap.trace.modes import MODE_COMPRESSED
from hotswap.trace.native import kernel

_MOST_PLAIN = 1 << 26
"""Distance of plain buffers: larger than that is damage."""
_MOST_INFLATED = 1 << 24
"""Valid bytes of a compressed buffer: Windows allows 16 MiB."""
_IMAGE_FLOOR, _IMAGE_RATIO = 1 << 28, 32
"""What all buffers together may inflate to: 256 MiB, and 32 times the file (5 times is usual)."""
_SCAN = 1 << 20
_LAST_STATE = 6
_HEADER = struct.Struct("<I20xQ16xIHH").unpack_from
_EXTENDED = np.dtype(
    {
        "names": [*(BUFFER_DTYPE.names or ()), "offset", "cpu", "place", "inflated"],
        "formats": [*(BUFFER_DTYPE[name] for name in BUFFER_DTYPE.names or ()), "<i8", "<i8", "<i8", "?"],
    }
)


@dataclass(frozen=True, slots=True)
class BufferImage:
    """What was found. `buffers` is a structured array in file order: framing.BUFFER_DTYPE plus `offset` (in the file),
    `cpu`, `inflated` (whether it was compressed), and `place`: where it begins in `data`, which frames point into."""

    buffers: NDArray[np.void]
    data: bytes
    walk: FrameWalk

    def file_offset(self, position: int) -> int:
        """Where in the file a byte of `data` comes from: for one that was inflated, where its buffer begins."""
        buffer = self.buffers[np.searchsorted(self.buffers["place"], position, "right") - 1]
        return int(buffer["offset"]) + (0 if buffer["inflated"] else position - int(buffer["place"]))


def read_buffers(data: bytes, buffer_size: int, mode: int) -> BufferImage:
    """Find all buffers and the frames in them. `buffer_size` and `mode` are those of the log-file header."""
    if mode & MODE_COMPRESSED or _second_is_compressed(data):
        return _CompressedFile(data).read()
    return _read_plain(data, _stride(data, buffer_size))


def _second_is_compressed(data: bytes) -> bool:
    at = int.from_bytes(data[:4], "little")
    if at < BUFFER_HEADER_SIZE or not _plausible(data, at):
        return False
    return bool(int.from_bytes(data[at + 0x34 : at + 0x36], "little") & BufferFlag.COMPRESSED)


def _stride(data: bytes, buffer_size: int) -> int:
    """Bytes from buffer to buffer. Two places state it; when they differ, the one that leads to buffers counts."""
    stated = [int.from_bytes(data[:4], "little"), buffer_size]
    sane = [size for size in stated if BUFFER_HEADER_SIZE < size <= _MOST_PLAIN]
    for size in sane:
        if data[size : size + 4] == size.to_bytes(4, "little"):
            return size
    return sane[0] if sane else max(len(data), 1)


def _table(data: bytes, offsets: list[int]) -> NDArray[np.void]:
    headers = gather(np.frombuffer(data, np.uint8), np.array(offsets, np.int64), BUFFER_DTYPE)
    buffers = np.zeros(len(offsets), _EXTENDED)
    for name in BUFFER_DTYPE.names or ():
        buffers[name] = headers[name]
    buffers["offset"] = buffers["place"] = offsets
    indexed = buffers["flags"] & BufferFlag.PROC_INDEX != 0
    buffers["cpu"] = np.where(indexed, buffers["processor"] & 0x7FF, buffers["processor"] & 0xFF)
    return buffers


def _read_plain(data: bytes, stride: int) -> BufferImage:
    walk = FrameWalk(data, kernel())
    problems = walk.problems
    kept: list[int] = []
    empty_from: int | None = None
    for start in range(0, len(data), stride):
        if start + BUFFER_HEADER_SIZE > len(data):
            problems.append(Problem("cut", "the file ends inside a buffer header", start))
            break
        if not any(data[start : start + BUFFER_HEADER_SIZE]):
            empty_from = start if empty_from is None else empty_from
            continue
        if empty_from is not None:
            problems.append(Problem("empty-buffers", "empty buffers are followed by written ones", empty_from))
            empty_from = None
        kept.append(start)
    buffers = _table(data, kept)
    for index, start in enumerate(kept):
        size, filled = int(buffers["size"][index]), int(buffers["filled"][index])
        cut = start + stride > len(data)
        if size != stride:
            problems.append(Problem("bad-buffer", f"buffer {index} says {size} bytes, not {stride}", start))
        if buffers["flags"][index] & BufferFlag.COMPRESSED:
            text = f"buffer {index} says it is compressed, in a file that is not; it is not decoded"
            problems.append(Problem("bad-buffer", text, start))
            continue
        if not BUFFER_HEADER_SIZE <= filled <= stride:
            problems.append(Problem("bad-buffer", f"buffer {index} says {filled} of {stride} bytes are valid", start))
            filled = stride
        end = min(start + filled, len(data))
        walk.walk(index, start, end, Tail.CUT if cut and end == len(data) else Tail.WHOLE)
        after = data[start + filled : min(start + filled + 4, start + stride)]
        if after.strip(b"\xff"):
            problems.append(Problem("bad-buffer", f"buffer {index} has data after its {filled} valid bytes", start))
        if cut and not (problems and problems[-1].code == "cut"):
            problems.append(Problem("cut", f"the file ends inside buffer {index}", len(data)))
    return BufferImage(buffers, data, walk)


def _plausible(data: bytes, at: int) -> bool:
    """Whether what is at `at`, where a buffer header should be, can be one."""
    if at + BUFFER_HEADER_SIZE > len(data):
        return False
    size, sequence, filled, flags, kind = _HEADER(data, at)
    return bool(
        BUFFER_HEADER_SIZE <= size <= _MOST_INFLATED
        and BUFFER_HEADER_SIZE <= filled <= _MOST_INFLATED
        and sequence < 1 << 48
        and flags < 0x80
        and kind <= 7
    )


def _find_header(data: bytes, start: int) -> int | None:
    """The first place from `start` on where a buffer header is.

    Compressed data can have many zeros (tables of code lengths), so more is asked for than that nothing is impossible:
    a flag, a small State, no references, and the number of valid bytes in both places that state it. That holds for all
    but the first buffer.
    """
    raw = np.frombuffer(data, np.uint8)
    last = len(data) - BUFFER_HEADER_SIZE + 1
    for begin in range(start, last, _SCAN):
        width = min(_SCAN, last - begin)

        def byte(offset: int, begin: int = begin, width: int = width) -> NDArray[np.uint8]:
            return raw[begin + offset : begin + offset + width]

        few = (byte(0x34) > 0) & (byte(0x34) < 0x80) & (byte(0x35) == 0) & (byte(0x36) <= 7) & (byte(0x37) == 0)
        few &= byte(0x2C) <= _LAST_STATE
        for zero in (0x0C, 0x0D, 0x0E, 0x0F, 0x2D, 0x2E, 0x2F):
            few &= byte(zero) == 0
        for at in range(4):
            few &= byte(0x04 + at) == byte(0x30 + at)
        for at in np.flatnonzero(few).tolist():
            if _plausible(data, begin + at):
                return int(begin + at)
    return None


class _Span(NamedTuple):
    """Where a buffer lies in the file; `cut`: the file ends in it."""

    start: int
    end: int
    cut: bool


class _CompressedFile:
    """Reads a file whose buffers have sizes of their own. Buffer 0 is plain and names the compression."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.problems: list[Problem] = []
        self._format: Compression | None = None

    def read(self) -> BufferImage:
        """Find, inflate and walk all buffers."""
        spans = self._spans()
        buffers = _table(self.data, [span.start for span in spans])
        buffers["inflated"] = buffers["flags"] & BufferFlag.COMPRESSED != 0
        buffers["inflated"][0] = False
        parts: list[bytes] = []
        ends: list[tuple[int, Tail]] = []
        place, room = 0, max(_IMAGE_FLOOR, _IMAGE_RATIO * len(self.data))
        for index, span in enumerate(spans):
            buffers["place"][index] = place
            filled = int(buffers["filled"][index])
            if buffers["inflated"][index]:
                content, tail = self._inflated(index, span, filled, room)
                room -= len(content)
            else:
                content, tail = self._plain(index, span, filled)
            ends.append((place + BUFFER_HEADER_SIZE + len(content), tail))
            # In the image every buffer begins on 8 bytes, as in the memory of the session, and events with it.
            parts += [self.data[span.start : span.start + BUFFER_HEADER_SIZE], content, bytes(-len(content) % 8)]
            place = ends[-1][0] + len(parts[-1])
        data = b"".join(parts)
        image = BufferImage(buffers, data, FrameWalk(data, kernel()))
        image.walk.problems, image.walk.locate = self.problems, image.file_offset
        for index, (end, tail) in enumerate(ends):
            image.walk.walk(index, int(buffers["place"][index]), end, tail)
        return image

    def _spans(self) -> list[_Span]:
        data, spans, start = self.data, list[_Span](), 0
        while start < len(data):
            if start and not _plausible(data, start):
                start = self._skip(start)
                continue
            size, cut = int.from_bytes(data[start : start + 4], "little"), False
            end = start + max(size, BUFFER_HEADER_SIZE)
            if end != len(data) and not _plausible(data, end):
                found = _find_header(data, start + BUFFER_HEADER_SIZE)
                if found is not None and found < end:
                    text = f"buffer {len(spans)} says {size} bytes, and the next one begins after {found - start}"
                    self.problems.append(Problem("bad-buffer", text, start))
                    end = found
                elif end > len(data):
                    self.problems.append(Problem("cut", f"the file ends inside buffer {len(spans)}", len(data)))
                    end, cut = len(data), True
            spans.append(_Span(start, end, cut))
            start = end
        return spans

    def _skip(self, start: int) -> int:
        """Where to go on after `start`, at which no buffer header is."""
        found = _find_header(self.data, start + 1)
        end = len(self.data) if found is None else found
        if any(self.data[start:end]):
            if len(self.data) - start < BUFFER_HEADER_SIZE:
                self.problems.append(Problem("cut", "the file ends inside a buffer header", start))
            else:
                text = f"no buffer header; {end - start} bytes are not decoded"
                self.problems.append(Problem("bad-buffer", text, start))
        elif found is not None:
            self.problems.append(Problem("empty-buffers", "empty buffers are followed by written ones", start))
        return end

    def _plain(self, index: int, span: _Span, filled: int) -> tuple[bytes, Tail]:
        """The valid bytes behind the header of a buffer that was left as it is, and how they end."""
        stored = self.data[span.start + BUFFER_HEADER_SIZE : span.end]
        size = filled - BUFFER_HEADER_SIZE
        if span.cut:
            return stored[: max(size, 0)], Tail.CUT
        if not 0 <= size <= len(stored):
            text = f"buffer {index} says {filled} of {span.end - span.start} bytes are valid"
            self.problems.append(Problem("bad-buffer", text, span.start))
            return stored, Tail.WHOLE
        if stored[size : size + 4].strip(b"\xff"):
            text = f"buffer {index} has data after its {filled} valid bytes"
            self.problems.append(Problem("bad-buffer", text, span.start))
        return stored[:size], Tail.WHOLE

    def _inflated(self, index: int, span: _Span, filled: int, room: int) -> tuple[bytes, Tail]:
        """The bytes that a compressed buffer inflates to, and how they end; at most `room`."""
        stored = self.data[span.start + BUFFER_HEADER_SIZE : span.end]
        size = filled - BUFFER_HEADER_SIZE
        if not 0 <= size <= _MOST_INFLATED:
            text = f"buffer {index} says {filled} bytes are valid; it is not decoded"
            self.problems.append(Problem("bad-buffer", text, span.start))
            return b"", Tail.REPORTED
        if size > room:
            text = f"buffer {index} is not decoded: it says {size} bytes, and all buffers together may have {room} more"
            self.problems.append(Problem("too-large", text, span.start))
            return b"", Tail.REPORTED
        result = inflate(self._compression(stored, size), stored, size)
        if not result.error:
            return result.data, Tail.WHOLE
        if not span.cut:
            text = f"buffer {index}: {result.error}, at byte {result.broken_at} of {len(stored)} compressed ones"
            text += f"; {len(result.data)} of {size} bytes are inflated"
            self.problems.append(Problem("bad-buffer", text, span.start + BUFFER_HEADER_SIZE + result.broken_at))
        return result.data, Tail.REPORTED

    def _compression(self, stored: bytes, size: int) -> Compression:
        """What buffer 0 says. If it says nothing known, what fits to the first buffer that is asked for."""
        if self._format is None:
            stated = int.from_bytes(self.data[0x2C:0x2E], "little")
            try:
                self._format = Compression(stated)
            except ValueError:
                fits = [kind for kind in Compression if not inflate(kind, stored, size).error]
                self._format = (fits or [Compression.XPRESS])[0]
                text = f"buffer 0 states the unknown compression {stated}; {self._format.name} is assumed"
                self.problems.append(Problem("compression", text, 0x2C))
        return self._format
