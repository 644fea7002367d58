"""The layouts that are built in: classic and kernel events, whose descriptions no trace has (builtin.toml)."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any
from uuid import UUID

from hotswap.trace.event_kind import EventKind
from hotswap.trace.schema import EventSchema, Field, InType, OutType, Shape, ValueMap
from hotswap.trace.schemas.description import EventDescription

SOURCE = "built-in"
_PROVIDER = "Windows Kernel"
_ITEM = re.compile(r"(?P<name>\w+):(?P<type>\w+)(?:\[(?P<size>[^]]+)\])?(?:=(?P<map>\w+))?")
_TYPES: dict[str, tuple[InType, int]] = {
    "u8": (InType.UINT8, 0),
    "i8": (InType.INT8, 0),
    "u16": (InType.UINT16, 0),
    "i16": (InType.INT16, 0),
    "u32": (InType.UINT32, 0),
    "i32": (InType.INT32, 0),
    "u64": (InType.UINT64, 0),
    "i64": (InType.INT64, 0),
    "x8": (InType.UINT8, OutType.HEX),
    "x16": (InType.UINT16, OutType.HEX),
    "x32": (InType.HEXINT32, 0),
    "x64": (InType.HEXINT64, 0),
    "ptr": (InType.POINTER, 0),
    "code": (InType.POINTER, OutType.CODE_POINTER),
    "size": (InType.SIZET, 0),
    "str": (InType.ANSISTRING, 0),
    "wstr": (InType.UNICODESTRING, 0),
    "utf8": (InType.ANSISTRING, OutType.UTF8),
    "text": (InType.NONNULLTERMINATEDANSISTRING, 0),
    "wtext": (InType.NONNULLTERMINATEDSTRING, 0),
    "char": (InType.ANSISTRING, 0),
    "wchar": (InType.UNICODESTRING, 0),
    "bool8": (InType.UINT8, OutType.BOOLEAN),
    "bool32": (InType.BOOL32, 0),
    "guid": (InType.GUID, 0),
    "sid": (InType.WBEMSID, 0),
    "ip4": (InType.UINT32, OutType.IPV4),
    "ip6": (InType.BINARY, OutType.IPV6),
    "port": (InType.UINT16, OutType.PORT),
    "pid": (InType.UINT32, OutType.PID),
    "tid": (InType.UINT32, OutType.TID),
    "status": (InType.UINT32, OutType.NTSTATUS),
    "filetime": (InType.FILETIME, 0),
    "ticks": (InType.UINT64, OutType.ETWTIME),
}
_TEXTS = ("char", "wchar")


@dataclass(frozen=True, slots=True)
class EventClass:
    """A class of classic events: what its events are called, and their layouts by type and version."""

    name: str
    provider_name: str
    guid: UUID
    events: Mapping[int, Mapping[int, EventDescription]]

    def layouts(self, kind: int, version: int) -> list[EventDescription]:
        """The layout of the highest version that is not above this one, then those above it; nothing where all are.

        Windows has added fields without a new version, and given them one later.
        """
        versions = self.events.get(kind, {})
        known = [number for number in versions if number <= version]
        return [versions[number] for number in sorted(versions) if number >= max(known)] if known else []


@dataclass(frozen=True, slots=True)
class Builtin:
    """All classes, by GUID and by the group of their hooks."""

    by_guid: Mapping[UUID, EventClass]
    by_group: Mapping[int, EventClass]
    hooks: Mapping[int, tuple[EventClass, int]]
    """Hooks that belong to another class than their group says, and the type that they are of."""


def event_class(kind: EventKind) -> tuple[EventClass, int] | None:
    """The class of a kind of classic or kernel events, and their type in it."""
    known = load()
    if kind.family == "classic":
        found = known.by_guid.get(kind.provider)
    elif kind.hook in known.hooks:
        return known.hooks[kind.hook]
    else:
        found = known.by_group.get(kind.hook >> 8)
    return None if found is None else (found, kind.opcode)


def built_in(kind: EventKind) -> list[EventDescription]:
    """What is built in for a kind of classic or kernel events: its own layout first, then those that it may have."""
    found = event_class(kind)
    return [] if found is None else found[0].layouts(found[1], kind.version)


@cache
def load() -> Builtin:
    """Read builtin.toml. It is part of the package: what is wrong in it is a defect and raises ValueError."""
    text = resources.files("hotswap.trace.schemas").joinpath("builtin.toml").read_text("utf-8")
    content: dict[str, Any] = tomllib.loads(text)
    maps = {name: _map(name, entry) for name, entry in content["maps"].items()}
    by_guid, by_group, hooks = dict[UUID, EventClass](), dict[int, EventClass](), dict[int, tuple[EventClass, int]]()
    for entry in content["class"]:
        made = _class(entry, maps)
        by_guid[made.guid] = made
        if "group" in entry:
            by_group[entry["group"]] = made
        for hook, kind in entry.get("hooks", {}).items():
            hooks[int(hook, 16)] = (made, kind)
    return Builtin(by_guid, by_group, hooks)


def _map(name: str, entry: Mapping[str, list[str]]) -> ValueMap:
    if "bits" in entry:
        return ValueMap(name, tuple((1 << bit, text) for bit, text in enumerate(entry["bits"])), bits=True)
    return ValueMap(name, tuple(enumerate(entry["values"])))


def _class(entry: Mapping[str, Any], maps: Mapping[str, ValueMap]) -> EventClass:
    provider = entry.get("provider", _PROVIDER)
    events: dict[int, dict[int, EventDescription]] = {}
    for layout in entry["layout"]:
        fields = {
            int(key[1:]): tuple(_field(item, maps) for item in text.split())
            for key, text in layout.items()
            if key != "types"
        }
        for kind, name in layout["types"].items():
            full = name if "/" in name or name == entry["name"] else f"{entry['name']}/{name}"
            task, _, opcode = full.partition("/")
            events[int(kind)] = {
                version: EventDescription(provider, full, EventSchema(full, items), SOURCE, task=task, opcode=opcode)
                for version, items in fields.items()
            }
    return EventClass(entry["name"], provider, UUID(entry["guid"]), events)


def _field(text: str, maps: Mapping[str, ValueMap]) -> Field:
    found = _ITEM.fullmatch(text)
    if found is None:
        raise ValueError(f"builtin.toml: {text!r} is not Name:type")
    kind, out = _TYPES[found["type"]]
    size, mapped = found["size"], maps[found["map"]] if found["map"] else None
    if kind == InType.BINARY:
        return Field(found["name"], kind, out, length=16)
    if size is None:
        return Field(found["name"], kind, out, map=mapped)
    if found["type"] in _TEXTS:
        return Field(found["name"], kind, out, length=int(size))
    if size == "*":
        return Field(found["name"], kind, out, Shape.REST, map=mapped)
    if size.isdigit():
        return Field(found["name"], kind, out, Shape.CONSTANT, int(size), map=mapped)
    return Field(found["name"], kind, out, Shape.COUNTED, count_from=size, map=mapped)
