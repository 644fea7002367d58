"""The native decoder of payloads (decode.c)."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hotswap.trace.columns import Column, Payloads, arrow_data, arrow_lists, arrow_structs, arrow_values
from hotswap.trace.plan import COLUMN_DTYPE, Group, Leaf, Plan

_ROWS = 1 << 16
"""As many are decoded at a time: what is read of them twice stays in the processor's caches."""
_MOST_BYTES = 1 << 28
"""Of the payloads that are decoded at a time: Arrow's offsets have 31 bits, and a byte can become three."""
_DATA = "data"
_Room: TypeAlias = "tuple[NDArray[np.generic] | None, NDArray[np.int32] | None]"
"""Values, and where each text or list begins, with the end of the last."""


class _Rows(ctypes.Structure):
    """HS_PAYLOADS."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("offset", ctypes.c_void_p),
        ("length", ctypes.c_void_p),
        ("rows", ctypes.c_uint64),
    )


class DecodeLibrary:
    """The functions of the library that this is about."""

    def __init__(self, library: ctypes.CDLL) -> None:
        pointer, u32 = ctypes.c_void_p, ctypes.c_uint32
        self.measure = library["hs_measure"]
        self.measure.restype = ctypes.c_uint64
        self.measure.argtypes = [pointer, pointer, u32, pointer, u32, pointer, pointer, pointer]
        self.fill = library["hs_fill"]
        self.fill.restype = None
        self.fill.argtypes = [pointer, pointer, u32, pointer, pointer, pointer]


def decode_native(
    library: DecodeLibrary,
    raw: NDArray[np.uint8],
    offset: NDArray[np.int64],
    length: NDArray[np.int64],
    plan: Plan,
) -> Payloads:
    """Decode the payloads at `offset` with `length` bytes, all inside of `raw`."""
    return _Decoding(library, raw, np.ascontiguousarray(offset), np.ascontiguousarray(length), plan).run()


class _Decoding:
    def __init__(
        self,
        library: DecodeLibrary,
        raw: NDArray[np.uint8],
        offset: NDArray[np.int64],
        length: NDArray[np.int64],
        plan: Plan,
    ) -> None:
        self.library, self.raw, self.offset, self.length, self.plan = library, raw, offset, length, plan
        self.whole = np.zeros(len(offset), np.bool_)
        self.done = 0
        # Plain numbers of all rows go to one array each, everything else to a piece for each part of the rows.
        self.flat = {
            leaf.column: np.empty(len(offset), leaf.dtype)
            for leaf in plan.fields
            if isinstance(leaf, Leaf) and leaf.dtype is not None and leaf.list < 0
        }
        self.pieces: list[list[pa.Array]] = [[] for _ in plan.fields]

    def run(self) -> Payloads:
        begin = 0
        while begin < len(self.offset) or not begin:
            end = min(begin + _ROWS, len(self.offset))
            if int(self.length[begin:end].sum()) > _MOST_BYTES:
                end = begin + max(_MOST_BYTES >> 16, 1)  # a payload has less than 64 KiB
            self._part(begin, end)
            if end == len(self.offset):
                break
            begin = end
        columns: dict[str, Column] = {}
        for name, made, pieces in zip(self.plan.names, self.plan.fields, self.pieces, strict=True):
            if isinstance(made, Leaf) and made.column in self.flat:
                columns[name] = self.flat[made.column][: self.done]
            else:
                columns[name] = pa.chunked_array(pieces)
        return Payloads(self.whole, columns)

    def _part(self, begin: int, end: int) -> None:
        plan, whole = self.plan, self.whole[begin:end]
        rows = _Rows(self.raw.ctypes.data, self.offset[begin:end].ctypes.data, self.length[begin:end].ctypes.data,
                     end - begin)  # fmt: skip
        columns, saved = np.zeros((2, len(plan.columns)), COLUMN_DTYPE)
        registers = np.zeros(max(plan.registers, 1), np.int64)
        nodes, count = plan.nodes.ctypes.data, len(plan.nodes)
        found = self.library.measure(
            ctypes.byref(rows), nodes, count, columns.ctypes.data, len(columns), saved.ctypes.data,
            registers.ctypes.data, whole.ctypes.data,
        )  # fmt: skip
        room = [self._room(number, kind, columns[number]) for number, kind in enumerate(plan.columns)]
        for number, (values, offsets) in enumerate(room):
            columns["values"][number] = 0 if values is None else values.ctypes.data
            columns["offsets"][number] = 0 if offsets is None else offsets.ctypes.data
        columns["count"] = columns["bytes"] = 0
        self.library.fill(
            ctypes.byref(rows), nodes, count, columns.ctypes.data, registers.ctypes.data, whole.ctypes.data
        )
        self.done += found
        for made, pieces in zip(plan.fields, self.pieces, strict=True):
            if not (isinstance(made, Leaf) and made.column in self.flat):
                pieces.append(_array(made, room, found))

    def _room(self, number: int, kind: np.dtype[np.generic] | str | None, column: np.void) -> _Room:
        """What the values and offsets of a column are written to."""
        if isinstance(kind, np.dtype):
            flat = self.flat.get(number)
            return np.empty(int(column["count"]), kind) if flat is None else flat[self.done :], None
        offsets = np.zeros(int(column["count"]) + 1, np.int32)
        return (np.empty(int(column["bytes"]), np.uint8) if kind == _DATA else None), offsets


def _array(made: Leaf | Group, room: Sequence[_Room], count: int) -> pa.Array:
    """The Arrow array of a field of which there are `count`."""
    offsets = room[made.list][1] if made.list >= 0 else None
    inner = count if offsets is None else int(offsets[-1])
    if isinstance(made, Group):
        values = arrow_structs([_array(member, room, inner) for member in made.members], made.names, inner)
    else:
        content, begins = room[made.column]
        assert content is not None
        values = arrow_values(content)
        if made.dtype is None:
            assert begins is not None
            values = arrow_data(begins, content.view(np.uint8), text=made.text)
    return values if offsets is None else arrow_lists(offsets, values)
