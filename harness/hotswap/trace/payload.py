"""Payloads of one schema to columns, all rows at once (reference: etl.md, sections 4 and 6).

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
from hotswap.trace.decode import MOST_AUTHORITIES
from hotswap.trace.framing import gather
from hotswap.trace.schema import (
    COUNTED,
    NARROW,
    WIDE,
    EventSchema,
    Field,
    InType,
    Shape,
    decode_narrow,
    is_sized,
    scalar_dtype,
    unique_names,
)

Column: TypeAlias = "NDArray[np.generic] | pa.ChunkedArray"
"""Numbers, and records of 16 bytes, as numpy; texts, binary data and lists as Arrow."""
_Piece: TypeAlias = "NDArray[np.generic] | pa.Array"
_ROWS = 1 << 16
"""As many are decoded at a time: what is gathered for them stays in the processor's caches."""
_REST = (InType.NONNULLTERMINATEDSTRING, InType.NONNULLTERMINATEDANSISTRING)
_COUNTS = {
    **dict.fromkeys(COUNTED, "<u2"),
    InType.REVERSEDCOUNTEDSTRING: ">u2",
    InType.REVERSEDCOUNTEDANSISTRING: ">u2",
    InType.HEXDUMP: "<u4",
}
"""Of what says in front how many bytes it has, the type of this number."""
_WINDOW = 64
"""As many bytes are looked at first for the end of a text; even."""
_MOST = 1 << 40
"""More than any payload has."""


@dataclass(frozen=True, slots=True)
class Payloads:
    """The columns by field name, and which rows are in them: those whose payload was whole."""

    whole: NDArray[np.bool_]
    columns: Mapping[str, Column]


