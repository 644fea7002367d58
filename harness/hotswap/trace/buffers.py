"""The buffers of an `.etl`, plain or compressed (reference: etl.md, sections 2, 2.1, 2.8).

Plain buffers follow each other at one distance. Compressed ones have each a size of its own, so after damage the next
one has to be searched. Events lie in an image: the file itself, or its buffers inflated.
"""

from __future__ import annotations

import mmap
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.framing import BUFFER_DTYPE, BUFFER_HEADER_SIZE, BufferFlag, Problem, gather

Bytes: TypeAlias = "bytes | mmap.mmap"
"""What a slice of which is bytes."""
Ints: TypeAlias = "NDArray[np.int64]"
TABLE_DTYPE = np.dtype(
    {
        "names": [*(BUFFER_DTYPE.names or ()), "offset", "cpu", "place", "inflated"],
        "formats": [*(BUFFER_DTYPE[name] for name in BUFFER_DTYPE.names or ()), "<i8", "<i8", "<i8", "?"],
    }
)
"""What its header says of a buffer, and `offset` (in the file), `cpu`, `inflated` (whether it was compressed), and
`place`: where it begins in the image of the whole file."""


class Tail(IntEnum):
    """How the valid bytes of a buffer end, so that an event which passes the end is called what it is."""

    WHOLE = 0
    CUT = 1
    """The file ends here."""
    REPORTED = 2
    """The rest of the buffer is lost, and that is among the problems already."""


@dataclass(frozen=True, slots=True)
class Image:
    """The bytes of some buffers. `begin` and `end` are those of their events in `data`, `tail` are of Tail, `place` is
    where the buffers begin in `data`."""

    data: Bytes
    place: Ints
    begin: Ints
    end: Ints
    tail: NDArray[np.uint8]

    @property
    def raw(self) -> NDArray[np.uint8]:
        """The bytes as an array."""
        return np.frombuffer(self.data, np.uint8)


