"""TRACE_EVENT_INFO and EVENT_MAP_INFO: the schemas that merging a trace puts into it (reference: etl.md, section 4).

WPR, xperf and PerfView write, for each event whose manifest the recording computer knew, what TdhGetEventInformation
answers, and for each value map what TdhGetEventMapInformation answers. Strings lie at offsets from the start of each.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntFlag
from uuid import UUID

from hotswap.trace.decode import until_nul
from hotswap.trace.schema import (
    SIZED,
    EventSchema,
    Field,
    InType,
    MetadataError,
    OutType,
    Shape,
    ValueMap,
    open_ended,
    unique_keys,
)
from hotswap.trace.schemas.description import EventDescription, EventKey, event_name, without_prefix
from hotswap.trace.schemas.tdh import tdh_in_type, tdh_out_type

METADATA_CLASS = UUID("bbccf6c1-6cd1-48c4-80ff-839482e37671")
"""Class of the classic events that hold these."""
EVENT_INFO = 32
"""Type of an event with a TRACE_EVENT_INFO; with the map of EVENT_MAP_INFO it is one more."""
EVENT_MAP_INFO = 33
SOURCE = "TRACE_EVENT_INFO"
HEAD = struct.Struct("<16s16sHBBBBHQ16I")
PROPERTY = struct.Struct("<IIHHIHHI")
MAP_HEAD = struct.Struct("<IIII")
_DECODING_WBEM = 1
_MOST_PROPERTIES = 4096
_DEEPEST = 8
"""As deep as structs may be nested; a struct that holds itself ends here."""
Maps = Mapping[str, ValueMap]


class PropertyFlag(IntFlag):
    """PROPERTY_FLAGS."""

    STRUCT = 0x1
    PARAM_LENGTH = 0x2
    PARAM_COUNT = 0x4
    FIXED_COUNT = 0x20
    CUSTOM_SCHEMA = 0x80


class MapFlag(IntFlag):
    """MAP_FLAGS; those that make an entry a bit, and those whose entries are no numbers."""

    VALUEMAP = 0x1
    BITMAP = 0x2
    PATTERN = 0x4
    WBEM_BITMAP = 0x10
    WBEM_FLAG = 0x20
    WBEM_NO_MAP = 0x40


@dataclass(frozen=True, slots=True)
class _Property:
    """EVENT_PROPERTY_INFO. `first` and `second` are in-type and out-type, or of a struct its members."""

    flags: int
    name: str
    first: int
    second: int
    map_name: str
    count: int
    length: int
    tags: int


@dataclass(frozen=True, slots=True)
class EventInfo:
    """One record: of which events, and what it says of them once the maps are known."""

    provider: UUID
    key: EventKey
    provider_name: str
    describe: Callable[[Maps], EventDescription]
    """Raises MetadataError for properties that make no sense."""


def parse_event_info(data: bytes) -> EventInfo:
    """Decode a TRACE_EVENT_INFO. Raises MetadataError."""
    if len(data) < HEAD.size:
        raise MetadataError(f"a TRACE_EVENT_INFO of {len(data)} bytes")
    provider, class_, number, version, _, _, opcode, _, _, *words = HEAD.unpack_from(data)
    source, provider_name, level, channel, _, task, opcode_name, message, _, _, _, own_name, _, count, top, _ = words
    is_mof = source == _DECODING_WBEM
    if not top <= count <= _MOST_PROPERTIES or HEAD.size + count * PROPERTY.size > len(data):
        raise MetadataError(
            f"a TRACE_EVENT_INFO of {len(data)} bytes that says {count} properties, {top} of them fields"
        )
    texts = _Texts(data)
    properties = [_property(data, HEAD.size + index * PROPERTY.size, texts) for index in range(count)]
    # Before manifests had names for events, MOF had the name of an activity id at this place.
    given = "" if is_mof else texts(own_name)
    names = texts(task), texts(opcode_name)
    maker = texts(provider_name)
    name = given or event_name(*names, f"type {opcode}" if is_mof else f"id {number}")

    def describe(maps: Maps) -> EventDescription:
        fields = open_ended(_Layout(properties, top, maps).fields())
        return EventDescription(
            provider_name=maker,
            name=name,
            schema=EventSchema(name, fields),
            source=SOURCE,
            message=texts(message),
            task=without_prefix(names[0]),
            opcode=without_prefix(names[1]),
            level=without_prefix(texts(level)),
            channel=texts(channel),
        )

    if is_mof:
        return EventInfo(UUID(bytes_le=class_), (opcode, version), maker, describe)
    return EventInfo(UUID(bytes_le=provider), (number, version), maker, describe)


class _Texts:
    """The texts of a record by their offsets. They do not overlap, so all are no longer than the record."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = len(data)
        self._known: dict[int, str] = {0: ""}

    def __call__(self, offset: int) -> str:
        """The text at an offset; empty where the offset is 0. Messages end in blanks that nobody wants."""
        if offset not in self._known:
            self._known[offset] = self._read(offset)
        return self._known[offset]

    def _read(self, offset: int) -> str:
        if offset >= len(self._data):
            raise MetadataError(f"a text at {offset} of {len(self._data)} bytes")
        data = until_nul(self._data[offset:], 2)
        self._left -= len(data)
        if self._left < 0:
            raise MetadataError(f"the texts of a record of {len(self._data)} bytes overlap")
        return data.decode("utf-16-le", "replace").rstrip()


