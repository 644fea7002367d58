"""Trace message formats (`.tmf`): what WPP software tracing leaves in a driver's PDB, and tracepdb takes out of it.

A message is known by the GUID of its source file and by its number. Its arguments, numbered from 10 on, follow each
other without padding. Layout: Microsoft's "Trace Message Format File", and the item types of defaultwpp.ini.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

from hotswap.trace.schema import EventSchema, Field, InType, OutType, ValueMap
from hotswap.trace.schemas.description import EventDescription
from hotswap.trace.schemas.xml_tree import XmlError

_HEAD = re.compile(r"(?P<guid>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})\s+(?P<module>\S*)(?P<rest>.*)")
_MESSAGE = re.compile(r'#typev\s+(?P<name>\S+)\s+(?P<number>\d+)\s+"(?P<text>.*)"\s*(?://(?P<rest>.*))?', re.DOTALL)
_ARGUMENT = re.compile(r"(?P<name>.*),\s*(?P<item>Item\w+)\s*(?:\((?P<values>.*)\))?\s+--\s+(?P<index>\d+)")
_PAIR = re.compile(r"(\w+)=(\S*)")
_INSERT = re.compile(r"%(?:%|(?P<index>\d+)(?P<spec>![^!]*!)?|!(?P<name>\w+)!)")
_PREFIX = 0
"""The insert that stands for time, thread and the like."""
_ITEMS: dict[str, tuple[InType, int]] = {
    "ItemChar": (InType.INT8, OutType.STRING),
    "ItemUChar": (InType.UINT8, 0),
    "ItemShort": (InType.INT16, 0),
    "ItemUShort": (InType.UINT16, 0),
    "ItemLong": (InType.INT32, 0),
    "ItemULong": (InType.UINT32, 0),
    "ItemULongX": (InType.HEXINT32, 0),
    "ItemLongLong": (InType.INT64, 0),
    "ItemULongLong": (InType.UINT64, 0),
    "ItemLongLongX": (InType.HEXINT64, 0),
    "ItemLongLongXX": (InType.HEXINT64, 0),
    "ItemLongLongO": (InType.UINT64, 0),
    "ItemFloat": (InType.FLOAT, 0),
    "ItemDouble": (InType.DOUBLE, 0),
    "ItemPtr": (InType.POINTER, 0),
    "ItemEnum": (InType.INT32, 0),
    "ItemString": (InType.ANSISTRING, 0),
    "ItemRString": (InType.ANSISTRING, 0),
    "ItemWString": (InType.UNICODESTRING, 0),
    "ItemRWString": (InType.UNICODESTRING, 0),
    "ItemPString": (InType.COUNTEDANSISTRING, 0),
    "ItemPWString": (InType.COUNTEDSTRING, 0),
    "ItemHEXDump": (InType.COUNTEDBINARY, 0),
    "ItemGuid": (InType.GUID, 0),
    "ItemCLSID": (InType.GUID, 0),
    "ItemLIBID": (InType.GUID, 0),
    "ItemIID": (InType.GUID, 0),
    "ItemSid": (InType.SID, 0),
    "ItemNTSTATUS": (InType.UINT32, OutType.NTSTATUS),
    "ItemHRESULT": (InType.UINT32, OutType.HRESULT),
    "ItemWINERROR": (InType.UINT32, OutType.WIN32ERROR),
    "ItemNETEVENT": (InType.UINT32, 0),
    "ItemIPAddr": (InType.UINT32, OutType.IPV4),
    "ItemIPV6Addr": (InType.BINARY, OutType.IPV6),
    "ItemPort": (InType.UINT16, OutType.PORT),
    "ItemMACAddr": (InType.BINARY, 0),
    "ItemChar4": (InType.ANSISTRING, 0),
    "ItemTimestamp": (InType.FILETIME, 0),
    "ItemTimeDelta": (InType.INT64, 0),
    "ItemWaitTime": (InType.INT64, 0),
    "ItemListByte": (InType.UINT8, 0),
    "ItemListShort": (InType.UINT16, 0),
    "ItemListLong": (InType.UINT32, 0),
    "ItemSetByte": (InType.UINT8, 0),
    "ItemSetShort": (InType.UINT16, 0),
    "ItemSetLong": (InType.UINT32, 0),
}
_LENGTHS = {"ItemIPV6Addr": 16, "ItemMACAddr": 6, "ItemChar4": 4}

MessageKey = tuple[UUID, int]


@dataclass(frozen=True, slots=True)
class TraceFormats:
    """The messages of a `.tmf` by GUID and number, and what in it makes no sense."""

    messages: dict[MessageKey, EventDescription]
    problems: tuple[XmlError, ...]


@dataclass(slots=True)
class _Message:
    """One message while its lines are read."""

    key: MessageKey
    module: str
    source: str
    name: str
    text: str
    extra: dict[str, str]
    line: int
    arguments: dict[int, Field] = field(default_factory=dict)


def parse_tmf(text: str, source: str) -> TraceFormats:
    """Read a trace message format file; `source` names it."""
    messages: dict[MessageKey, EventDescription] = {}
    problems: list[XmlError] = []
    reader = _Reader(text)
    for number, line in reader.lines():
        try:
            done = reader.take(number, line)
        except XmlError as error:
            problems.append(error)
            continue
        if done is not None:
            messages.setdefault(done.key, _describe(done, source))
    if reader.open is not None:
        problems.append(XmlError("the last message has no end", reader.open.line))
    if not messages and not problems:
        problems.append(XmlError("it describes no message", 1))
    return TraceFormats(messages, tuple(problems))


class _Reader:
    """Where one is in a file: in which source file's messages, and in which message."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._guid: UUID | None = None
        self._module = self._source = ""
        self.open: _Message | None = None
        self._broken = False

    def lines(self) -> Iterator[tuple[int, str]]:
        """Lines and their numbers; a message text that goes over several of them is one line."""
        begun, first = "", 0
        for number, line in enumerate(self._text.splitlines(), 1):
            begun, first = (f"{begun}\n{line}", first) if begun else (line, number)
            if begun.lstrip().startswith("#typev") and begun.count('"') < 2 and number - first < 100:
                continue
            yield first, begun.strip()
            begun = ""
        if begun:
            yield first, begun.strip()

    def take(self, number: int, line: str) -> _Message | None:
        """Read a line; the message that it ends. Raises XmlError."""
        if line.startswith("#typev"):
            self._begin(number, line)
        elif line == "}":
            return self._end()
        elif self.open is not None and line not in ("", "{"):
            self._argument(number, line)
        elif (found := _HEAD.match(line)) is not None:
            self._guid, self._module = UUID(found["guid"]), found["module"]
            self._source = dict(_PAIR.findall(found["rest"])).get("SRC", "")
        return None

    def _begin(self, number: int, line: str) -> None:
        self._broken = False
        found = _MESSAGE.match(line)
        if found is None or self._guid is None:
            self.open, self._broken = None, True
            raise XmlError("a message before any GUID" if found else f"{line[:60]!r} is no message", number)
        extra = {key.upper(): value for key, value in _PAIR.findall(found["rest"] or "")}
        key = (self._guid, int(found["number"]))
        self.open = _Message(key, self._module, self._source, found["name"], found["text"], extra, number)

    def _end(self) -> _Message | None:
        done, self.open = self.open, None
        return done

    def _argument(self, number: int, line: str) -> None:
        found = _ARGUMENT.match(line)
        assert self.open is not None
        if found is None or found["item"] not in _ITEMS:
            message, self.open = self.open, None
            what = "is no argument" if found is None else f"has the unknown type {found['item']}"
            raise XmlError(f"message {message.key[1]}: {line[:60]!r} {what}", number)
        self.open.arguments[int(found["index"])] = _field(found["name"].strip(), found["item"], found["values"])


