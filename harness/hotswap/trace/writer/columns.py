"""Arrow columns to payload bytes, all rows at once: the way back of the column decoders (etl.md, section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hotswap.errors import UsageError
from hotswap.trace.clock import FILETIME_UNIX_EPOCH
from hotswap.trace.schema import Field, InType, OutType, Shape

Ints = NDArray[np.int64]
_U16_MAX = 0xFFFF
_NUMBERS: dict[pa.DataType, tuple[InType, str]] = {
    pa.int8(): (InType.INT8, "i1"),
    pa.uint8(): (InType.UINT8, "u1"),
    pa.int16(): (InType.INT16, "<i2"),
    pa.uint16(): (InType.UINT16, "<u2"),
    pa.int32(): (InType.INT32, "<i4"),
    pa.uint32(): (InType.UINT32, "<u4"),
    pa.int64(): (InType.INT64, "<i8"),
    pa.uint64(): (InType.UINT64, "<u8"),
    pa.float32(): (InType.FLOAT, "<f4"),
    pa.float64(): (InType.DOUBLE, "<f8"),
}


@dataclass(frozen=True, slots=True)
class Pieces:
    """Bytes of many rows, one row after the other; `size` has each row's bytes."""

    data: NDArray[np.uint8]
    size: Ints

    def __len__(self) -> int:
        return len(self.size)

    @property
    def fixed(self) -> int | None:
        """The bytes of every row where all have as many."""
        if not len(self.size):
            return 0
        return int(self.size[0]) if (self.size == self.size[0]).all() else None

    def put(self, into: NDArray[np.uint8], at: Ints) -> None:
        """Copy each row to a place."""
        width = self.fixed
        if width is not None:
            into[at[:, None] + np.arange(width)] = self.data.reshape(len(self.size), width)
        else:
            start = np.cumsum(self.size) - self.size
            into[np.repeat(at - start, self.size) + np.arange(len(self.data))] = self.data


def join(parts: Sequence[Pieces], rows: int) -> Pieces:
    """The parts of each row one behind the other."""
    size = np.zeros(rows, np.int64)
    for part in parts:
        size += part.size
    into = np.empty(int(size.sum()), np.uint8)
    at = np.cumsum(size) - size
    for part in parts:
        part.put(into, at)
        at = at + part.size
    return Pieces(into, size)


def field_of(name: str, kind: pa.DataType) -> Field:
    """The TraceLogging field that holds a column. Raises UsageError for a type that none can hold."""
    if kind in _NUMBERS:
        return Field(name, _NUMBERS[kind][0])
    if pa.types.is_boolean(kind):
        return Field(name, InType.BOOL32, OutType.BOOLEAN)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return Field(name, InType.COUNTEDSTRING)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return Field(name, InType.BINARY)
    if pa.types.is_timestamp(kind):
        return Field(name, InType.FILETIME)
    if pa.types.is_dictionary(kind):
        return field_of(name, kind.value_type)
    if pa.types.is_struct(kind) and 0 < kind.num_fields < 128:
        inner = tuple(field_of(each.name, each.type) for each in kind)
        return Field(name, InType.STRUCT, fields=inner)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inner_field = field_of(name, kind.value_type)
        if inner_field.shape == Shape.SCALAR and inner_field.in_type != InType.BINARY:
            return Field(name, inner_field.in_type, inner_field.out_type, Shape.VARIABLE, fields=inner_field.fields)
    raise UsageError(f"column {name}: no field of an event can hold {kind}")


def encode_column(name: str, column: pa.Array | pa.ChunkedArray) -> Pieces:
    """The bytes that `field_of(name, column.type)` has in each row. Nothing may be null, at any depth."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if array.null_count:
        raise UsageError(f"column {name} has nulls where an event has a value")
    kind = array.type
    if kind in _NUMBERS:
        return _numbers(array.to_numpy(zero_copy_only=False), _NUMBERS[kind][1])
    if pa.types.is_boolean(kind):
        return _numbers(array.to_numpy(zero_copy_only=False), "<i4")
    if pa.types.is_timestamp(kind):
        ns = array.cast(pa.timestamp("ns", kind.tz)).cast(pa.int64()).to_numpy(zero_copy_only=False)
        return _numbers(ns // 100 + FILETIME_UNIX_EPOCH, "<u8")
    if pa.types.is_dictionary(kind):
        return encode_column(name, array.dictionary_decode())
    if pa.types.is_struct(kind):
        return join([encode_column(each.name, array.field(each.name)) for each in kind], len(array))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _lists(name, array)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _counted(name, _wide(array))
    return _counted(name, _bytes(array.cast(pa.large_binary())))


def _numbers(values: NDArray[np.generic], dtype: str) -> Pieces:
    data = np.ascontiguousarray(values, dtype).view(np.uint8)
    return Pieces(data, np.full(len(values), np.dtype(dtype).itemsize, np.int64))


def _bytes(array: pa.Array) -> Pieces:
    """The values of a large binary column."""
    buffers = array.buffers()
    offsets = np.frombuffer(buffers[1], np.int64)[array.offset : array.offset + len(array) + 1]
    data = np.frombuffer(buffers[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
    return Pieces(data, np.diff(offsets))


def _wide(array: pa.Array) -> Pieces:
    """Texts as UTF-16."""
    narrow = _bytes(array.cast(pa.large_string()).cast(pa.large_binary()))
    if not len(narrow.data) or narrow.data.max() < 0x80:
        return Pieces(narrow.data.astype("<u2").view(np.uint8), narrow.size * 2)
    # Code points above U+FFFF begin with a byte of 0xF0 or more, and take two units of UTF-16.
    ends = np.cumsum(narrow.size)
    above = np.append(0, np.cumsum(narrow.data >= 0xF0))
    pairs = above[ends] - above[ends - narrow.size]
    units = pc.utf8_length(array).to_numpy(zero_copy_only=False).astype(np.int64) + pairs
    wide = narrow.data.tobytes().decode().encode("utf-16-le")
    return Pieces(np.frombuffer(wide, np.uint8), units * 2)


def _counted(name: str, values: Pieces) -> Pieces:
    """With a 16-bit count of bytes before each."""
    return join([_counts(name, values.size, "bytes"), values], len(values))


def _lists(name: str, array: pa.Array) -> Pieces:
    """Variable-count arrays: a 16-bit count of elements before each."""
    count = pc.list_value_length(array).to_numpy(zero_copy_only=False).astype(np.int64)
    elements = encode_column(name, array.flatten())
    ends = np.append(0, np.cumsum(elements.size))
    last = np.cumsum(count)
    return join([_counts(name, count, "elements"), Pieces(elements.data, ends[last] - ends[last - count])], len(array))


def _counts(name: str, count: Ints, what: str) -> Pieces:
    if len(count) and count.max() > _U16_MAX:
        raise UsageError(f"column {name} has a value of {count.max()} {what}: {_U16_MAX} is the most")
    return _numbers(count, "<u2")
