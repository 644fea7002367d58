"""Instrumentation manifests (`.man`): what mc.exe compiles, and what an EventSource writes of itself.

Layout: the EventManifest schema of the Windows SDK. Namespaces are not looked at: files use several for one thing.
Manifests that tools dump from a computer are looser than mc.exe allows: a name that nothing declares is taken as it
stands; an event whose layout makes no sense is left out and reported, the others are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from hotswap.trace.schema import SIZED, EventSchema, Field, InType, OutType, Shape, ValueMap, open_ended, unique_names
from hotswap.trace.schemas.description import EventDescription, EventKey, event_name, without_prefix
from hotswap.trace.schemas.tdh import IN_TYPE_NAMES, OUT_TYPE_NAMES
from hotswap.trace.schemas.xml_tree import Node, XmlError, parse_xml

_REFERENCE = re.compile(r"\$\((?:string|mc)\.([^)]+)\)")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ManifestProvider:
    """The events of one provider by id and version."""

    guid: UUID
    name: str
    events: Mapping[EventKey, EventDescription]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a manifest says, and what in it makes no sense."""

    providers: tuple[ManifestProvider, ...]
    problems: tuple[XmlError, ...]


def parse_manifest(data: bytes, source: str) -> Manifest:
    """Read a manifest; `source` names it. Raises XmlError for what is none."""
    root = parse_xml(data)
    if root.tag not in ("instrumentationManifest", "assembly"):
        raise XmlError(f"the root is <{root.tag}>, which is no instrumentation manifest", root.line)
    strings = _strings(root)
    providers = [*root.below("instrumentation", "events", "provider"), *root.below("events", "provider")]
    if not providers:
        raise XmlError("it describes no provider", root.line)
    problems: list[XmlError] = []
    read = tuple(_Provider(node, strings, source, problems).read() for node in providers)
    return Manifest(read, tuple(problems))


def _strings(root: Node) -> dict[str, str]:
    """Texts by id: those for English, else the first there are."""
    resources = [*root.below("localization", "resources"), *root.below("instrumentation", "localization", "resources")]
    resources.sort(key=lambda node: not node.get("culture").lower().startswith("en"))
    texts: dict[str, str] = {}
    for resource in resources:
        for node in resource.below("stringTable", "string"):
            texts.setdefault(node.get("id"), node.attributes.get("value", "").rstrip())
    return texts


