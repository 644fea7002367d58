"""Fields of events as debug annotations: numbers as numbers, and texts by their number where they come again."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hotswap.trace.payload import Column as FieldColumn
from hotswap.trace.perfetto.packets import Packets, interned_texts
from hotswap.trace.perfetto.wire import (
    FIXED64,
    VARINT,
    Message,
    Part,
    counted,
    field,
    fixed,
    key,
    texts,
    varint,
    varints,
)
from hotswap.trace.schema import Field, InType, OutType, Shape
from hotswap.trace.table import Events, EventTable
from hotswap.trace.text import value_text

_BOOL, _UINT, _INT, _DOUBLE, _STRING, _POINTER, _STRING_IID = 2, 3, 4, 5, 6, 7, 17
_ADDRESSES = (InType.POINTER, InType.HEXINT32, InType.HEXINT64)
_AS_TEXT = {
    *(OutType.NTSTATUS, OutType.IPV4, OutType.IPV6, OutType.PORT, OutType.FILETIME, OutType.DATETIME_UTC),
    OutType.BOOLEAN,
}
_MOST_BYTES = 128
"""Of a payload that was not decoded."""


def field_annotations(
    packets: Packets, events: Events, chosen: NDArray[np.bool_], without: frozenset[str]
) -> list[Part]:
    """The fields of some events of one kind, but for those named."""
    return [
        _annotation(packets, name, _value(packets, events.schema[name], events.fields.column(name), chosen))
        for name in events.fields
        if name not in without
    ]


def undecoded(packets: Packets, table: EventTable, rows: NDArray[np.int64], problems: list[str]) -> list[Part]:
    """What stands for the fields of events that could not be decoded: their bytes, and why."""
    starts, lengths = table.payload_offset[rows].tolist(), table.payload_length[rows].tolist()
    payloads = [table.data[at : at + min(size, _MOST_BYTES + 1)] for at, size in zip(starts, lengths, strict=True)]
    shown = [data[:_MOST_BYTES].hex() + ("…" if len(data) > _MOST_BYTES else "") for data in payloads]
    return [
        _annotation(packets, name, _texts(packets, pa.array(values, pa.string())))
        for name, values in (("payload", shown), ("problem", problems))
    ]


def _annotation(packets: Packets, name: str, value: list[Part]) -> Message:
    return Message(4, [key(1, VARINT), varint(packets.field(name)), *value])


def _value(packets: Packets, described: Field, column: FieldColumn, chosen: NDArray[np.bool_]) -> list[Part]:
    if isinstance(column, pa.ChunkedArray):
        plain = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        if plain and described.shape == Shape.SCALAR:
            return _texts(packets, column.filter(pa.array(chosen)).combine_chunks())
        values = column.filter(pa.array(chosen)).to_pylist()
    else:
        numbers = column[chosen]
        if numbers.dtype.kind in "iufb" and described.map is None and described.out_type not in _AS_TEXT:
            return _numbers(described, numbers)
        if numbers.dtype.kind in "iu":
            # A code or a time: there are few of them, or it is a text anyway.
            distinct, inverse = np.unique(numbers, return_inverse=True)
            known = pa.array([value_text(described, one) for one in distinct.tolist()], pa.string())
            return _texts(packets, known.take(pa.array(inverse.reshape(-1))))
        values = numbers.tolist()
    return _texts(packets, pa.array([value_text(described, value) for value in values], pa.string()))


def _numbers(described: Field, values: NDArray[np.generic]) -> list[Part]:
    kind = values.dtype.kind
    if kind == "f":
        return [key(_DOUBLE, FIXED64), fixed(values.astype(np.float64))]
    if described.in_type == InType.BOOL32 and bool(np.isin(values, (0, 1)).all()):
        return field(_BOOL, varints(values.astype(np.int64)))
    if described.in_type in _ADDRESSES or described.out_type in (OutType.HEX, OutType.CODE_POINTER, OutType.HRESULT):
        return field(_POINTER, varints(values.astype(np.uint32 if values.dtype.itemsize == 4 else np.uint64)))
    return field(_INT if kind == "i" else _UINT, varints(values.astype(np.int64 if kind == "i" else np.uint64)))


def _texts(packets: Packets, values: pa.Array) -> list[Part]:
    numbers = interned_texts(packets, values)
    if numbers is None:
        return [counted(_STRING, texts(values))]
    return field(_STRING_IID, varints(numbers))
