"""How the payload of an event is laid out, by TraceLogging, a manifest or MOF (reference: etl.md, section 4).

One model for all. Type numbers below 300 are those of TraceLogging and of TDH, which agree; from 300 on they are TDH's,
for MOF. Output types are numbered as in TraceLogging; whoever reads TDH's numbers translates them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

Value = object


class InType(IntEnum):
    """How a field is laid out in the payload."""

    UNICODESTRING = 1
    """UTF-16 to a NUL, or as long as Field says."""
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
    """As long as Field says; where it does not, a 16-bit count of bytes comes first."""
    GUID = 15
    POINTER = 16
    """4 or 8 bytes, as the writer's."""
    FILETIME = 17
    SYSTEMTIME = 18
    SID = 19
    HEXINT32 = 20
    HEXINT64 = 21
    COUNTEDSTRING = 22
    COUNTEDANSISTRING = 23
    STRUCT = 24
    COUNTEDBINARY = 25
    MOF_COUNTEDSTRING = 300
    """From here on as MOF classes have it. A 16-bit count of bytes comes first."""
    MOF_COUNTEDANSISTRING = 301
    REVERSEDCOUNTEDSTRING = 302
    """The same with a big-endian count."""
    REVERSEDCOUNTEDANSISTRING = 303
    NONNULLTERMINATEDSTRING = 304
    """All that is left of the payload."""
    NONNULLTERMINATEDANSISTRING = 305
    UNICODECHAR = 306
    ANSICHAR = 307
    SIZET = 308
    """4 or 8 bytes, as the writer's pointers."""
    HEXDUMP = 309
    """A 32-bit count of bytes comes first."""
    WBEMSID = 310
    """A TOKEN_USER, which is two pointers, and a SID; or a 32-bit 0 for none."""


class OutType(IntEnum):
    """What a field means, and so how it is shown (OutMeta, bits 0-6). Writers may use other numbers."""

    DEFAULT = 0
    NOPRINT = 1
    STRING = 2
    BOOLEAN = 3
    HEX = 4
    PID = 5
    TID = 6
    PORT = 7
    """In network order."""
    IPV4 = 8
    IPV6 = 9
    SOCKADDR = 10
    XML = 11
    JSON = 12
    WIN32ERROR = 13
    NTSTATUS = 14
    HRESULT = 15
    FILETIME = 16
    SIGNED = 17
    UNSIGNED = 18
    UTF8 = 35
    PKCS7 = 36
    CODE_POINTER = 37
    DATETIME_UTC = 38
    ETWTIME = 128
    """Ticks of the session clock. From here on our own numbers: TraceLogging has 7 bits."""


class Shape(IntEnum):
    """Scalar or array (InMeta, bits 5-6)."""

    SCALAR = 0x00
    CONSTANT = 0x20
    """As many elements as Field.count says."""
    VARIABLE = 0x40
    """A 16-bit count comes first."""
    CUSTOM = 0x60
    COUNTED = 0x100
    """As many elements as the field Field.count_from holds. From here on not TraceLogging's."""
    REST = 0x200
    """As many elements as fit into what is left of the payload."""


class MetadataError(ValueError):
    """A schema, trait or payload that does not follow the encoding; readers report it as data."""


@dataclass(frozen=True, slots=True)
class ValueMap:
    """Names of numbers. `bits`: each entry is a mask, and a number has all names whose bits it holds."""

    name: str
    entries: tuple[tuple[int, str], ...]
    bits: bool = False

    def text(self, value: int) -> str | None:
        """The name of a number, names of bits with `|` between them; None where it has none."""
        if not self.bits:
            return next((text for number, text in self.entries if number == value), None)
        names, left = [], value
        for mask, text in self.entries:
            if mask == value == 0:
                return text
            if mask and value & mask == mask:
                names.append(text)
                left &= ~mask
        if not names:
            return None
        return " | ".join([*names, f"0x{left:x}"] if left else names)


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
    length: int | None = None
    """Of a string in characters, of binary data in bytes: then no NUL and no count say how long it is."""
    length_from: str = ""
    """The same, from an earlier field of this struct or of one around it."""
    count_from: str = ""
    """The field that says how many elements there are (Shape.COUNTED)."""
    map: ValueMap | None = None


