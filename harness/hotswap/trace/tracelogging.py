"""TraceLogging metadata and payloads: event schemas, provider traits, in-types (reference: etl.md, section 4)."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from uuid import UUID

import numpy as np

from hotswap.errors import UsageError

Value = object


class InType(IntEnum):
    """How a field is laid out in the payload (InMeta, bits 0-4)."""

    UNICODESTRING = 1
    ANSISTRING = 2
    INT8 = 3
    UINT8 = 4
    INT16 = 5
    UINT16 = 6
    INT32 = 7
    UINT32 = 8
    INT64 = 9
    UINT64 = 10
    FLOAT = 11
    DOUBLE = 12
    BOOL32 = 13
    BINARY = 14
    GUID = 15
    POINTER = 16
    FILETIME = 17
    SYSTEMTIME = 18
    SID = 19
    HEXINT32 = 20
    HEXINT64 = 21
    COUNTEDSTRING = 22
    COUNTEDANSISTRING = 23
    STRUCT = 24
    COUNTEDBINARY = 25


class OutType(IntEnum):
    """How a field is meant to be shown (OutMeta, bits 0-6); those that this package looks at."""

    DEFAULT = 0
    STRING = 2
    BOOLEAN = 3
    HEX = 4
    WIN32ERROR = 13
    NTSTATUS = 14
    HRESULT = 15
    UTF8 = 35


class Shape(IntEnum):
    """Scalar or array (InMeta, bits 5-6)."""

    SCALAR = 0x00
    CONSTANT = 0x20
    VARIABLE = 0x40
    CUSTOM = 0x60


FIXED_DTYPES: dict[int, str] = {
    InType.INT8: "i1",
    InType.UINT8: "u1",
    InType.INT16: "<i2",
    InType.UINT16: "<u2",
    InType.INT32: "<i4",
    InType.UINT32: "<u4",
    InType.INT64: "<i8",
    InType.UINT64: "<u8",
    InType.FLOAT: "<f4",
    InType.DOUBLE: "<f8",
    InType.BOOL32: "<i4",
    InType.GUID: "V16",
    InType.FILETIME: "<u8",
    InType.SYSTEMTIME: "V16",
    InType.HEXINT32: "<u4",
    InType.HEXINT64: "<u8",
}
"""In-types of fixed size and the numpy type of one value. POINTER depends on the writer, see `scalar_dtype`."""

_COUNTED = {InType.BINARY, InType.COUNTEDSTRING, InType.COUNTEDANSISTRING, InType.COUNTEDBINARY}
_NAMESPACE = bytes.fromhex("482C2DB2C39047C887F81A15BFC130FB")


class MetadataError(ValueError):
    """A schema, trait or payload that does not follow the encoding; readers report it as data."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an event. `out_type` is a raw number, since writers may use any; `fields` are a struct's."""

    name: str
    in_type: InType
    out_type: int = OutType.DEFAULT
    shape: Shape = Shape.SCALAR
    count: int = 1
    tags: int = 0
    fields: tuple[Field, ...] = ()


@dataclass(frozen=True, slots=True)
class EventSchema:
    """Name and fields of a TraceLogging event."""

    name: str
    fields: tuple[Field, ...] = ()
    tags: int = 0


@dataclass(frozen=True, slots=True)
class Provider:
    """A TraceLogging provider. The default GUID is the hash of the name."""

    name: str
    guid: UUID = field(default=UUID(int=0))

    @classmethod
    def named(cls, name: str) -> Provider:
        """The provider whose GUID is derived from its name."""
        return cls(name, provider_guid(name))


def provider_guid(name: str) -> UUID:
    """The GUID that TraceLogging derives from a provider name."""
    digest = bytearray(hashlib.sha1(_NAMESPACE + name.upper().encode("utf-16-be")).digest()[:16])
    digest[7] = (digest[7] & 0x0F) | 0x50
    return UUID(bytes_le=bytes(digest))


