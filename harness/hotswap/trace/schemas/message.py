"""Message texts with the values of an event in them: `Worker %1 is %2`, or WPP's `%1!08x!`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hotswap.trace.schema import EventSchema, Field, InType, Value, unique_names
from hotswap.trace.text import value_text

_INSERT = re.compile(r"%(?:(?P<index>\d{1,3})(?:!(?P<spec>[^!]*)!)?|(?P<other>[%nrtb.!]))")
_SPEC = re.compile(
    r"(?P<flags>[-+ #0]*)(?P<width>\d{0,3})(?:\.(?P<precision>\d{1,3}))?"
    r"(?:I64|I32|[hlLIwzjt]{0,2})(?P<kind>[a-zA-Z])"
)
"""A conversion of printf. How long the number is says the field, not this."""
_PLAIN = {"%": "%", "n": "\n", "r": "", "t": "\t", "b": " ", ".": ".", "!": "!"}
_NUMBERS = "diuxXopcC"


def format_message(message: str, schema: EventSchema, values: Mapping[str, Value], pointer_size: int) -> str:
    """The text with `%n` replaced by the nth field. An insert that names no field stays as it is."""
    fields = list(zip(unique_names(schema.fields), schema.fields, strict=True))

    def insert(found: re.Match[str]) -> str:
        if found["other"]:
            return _PLAIN[found["other"]]
        index = int(found["index"])
        if not 1 <= index <= len(fields):
            return found[0]
        name, item = fields[index - 1]
        return _formatted(item, values[name], found["spec"], pointer_size)

    return _INSERT.sub(insert, message)


def _formatted(item: Field, value: Value, spec: str | None, pointer_size: int) -> str:
    """As printf would; numbers that have names as these, when the text asks for a string."""
    found = _SPEC.fullmatch(spec) if spec else None
    if found is None:
        return value_text(item, value)
    kind, width = found["kind"], int(found["width"] or 0)
    precision = int(found["precision"]) if found["precision"] else None
    if not isinstance(value, int) or kind not in _NUMBERS:
        text = value_text(item, value)
        text = text if precision is None else text[:precision]
        return text.ljust(width) if "-" in found["flags"] else text.rjust(width)
    digits, sign = _digits(item, value, kind, found["flags"], pointer_size)
    if precision is not None:
        digits = digits.rjust(precision, "0")
    elif "0" in found["flags"] and "-" not in found["flags"] and kind not in "cC":
        digits = digits.rjust(width - len(sign), "0")
    text = sign + digits
    return text.ljust(width) if "-" in found["flags"] else text.rjust(width)


def _digits(item: Field, value: int, kind: str, flags: str, pointer_size: int) -> tuple[str, str]:
    """A number's digits, and what stands before them."""
    bits = _BITS.get(item.in_type, 8 * pointer_size if item.in_type == InType.POINTER else 64)
    unsigned = value & ((1 << bits) - 1)
    if kind in "cC":
        return chr(unsigned & 0xFFFF), ""
    if kind in "di":
        signed = unsigned - (1 << bits) if unsigned >> (bits - 1) else unsigned
        return str(abs(signed)), "-" if signed < 0 else "+" if "+" in flags else " " if " " in flags else ""
    if kind == "p":
        return f"{unsigned:0{2 * pointer_size}X}", ""
    mark = {"x": "0x", "X": "0X", "o": "0"}.get(kind, "") if "#" in flags and unsigned else ""
    return format(unsigned, {"x": "x", "X": "X", "o": "o"}.get(kind, "d")), mark


_BITS = {
    InType.INT8: 8,
    InType.UINT8: 8,
    InType.ANSICHAR: 8,
    InType.INT16: 16,
    InType.UINT16: 16,
    InType.UNICODECHAR: 16,
    InType.INT32: 32,
    InType.UINT32: 32,
    InType.HEXINT32: 32,
    InType.BOOL32: 32,
}