def is_columnar(schema: EventSchema, pointer_size: int) -> bool:
    """Whether payloads of this schema can be decoded here."""
    numbers: set[str] = set()
    for name, item in zip(unique_names(schema.fields), schema.fields, strict=True):
        code = scalar_dtype(item, pointer_size)
        if item.shape == Shape.CUSTOM or (code is None and item.shape != Shape.SCALAR) or item.in_type == InType.STRUCT:
            return False
        if not {item.count_from, item.length_from} - {""} <= numbers:
            return False
        if code is not None and item.shape == Shape.SCALAR and np.dtype(code).kind in "iu":
            numbers.add(name)
    return True


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
        self.numbers: dict[str, NDArray[np.int64]] = {}
        """Fields that say how much there is of others, by name."""

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

    def counted(self, code: str, unit: int = 1) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """A count of this type and as many units."""
        count = self.records(np.dtype([("count", code)]))["count"].astype(np.int64)
        return self.take(count * unit)

    def referred(self, name: str, unit: int = 1) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """As many units as an earlier field says."""
        count = self.numbers[name]
        self.drop(count < 0)
        return self.take(np.where(self.whole, count, 0) * unit)

    def rest(self, unit: int = 1) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All whole units that are left."""
        return self.take(np.where(self.whole, (self.end - self.cursor) // unit * unit, 0))

    def terminated(self, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """What stands before a NUL of `width` bytes, and move over both."""
        size = self._before_nul(self.cursor, np.where(self.whole, self.end - self.cursor, 0), width)
        self.drop(size < 0)
        at, size = self.take(np.where(self.whole, size, 0))
        self.take(width)
        return at, size

    def until_nul(
        self, taken: tuple[NDArray[np.int64], NDArray[np.int64]], width: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of texts that were taken, what stands before the first NUL of each; all of one without."""
        at, size = taken
        before = self._before_nul(at, size, width)
        return at, np.where(before < 0, size, before)

    def _before_nul(self, at: NDArray[np.int64], size: NDArray[np.int64], width: int) -> NDArray[np.int64]:
        """How many bytes stand before the first NUL of `width` bytes, in whole units from `at`; -1 where there is none.

        A little more of each text is looked at in every turn: most are short, and what follows them may be long.
        """
        before = np.full(len(at), -1, np.int64)
        rows, done, window = np.flatnonzero(size >= width), 0, _WINDOW
        while len(rows):
            joined, begins = ragged(self.raw, at[rows] + done, np.minimum(size[rows] - done, window) // width * width)
            nul = np.append(np.flatnonzero(joined.view(f"<u{width}") == 0) * width, len(joined))
            found = nul[np.searchsorted(nul, begins[:-1])]
            hit = found < begins[1:]
            before[rows[hit]] = done + (found - begins[:-1])[hit]
            rows = rows[~hit & (size[rows] > done + window)]
            done, window = done + window, 8 * window
        return before


_Step = Callable[[_Chunk], Iterable[_Piece]]


def _steps(fields: Sequence[Field], pointer_size: int) -> Iterable[_Step]:
    """How to decode the fields, in order. Neighbours of fixed size are read as one record."""
    said = {name for item in fields for name in (item.count_from, item.length_from)}
    run: list[tuple[str, str]] = []
    for name, item in zip(unique_names(fields), fields, strict=True):
        code = scalar_dtype(item, pointer_size)
        if code is not None and item.shape == Shape.SCALAR:
            run.append((name, code))
            continue
        if run:
            yield _fixed(run, said)
            run = []
        yield _array(item, code) if code is not None else _scalar(item, pointer_size)
    if run:
        yield _fixed(run, said)


def _fixed(fields: Sequence[tuple[str, str]], said: set[str]) -> _Step:
    dtype = np.dtype([(str(index), code) for index, (_, code) in enumerate(fields)])

    def step(chunk: _Chunk) -> Iterable[_Piece]:
        records = chunk.records(dtype)
        columns = [native_order(records[name]) for name in dtype.names or ()]
        for (name, _), column in zip(fields, columns, strict=True):
            if name in said:
                # Of 64 bits the highest make a number that is below zero here: a row without so much, in either case.
                chunk.numbers[name] = np.minimum(column.astype(np.int64), _MOST)
        return columns

    return step


def native_order(column: NDArray[np.generic]) -> NDArray[np.generic]:
    """A column of its own, in the byte order of this computer: ports come in network order."""
    return np.ascontiguousarray(column, column.dtype.newbyteorder("="))


def _array(item: Field, code: str) -> _Step:
    dtype = np.dtype(code)

    def step(chunk: _Chunk) -> Iterable[_Piece]:
        if item.shape == Shape.CONSTANT:
            at, size = chunk.take(item.count * dtype.itemsize)
        elif item.shape == Shape.COUNTED:
            at, size = chunk.referred(item.count_from, dtype.itemsize)
        elif item.shape == Shape.REST:
            at, size = chunk.rest(dtype.itemsize)
        else:
            at, size = chunk.counted("<u2", dtype.itemsize)
        joined, begins = ragged(chunk.raw, at, size)
        if dtype.kind == "V":
            values = pa.FixedSizeBinaryArray.from_buffers(
                pa.binary(dtype.itemsize), len(joined) // dtype.itemsize, [None, pa.py_buffer(joined)]
            )
        else:
            values = pa.array(native_order(joined.view(dtype)))
        return [pa.ListArray.from_arrays(pa.array((begins // dtype.itemsize).astype(np.int32)), values)]

    return step


def _scalar(item: Field, pointer_size: int) -> _Step:
    kind, width = item.in_type, 2 if item.in_type in WIDE else 1

    def step(chunk: _Chunk) -> Iterable[_Piece]:
        if kind == InType.SID:
            at, size = _sid(chunk)
        elif kind == InType.WBEMSID:
            at, size = _wbem_sid(chunk, pointer_size)
        elif is_sized(item):
            taken = (
                chunk.referred(item.length_from, width) if item.length_from else chunk.take((item.length or 0) * width)
            )
            at, size = taken if kind == InType.BINARY else chunk.until_nul(taken, width)
        elif kind in _COUNTS:
            at, size = chunk.counted(_COUNTS[kind])
        elif kind in _REST:
            at, size = chunk.until_nul(chunk.rest(), width)
        else:
            at, size = chunk.terminated(width)
        joined, begins = ragged(chunk.raw, at, size)
        if kind in WIDE:
            return [_texts(joined, begins, 2, lambda part: part.decode("utf-16-le", "replace"))]
        if kind in NARROW:
            return [_texts(joined, begins, 1, lambda part: decode_narrow(part, item.out_type))]
        return [_binary(pa.binary(), joined, begins)]

    return step


def _sid(chunk: _Chunk, there: NDArray[np.bool_] | bool = True) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A SID where there is one: 8 bytes, and 4 for each of the sub-authorities that byte 1 counts."""
    at, head = chunk.take(np.where(there, 8, 0))
    here = chunk.whole & there
    count = chunk.raw[np.where(here, at + 1, 0)].astype(np.int64)
    _, rest = chunk.take(np.where(here, 4 * count, 0))
    return at, np.where(chunk.whole, head + rest, 0)


def _wbem_sid(chunk: _Chunk, pointer_size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two pointers and a SID; or a 32-bit 0 for none, unless a SID follows pointers that were cleared."""
    at, _ = chunk.take(4)
    empty = chunk.whole & (_word(chunk.raw, at, chunk.whole) == 0)
    behind = at + 2 * pointer_size
    seen = empty & (behind + 8 <= chunk.end)
    revision, count = (chunk.raw[np.where(seen, behind + index, 0)] for index in (0, 1))
    cleared = seen & (revision == 1) & (count > 0) & (count <= MOST_AUTHORITIES)
    cleared &= _word(chunk.raw, behind + 2, seen) == 0
    there = chunk.whole & ~(empty & ~cleared)
    chunk.take(np.where(there, 2 * pointer_size - 4, 0))
    return _sid(chunk, there)


def _word(raw: NDArray[np.uint8], at: NDArray[np.int64], seen: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The bits of the four bytes at each place, or-ed: 0 when all are 0; 0 where nothing may be looked at."""
    places = np.where(seen, at, 0)
    return np.where(seen, raw[places] | raw[places + 1] | raw[places + 2] | raw[places + 3], 0).astype(np.uint8)


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
