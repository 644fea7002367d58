"""Files whose buffers are compressed, each to a size of its own (reference: etl.md, section 2.8)."""

from __future__ import annotations

import mmap
import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.buffers import BufferFile, Bytes, Image, Ints, Tail, table_of
from hotswap.trace.compression import Compression, inflate, inflate_into
from hotswap.trace.framing import BUFFER_HEADER_SIZE, BufferFlag, Problem

_MOST_INFLATED = 1 << 24
"""Valid bytes of a compressed buffer: Windows allows 16 MiB."""
_IMAGE_FLOOR, _IMAGE_RATIO = 1 << 28, 32
"""What all buffers together may inflate to: 256 MiB, and 32 times the file (5 times is usual)."""
_SCAN = 1 << 20
_LAST_STATE = 6
_HEADER = struct.Struct("<I20xQ16xIHH").unpack_from


def second_is_compressed(data: Bytes) -> bool:
    """Whether the second buffer says that it is compressed, whatever the file's header says."""
    at = int.from_bytes(data[:4], "little")
    if at < BUFFER_HEADER_SIZE or not _plausible(data, at):
        return False
    return bool(int.from_bytes(data[at + 0x34 : at + 0x36], "little") & BufferFlag.COMPRESSED)


def _plausible(data: Bytes, at: int) -> bool:
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


def _find_header(data: Bytes, start: int) -> int | None:
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


