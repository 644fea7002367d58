"""TraceLogging metadata: event schemas and provider traits (reference: etl.md, section 4)."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from uuid import UUID

from hotswap.errors import UsageError
from hotswap.trace.cursor import Cursor
from hotswap.trace.schema import EventSchema, Field, InType, MetadataError, Shape

_NAMESPACE = bytes.fromhex("482C2DB2C39047C887F81A15BFC130FB")
_TYPES = 0x1F
_SHAPES = 0x60


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


def _blob(data: bytes, what: str) -> Cursor:
    if len(data) < 2:
        raise MetadataError(f"{what} of {len(data)} bytes")
    size = int.from_bytes(data[:2], "little")
    if not 2 <= size <= len(data):
        raise MetadataError(f"{what} says {size} bytes and has {len(data)}")
    return Cursor(data[:size], 2)


def _text(cursor: Cursor) -> str:
    return cursor.terminated(1).decode("utf-8", "replace")


def _tags(cursor: Cursor) -> int:
    """28 bits, 7 to a byte, the most significant first; bit 7 says that another byte follows."""
    value = 0
    while True:
        byte = cursor.number(1)
        value = (value << 7) | (byte & 0x7F)
        if not byte & 0x80:
            return value & 0x0FFFFFFF


def parse_schema(data: bytes) -> EventSchema:
    """Decode an EVENT_SCHEMA_TL item. Raises MetadataError."""
    cursor = _blob(data, "an event schema")
    tags = _tags(cursor)
    name = _text(cursor)
    fields = []
    while cursor.left:
        fields.append(_parse_field(cursor, 0))
    return EventSchema(name, tuple(fields), tags)


def _parse_field(cursor: Cursor, depth: int) -> Field:
    if depth > 32:
        raise MetadataError("structs nested too deep")
    name = _text(cursor)
    in_meta = cursor.number(1)
    out_type = tags = 0
    if in_meta & 0x80:
        out_meta = cursor.number(1)
        out_type = out_meta & 0x7F
        if out_meta & 0x80:
            tags = _tags(cursor)
    shape = Shape(in_meta & _SHAPES)
    count = cursor.number(2) if shape == Shape.CONSTANT else 1
    if shape == Shape.CUSTOM:
        cursor.take(cursor.number(2))
    try:
        in_type = InType(in_meta & _TYPES)
    except ValueError:
        raise MetadataError(f"field {name!r} has the unknown in-type {in_meta & _TYPES}") from None
    fields: tuple[Field, ...] = ()
    if in_type == InType.STRUCT:
        fields = tuple(_parse_field(cursor, depth + 1) for _ in range(out_type))
        out_type = 0
    return Field(name, in_type, out_type, shape, count, tags, fields)


def parse_traits(data: bytes) -> str:
    """The provider name of a PROV_TRAITS item. Raises MetadataError."""
    return _text(_blob(data, "provider traits"))


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
    if item.in_type > _TYPES or item.shape > _SHAPES or item.out_type > 0x7F or item.length is not None:
        raise UsageError(f"TraceLogging has no way to say how field {item.name!r} is laid out ({item.in_type.name})")
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