class _Provider:
    def __init__(self, node: Node, strings: Mapping[str, str], source: str, problems: list[XmlError]) -> None:
        self._node, self._strings, self._source, self._problems = node, strings, source, problems
        self._name = node.need("name")
        self._tasks = {item.get("name"): item for item in node.below("tasks", "task")}
        self._channels = dict(self._read_channels())
        self._keywords = {item.get("name"): item for item in node.below("keywords", "keyword")}
        self._map_nodes = {item.get("name"): item for item in self._read_maps()}
        self._templates = {item.get("tid"): item for item in node.below("templates", "template")}
        self._layouts: dict[str, tuple[Field, ...] | XmlError] = {}

    def read(self) -> ManifestProvider:
        """What was read. Raises XmlError."""
        text = self._node.need("guid")
        try:
            guid = UUID(text)
        except ValueError:
            raise XmlError(f"provider {self._name} has the guid {text!r}, which is none", self._node.line) from None
        events: dict[EventKey, EventDescription] = {}
        for node in self._node.below("events", "event"):
            try:
                key = self._key(node)
                # mc.exe refuses a second event of one id and version; where one slipped through, the first counts.
                if key not in events:
                    events[key] = self._event(node, key)
            except XmlError as error:
                self._problems.append(error)
        return ManifestProvider(guid, self._name, events)

    def _key(self, node: Node) -> EventKey:
        key = (node.number("value"), node.number("version", 0))
        if not (0 <= key[0] <= 0xFFFF and 0 <= key[1] <= 0xFF):
            raise XmlError(f"event {key[0]} version {key[1]} is out of range", node.line)
        return key

    def _event(self, node: Node, key: EventKey) -> EventDescription:
        task, opcode = (without_prefix(node.get(what)) for what in ("task", "opcode"))
        task = "" if task == "None" else task
        name = node.get("name") or event_name(task, opcode, node.get("symbol") or f"id {key[0]}")
        channel = node.get("channel")
        return EventDescription(
            provider_name=self._name,
            name=name,
            schema=EventSchema(name, self._layout(node, key[0])),
            source=self._source,
            message=self._text(node.get("message")),
            task=task,
            opcode=opcode,
            level=without_prefix(node.get("level")),
            channel=self._channels.get(channel, channel),
            keywords=self._masks(node),
        )

    def _masks(self, event: Node) -> dict[int, str]:
        nodes = [self._keywords[name] for name in event.get("keywords").split() if name in self._keywords]
        return {node.number("mask", 0): node.get("name") for node in nodes}

    def _read_channels(self) -> Iterator[tuple[str, str]]:
        for node in self._node.below("channels"):
            for item in node.children:
                name = item.get("name")
                yield item.get("chid") or name, name

    def _text(self, text: str) -> str:
        """A text with what it refers to in the string table."""
        return _REFERENCE.sub(lambda found: self._strings.get(found[1], found[0]), text)

    def _read_maps(self) -> Iterator[Node]:
        for node in self._node.below("maps"):
            yield from (item for item in node.children if item.tag in ("valueMap", "bitMap"))

    def _map(self, name: str, user: Node) -> ValueMap | None:
        if not name:
            return None
        if name not in self._map_nodes:
            raise XmlError(f"field {user.get('name')} has the unknown map {name!r}", user.line)
        node = self._map_nodes[name]
        entries = tuple((item.number("value"), self._text(item.get("message"))) for item in node.all("map"))
        return ValueMap(name, entries, node.tag == "bitMap")

    def _layout(self, event: Node, number: int) -> tuple[Field, ...]:
        wanted = event.get("template")
        if not wanted:
            return ()
        if wanted not in self._templates:
            raise XmlError(f"event {number} has the unknown template {wanted!r}", event.line)
        if wanted not in self._layouts:
            try:
                self._layouts[wanted] = open_ended(self._fields(self._templates[wanted], ()))
            except XmlError as error:
                self._layouts[wanted] = error
        layout = self._layouts[wanted]
        if isinstance(layout, XmlError):
            raise XmlError(f"event {number}: {layout}", layout.line)
        return layout

    def _fields(self, node: Node, around: tuple[str, ...]) -> tuple[Field, ...]:
        fields: list[Field] = []
        for item in node.children:
            if item.tag not in ("data", "struct"):
                continue  # UserData says how events are rendered as XML, not how they are laid out.
            known = (*around, *unique_names(fields))
            shape, count, count_from = _size(item, "count", known)
            if item.tag == "struct":
                members = self._fields(item, known)
                fields.append(
                    Field(item.need("name"), InType.STRUCT, 0, shape, count, fields=members, count_from=count_from)
                )
            else:
                fields.append(self._data(item, shape, count, count_from, known))
        return tuple(fields)

    def _data(self, node: Node, shape: Shape, count: int, count_from: str, known: tuple[str, ...]) -> Field:
        name = node.need("name")
        kind = _type(node, "inType", IN_TYPE_NAMES)
        out = OUT_TYPE_NAMES.get(node.get("outType").rpartition(":")[2], OutType.DEFAULT)
        length: int | None = None
        length_from = ""
        if kind in SIZED:
            sized, number, length_from = _size(node, "length", known)
            if sized == Shape.CONSTANT:
                length = number
            elif kind == InType.BINARY and not length_from:
                if out != OutType.IPV6:
                    raise XmlError(f"field {name} is binary data of no given length", node.line)
                length = 16
        mapped = self._map(node.get("map"), node)
        return Field(name, kind, out, shape, count, 0, (), length, length_from, count_from, mapped)


def _type(node: Node, attribute: str, known: Mapping[str, _T]) -> _T:
    name = node.need(attribute).rpartition(":")[2]
    if name not in known:
        raise XmlError(f"field {node.get('name')} has the unknown {attribute} {node.get(attribute)!r}", node.line)
    return known[name]


def _size(node: Node, attribute: str, known: tuple[str, ...]) -> tuple[Shape, int, str]:
    """A length or count: a number, or the name of an earlier field."""
    text = node.get(attribute)
    if not text:
        return Shape.SCALAR, 1, ""
    if text[0].isdigit():
        return Shape.CONSTANT, node.number(attribute), ""
    if text not in known:
        raise XmlError(f"field {node.get('name')} has the {attribute} {text!r}, which is no earlier field", node.line)
    return Shape.COUNTED, 1, text