class CompressedFile(BufferFile):
    """A file whose buffers have sizes of their own. Buffer 0 is plain and names the compression."""

    def __init__(self, data: Bytes) -> None:
        super().__init__(data)
        self._raw = np.frombuffer(data, np.uint8)
        self._format: Compression | None = None
        self._spans = self._find()
        self.buffers = table_of(data, np.array([span.start for span in self._spans], np.int64))
        self.buffers["inflated"] = self.buffers["flags"] & BufferFlag.COMPRESSED != 0
        self.buffers["inflated"][0] = False
        self._sizes = np.zeros(len(self._spans), np.int64)
        """Bytes of events in each buffer, once it was read; of one that is refused none."""
        self._known = np.zeros(len(self._spans), np.bool_)
        self._room = max(_IMAGE_FLOOR, _IMAGE_RATIO * len(data))

    def _find(self) -> list[_Span]:
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

    def image(self, chosen: Ints, problems: list[Problem] | None = None) -> Image:
        """See BufferFile. The first time, read in file order: together buffers may have so many bytes only."""
        return self._read(chosen, [] if problems is None else problems)

    def whole(self, problems: list[Problem]) -> Image:
        """See BufferFile."""
        image = self._read(np.arange(len(self.buffers)), problems)
        self.buffers["place"] = image.place
        return image

    def _read(self, chosen: Ints, problems: list[Problem]) -> Image:
        known, most = self._known[chosen], self._most(chosen)
        # In the image every buffer begins on 8 bytes, as in the memory of the session, and events with it.
        capacity = int((np.where(known, self._sizes[chosen], most) + BUFFER_HEADER_SIZE + 7 & ~7).sum())
        claimed = int(most[~known & self.buffers["inflated"][chosen]].sum())
        capacity += int(most[known].max(initial=0)) - max(claimed - self._room, 0)
        data = mmap.mmap(-1, max(capacity, 1))
        place, end, tails = np.zeros(len(chosen), np.int64), np.zeros(len(chosen), np.int64), list[Tail]()
        at = 0
        for number, index in enumerate(chosen.tolist()):
            place[number] = at
            out = np.frombuffer(data, np.uint8, offset=at)
            span = self._spans[index]
            out[:BUFFER_HEADER_SIZE] = self._raw[span.start : span.start + BUFFER_HEADER_SIZE]
            size, tail = self._content(index, span, out[BUFFER_HEADER_SIZE:], problems)
            del out
            tails.append(tail)
            end[number] = at + BUFFER_HEADER_SIZE + size
            at = int(end[number]) + 7 & ~7
        data.resize(max(at, 1))
        return Image(data, place, place + BUFFER_HEADER_SIZE, end, np.array(tails, np.uint8))

    def _most(self, chosen: Ints) -> Ints:
        """How many bytes of events buffers can have, by what they say."""
        stored = np.array([self._spans[index].end - self._spans[index].start for index in chosen.tolist()], np.int64)
        filled = np.clip(self.buffers["filled"][chosen].astype(np.int64), 0, _MOST_INFLATED + BUFFER_HEADER_SIZE)
        return np.where(self.buffers["inflated"][chosen], filled, np.maximum(stored, BUFFER_HEADER_SIZE))

    def _content(self, index: int, span: _Span, out: NDArray[np.uint8], problems: list[Problem]) -> tuple[int, Tail]:
        """Put the bytes of a buffer's events into `out`: how many, and how they end."""
        if self._known[index] and not self._sizes[index]:
            return 0, Tail.REPORTED
        read = self._inflated if self.buffers["inflated"][index] else self._plain
        size, tail = read(index, span, int(self.buffers["filled"][index]), out, problems)
        if self.buffers["inflated"][index] and not self._known[index]:
            self._room -= size
        self._known[index], self._sizes[index] = True, size
        return size, tail

    def _plain(
        self, index: int, span: _Span, filled: int, out: NDArray[np.uint8], problems: list[Problem]
    ) -> tuple[int, Tail]:
        """Of a buffer that was left as it is."""
        stored = self._raw[span.start + BUFFER_HEADER_SIZE : span.end]
        size = filled - BUFFER_HEADER_SIZE
        tail = Tail.CUT if span.cut else Tail.WHOLE
        if span.cut:
            size = min(max(size, 0), len(stored))
        elif not 0 <= size <= len(stored):
            text = f"buffer {index} says {filled} of {span.end - span.start} bytes are valid"
            problems.append(Problem("bad-buffer", text, span.start))
            size = len(stored)
        elif (stored[size : size + 4] != 0xFF).any():
            text = f"buffer {index} has data after its {filled} valid bytes"
            problems.append(Problem("bad-buffer", text, span.start))
        out[:size] = stored[:size]
        return size, tail

    def _inflated(
        self, index: int, span: _Span, filled: int, out: NDArray[np.uint8], problems: list[Problem]
    ) -> tuple[int, Tail]:
        """Of a buffer that is compressed."""
        stored = self._raw[span.start + BUFFER_HEADER_SIZE : span.end]
        size = filled - BUFFER_HEADER_SIZE
        if not 0 <= size <= _MOST_INFLATED:
            text = f"buffer {index} says {filled} bytes are valid; it is not decoded"
            problems.append(Problem("bad-buffer", text, span.start))
            return 0, Tail.REPORTED
        if not self._known[index] and size > self._room:
            text = f"buffer {index} is not decoded: it says {size} bytes, and all buffers together may have"
            problems.append(Problem("too-large", f"{text} {self._room} more", span.start))
            return 0, Tail.REPORTED
        result = inflate_into(self._compression(stored, size, problems), stored, out[:size])
        if not result.error:
            return size, Tail.WHOLE
        if not span.cut:
            text = f"buffer {index}: {result.error}, at byte {result.broken_at} of {len(stored)} compressed ones"
            text += f"; {len(result.data)} of {size} bytes are inflated"
            problems.append(Problem("bad-buffer", text, span.start + BUFFER_HEADER_SIZE + result.broken_at))
        return len(result.data), Tail.REPORTED

    def _compression(self, stored: NDArray[np.uint8], size: int, problems: list[Problem]) -> Compression:
        """What buffer 0 says. If it says nothing known, what fits to the first buffer that is asked for."""
        if self._format is None:
            stated = int.from_bytes(self.data[0x2C:0x2E], "little")
            try:
                self._format = Compression(stated)
            except ValueError:
                fits = [kind for kind in Compression if not inflate(kind, stored.tobytes(), size).error]
                self._format = (fits or [Compression.XPRESS])[0]
                text = f"buffer 0 states the unknown compression {stated}; {self._format.name} is assumed"
                problems.append(Problem("compression", text, 0x2C))
        return self._format
