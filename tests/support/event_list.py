"""The host driver's events, read from driver/include/hotswap_events.h: the header is where they are stated."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hotswap.trace.schema import EventSchema, Field, InType, OutType

HEADER = Path(__file__).parents[2] / "driver" / "include" / "hotswap_events.h"

_TYPES = {
    "UINT32": (InType.UINT32, 0),
    "UINT64": (InType.UINT64, 0),
    "INT64": (InType.INT64, 0),
    "HEX32": (InType.HEXINT32, 0),
    "HEX64": (InType.HEXINT64, 0),
    "NTSTATUS": (InType.HEXINT32, int(OutType.NTSTATUS)),
}


@dataclass(frozen=True)
class HostEvent:
    schema: EventSchema
    level: int
    opcode: int
    keyword: int


@cache
def header_text() -> str:
    return re.sub(r"/\*.*?\*/", "", HEADER.read_text().replace("\\\n", " "), flags=re.DOTALL)


@cache
def provider_name() -> str:
    found = re.search(r'#define HOTSWAP_PROVIDER_NAME "([^"]+)"', header_text())
    assert found
    return found[1]


@cache
def provider_guid_bytes() -> bytes:
    found = re.search(r"#define HOTSWAP_PROVIDER_GUID\s*\{([^}]*)\{([^}]*)\}", header_text())
    assert found
    first = [int(part, 16) for part in re.findall(r"0x\w+", found[1])]
    rest = bytes(int(part, 16) for part in re.findall(r"0x\w+", found[2]))
    return first[0].to_bytes(4, "little") + first[1].to_bytes(2, "little") + first[2].to_bytes(2, "little") + rest


@cache
def host_events() -> dict[str, HostEvent]:
    text = header_text()
    keywords = {name: int(value, 16) for name, value in re.findall(r"#define (HOTSWAP_KEYWORD_\w+) (0x\w+)", text)}
    macros = dict(re.findall(r"#define (HOTSWAP_(?:FIELDS_\w+|SWAP_FIELDS))\(F\)([^\n]*)", text))
    events = {}
    for name, level, opcode, keyword, fields in re.findall(r"EVENT\((\w+),\s*(\d+),\s*(\d+),\s*(\w+),\s*(\w+)\)", text):
        pairs = re.findall(r"F\((\w+),\s*(\w+)\)", macros[fields])
        schema = EventSchema(name, tuple(Field(field, *_TYPES[kind]) for kind, field in pairs))
        events[name] = HostEvent(schema, int(level), int(opcode), keywords[keyword])
    return events
