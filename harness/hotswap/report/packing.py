"""Events with all their fields as columns that a page carries: compressed, and read by a few lines of its script."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hotswap.report.columns import encode, varints
from hotswap.trace.payload import Column
from hotswap.trace.schema import Field, InType, OutType, Shape
from hotswap.trace.table import Events
from hotswap.trace.text import value_text

_MOST_NAMES = 200
"""Numbers of one column that have a name; the page has no names of its own."""
_HEXADECIMAL = (InType.HEXINT32, InType.HEXINT64, InType.POINTER)
_HEX_OUT = (OutType.HEX, OutType.HRESULT, OutType.CODE_POINTER)
_STATUS = OutType.NTSTATUS


@dataclass
class Packed:
    """Columns one after the other; `columns` says of each its name, encoding, count and length in bytes.

    Encodings: those of integers (columns.py), `f` 64-bit floats, `t` texts: their lengths in bytes, then UTF-8.
    """

    columns: dict[str, list[Any]] = field(default_factory=dict)
    chunks: list[bytes] = field(default_factory=list)

    def add(self, name: str, values: NDArray[np.generic]) -> None:
        """Append a column of integers or floats."""
        if values.dtype.kind == "f":
            encoding, data = "f", values.astype("<f8").tobytes()
        else:
            encoding, data = encode(values if values.dtype.itemsize == 8 else values.astype(np.int64))
        self._append(name, encoding, len(values), data)

    def add_texts(self, name: str, texts: Sequence[str]) -> None:
        """Append a column of texts."""
        encoded = [text.encode("utf-8", "replace") for text in texts]
        lengths = varints(np.array([len(text) for text in encoded], np.int64))
        self._append(name, "t", len(texts), lengths + b"".join(encoded))

    def _append(self, name: str, encoding: str, count: int, data: bytes) -> None:
        self.columns[name] = [encoding, count, len(data)]
        self.chunks.append(data)

    def base64(self) -> str:
        """All columns, deflated."""
        return base64.b64encode(zlib.compress(b"".join(self.chunks), 6)).decode("ascii")


@dataclass(frozen=True, slots=True)
class PageData:
    """`meta` is plain data for JSON, `columns` base64 of deflated columns."""

    meta: dict[str, Any]
    columns: str


def json_for_script(value: object) -> str:
    """JSON that cannot end or open a script element, whatever the strings in it hold."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def pack_fields(
    packed: Packed, number: int, events: Events, chosen: NDArray[np.bool_] | None = None
) -> list[dict[str, Any]]:
    """The fields of some events of one kind as columns `number.field`, and how the page is to show them."""
    return [
        _pack_field(packed, f"{number}.{name}", name, events.schema[name], _chosen(events.fields.column(name), chosen))
        for name in events.fields
    ]


def _chosen(column: Column, chosen: NDArray[np.bool_] | None) -> Column:
    if chosen is None:
        return column
    return column[chosen] if isinstance(column, np.ndarray) else column.filter(pa.array(chosen))


def _pack_field(packed: Packed, place: str, name: str, described: Field, column: Column) -> dict[str, Any]:
    told: dict[str, Any] = {"name": name, "as": _format(described)}
    if isinstance(column, np.ndarray) and column.dtype.kind in "iufb" and described.shape == Shape.SCALAR:
        values = column.astype(np.int64) if column.dtype.kind == "b" else column
        names = _names(described, values)
        if names is not None:
            packed.add(place, values)
            return told | ({"signed": True} if values.dtype.kind == "i" else {}) | ({"names": names} if names else {})
    texts, codes = _texts(described, column)
    packed.add(place, codes)
    packed.add_texts(f"{place}.texts", texts)
    return told | {"as": "text"}


def _format(described: Field) -> str:
    if described.in_type in (InType.FLOAT, InType.DOUBLE):
        return "float"
    if described.out_type == _STATUS:
        return "status"
    return "hex" if described.in_type in _HEXADECIMAL or described.out_type in _HEX_OUT else "number"


def _names(described: Field, values: NDArray[np.generic]) -> dict[str, str] | None:
    """The texts of numbers that are more than numbers; None where there are too many of them."""
    plain = _format(described) in ("number", "hex", "float")
    if plain and described.map is None and not _is_told(described):
        return {}
    distinct = np.unique(values)
    if len(distinct) > _MOST_NAMES and described.out_type != _STATUS:
        return None
    return {str(value): value_text(described, value) for value in distinct.tolist()[:_MOST_NAMES]}


def _is_told(described: Field) -> bool:
    """Whether a number of this field is not written as one, or not always."""
    return any(value_text(described, value) not in (str(value), f"0x{value:x}") for value in (0, 1, 258, 1 << 31))


def _texts(described: Field, column: Column) -> tuple[list[str], NDArray[np.int64]]:
    """The distinct texts of a column, and which of them each row has."""
    if isinstance(column, pa.ChunkedArray) and not pa.types.is_nested(column.type):
        whole = column.combine_chunks().dictionary_encode()
        values, codes = whole.dictionary.to_pylist(), whole.indices.fill_null(0).to_numpy(zero_copy_only=False)
        return [value_text(described, value) for value in values] or [""], codes.astype(np.int64)
    known: dict[str, int] = {}
    values = column.tolist() if isinstance(column, np.ndarray) else column.to_pylist()
    codes = [known.setdefault(value_text(described, value), len(known)) for value in values]
    return list(known) or [""], np.array(codes, np.int64)