@dataclass(frozen=True, slots=True)
class EventSchema:
    """Name and fields of an event."""

    name: str
    fields: tuple[Field, ...] = ()
    tags: int = 0


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
    InType.UNICODECHAR: "<u2",
    InType.ANSICHAR: "u1",
}
"""In-types of fixed size and the numpy type of one value. What depends on the writer or the field: `scalar_dtype`."""

WIDE = (
    *(InType.UNICODESTRING, InType.COUNTEDSTRING, InType.MOF_COUNTEDSTRING),
    *(InType.REVERSEDCOUNTEDSTRING, InType.NONNULLTERMINATEDSTRING),
)
"""Texts in UTF-16."""
NARROW = (
    *(InType.ANSISTRING, InType.COUNTEDANSISTRING, InType.MOF_COUNTEDANSISTRING),
    *(InType.REVERSEDCOUNTEDANSISTRING, InType.NONNULLTERMINATEDANSISTRING),
)
"""Texts in single bytes; see `decode_narrow`."""
COUNTED = (
    *(InType.BINARY, InType.COUNTEDSTRING, InType.COUNTEDANSISTRING, InType.COUNTEDBINARY),
    *(InType.MOF_COUNTEDSTRING, InType.MOF_COUNTEDANSISTRING),
)
"""A 16-bit count of bytes comes first."""
SIZED = (InType.UNICODESTRING, InType.ANSISTRING, InType.BINARY)
"""A field may say how long they are."""


def unique_names(fields: Iterable[Field]) -> list[str]:
    """Field names made usable as keys: never empty, never twice."""
    return unique_keys(item.name for item in fields)


def unique_keys(names: Iterable[str]) -> list[str]:
    """The same of names alone."""
    taken: set[str] = set()
    keys = []
    for index, name in enumerate(names):
        base = name or f"field{index}"
        key, turn = base, 2
        while key in taken:
            key, turn = f"{base}_{turn}", turn + 1
        taken.add(key)
        keys.append(key)
    return keys


_OPEN = {
    InType.UNICODESTRING: InType.NONNULLTERMINATEDSTRING,
    InType.ANSISTRING: InType.NONNULLTERMINATEDANSISTRING,
}


def open_ended(fields: tuple[Field, ...]) -> tuple[Field, ...]:
    """Fields whose last text may end with the payload: Windows' own providers leave its NUL out, and TDH allows it."""
    if not fields or fields[-1].in_type not in _OPEN or fields[-1].shape != Shape.SCALAR or is_sized(fields[-1]):
        return fields
    return (*fields[:-1], replace(fields[-1], in_type=_OPEN[fields[-1].in_type]))


def is_sized(item: Field) -> bool:
    """Whether the field says how long each value is, so that neither a NUL nor a count does."""
    return item.in_type in SIZED and (item.length is not None or bool(item.length_from))


def scalar_dtype(item: Field, pointer_size: int) -> str | None:
    """The numpy type of one value of fixed size, as it lies in the payload; None for a field that has none."""
    if item.in_type in (InType.POINTER, InType.SIZET):
        return f"<u{pointer_size}"
    if item.in_type == InType.UINT16 and item.out_type == OutType.PORT:
        return ">u2"
    if item.in_type == InType.BINARY and item.length and not item.length_from:
        return f"V{item.length}"
    return FIXED_DTYPES.get(item.in_type)


def fixed_dtype(schema: EventSchema, pointer_size: int) -> np.dtype[np.void] | None:
    """The packed numpy type of a payload that holds scalars of fixed size only; None for any other."""
    parts: list[tuple[str, str]] = []
    for name, item in zip(unique_names(schema.fields), schema.fields, strict=True):
        code = scalar_dtype(item, pointer_size)
        if code is None or item.shape != Shape.SCALAR:
            return None
        parts.append((name, code))
    return np.dtype(parts)


def decode_narrow(data: bytes, out_type: int) -> str:
    """Text of single bytes: UTF-8 where the out-type says so, else the ANSI code page 1252."""
    return data.decode("utf-8" if is_utf8(out_type) else "cp1252", "replace")


def is_utf8(out_type: int) -> bool:
    """Whether text of single bytes is UTF-8."""
    return out_type in (OutType.UTF8, OutType.XML, OutType.JSON)
