"""Values to payloads: the way back of `decode`, for whoever writes events."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import numpy as np

from hotswap.errors import UsageError
from hotswap.trace.schema import (
    COUNTED,
    NARROW,
    WIDE,
    EventSchema,
    Field,
    InType,
    OutType,
    Shape,
    Value,
    is_sized,
    scalar_dtype,
    unique_names,
)

_REVERSED = (InType.REVERSEDCOUNTEDSTRING, InType.REVERSEDCOUNTEDANSISTRING)


def encode_payload(schema: EventSchema, values: Mapping[str, Value], pointer_size: int = 8) -> bytes:
    """Encode a payload from values by field name. Raises UsageError for a missing or impossible value.

    A field that says how many elements or bytes another has is given like any other.
    """
    return _encode_fields(schema.fields, values, pointer_size)


def _encode_fields(fields: Sequence[Field], values: Mapping[str, Value], pointer_size: int) -> bytes:
    parts = []
    for name, item in zip(unique_names(fields), fields, strict=True):
        if name not in values:
            raise UsageError(f"no value for field {name}")
        value = values[name]
        if item.shape == Shape.SCALAR:
            parts.append(_encode_one(item, value, pointer_size))
            continue
        if not isinstance(value, (list, tuple)):
            raise UsageError(f"field {name} is an array and was given {value!r}")
        if item.shape == Shape.CONSTANT and len(value) != item.count:
            raise UsageError(f"field {name} has {item.count} elements and was given {len(value)}")
        if item.shape == Shape.VARIABLE:
            parts.append(struct.pack("<H", len(value)))
        parts.extend(_encode_one(item, element, pointer_size) for element in value)
    return b"".join(parts)


def _encode_one(item: Field, value: Value, pointer_size: int) -> bytes:
    kind = item.in_type
    if kind == InType.STRUCT:
        if not isinstance(value, Mapping):
            raise UsageError(f"field {item.name} is a struct and was given {value!r}")
        return _encode_fields(item.fields, value, pointer_size)
    if isinstance(value, str):
        return _encode_text(item, value)
    if isinstance(value, bytes):
        return _encode_bytes(item, value, pointer_size)
    code = scalar_dtype(item, pointer_size)
    if code is None or code.startswith("V") or not isinstance(value, (int, float)):
        raise UsageError(f"field {item.name} ({kind.name}) cannot hold {value!r}")
    dtype = np.dtype(code)
    if dtype.kind == "u":
        value = int(value) & ((1 << 8 * dtype.itemsize) - 1)  # NTSTATUS values are handed in signed or unsigned
    return np.array([value], dtype).tobytes()


def _encode_text(item: Field, value: str) -> bytes:
    kind = item.in_type
    if kind not in (*WIDE, *NARROW):
        raise UsageError(f"field {item.name} ({kind.name}) cannot hold {value!r}")
    utf8 = item.out_type in (OutType.UTF8, OutType.XML, OutType.JSON)
    data = value.encode("utf-16-le" if kind in WIDE else "utf-8" if utf8 else "cp1252")
    if not is_sized(item) and kind in (InType.UNICODESTRING, InType.ANSISTRING):
        return data + (b"\0\0" if kind in WIDE else b"\0")
    return _encode_bytes(item, data, 8)


def _encode_bytes(item: Field, value: bytes, pointer_size: int) -> bytes:
    """Bytes as they lie in the payload, with what says how many they are."""
    kind = item.in_type
    if is_sized(item):
        size = (item.length or 0) * (2 if kind in WIDE else 1)
        if item.length_from or len(value) == size:
            return value
        if len(value) > size or kind == InType.BINARY:
            raise UsageError(f"field {item.name} has {size} bytes and was given {len(value)}")
        return value + bytes(size - len(value))
    if kind in COUNTED or kind in _REVERSED:
        return struct.pack(">H" if kind in _REVERSED else "<H", len(value)) + value
    if kind == InType.HEXDUMP:
        return struct.pack("<I", len(value)) + value
    if kind == InType.WBEMSID:
        return b"\1" + bytes(2 * pointer_size - 1) + value if value else bytes(4)
    return value