@dataclass
class BufferFile(ABC):
    """An `.etl` and the table of its buffers, in file order (TABLE_DTYPE)."""

    data: Bytes
    buffers: NDArray[np.void] = field(default_factory=lambda: np.zeros(0, TABLE_DTYPE))
    problems: list[Problem] = field(default_factory=list)
    """What is wrong with the buffers; what is wrong inside is found with their images."""

    @abstractmethod
    def image(self, chosen: Ints, problems: list[Problem] | None = None) -> Image:
        """The bytes of these buffers, in this order. What is wrong with them goes to `problems`."""

    @abstractmethod
    def whole(self, problems: list[Problem]) -> Image:
        """The bytes of all buffers; sets `place` of each."""

    def release(self, chosen: Ints) -> None:
        """These buffers are not needed soon: their pages need no memory of this process."""
        if len(chosen):
            offsets, after = self.buffers["offset"], int(chosen.max()) + 1
            end = int(offsets[after]) if after < len(offsets) else len(self.data)
            self._release(int(offsets[chosen].min()), end)

    def _release(self, begin: int, end: int) -> None:
        if isinstance(self.data, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            begin -= begin % mmap.PAGESIZE
            self.data.madvise(mmap.MADV_DONTNEED, begin, end - begin)

    def file_offset(self, image: Image, chosen: Ints, position: int) -> int:
        """Where in the file a byte of an image of these buffers comes from: for one that was inflated, where its
        buffer begins."""
        at = int(np.searchsorted(image.place, position, "right")) - 1
        buffer = self.buffers[chosen[at]]
        return int(buffer["offset"]) + (0 if buffer["inflated"] else position - int(image.place[at]))


def table_of(data: Bytes, offsets: Ints) -> NDArray[np.void]:
    """The table of the buffers that begin at these offsets."""
    headers = gather(np.frombuffer(data, np.uint8), offsets, BUFFER_DTYPE)
    buffers = np.zeros(len(offsets), TABLE_DTYPE)
    for name in BUFFER_DTYPE.names or ():
        buffers[name] = headers[name]
    buffers["offset"] = offsets
    indexed = buffers["flags"] & BufferFlag.PROC_INDEX != 0
    buffers["cpu"] = np.where(indexed, buffers["processor"] & 0x7FF, buffers["processor"] & 0xFF)
    return buffers


_BATCH = 1024
"""Buffers that are looked at before their pages are given back."""
_MOST_PLAIN = 1 << 26
"""Distance of plain buffers: larger than that is damage."""


class PlainFile(BufferFile):
    """A file of plain buffers at one distance. The file is its own image."""

    def __init__(self, data: Bytes, buffer_size: int) -> None:
        """`buffer_size` is that of the log-file header."""
        super().__init__(data)
        self._stride = _stride(data, buffer_size)
        self._raw = np.frombuffer(data, np.uint8)
        self._find()
        self._begin, self._end, self._tail = self._spans()

    def _find(self) -> None:
        """The table of the buffers that were ever written."""
        offsets = np.arange(0, len(self.data), self._stride)
        if int(offsets[-1]) + BUFFER_HEADER_SIZE > len(self.data):
            self._report("cut", "the file ends inside a buffer header", offsets[-1])
            offsets = offsets[:-1]
        parts, tables = [np.zeros(0, np.bool_)], [np.zeros(0, TABLE_DTYPE)]
        heads = np.lib.stride_tricks.sliding_window_view(self._raw, BUFFER_HEADER_SIZE)
        for some in self._in_batches(offsets):
            parts.append(np.any(heads[some], axis=1))
            tables.append(table_of(self.data, some[parts[-1]]))
        written = np.concatenate(parts)
        self.buffers = np.concatenate(tables)
        self.buffers["place"] = self.buffers["offset"]
        # A run of empty ones that goes to the end is what was preallocated.
        begins = np.flatnonzero(~written & np.concatenate([[True], written[:-1]]))
        for start in offsets[begins[: len(begins) - (not written[-1])]].tolist():
            self._report("empty-buffers", "empty buffers are followed by written ones", start)

    def _spans(self) -> tuple[Ints, Ints, NDArray[np.uint8]]:
        """Where the events of each buffer begin and end, and how."""
        buffers, length, stride = self.buffers, len(self.data), self._stride
        start, filled = buffers["offset"], buffers["filled"].astype(np.int64)
        for index in np.flatnonzero(buffers["size"] != stride).tolist():
            self._report(
                "bad-buffer", f"buffer {index} says {buffers['size'][index]} bytes, not {stride}", start[index]
            )
        compressed: NDArray[np.bool_] = buffers["flags"] & BufferFlag.COMPRESSED != 0
        for index in np.flatnonzero(compressed).tolist():
            text = f"buffer {index} says it is compressed, in a file that is not; it is not decoded"
            self._report("bad-buffer", text, start[index])
        impossible = ~compressed & ((filled < BUFFER_HEADER_SIZE) | (filled > stride))
        for index in np.flatnonzero(impossible).tolist():
            text = f"buffer {index} says {filled[index]} of {stride} bytes are valid"
            self._report("bad-buffer", text, start[index])
        filled = np.where(impossible, stride, filled)
        end = np.minimum(start + filled, length)
        cut = start + stride > length
        tail = np.where(cut & (end == length), Tail.CUT, Tail.WHOLE).astype(np.uint8)
        for index in np.flatnonzero(cut & (tail == Tail.WHOLE)).tolist():
            self._report("cut", f"the file ends inside buffer {index}, behind its events", length)
        for index in np.flatnonzero(~compressed & self._goes_on(start + filled, start + stride)).tolist():
            text = f"buffer {index} has data after its {filled[index]} valid bytes"
            self._report("bad-buffer", text, start[index])
        begin = start + BUFFER_HEADER_SIZE
        return begin, np.where(compressed, begin, end), tail

    def _goes_on(self, after: Ints, limit: Ints) -> NDArray[np.bool_]:
        """Whether something else than filler comes right after the valid bytes."""
        found = np.zeros(len(after), np.bool_)
        limit = np.minimum(limit, len(self.data))
        for rows in self._in_batches(np.arange(len(after))):
            for step in range(4):
                there = rows[after[rows] + step < limit[rows]]
                found[there] |= self._raw[after[there] + step] != 0xFF
        return found

    def _in_batches(self, buffers: Ints) -> Iterator[Ints]:
        """Some of the buffers at a time: whoever looks at one gets the pages around it into his memory."""
        for begin in range(0, len(buffers), _BATCH):
            yield buffers[begin : begin + _BATCH]
            self._release(begin * self._stride, min((begin + _BATCH) * self._stride, len(self.data)))

    def _report(self, code: str, message: str, offset: int) -> None:
        self.problems.append(Problem(code, message, int(offset)))

    def image(self, chosen: Ints, problems: list[Problem] | None = None) -> Image:
        """See BufferFile."""
        place = self.buffers["offset"][chosen]
        return Image(self.data, place, self._begin[chosen], self._end[chosen], self._tail[chosen])

    def whole(self, problems: list[Problem]) -> Image:
        """See BufferFile."""
        return self.image(np.arange(len(self.buffers)))


def _stride(data: Bytes, buffer_size: int) -> int:
    """Bytes from buffer to buffer. Two places state it; when they differ, the one that leads to buffers counts."""
    stated = [int.from_bytes(data[:4], "little"), buffer_size]
    sane = [size for size in stated if BUFFER_HEADER_SIZE < size <= _MOST_PLAIN]
    for size in sane:
        if data[size : size + 4] == size.to_bytes(4, "little"):
            return size
    return sane[0] if sane else max(len(data), 1)
