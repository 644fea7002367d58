"""TRACE_EVENT_INFO and EVENT_MAP_INFO records, as merging a trace adds them: the way back of schemas.event_info."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from uuid import UUID

from hotswap.errors import UsageError
from hotswap.trace.schema import EventSchema, Field, InType, Shape, ValueMap, unique_names
from hotswap.trace.schemas.event_info import HEAD, MAP_HEAD, PROPERTY, MapFlag, PropertyFlag
from hotswap.trace.schemas.tdh import OUT_TYPES

_OUT_NUMBERS = {int(ours): number for number, ours in reversed(OUT_TYPES.items())}


def build_event_info(
    provider: UUID,
    provider_name: str,
    event_id: int,
    version: int,
    schema: EventSchema,
    *,
    task: str = "",
    opcode: str = "",
    message: str = "",
) -> bytes:
    """The TRACE_EVENT_INFO of an event of a manifest. Raises UsageError for a field that TDH has no way to describe."""
    texts = _Texts()
    layout = _Properties(texts)
    layout.add(schema.fields)
    texts.begin = HEAD.size + PROPERTY.size * len(layout.records)
    words = [0] * 16
    words[1], words[5], words[6], words[7] = map(texts.place, (provider_name, task, opcode, message))
    words[11] = texts.place(schema.name)
    words[13], words[14] = len(layout.records), len(schema.fields)
    head = HEAD.pack(provider.bytes_le, bytes(16), event_id, version, 16, 4, 0, 0, 0, *words)
    return head + b"".join(record() for record in layout.records) + bytes(texts.data)


def build_map_info(provider: UUID, described: ValueMap) -> bytes:
    """A provider GUID and the EVENT_MAP_INFO of a map."""
    texts = _Texts()
    texts.begin = MAP_HEAD.size + 8 * len(described.entries)
    name = texts.place(described.name)
    entries = b"".join(struct.pack("<II", texts.place(text), number) for number, text in described.entries)
    flags = MapFlag.BITMAP if described.bits else MapFlag.VALUEMAP
    head = MAP_HEAD.pack(name, flags, len(described.entries), 0)
    return provider.bytes_le + head + entries + bytes(texts.data)


class _Texts:
    """The texts at the end of a record, and where each begins."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.begin = 0

    def place(self, text: str) -> int:
        """The offset of a text in the record; 0 for an empty one."""
        if not text:
            return 0
        at = self.begin + len(self.data)
        self.data += text.encode("utf-16-le") + b"\0\0"
        return at


class _Properties:
    """Fields as EVENT_PROPERTY_INFO: those of the event first, then the members of its structs."""

    def __init__(self, texts: _Texts) -> None:
        self._texts = texts
        self.records: list[_Record] = []

    def add(self, fields: Iterable[Field], around: dict[str, int] | None = None) -> int:
        """Append fields and return the index of the first; `around`: where the fields outside are."""
        fields = tuple(fields)
        first = len(self.records)
        places = {**(around or {}), **dict(zip(unique_names(fields), range(first, first + len(fields)), strict=True))}
        mine = [_Record(item, self._texts, places) for item in fields]
        self.records += mine
        for record in mine:
            if record.item.in_type == InType.STRUCT:
                record.members = self.add(record.item.fields, places)
        return first


class _Record:
    """One EVENT_PROPERTY_INFO, packed once the places of texts are known."""

    def __init__(self, item: Field, texts: _Texts, places: dict[str, int]) -> None:
        if item.shape in (Shape.VARIABLE, Shape.CUSTOM, Shape.REST) or (
            item.in_type == InType.BINARY and item.length is None and not item.length_from
        ):
            raise UsageError(f"TDH has no way to say how field {item.name!r} is laid out")
        self.item, self._texts, self._places = item, texts, places
        self.members = 0

    def __call__(self) -> bytes:
        item, flags = self.item, PropertyFlag(0)
        count = item.count
        if item.shape == Shape.COUNTED:
            flags, count = flags | PropertyFlag.PARAM_COUNT, self._places[item.count_from]
        elif item.shape == Shape.CONSTANT:
            flags |= PropertyFlag.FIXED_COUNT
        length = item.length or 0
        if item.length_from:
            flags, length = flags | PropertyFlag.PARAM_LENGTH, self._places[item.length_from]
        first, second = int(item.in_type), _OUT_NUMBERS.get(item.out_type, 0)
        if item.in_type == InType.STRUCT:
            flags, first, second = flags | PropertyFlag.STRUCT, self.members, len(item.fields)
        mapped = self._texts.place(item.map.name) if item.map else 0
        return PROPERTY.pack(flags, self._texts.place(item.name), first, second, mapped, count, length, item.tags)
