"""Protobuf messages of many rows at once: a part of a message is a column, and columns become bytes in one go.

Parts nest as messages do. Their lengths are known before a byte is written, so that every byte is written once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]

VARINT, FIXED64, LENGTH = 0, 1, 2
"""Wire types."""
_MOST = 10
"""Bytes of a varint."""
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Column:
    """One piece of bytes a row: `data[offset[i]:offset[i + 1]]`."""

    data: Bytes
    offset: Ints

    @property
    def length(self) -> Ints:
        """Of each row's piece."""
        return np.diff(self.offset)


@dataclass(frozen=True, slots=True)
class Message:
    """A field that holds a message, made of parts."""

    number: int
    parts: Sequence[Part]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Parts that only some rows have."""

    rows: NDArray[np.bool_]
    parts: Sequence[Part]


Part: TypeAlias = "bytes | Column | Message | Chosen"
"""Bytes are the same in every row."""


def key(number: int, wire_type: int) -> bytes:
    """What stands before a field."""
    return varint(number << 3 | wire_type)


def varint(value: int) -> bytes:
    """One unsigned number, or a negative one as protobuf has it: as its 64 bits."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def varints(values: NDArray[np.unsignedinteger | np.signedinteger]) -> Column:
    """A column of numbers."""
    numbers = values.astype(np.int64).view(np.uint64) if values.dtype.kind == "i" else values.astype(np.uint64)
    size = np.ones(len(numbers), np.int64)
    for bits in range(7, 64, 7):
        size += numbers >= np.uint64(1 << bits)
    offset = _offsets(size)
    out = np.zeros(int(offset[-1]), np.uint8)
    for byte in range(int(size.max(initial=0))):
        chosen = np.flatnonzero(size > byte)
        part = (numbers[chosen] >> np.uint64(7 * byte)) & np.uint64(0x7F)
        more = (size[chosen] > byte + 1).astype(np.uint64) << np.uint64(7)
        out[offset[chosen] + byte] = part | more
    return Column(out, offset)


def fixed(values: NDArray[np.generic]) -> Column:
    """A column of numbers of fixed size: fixed64, or double."""
    data = np.ascontiguousarray(values).view(np.uint8).reshape(-1)
    return Column(data, np.arange(len(values) + 1, dtype=np.int64) * values.dtype.itemsize)


def texts(values: pa.Array) -> Column:
    """A column of strings or bytes; null is empty."""
    values = values.cast(pa.large_binary() if pa.types.is_binary(values.type) else pa.large_string())
    _, offset, data = values.buffers()
    raw = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    return Column(raw, np.frombuffer(offset, np.int64, len(values) + 1, values.offset * 8))


def field(number: int, value: Column) -> list[Part]:
    """A number's field."""
    return [key(number, VARINT), value]


def counted(number: int, value: Column) -> Message:
    """A field of strings or bytes."""
    return Message(number, [value])


def encode(rows: int, parts: Sequence[Part]) -> Column:
    """The bytes of each row, all of its parts one after the other."""
    leaves = list(_leaves(rows, parts))
    total = np.zeros(rows, np.int64)
    for leaf, chosen in leaves:
        total += _sizes(leaf, rows, chosen)
    offset = _offsets(total)
    out = np.empty(int(offset[-1]), np.uint8)
    at = offset[:-1].copy()
    for leaf, chosen in leaves:
        _put(out, at, leaf, chosen)
        at += _sizes(leaf, rows, chosen)
    return Column(out, offset)


_Leaf: TypeAlias = "tuple[bytes | Column, NDArray[np.bool_] | None]"


def _leaves(rows: int, parts: Sequence[Part], chosen: NDArray[np.bool_] | None = None) -> Iterator[_Leaf]:
    """Bytes and columns in their order, with the rows that have them (None: all); neighbouring bytes are joined."""
    constant = b""
    for part in parts:
        if isinstance(part, bytes):
            constant += part
            continue
        if isinstance(part, Message):
            inner = list(_leaves(rows, part.parts, chosen))
            length = np.zeros(rows, np.int64)
            for leaf, which in inner:
                length += _sizes(leaf, rows, which)
            constant += key(part.number, LENGTH)
            if len(inner) == 1 and isinstance(inner[0][0], bytes):
                constant += varint(len(inner[0][0])) + inner[0][0]
                continue
            yield constant, chosen
            yield varints(length), chosen
            yield from inner
            constant = b""
        elif isinstance(part, Chosen):
            if constant:
                yield constant, chosen
            constant = b""
            yield from _leaves(rows, part.parts, part.rows if chosen is None else part.rows & chosen)
        else:
            if constant:
                yield constant, chosen
            constant = b""
            yield part, chosen
    if constant:
        yield constant, chosen


def _sizes(leaf: bytes | Column, rows: int, chosen: NDArray[np.bool_] | None) -> Ints:
    size = np.full(rows, len(leaf), np.int64) if isinstance(leaf, bytes) else leaf.length
    return size if chosen is None else np.where(chosen, size, 0)


def _put(out: Bytes, at: Ints, leaf: bytes | Column, chosen: NDArray[np.bool_] | None) -> None:
    """Write one leaf at the places of its rows."""
    if isinstance(leaf, bytes):
        start = at if chosen is None else at[chosen]
        for index, byte in enumerate(leaf):
            out[start + index] = byte
        return
    start, offset, length = at, leaf.offset[:-1], leaf.length
    if chosen is not None:
        start, offset, length = at[chosen], offset[chosen], length[chosen]
    if len(length) and int(length.max()) <= _MOST:
        for index in range(int(length.max())):
            some = np.flatnonzero(length > index)
            out[start[some] + index] = leaf.data[offset[some] + index]
        return
    _copy_pieces(out, start, leaf.data, offset, length)


def _copy_pieces(out: Bytes, to: Ints, data: Bytes, offset: Ints, length: Ints) -> None:
    """`out[to[i]:][:length[i]] = data[offset[i]:][:length[i]]` for all i; so much at a time as caches hold."""
    total = np.cumsum(length)
    cuts = np.searchsorted(total, np.arange(_BLOCK, int(total[-1]) if len(total) else 0, _BLOCK)) + 1
    for begin, end in pairwise([0, *np.unique(cuts).tolist(), len(length)]):
        size = length[begin:end]
        first = np.cumsum(size) - size
        index = np.arange(int(size.sum()), dtype=np.int64)
        out[index + np.repeat(to[begin:end] - first, size)] = data[index + np.repeat(offset[begin:end] - first, size)]


def _offsets(size: Ints) -> Ints:
    offset = np.zeros(len(size) + 1, np.int64)
    np.cumsum(size, out=offset[1:])
    return offset
