"""Layouts of any kind, and payloads of them, made byte by byte; nothing here is shared with the package's encoder."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable

from hypothesis import strategies as st

from hotswap.trace.schema import FIXED_DTYPES, EventSchema, Field, InType, OutType, Shape, unique_names

NUMBERS = [InType.UINT8, InType.INT8, InType.UINT16, InType.UINT32, InType.INT32, InType.UINT64, InType.POINTER]
FIXED = [*FIXED_DTYPES, InType.POINTER, InType.SIZET]
DATA = [kind for kind in InType if kind not in FIXED and kind != InType.STRUCT]
WIDE_TEXTS = ["", "a", "plain ascii text", "näme", "\U0001f600 and more", "\ud800", "\udc00x", "end\ud83d", "\uffff"]
NARROW_TEXTS = [
    *(b"", b"a", b"plain ascii text", "näme".encode(), b"n\xe4me", b"\x80\x81\x9d"),
    *(b"\xe2\x82", b"\xf0\x9f\x98\x80", b"\xc0\xaf\xed\xa0\x80", b"\xf4\x90\x80\x80"),
]


@st.composite
def schemas(draw: st.DrawFn, depth: int = 0, *, most: int = 5) -> EventSchema:
    """A layout: any in-type, shape, and reference to fields before."""
    return EventSchema("Event", tuple(draw(_fields(depth, most))))


@st.composite
def _fields(draw: st.DrawFn, depth: int, most: int, around: tuple[str, ...] = ()) -> list[Field]:
    found: list[Field] = []
    for number in range(draw(st.integers(0 if depth else 1, most))):
        name = draw(st.sampled_from([f"f{number}", "n", "same", ""]))
        known = (*around, *unique_names(found), "nobody")
        found.append(draw(_field(name, depth, known)))
    return found


@st.composite
def _field(draw: st.DrawFn, name: str, depth: int, known: tuple[str, ...]) -> Field:
    shape = draw(st.sampled_from([Shape.SCALAR] * 5 + list(Shape)))
    more: dict[str, object] = {}
    if shape == Shape.CONSTANT:
        more["count"] = draw(st.integers(0, 3))
    if shape == Shape.COUNTED:
        more["count_from"] = draw(st.sampled_from(known))
    if depth < 3 and draw(st.integers(0, 4)) == 0:
        members = tuple(draw(_fields(depth + 1, 3, known)))
        return Field(name, InType.STRUCT, shape=shape, fields=members, **more)  # type: ignore[arg-type]
    kind = draw(st.sampled_from([*NUMBERS, *FIXED, *DATA, *DATA]))
    if kind in (InType.UNICODESTRING, InType.ANSISTRING, InType.BINARY):
        more |= draw(
            st.sampled_from([{}, {}, {"length": 0}, {"length": 3}, {"length_from": draw(st.sampled_from(known))}])
        )
    out = draw(st.sampled_from([0, OutType.UTF8, OutType.PORT]))
    return Field(name, kind, out, shape, **more)  # type: ignore[arg-type]


def payload(schema: EventSchema, chance: random.Random, pointer_size: int = 8) -> bytes:
    """A payload of this layout that is mostly right: texts of all kinds, small counts."""
    return b"".join(_bytes(schema.fields, chance, pointer_size, {}))


def _bytes(
    fields: Iterable[Field], chance: random.Random, pointer_size: int, around: dict[str, int]
) -> Iterable[bytes]:
    fields = tuple(fields)
    values = dict(around)
    for name, item in zip(unique_names(fields), fields, strict=True):
        values.pop(name, None)
        if item.shape == Shape.CUSTOM:
            data = chance.randbytes(chance.randrange(5))
            yield struct.pack("<H", len(data)) + data
            continue
        count = chance.randrange(4)
        if item.shape == Shape.SCALAR:
            count = 1
        elif item.shape == Shape.CONSTANT:
            count = item.count
        elif item.shape == Shape.VARIABLE:
            yield struct.pack("<H", count)
        elif item.shape == Shape.COUNTED:
            count = values.get(item.count_from, 0)
        for _ in range(min(count, 1000)):
            if item.in_type == InType.STRUCT:
                yield from _bytes(item.fields, chance, pointer_size, values)
                continue
            raw = _value(item, chance, pointer_size, values)
            if item.shape == Shape.SCALAR and len(raw) in (1, 2, 4, 8):
                values[name] = int.from_bytes(raw, "big" if item.out_type == OutType.PORT else "little")
            yield raw


def _value(item: Field, chance: random.Random, pointer_size: int, values: dict[str, int]) -> bytes:
    kind = item.in_type
    if kind in (InType.POINTER, InType.SIZET):
        return chance.choice([chance.randrange(4), 2**31]).to_bytes(pointer_size, "little")
    if kind == InType.UINT16 and item.out_type == OutType.PORT:
        return chance.randrange(4).to_bytes(2, "big")
    if kind in FIXED_DTYPES:
        size = int(FIXED_DTYPES[kind].lstrip("<>iufV"))
        return chance.randrange(4).to_bytes(size, "little") if chance.random() < 0.8 else chance.randbytes(size)
    wide = chance.choice(WIDE_TEXTS).encode("utf-16-le", "surrogatepass") + b"\x01" * (chance.random() < 0.05)
    narrow = chance.choice(NARROW_TEXTS)
    if item.length is not None or item.length_from:
        units = values.get(item.length_from, 0) if item.length_from else item.length or 0
        return _sized(wide + b"\0\0" if kind == InType.UNICODESTRING else narrow + b"\0", min(units, 1000), kind)
    sid = bytes([1, authorities := chance.randrange(4)]) + bytes(6) + chance.randbytes(4 * authorities)
    ways = {
        InType.UNICODESTRING: wide[: len(wide) & ~1].replace(b"\0\0", b"") + b"\0\0",
        InType.ANSISTRING: narrow + b"\0",
        InType.NONNULLTERMINATEDSTRING: wide,
        InType.NONNULLTERMINATEDANSISTRING: narrow + chance.choice([b"", b"\0", b"\0rest"]),
        InType.REVERSEDCOUNTEDSTRING: struct.pack(">H", len(wide)) + wide,
        InType.REVERSEDCOUNTEDANSISTRING: struct.pack(">H", len(narrow)) + narrow,
        InType.HEXDUMP: struct.pack("<I", len(narrow)) + narrow,
        InType.SID: sid,
        InType.WBEMSID: chance.choice([bytes(4), bytes(2 * pointer_size) + sid, b"\1" * 2 * pointer_size + sid]),
    }
    counted = wide if kind in (InType.COUNTEDSTRING, InType.MOF_COUNTEDSTRING) else narrow
    return ways.get(kind, struct.pack("<H", len(counted)) + counted)


def _sized(text: bytes, units: int, kind: InType) -> bytes:
    size = units * (2 if kind == InType.UNICODESTRING else 1)
    return (text * (size // max(len(text), 1) + 1))[:size]
