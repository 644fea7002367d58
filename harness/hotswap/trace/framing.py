"""The frames of an `.etl`: buffers, and the events in them (reference: etl.md, sections 2.1-2.4)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum, IntFlag, auto
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.native import Kernel, NativeWalked

BUFFER_HEADER_SIZE = 0x48
EVENT_HEADER_SIZE = 0x50


class HeaderType(IntEnum):
    """Byte 2 of an event whose marker flags are 0xC0; MESSAGE stands for all WPP records."""

    SYSTEM32 = 0x01
    SYSTEM64 = 0x02
    COMPACT32 = 0x03
    COMPACT64 = 0x04
    FULL32 = 0x0A
    INSTANCE32 = 0x0B
    ERROR = 0x0D
    MESSAGE = 0x0F
    PERFINFO32 = 0x10
    PERFINFO64 = 0x11
    EVENT32 = 0x12
    EVENT64 = 0x13
    FULL64 = 0x14
    INSTANCE64 = 0x15


def header_name(kind: int) -> str:
    """What a header type is called; `0x..` for an unknown one."""
    return _HEADER_NAMES.get(kind, f"0x{kind:02x}")


_HEADER_NAMES = {int(kind): kind.name for kind in HeaderType}

Family: TypeAlias = Literal["event", "classic", "kernel", "message", "unknown"]


def family_of(kind: int) -> Family:
    """Which family of headers a type belongs to; that of ERROR is unknown, since its layout is."""
    return _FAMILIES.get(kind, "unknown")


_FAMILIES: dict[int, Family] = {
    HeaderType.SYSTEM32: "kernel",
    HeaderType.SYSTEM64: "kernel",
    HeaderType.COMPACT32: "kernel",
    HeaderType.COMPACT64: "kernel",
    HeaderType.PERFINFO32: "kernel",
    HeaderType.PERFINFO64: "kernel",
    HeaderType.FULL32: "classic",
    HeaderType.FULL64: "classic",
    HeaderType.INSTANCE32: "classic",
    HeaderType.INSTANCE64: "classic",
    HeaderType.EVENT32: "event",
    HeaderType.EVENT64: "event",
    HeaderType.MESSAGE: "message",
}


class BufferFlag(IntFlag):
    """BufferFlag of WMI_BUFFER_HEADER."""

    FLUSH_MARKER = 0x01
    EVENTS_LOST = 0x02
    BUFFER_LOST = 0x04
    PROC_INDEX = 0x20
    COMPRESSED = 0x40


BUFFER_DTYPE = np.dtype(
    {
        "names": ["size", "timestamp", "sequence", "processor", "filled", "flags", "type"],
        "formats": ["<u4", "<i8", "<u8", "<u2", "<u4", "<u2", "<u2"],
        "offsets": [0x00, 0x10, 0x18, 0x28, 0x30, 0x34, 0x36],
        "itemsize": BUFFER_HEADER_SIZE,
    }
)

_SYSTEM_FAMILY = (HeaderType.SYSTEM32, HeaderType.SYSTEM64, HeaderType.COMPACT32, HeaderType.COMPACT64)
_PERFINFO_FAMILY = (HeaderType.PERFINFO32, HeaderType.PERFINFO64)
HEADER_SIZES = {
    HeaderType.SYSTEM32: 32,
    HeaderType.SYSTEM64: 32,
    HeaderType.COMPACT32: 24,
    HeaderType.COMPACT64: 24,
    HeaderType.FULL32: 48,
    HeaderType.FULL64: 48,
    HeaderType.INSTANCE32: 72,
    HeaderType.INSTANCE64: 72,
    HeaderType.PERFINFO32: 16,
    HeaderType.PERFINFO64: 16,
    HeaderType.EVENT32: EVENT_HEADER_SIZE,
    HeaderType.EVENT64: EVENT_HEADER_SIZE,
}
"""Bytes of the header, by type; of the other types 8 are known."""
# By type byte: where the size is in the first 8 bytes (as a shift), and how small an event of it can be.
_SIZE_SHIFT = np.array([32 if t in (*_SYSTEM_FAMILY, *_PERFINFO_FAMILY) else 0 for t in range(256)], np.uint8)
_MIN_SIZE = np.array([HEADER_SIZES.get(t, 8) for t in range(256)], np.uint8)  # type: ignore[call-overload]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with the file, as data: what, and at which offset of the file (bytes)."""

    code: str
    message: str
    offset: int


@dataclass(frozen=True, slots=True)
class Frames:
    """All events of all kinds in file order; arrays of one length. Offsets are those of the buffer image."""

    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    type: NDArray[np.uint8]
    buffer: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offset)


