"""Message texts with values: inserts by number, as they are or as printf would write them."""

from __future__ import annotations

import pytest

from hotswap.trace.schema import EventSchema, Field, InType, OutType, ValueMap
from hotswap.trace.schemas.message import format_message

FIELDS = (
    Field("n", InType.INT32),
    Field("p", InType.POINTER),
    Field("s", InType.UNICODESTRING),
    Field("m", InType.UINT8, map=ValueMap("M", ((2, "two"),))),
    Field("b", InType.INT8, OutType.STRING),
    Field("st", InType.UINT32, OutType.NTSTATUS),
    Field("f", InType.DOUBLE),
)
VALUES = {"n": -5, "p": 0x1A2B, "s": "text", "m": 2, "b": 65, "st": 0xC0000001, "f": 1.5}


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("plain", "plain"),
        ("%1 and %3", "-5 and text"),
        ("%1!d!|%1!5d!|%1!-5d!|%1!05d!|%1!+d!", "-5|   -5|-5   |-0005|-5"),
        ("%1!x!|%1!X!|%1!#x!|%1!u!|%1!o!", "fffffffb|FFFFFFFB|0xfffffffb|4294967291|37777777773"),
        ("%2|%2!p!|%2!I64x!|%2!016llX!", "0x1a2b|0000000000001A2B|1a2b|0000000000001A2B"),
        ("%3!s!|%3!6s!|%3!-6s!|%3!.2s!|%3!ws!", "text|  text|text  |te|text"),
        ("%4 %4!s! %4!d!", "two two 2"),
        ("%5!c! %5!d! %5", "A 65 A"),
        ("%6 %6!x!", "STATUS_UNSUCCESSFUL c0000001"),
        ("%7 %7!s!", "1.5 1.5"),
        ("100%% %n%t%!%.", "100% \n\t!."),
        ("%9 %0 %12!d! %q %", "%9 %0 %12!d! %q %"),
        ("%1!q?!", "-5"),
    ],
)
def test_inserts_are_replaced(message: str, text: str) -> None:
    assert format_message(message, EventSchema("E", FIELDS), VALUES, 8) == text


def test_a_pointer_is_as_long_as_the_writers() -> None:
    assert format_message("%2!p!", EventSchema("E", FIELDS), VALUES, 4) == "00001A2B"