class _Cursor:
    """Reads a metadata blob from front to back."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    @property
    def more(self) -> bool:
        return self.at < len(self.data)

    def take(self, count: int) -> bytes:
        part = self.data[self.at : self.at + count]
        if len(part) != count:
            raise MetadataError(f"{count} bytes wanted at {self.at} of {len(self.data)}")
        self.at += count
        return part

    def u8(self) -> int:
        return self.take(1)[0]

    def u16(self) -> int:
        return int.from_bytes(self.take(2), "little")

    def text(self) -> str:
        end = self.data.find(0, self.at)
        if end < 0:
            raise MetadataError(f"a name without an end at {self.at}")
        part = self.data[self.at : end]
        self.at = end + 1
        return part.decode("utf-8", "replace")

    def tags(self) -> int:
        value = 0
        while True:
            byte = self.u8()
            value = (value << 7) | (byte & 0x7F)
            if not byte & 0x80:
                return value & 0x0FFFFFFF


def _blob(data: bytes, what: str) -> _Cursor:
    if len(data) < 2:
        raise MetadataError(f"{what} of {len(data)} bytes")
    size = int.from_bytes(data[:2], "little")
    if not 2 <= size <= len(data):
        raise MetadataError(f"{what} says {size} bytes and has {len(data)}")
    cursor = _Cursor(data[:size])
    cursor.at = 2
    return cursor


def parse_schema(data: bytes) -> EventSchema:
    """Decode an EVENT_SCHEMA_TL item. Raises MetadataError."""
    cursor = _blob(data, "an event schema")
    tags = cursor.tags()
    name = cursor.text()
    fields = []
    while cursor.more:
        fields.append(_parse_field(cursor, 0))
    return EventSchema(name, tuple(fields), tags)


def _parse_field(cursor: _Cursor, depth: int) -> Field:
    if depth > 32:
        raise MetadataError("structs nested too deep")
    name = cursor.text()
    in_meta = cursor.u8()
    out_type = tags = 0
    if in_meta & 0x80:
        out_meta = cursor.u8()
        out_type = out_meta & 0x7F
        if out_meta & 0x80:
            tags = cursor.tags()
    shape = Shape(in_meta & 0x60)
    count = cursor.u16() if shape == Shape.CONSTANT else 1
    if shape == Shape.CUSTOM:
        cursor.take(cursor.u16())
    try:
        in_type = InType(in_meta & 0x1F)
    except ValueError:
        raise MetadataError(f"field {name!r} has the unknown in-type {in_meta & 0x1F}") from None
    fields: tuple[Field, ...] = ()
    if in_type == InType.STRUCT:
        fields = tuple(_parse_field(cursor, depth + 1) for _ in range(out_type))
        out_type = 0
    return Field(name, in_type, out_type, shape, count, tags, fields)


def parse_traits(data: bytes) -> str:
    """The provider name of a PROV_TRAITS item. Raises MetadataError."""
    return _blob(data, "provider traits").text()


def _tag_bytes(tags: int) -> bytes:
    parts = [tags & 0x7F]
    while tags := tags >> 7:
        parts.append((tags & 0x7F) | 0x80)
    return bytes(reversed(parts))


def _text_bytes(text: str) -> bytes:
    if "\0" in text:
        raise UsageError(f"a TraceLogging name cannot hold NUL: {text!r}")
    return text.encode() + b"\0"


def _field_bytes(item: Field) -> bytes:
    out = len(item.fields) if item.in_type == InType.STRUCT else item.out_type
    in_meta = int(item.in_type) | int(item.shape)
    tail = b""
    if out or item.tags:
        in_meta |= 0x80
        tail = bytes([out | (0x80 if item.tags else 0)]) + (_tag_bytes(item.tags) if item.tags else b"")
    if item.shape == Shape.CONSTANT:
        tail += struct.pack("<H", item.count)
    return _text_bytes(item.name) + bytes([in_meta]) + tail + b"".join(map(_field_bytes, item.fields))


def build_schema(schema: EventSchema) -> bytes:
    """Encode an EVENT_SCHEMA_TL item (without the extended item's own header)."""
    body = _tag_bytes(schema.tags) + _text_bytes(schema.name) + b"".join(map(_field_bytes, schema.fields))
    return struct.pack("<H", len(body) + 2) + body


def build_traits(name: str) -> bytes:
    """Encode a PROV_TRAITS item with the provider's name and no further traits."""
    body = _text_bytes(name)
    return struct.pack("<H", len(body) + 2) + body


def unique_names(fields: Iterable[Field]) -> list[str]:
    """Field names made usable as keys: never empty, never twice."""
    taken: set[str] = set()
    names = []
    for index, item in enumerate(fields):
        base = item.name or f"field{index}"
        name, turn = base, 2
        while name in taken:
            name, turn = f"{base}_{turn}", turn + 1
        taken.add(name)
        names.append(name)
    return names


def scalar_dtype(in_type: InType, pointer_size: int) -> str | None:
    """The numpy type of one value of fixed size; None for an in-type that has none."""
    return f"<u{pointer_size}" if in_type == InType.POINTER else FIXED_DTYPES.get(in_type)


def fixed_dtype(schema: EventSchema, pointer_size: int) -> np.dtype[np.void] | None:
    """The packed numpy type of a payload that holds scalars of fixed size only; None for any other."""
    parts: list[tuple[str, str]] = []
    for name, item in zip(unique_names(schema.fields), schema.fields, strict=True):
        code = scalar_dtype(item.in_type, pointer_size)
        if code is None or item.shape != Shape.SCALAR:
            return None
        parts.append((name, code))
    return np.dtype(parts)


def decode_payload(schema: EventSchema, data: bytes, pointer_size: int) -> dict[str, Value]:
    """Decode one payload row by row: any in-type, arrays as lists, structs as dicts. Raises MetadataError."""
    cursor = _Cursor(data)
    return _decode_fields(schema.fields, cursor, pointer_size)


def _decode_fields(fields: Sequence[Field], cursor: _Cursor, pointer_size: int) -> dict[str, Value]:
    return {name: _decode(item, cursor, pointer_size) for name, item in zip(unique_names(fields), fields, strict=True)}


def _decode(item: Field, cursor: _Cursor, pointer_size: int) -> Value:
    if item.shape == Shape.SCALAR:
        return _decode_one(item, cursor, pointer_size)
    if item.shape == Shape.CUSTOM:
        return cursor.take(cursor.u16())
    count = item.count if item.shape == Shape.CONSTANT else cursor.u16()
    values = []
    for _ in range(count):
        # A struct without bytes could repeat 65535 times per level: nothing is read, so nothing is kept.
        before = cursor.at
        values.append(_decode_one(item, cursor, pointer_size))
        if cursor.at == before:
            break
    return values


def _decode_one(item: Field, cursor: _Cursor, pointer_size: int) -> Value:
    kind = item.in_type
    if kind == InType.STRUCT:
        return _decode_fields(item.fields, cursor, pointer_size)
    if kind in _COUNTED:
        data = cursor.take(cursor.u16())
        if kind == InType.COUNTEDSTRING:
            return data.decode("utf-16-le", "replace")
        return decode_narrow(data, item.out_type) if kind == InType.COUNTEDANSISTRING else data
    if kind == InType.UNICODESTRING:
        return _terminated(cursor, 2).decode("utf-16-le", "replace")
    if kind == InType.ANSISTRING:
        return decode_narrow(_terminated(cursor, 1), item.out_type)
    if kind == InType.SID:
        head = cursor.take(8)
        return head + cursor.take(4 * head[1])
    dtype = np.dtype(scalar_dtype(kind, pointer_size))
    raw = cursor.take(dtype.itemsize)
    return raw if dtype.kind == "V" else np.frombuffer(raw, dtype)[0].item()


def _terminated(cursor: _Cursor, width: int) -> bytes:
    end = cursor.at
    while (end := cursor.data.find(b"\0" * width, end)) >= 0 and (end - cursor.at) % width:
        end += 1
    if end < 0:
        raise MetadataError(f"a string without an end at {cursor.at}")
    text = cursor.take(end - cursor.at)
    cursor.take(width)
    return text


def decode_narrow(data: bytes, out_type: int) -> str:
    """Text of single bytes: UTF-8 where the out-type says so, else the ANSI code page 1252."""
    return data.decode("utf-8" if out_type in (OutType.UTF8, 11, 12) else "cp1252", "replace")


def encode_payload(schema: EventSchema, values: Mapping[str, Value]) -> bytes:
    """Encode a payload from values by field name. Raises UsageError for a missing or impossible value."""
    return _encode_fields(schema.fields, values)


def _encode_fields(fields: Sequence[Field], values: Mapping[str, Value]) -> bytes:
    parts = []
    for name, item in zip(unique_names(fields), fields, strict=True):
        if name not in values:
            raise UsageError(f"no value for field {name}")
        value = values[name]
        if item.shape == Shape.SCALAR:
            parts.append(_encode_one(item, value))
            continue
        if not isinstance(value, (list, tuple)):
            raise UsageError(f"field {name} is an array and was given {value!r}")
        if item.shape == Shape.CONSTANT and len(value) != item.count:
            raise UsageError(f"field {name} has {item.count} elements and was given {len(value)}")
        if item.shape == Shape.VARIABLE:
            parts.append(struct.pack("<H", len(value)))
        parts.extend(_encode_one(item, element) for element in value)
    return b"".join(parts)


def _encode_one(item: Field, value: Value) -> bytes:
    kind = item.in_type
    if kind == InType.STRUCT:
        if not isinstance(value, Mapping):
            raise UsageError(f"field {item.name} is a struct and was given {value!r}")
        return _encode_fields(item.fields, value)
    if isinstance(value, str):
        wide = kind in (InType.UNICODESTRING, InType.COUNTEDSTRING)
        narrow = "utf-8" if item.out_type == OutType.UTF8 else "cp1252"
        value = value.encode("utf-16-le" if wide else narrow)
        if kind == InType.UNICODESTRING:
            return value + b"\0\0"
        if kind == InType.ANSISTRING:
            return value + b"\0"
    if kind in _COUNTED and isinstance(value, bytes):
        return struct.pack("<H", len(value)) + value
    if isinstance(value, bytes):
        return value
    if kind not in FIXED_DTYPES or not isinstance(value, (int, float)):
        raise UsageError(f"field {item.name} ({kind.name}) cannot hold {value!r}")
    dtype = np.dtype(FIXED_DTYPES[kind])
    if dtype.kind == "u":
        value = int(value) & ((1 << 8 * dtype.itemsize) - 1)  # NTSTATUS values are handed in signed or unsigned
    return np.array([value], dtype).tobytes()