def _field(name: str, item: str, values: str | None) -> Field:
    kind, out = _ITEMS[item]
    mapped: ValueMap | None = None
    if values and item.startswith(("ItemList", "ItemSet")):
        mapped = _named(values, bits=item.startswith("ItemSet"))
    return Field(name, kind, out, length=_LENGTHS.get(item), map=mapped)


def _named(values: str, *, bits: bool) -> ValueMap:
    """Names that count from 0, or on from where one says its number. Of a set they are bits."""
    entries: list[tuple[int, str]] = []
    next_value = 0
    for entry in values.split(","):
        name, _, given = entry.strip().partition("=")
        if re.fullmatch(r"0[xX][0-9a-fA-F]+|\d+", given.strip()):
            next_value = int(given, 16 if "x" in given.lower() else 10)
        entries.append((1 << (next_value & 63) if bits else next_value, name.strip()))
        next_value += 1
    return ValueMap("", tuple(entries), bits)


def _describe(message: _Message, source: str) -> EventDescription:
    order = sorted(message.arguments)
    places = {index: place for place, index in enumerate(order, 1)}
    words = {
        "FUNC": message.extra.get("FUNC", ""),
        "LEVEL": message.extra.get("LEVEL", ""),
        "FLAGS": message.extra.get("FLAGS", message.extra.get("FLAG", "")),
        "COMPNAME": message.module,
        "FILE": message.source,
    }

    def insert(found: re.Match[str]) -> str:
        if found["name"]:
            return words.get(found["name"], found[0])
        if not found["index"]:
            return found[0]
        index = int(found["index"])
        if index == _PREFIX:
            return ""
        return f"%{places[index]}{found['spec'] or ''}" if index in places else found[0]

    return EventDescription(
        provider_name=message.module,
        name=message.name,
        schema=EventSchema(message.name, tuple(message.arguments[index] for index in order)),
        source=source,
        message=_INSERT.sub(insert, message.text),
        task=message.source,
        opcode=words["FUNC"],
        level=words["LEVEL"].removeprefix("TRACE_LEVEL_").capitalize(),
        keywords={0: words["FLAGS"]} if words["FLAGS"] else {},
    )
