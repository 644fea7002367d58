"""Decoded payloads as columns: numpy for plain numbers, Arrow for texts, binary data, lists and structs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hotswap.trace.plan import Group, Leaf

Column: TypeAlias = "NDArray[np.generic] | pa.ChunkedArray"
"""Numbers, and records of fixed size, as numpy; texts, binary data, lists and structs as Arrow."""
Piece: TypeAlias = "NDArray[np.generic] | pa.Array"
"""Part of a column."""


@dataclass(frozen=True, slots=True)
class Payloads:
    """The columns by field name, and which rows are in them: those whose payload was whole."""

    whole: NDArray[np.bool_]
    columns: Mapping[str, Column]


def joined(pieces: Sequence[Piece]) -> Column:
    """The column of some pieces."""
    plain = isinstance(pieces[0], np.ndarray)
    return np.concatenate(pieces) if plain else pa.chunked_array(pieces)


def is_plain(made: Leaf | Group) -> bool:
    """Whether the field's column is a numpy array."""
    return isinstance(made, Leaf) and made.dtype is not None and made.list < 0


def element_type(made: Leaf | Group) -> pa.DataType:
    """The Arrow type of one value of a field."""
    if isinstance(made, Group):
        members = zip(made.names, made.members, strict=True)
        return pa.struct([pa.field(name, arrow_type(member)) for name, member in members])
    if made.dtype is None:
        return pa.string() if made.text else pa.binary()
    return pa.binary(made.dtype.itemsize) if made.dtype.kind == "V" else pa.from_numpy_dtype(made.dtype)


def arrow_type(made: Leaf | Group) -> pa.DataType:
    """The Arrow type of a field, which may be an array of values."""
    kind = element_type(made)
    return kind if made.list < 0 else pa.list_(kind)


def arrow_values(values: Piece) -> pa.Array:
    """Plain values as Arrow; Arrow as it is."""
    if not isinstance(values, np.ndarray):
        return values
    if values.dtype.kind == "V":
        kind = pa.binary(values.dtype.itemsize)
        return pa.Array.from_buffers(
            kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values).view(np.uint8))]
        )
    return pa.array(values)


def arrow_data(offsets: NDArray[np.int32], data: NDArray[np.uint8], *, text: bool) -> pa.Array:
    """Texts in UTF-8, or binary data."""
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.string() if text else pa.binary(), len(offsets) - 1, buffers)


def arrow_lists(offsets: NDArray[np.int32], values: Piece) -> pa.Array:
    """Lists of values."""
    return pa.ListArray.from_arrays(pa.array(offsets), arrow_values(values))


def arrow_structs(members: Sequence[Piece], names: Sequence[str], count: int) -> pa.Array:
    """Structs, of which there are `count`."""
    if not members:
        return pa.array([{}] * count, pa.struct([]))
    return pa.StructArray.from_arrays([arrow_values(member) for member in members], list(names))


def decoded_piece(made: Leaf | Group, values: Sequence[object]) -> Piece:
    """Values that were decoded row by row, as part of a column."""
    if isinstance(made, Leaf) and is_plain(made):
        return np.array(list(values), made.dtype)
    return pa.array(values, arrow_type(made))