def _property(data: bytes, at: int, texts: _Texts) -> _Property:
    flags, name, first, second, map_name, count, length, tags = PROPERTY.unpack_from(data, at)
    mapped = "" if flags & (PropertyFlag.STRUCT | PropertyFlag.CUSTOM_SCHEMA) else texts(map_name)
    return _Property(flags, texts(name), first, second, mapped, count, length, tags & 0x0FFFFFFF)


class _Layout:
    """Properties as fields. A size is referred to by the key that the field with it gets when it is decoded."""

    def __init__(self, properties: list[_Property], top: int, maps: Maps) -> None:
        self._properties, self._top, self._maps = properties, top, maps
        self._keys: dict[int, str] = {}
        self._made = 0

    def fields(self) -> tuple[Field, ...]:
        """The fields of the event. Raises MetadataError."""
        return self._range(0, self._top, 0)

    def _range(self, first: int, count: int, depth: int) -> tuple[Field, ...]:
        members = self._properties[first : first + count]
        self._made += count
        if len(members) != count or depth > _DEEPEST or self._made > _MOST_PROPERTIES:
            raise MetadataError(f"a struct with members {first} to {first + count} of {len(self._properties)}")
        self._keys |= dict(enumerate(unique_keys(member.name for member in members), first))
        return tuple(self._field(member, depth) for member in members)

    def _field(self, item: _Property, depth: int) -> Field:
        shape, count, count_from = Shape.SCALAR, 1, ""
        if item.flags & PropertyFlag.PARAM_COUNT:
            shape, count_from = Shape.COUNTED, self._key(item.count)
        elif item.count > 1 or item.flags & PropertyFlag.FIXED_COUNT:
            shape, count = Shape.CONSTANT, item.count
        if item.flags & PropertyFlag.STRUCT:
            fields = self._range(item.first, item.second, depth + 1)
            return Field(item.name, InType.STRUCT, 0, shape, count, item.tags, fields, count_from=count_from)
        kind, out = tdh_in_type(item.first), tdh_out_type(item.second)
        length: int | None = None
        length_from = ""
        if kind in SIZED:
            if item.flags & PropertyFlag.PARAM_LENGTH:
                length_from = self._key(item.length)
            elif item.length or kind == InType.BINARY:
                length = item.length or (16 if out == OutType.IPV6 else 0)
        mapped = self._maps.get(item.map_name)
        return Field(item.name, kind, out, shape, count, item.tags, (), length, length_from, count_from, mapped)

    def _key(self, index: int) -> str:
        if index not in self._keys:
            raise MetadataError(f"property {index} of {len(self._properties)} holds a size and comes too late")
        return self._keys[index]


def parse_map_info(data: bytes) -> tuple[UUID, ValueMap]:
    """Decode a provider GUID and the EVENT_MAP_INFO behind it. Raises MetadataError."""
    if len(data) < 16 + MAP_HEAD.size:
        raise MetadataError(f"an EVENT_MAP_INFO of {len(data)} bytes")
    provider, info = UUID(bytes_le=data[:16]), data[16:]
    name, flags, count, value_type = MAP_HEAD.unpack_from(info)
    if MAP_HEAD.size + 8 * count > len(info):
        raise MetadataError(f"an EVENT_MAP_INFO of {len(info)} bytes that says {count} entries")
    texts = _Texts(info)
    entries: list[tuple[int, str]] = []
    if value_type == 0 and not flags & (MapFlag.PATTERN | MapFlag.WBEM_NO_MAP):
        for index in range(count):
            text, value = struct.unpack_from("<II", info, MAP_HEAD.size + 8 * index)
            # The entries of a WBEM bit map are the numbers of bits.
            entries.append((1 << value if flags & MapFlag.WBEM_BITMAP and value < 64 else value, texts(text)))
    bits = bool(flags & (MapFlag.BITMAP | MapFlag.WBEM_BITMAP | MapFlag.WBEM_FLAG))
    return provider, ValueMap(texts(name), tuple(entries), bits)
