"""What tells kinds of events apart, as bytes: 32 of them (HS_KEY of native/kinds.h), then schema and traits item."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from uuid import UUID

from hotswap.trace.event_kind import NO_PROVIDER, EventKind, unnamed
from hotswap.trace.framing import HeaderType, family_of
from hotswap.trace.schema import EventSchema, MetadataError
from hotswap.trace.tracelogging import parse_schema, parse_traits

KEY = struct.Struct("<BxHHH16s8s")
"""Header type; lengths of schema item, traits item and GUID of a message; provider; descriptor."""
_POINTER32 = (
    *(HeaderType.SYSTEM32, HeaderType.COMPACT32, HeaderType.PERFINFO32),
    *(HeaderType.FULL32, HeaderType.INSTANCE32, HeaderType.EVENT32),
)
_POINTER32_OPTION = 0x40


_METADATA = UUID("bbccf6c1-6cd1-48c4-80ff-839482e37671").bytes_le
"""The class of records that describe events (TRACE_EVENT_INFO) and value maps."""
_MANIFEST_ID, _MANIFEST_OPCODE = 0xFFFE, 0xFE
"""Of the events in which an EventSource writes its manifest."""


def teaches(key: bytes) -> bool:
    """Whether events with this key can describe others, so that a scan of samples keeps all of them."""
    header, _, _, _, provider, descriptor = KEY.unpack_from(key)
    if header in (HeaderType.FULL32, HeaderType.FULL64):
        return bool(provider == _METADATA)
    if family_of(header) != "event":
        return False
    return int.from_bytes(descriptor[:2], "little") == _MANIFEST_ID and descriptor[5] == _MANIFEST_OPCODE


@dataclass(frozen=True, slots=True)
class EventKey:
    """A key, taken apart."""

    header: int
    provider: bytes
    """Of a message as many bytes as its options say."""
    descriptor: bytes
    schema: bytes
    traits: bytes

    @classmethod
    def of(cls, key: bytes) -> EventKey:
        """From its bytes."""
        header, schema, traits, guid, provider, descriptor = KEY.unpack_from(key)
        if header == HeaderType.MESSAGE:
            provider = provider[:guid]
        at = KEY.size + schema
        return cls(header, provider, descriptor, key[KEY.size : at], key[at : at + traits])


def kind_of(key: EventKey) -> tuple[EventKind, str]:
    """The kind, as far as its events themselves say it; and what is wrong with what they say, if anything is."""
    header, family = key.header, family_of(key.header)
    pointer_size = 4 if header in _POINTER32 else 8
    provider = UUID(bytes_le=key.provider) if len(key.provider) == 16 else NO_PROVIDER
    if family == "event":
        return _event(key, provider, pointer_size)
    if family == "classic":
        kind, level, version = struct.unpack_from("<BBH", key.descriptor)
        name = unnamed(header, kind)
        return EventKind(provider, "", name, 0, version, level, kind, 0, None, pointer_size, header), ""
    if family == "kernel":
        version, hook = struct.unpack_from("<BxH", key.descriptor)
        name = unnamed(header, hook)
        return EventKind(NO_PROVIDER, "", name, 0, version, 0, hook & 0xFF, 0, None, pointer_size, header, hook), ""
    if family == "message":
        number, options = struct.unpack_from("<HH", key.descriptor)
        pointer_size = 4 if options & _POINTER32_OPTION else 8
        return EventKind(provider, "", unnamed(header, number), number, 0, 0, 0, 0, None, pointer_size, header), ""
    return EventKind(NO_PROVIDER, "", unnamed(header, header), 0, 0, 0, 0, 0, None, pointer_size, header), ""


def _event(key: EventKey, provider: UUID, pointer_size: int) -> tuple[EventKind, str]:
    number, version, channel, level, opcode, task = struct.unpack("<HBBBBH", key.descriptor)
    provider_name, schema, wrong = "", None, ""
    try:
        provider_name = parse_traits(key.traits) if key.traits else ""
        schema = _schema(key.schema)
    except MetadataError as error:
        wrong = str(error)
    kind = EventKind(
        provider,
        provider_name,
        schema.name if schema else unnamed(key.header, number),
        number,
        version,
        level,
        opcode,
        task,
        schema,
        pointer_size,
        key.header,
        channel=channel,
        self_describing=schema is not None,
    )
    return kind, wrong


def _schema(blob: bytes) -> EventSchema | None:
    return parse_schema(blob) if blob else None
