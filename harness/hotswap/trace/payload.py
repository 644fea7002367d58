"""TraceLogging payloads of one schema to columns, all rows at once (reference: etl.md, sections 4 and 6).

A cursor stands in every payload and moves over the fields. A row whose payload is too short for its fields drops out.
What comes out is equal to decode_payload, row by row; structs, and arrays of what has no fixed size, are left to that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hotswap.trace.buffers import Bytes
from hotswap.trace.framing import gather
from hotswap.trace.schema import EventSchema, Field, InType, Shape, decode_narrow, is_sized, scalar_dtype, unique_names

Column: TypeAlias = "NDArray[np.generic] | pa.ChunkedArray"
"""Numbers, and records of 16 bytes, as numpy; texts, binary data and lists as Arrow."""
_Piece: TypeAlias = "NDArray[np.generic] | pa.Array"
_ROWS = 1 << 16
"""As many are decoded at a time: what is gathered for them stays in the processor's caches."""
_WIDE = (InType.UNICODESTRING, InType.COUNTEDSTRING)
_NARROW = (InType.ANSISTRING, InType.COUNTEDANSISTRING)
_TERMINATED = {InType.UNICODESTRING: 2, InType.ANSISTRING: 1}
_SCALARS = (*_WIDE, *_NARROW, InType.BINARY, InType.COUNTEDBINARY, InType.SID)
_COUNT = np.dtype([("count", "<u2")])


@dataclass(frozen=True, slots=True)
class Payloads:
    """The columns by field name, and which rows are in them: those whose payload was whole."""

    whole: NDArray[np.bool_]
    columns: Mapping[str, Column]


def is_columnar(schema: EventSchema, pointer_size: int) -> bool:
    """Whether payloads of this schema can be decoded here."""
    return all(_is_columnar(item, scalar_dtype(item, pointer_size)) for item in schema.fields)


def _is_columnar(item: Field, code: str | None) -> bool:
    if code is not None:
        return item.shape in (Shape.SCALAR, Shape.CONSTANT, Shape.VARIABLE)
    return item.shape == Shape.SCALAR and item.in_type in _SCALARS and not is_sized(item)


def decode_columns(
    data: Bytes, offset: NDArray[np.int64], length: NDArray[np.int64], schema: EventSchema, pointer_size: int
) -> Payloads:
    """Decode the payloads at `offset` with `length` bytes; `is_columnar` holds for the schema."""
    chunks = [
        _Chunk(data, offset[begin : begin + _ROWS], length[begin : begin + _ROWS])
        for begin in range(0, max(len(offset), 1), _ROWS)
    ]
    steps = list(_steps(schema.fields, pointer_size))
    parts = [[piece for step in steps for piece in step(chunk)] for chunk in chunks]
    parts = [[_select(piece, chunk.whole) for piece in part] for part, chunk in zip(parts, chunks, strict=True)]
    names = unique_names(schema.fields)
    columns = {name: _concatenate([part[index] for part in parts]) for index, name in enumerate(names)}
    return Payloads(np.concatenate([chunk.whole for chunk in chunks]), columns)


def _select(piece: _Piece, whole: NDArray[np.bool_]) -> _Piece:
    if whole.all():
        return piece
    return piece.filter(pa.array(whole)) if isinstance(piece, pa.Array) else piece[whole]


def _concatenate(pieces: Sequence[_Piece]) -> Column:
    return pa.chunked_array(pieces) if isinstance(pieces[0], pa.Array) else np.concatenate(pieces)


