"""The frames of an `.etl`: buffers, and the events in them (reference: etl.md, sections 2.1-2.4)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

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


def gather(data: NDArray[np.uint8], offsets: NDArray[np.int64], dtype: np.dtype[np.void]) -> NDArray[np.void]:
    """Records of `dtype` at any byte offsets of `data`; each must lie inside."""
    if not len(offsets) or not dtype.itemsize:
        return np.zeros(len(offsets), dtype)
    return _at_every_byte(data, dtype.itemsize)[offsets].view(dtype)


def gather_words(data: NDArray[np.uint8], offsets: NDArray[np.int64], count: int) -> NDArray[np.uint64]:
    """As many words at each offset: a row for each. Each must lie inside."""
    if not len(offsets) or not count:
        return np.zeros((len(offsets), count), np.uint64)
    if count == 1 and data.ctypes.data % 8 == 0 and not (offsets & 7).any():
        return data[: len(data) & ~7].view("<u8")[offsets >> 3, None]
    return _at_every_byte(data, 8 * count)[offsets].view("<u8").reshape(-1, count)


def _at_every_byte(data: NDArray[np.uint8], size: int) -> NDArray[np.void]:
    """What begins at each byte, as one item of `size` bytes: numpy copies items of one size fastest."""
    shape = (max(len(data) - size + 1, 0),)
    return np.lib.stride_tricks.as_strided(data[:size].view(f"V{size}"), shape, (1,), writeable=False)
