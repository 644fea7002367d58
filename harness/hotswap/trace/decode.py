"""Payloads row by row, in plain Python: what every faster decoder must agree with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hotswap.trace.cursor import Cursor
from hotswap.trace.schema import (
    COUNTED,
    NARROW,
    WIDE,
    EventSchema,
    Field,
    InType,
    MetadataError,
    Shape,
    Value,
    decode_narrow,
    is_sized,
    scalar_dtype,
    unique_names,
)

MOST_AUTHORITIES = 15
_Scopes = tuple[Mapping[str, Value], ...]
"""The fields decoded so far: of the event, then of each struct around the next field."""


def decode_payload(schema: EventSchema, data: bytes, pointer_size: int) -> dict[str, Value]:
    """Decode one payload: any in-type, arrays as lists, structs as dicts. Raises MetadataError.

    Numbers as they are, texts as str, all else as the bytes that it is. What follows the last field is left alone.
    """
    return _decode_fields(schema.fields, Cursor(data), pointer_size, ())


def left_over(schema: EventSchema, data: bytes, pointer_size: int) -> int | None:
    """How many bytes of a payload the fields leave; None when it is too short for them."""
    cursor = Cursor(data)
    try:
        _decode_fields(schema.fields, cursor, pointer_size, ())
    except MetadataError:
        return None
    return cursor.left


def _decode_fields(fields: Sequence[Field], cursor: Cursor, pointer_size: int, around: _Scopes) -> dict[str, Value]:
    values: dict[str, Value] = {}
    scopes = (*around, values)
    for name, item in zip(unique_names(fields), fields, strict=True):
        values[name] = _decode(item, cursor, pointer_size, scopes)
    return values


def _decode(item: Field, cursor: Cursor, pointer_size: int, scopes: _Scopes) -> Value:
    if item.shape == Shape.SCALAR:
        return _decode_one(item, cursor, pointer_size, scopes)
    if item.shape == Shape.CUSTOM:
        return cursor.take(cursor.number(2))
    code = scalar_dtype(item, pointer_size)
    if item.shape == Shape.REST:
        count = cursor.left // np.dtype(code).itemsize if code else cursor.left
    else:
        count = _count(item, cursor, scopes)
    if code is not None:
        return _numbers(code, cursor, count)
    values: list[Value] = []
    while len(values) < count and (item.shape != Shape.REST or cursor.left):
        # A struct without bytes could repeat 65535 times per level: nothing is read, so nothing is kept.
        before = cursor.at
        values.append(_decode_one(item, cursor, pointer_size, scopes))
        if cursor.at == before:
            break
    return values


def _count(item: Field, cursor: Cursor, scopes: _Scopes) -> int:
    if item.shape == Shape.CONSTANT:
        return item.count
    return _referred(item.count_from, scopes) if item.shape == Shape.COUNTED else cursor.number(2)


def _referred(name: str, scopes: _Scopes) -> int:
    """The number that another field holds; the innermost of that name."""
    for scope in reversed(scopes):
        if name in scope:
            value = scope[name]
            if isinstance(value, int) and value >= 0:
                return value
            raise MetadataError(f"field {name} says how many there are and holds {value!r}")
    raise MetadataError(f"there is no field {name} before the one whose size it says")


def _numbers(code: str, cursor: Cursor, count: int) -> Value:
    dtype = np.dtype(code)
    raw = cursor.take(count * dtype.itemsize)
    return np.frombuffer(raw, dtype, count).tolist()


def _decode_one(item: Field, cursor: Cursor, pointer_size: int, scopes: _Scopes) -> Value:
    kind = item.in_type
    if kind == InType.STRUCT:
        return _decode_fields(item.fields, cursor, pointer_size, scopes)
    code = scalar_dtype(item, pointer_size)
    if code is not None:
        dtype = np.dtype(code)
        raw = cursor.take(dtype.itemsize)
        return raw if dtype.kind == "V" else np.frombuffer(raw, dtype)[0].item()
    if kind == InType.SID:
        return _sid(cursor)
    if kind == InType.WBEMSID:
        return _wbem_sid(cursor, pointer_size)
    data = _bytes(item, cursor, scopes)
    if kind in WIDE:
        return data.decode("utf-16-le", "replace")
    return decode_narrow(data, item.out_type) if kind in NARROW else data


def _bytes(item: Field, cursor: Cursor, scopes: _Scopes) -> bytes:
    """The bytes of a text, without its NUL, or of binary data."""
    kind, width = item.in_type, 2 if item.in_type in WIDE else 1
    if is_sized(item):
        count = _referred(item.length_from, scopes) if item.length_from else item.length or 0
        data = cursor.take(count * width)
        return data if kind == InType.BINARY else until_nul(data, width)
    if kind in COUNTED:
        return cursor.take(cursor.number(2))
    if kind in (InType.REVERSEDCOUNTEDSTRING, InType.REVERSEDCOUNTEDANSISTRING):
        return cursor.take(cursor.number(2, big=True))
    if kind == InType.HEXDUMP:
        return cursor.take(cursor.number(4))
    if kind in (InType.NONNULLTERMINATEDSTRING, InType.NONNULLTERMINATEDANSISTRING):
        return until_nul(cursor.take(cursor.left), width)
    return cursor.terminated(width)


def until_nul(data: bytes, width: int) -> bytes:
    """A text of given size ends at its first NUL, if it has one."""
    end = 0
    while (end := data.find(b"\0" * width, end)) >= 0 and end % width:
        end += 1
    return data if end < 0 else data[:end]


def _sid(cursor: Cursor) -> bytes:
    head = cursor.take(8)
    return head + cursor.take(4 * head[1])


def _wbem_sid(cursor: Cursor, pointer_size: int) -> bytes:
    """The SID alone; empty where there is none. Some writers clear the pointers before one that is there."""
    if not any(cursor.take(4)):
        behind = cursor.data[cursor.at + 2 * pointer_size - 4 :][:8]
        if len(behind) < 8 or behind[0] != 1 or not 0 < behind[1] <= MOST_AUTHORITIES or any(behind[2:6]):
            return b""
    cursor.take(2 * pointer_size - 4)
    return _sid(cursor)