class Tail(Enum):
    """How the valid bytes of a buffer end, so that an event which passes the end is called what it is."""

    WHOLE = auto()
    CUT = auto()
    """The file ends here."""
    REPORTED = auto()
    """The rest of the buffer is lost, and that is among the problems already."""


class Stop(IntEnum):
    """Why the walk of a buffer stopped (HS_STOP of native/walk.c)."""

    END = 0
    NO_HEADER = 1
    TOO_SMALL = 2
    PASSES_END = 3


class FrameWalk:
    """Walks buffers and collects the frames found and the problems met.

    `locate` turns an offset of `data` into one of the file. Without a `native` kernel the twin in Python walks.
    """

    def __init__(self, data: bytes, native: Kernel | None = None) -> None:
        self.data = data
        self.problems: list[Problem] = []
        self.locate: Callable[[int], int] = int
        self._native = native
        self._parts: list[NativeWalked] = []
        self._buffers: list[int] = []

    def walk(self, buffer: int, start: int, end: int, tail: Tail) -> None:
        """Frame the events of the buffer at `start`, whose valid bytes end at `end`."""
        start += BUFFER_HEADER_SIZE
        if self._native is not None:
            part = self._native.walk(self.data, start, end, _SIZE_SHIFT, _MIN_SIZE)
        else:
            part = walk_in_python(self.data, start, end)
        self._parts.append(part)
        self._buffers.append(buffer)
        if part.stop == Stop.NO_HEADER:
            self._report(f"no event header (marker flags 0x{part.stop_size:02x})", part.at, buffer, end)
        elif part.stop == Stop.TOO_SMALL:
            text = f"an event of type 0x{part.stop_type:02x} that says {part.stop_size} bytes"
            self._report(text, part.at, buffer, end)
        elif part.stop == Stop.PASSES_END and tail is Tail.CUT:
            text = f"the file ends inside an event of {part.stop_size} bytes"
            self.problems.append(Problem("cut", text, self.locate(part.at)))
        elif part.stop == Stop.PASSES_END and tail is Tail.WHOLE:
            self._report(f"an event of {part.stop_size} bytes that passes the end", part.at, buffer, end)

    def _report(self, message: str, pos: int, buffer: int, end: int) -> None:
        text = f"buffer {buffer}: {message}; {end - pos} bytes of the buffer are not decoded"
        self.problems.append(Problem("bad-event", text, self.locate(pos)))

    def frames(self) -> Frames:
        """What was found so far."""
        counts = [len(part.offset) for part in self._parts]
        return Frames(
            np.concatenate([np.empty(0, np.int64), *(part.offset for part in self._parts)]),
            np.concatenate([np.empty(0, np.int64), *(part.size for part in self._parts)]),
            np.concatenate([np.empty(0, np.uint8), *(part.type for part in self._parts)]),
            np.repeat(np.array(self._buffers, np.int64), counts),
        )


def walk_in_python(data: bytes, start: int, end: int) -> NativeWalked:
    """The frames in data[start:end]: the twin of the native kernel's walk."""
    unpack, shifts, minima = struct.Struct("<Q").unpack_from, _SIZE_SHIFT.tolist(), _MIN_SIZE.tolist()
    offsets, sizes, kinds = list[int](), list[int](), list[int]()
    pos, stop, kind, size = start, Stop.END, 0, 0
    while pos + 8 <= end:
        head = unpack(data, pos)[0]
        if head & 0xFFFFFFFF == 0xFFFFFFFF:
            break
        marker, kind = head >> 24 & 0xFF, head >> 16 & 0xFF
        if marker == 0xC0:
            size = head >> shifts[kind] & 0xFFFF
        elif marker & 0x90 == 0x90:
            kind, size = HeaderType.MESSAGE, head & 0xFFFF
        else:
            stop, size = Stop.NO_HEADER, marker
            break
        if size < minima[kind]:
            stop = Stop.TOO_SMALL
            break
        if pos + size > end:
            stop = Stop.PASSES_END
            break
        offsets.append(pos)
        sizes.append(size)
        kinds.append(kind)
        pos += (size + 7) & ~7
    arrays = np.array(offsets, np.int64), np.array(sizes, np.int64), np.array(kinds, np.uint8)
    return NativeWalked(*arrays, pos, stop, kind, size)


def gather(data: NDArray[np.uint8], offsets: NDArray[np.int64], dtype: np.dtype[np.void]) -> NDArray[np.void]:
    """Records of `dtype` at any byte offsets of `data`; each must lie inside."""
    if not len(offsets) or not dtype.itemsize:
        return np.zeros(len(offsets), dtype)
    windows = np.lib.stride_tricks.sliding_window_view(data, dtype.itemsize)
    return np.ascontiguousarray(windows[offsets]).view(dtype).reshape(-1)