class _Chunk:
    """Some rows and the cursors in them. Of a row that has dropped out nothing is taken any more."""

    def __init__(self, data: Bytes, offset: NDArray[np.int64], length: NDArray[np.int64]) -> None:
        self.raw = np.frombuffer(data, np.uint8)
        self.cursor = offset.astype(np.int64)
        self.end = self.cursor + length
        self.whole = np.ones(len(offset), np.bool_)

    def take(self, size: NDArray[np.int64] | int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Move over `size` bytes and return where they are and how many: none in a row that has not so many."""
        self.drop(self.cursor + size > self.end)
        at, taken = self.cursor, np.where(self.whole, size, 0)
        self.cursor = at + taken
        return at, taken

    def drop(self, rows: NDArray[np.bool_]) -> None:
        """These are not whole."""
        self.whole &= ~rows

    def records(self, dtype: np.dtype[np.void]) -> NDArray[np.void]:
        """A record from every row; any from one that has dropped out."""
        at, _ = self.take(dtype.itemsize)
        if not self.whole.any():
            return np.zeros(len(at), dtype)
        return gather(self.raw, np.where(self.whole, at, at[self.whole][0]), dtype)

    def counted(self, unit: int = 1) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """A 16-bit count and as many units."""
        count = self.records(_COUNT)["count"].astype(np.int64)
        return self.take(count * unit)

    def terminated(self, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """What stands before a NUL of `width` bytes, and move over both."""
        end = self._find_nul(width)
        self.drop(end < 0)
        at, size = self.take(np.where(self.whole, end - self.cursor, 0))
        self.take(width)
        return at, size

    def _find_nul(self, width: int) -> NDArray[np.int64]:
        """Where the first NUL at or after each cursor is, in whole units from there; -1 where there is none."""
        found = np.full(len(self.cursor), -1, np.int64)
        live = np.flatnonzero(self.whole)
        if not len(live):
            return found
        low, high = int(self.cursor[live].min()), int(self.end[live].max())
        for parity in range(width):
            mine = live[(self.cursor[live] - low) % width == parity]
            units = self.raw[low + parity : low + parity + (high - low - parity) // width * width]
            nul = np.flatnonzero(units.view(f"<u{width}") == 0) * width + low + parity
            if not len(mine) or not len(nul):
                continue
            place = np.searchsorted(nul, self.cursor[mine])
            there = place < len(nul)
            found[mine[there]] = nul[place[there]]
        return found


_Step = Callable[[_Chunk], Iterable[_Piece]]


def _steps(fields: Sequence[Field], pointer_size: int) -> Iterable[_Step]:
    """How to decode the fields, in order. Neighbours of fixed size are read as one record."""
    run: list[str] = []
    for item in fields:
        code = scalar_dtype(item, pointer_size)
        if code is not None and item.shape == Shape.SCALAR:
            run.append(code)
            continue
        if run:
            yield _fixed(run)
            run = []
        yield _array(item, code) if code is not None else _scalar(item)
    if run:
        yield _fixed(run)


def _fixed(codes: Sequence[str]) -> _Step:
    dtype = np.dtype([(str(index), code) for index, code in enumerate(codes)])

    def step(chunk: _Chunk) -> Iterable[_Piece]:
        records = chunk.records(dtype)
        return [native_order(records[name]) for name in dtype.names or ()]

    return step


def native_order(column: NDArray[np.generic]) -> NDArray[np.generic]:
    """A column of its own, in the byte order of this computer: ports come in network order."""
    return np.ascontiguousarray(column, column.dtype.newbyteorder("="))


def _array(item: Field, code: str) -> _Step:
    dtype = np.dtype(code)

    def step(chunk: _Chunk) -> Iterable[_Piece]:
        if item.shape == Shape.CONSTANT:
            at, size = chunk.take(item.count * dtype.itemsize)
        else:
            at, size = chunk.counted(dtype.itemsize)
        joined, begins = ragged(chunk.raw, at, size)
        if dtype.kind == "V":
            values = pa.FixedSizeBinaryArray.from_buffers(
                pa.binary(dtype.itemsize), len(joined) // dtype.itemsize, [None, pa.py_buffer(joined)]
            )
        else:
            values = pa.array(native_order(joined.view(dtype)))
        return [pa.ListArray.from_arrays(pa.array((begins // dtype.itemsize).astype(np.int32)), values)]

    return step


def _scalar(item: Field) -> _Step:
    kind = item.in_type

    def step(chunk: _Chunk) -> Iterable[_Piece]:
        if kind == InType.SID:
            at, size = _sid(chunk)
        elif kind in _TERMINATED:
            at, size = chunk.terminated(_TERMINATED[kind])
        else:
            at, size = chunk.counted()
        joined, begins = ragged(chunk.raw, at, size)
        if kind in _WIDE:
            return [_texts(joined, begins, 2, lambda part: part.decode("utf-16-le", "replace"))]
        if kind in _NARROW:
            return [_texts(joined, begins, 1, lambda part: decode_narrow(part, item.out_type))]
        return [_binary(pa.binary(), joined, begins)]

    return step


def _sid(chunk: _Chunk) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A SID: 8 bytes, and 4 for each of the sub-authorities that byte 1 counts."""
    at, _ = chunk.take(8)
    count = chunk.raw[np.where(chunk.whole, at + 1, 0)].astype(np.int64)
    _, rest = chunk.take(np.where(chunk.whole, 4 * count, 0))
    return at, np.where(chunk.whole, 8 + rest, 0)


def ragged(
    raw: NDArray[np.uint8], at: NDArray[np.int64], size: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The bytes of all rows one after the other, and where each begins, with the end of the last."""
    begins = np.concatenate([np.zeros(1, np.int64), np.cumsum(size)])
    places = np.repeat(at - begins[:-1], size) + np.arange(begins[-1])
    return raw[places], begins


def _binary(kind: pa.DataType, joined: NDArray[np.uint8], begins: NDArray[np.int64]) -> pa.Array:
    buffers = [None, pa.py_buffer(begins.astype(np.int32)), pa.py_buffer(np.ascontiguousarray(joined))]
    return pa.Array.from_buffers(kind, len(begins) - 1, buffers)


def _texts(
    joined: NDArray[np.uint8], begins: NDArray[np.int64], width: int, decode: Callable[[bytes], str]
) -> pa.Array:
    """Texts from units of `width` bytes: those that are ASCII throughout all at once, the others one by one."""
    size = np.diff(begins)
    special = np.zeros(len(joined) + 1, np.int64)
    if width == 1:
        special[1:] = np.cumsum(joined >= 0x80)
    else:
        # The first byte of a unit is the low one; units begin where the row does.
        low = (np.arange(len(joined)) - np.repeat(begins[:-1], size)) % 2 == 0
        special[1:] = np.cumsum(np.where(low, joined >= 0x80, joined != 0))
    slow = (special[begins[1:]] > special[begins[:-1]]) | (size % width != 0)
    if width == 2:
        narrow = joined[low & ~np.repeat(slow, size)]
        kept = np.where(slow, 0, size // 2)
    else:
        narrow = joined[~np.repeat(slow, size)] if slow.any() else joined
        kept = np.where(slow, 0, size)
    fast = _binary(pa.string(), narrow, np.concatenate([np.zeros(1, np.int64), np.cumsum(kept)]))
    if not slow.any():
        return fast
    rows = np.flatnonzero(slow)
    parts = [decode(joined[begins[row] : begins[row + 1]].tobytes()) for row in rows.tolist()]
    index = np.arange(len(size))
    index[rows] = len(size) + np.arange(len(rows))
    return pa.concat_arrays([fast, pa.array(parts, pa.string())]).take(pa.array(index))
