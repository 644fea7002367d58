"""Values as text, by what their fields say they are."""

from __future__ import annotations

import pytest

from hotswap.trace.schema import Field, InType, OutType, Shape, ValueMap
from hotswap.trace.text import value_text

GUID = bytes.fromhex("b22dc482 90c3 c847 87f8 1a15bfc130fb")
COLOURS = ValueMap("Colours", ((1, "red"), (2, "green")), bits=True)


@pytest.mark.parametrize(
    ("described", "value", "text"),
    [
        (Field("N", InType.UINT32), 7, "7"),
        (Field("N", InType.INT32), -7, "-7"),
        (Field("X", InType.HEXINT64), 0xFF, "0xff"),
        (Field("X", InType.INT32, OutType.HEX), -1, "0xffffffff"),
        (Field("P", InType.POINTER), 0xFFFF8000_00000000, "0xffff800000000000"),
        (Field("H", InType.INT32, OutType.HRESULT), -2147467259, "0x80004005"),
        (Field("Status", InType.HEXINT32, OutType.NTSTATUS), 0xC0000001, "STATUS_UNSUCCESSFUL"),
        (Field("WaitStatus", InType.HEXINT32, OutType.NTSTATUS), 1, "STATUS_WAIT_1"),
        (Field("B", InType.BOOL32), 1, "true"),
        (Field("B", InType.UINT8, OutType.BOOLEAN), 0, "false"),
        (Field("B", InType.BOOL32), 5, "5"),
        (Field("T", InType.FILETIME), 133_800_000_000_000_001, "2024-12-30T02:40:00.0000001Z"),
        (Field("T", InType.FILETIME), (1 << 63) - 1, str((1 << 63) - 1)),
        (Field("T", InType.SYSTEMTIME), bytes.fromhex("ea070100040001000c001e002d007b00"), "2026-01-01T12:30:45.123"),
        (Field("G", InType.GUID), GUID, "82c42db2-c390-47c8-87f8-1a15bfc130fb"),
        (Field("S", InType.SID), bytes.fromhex("010100000000000512000000"), "S-1-5-18"),
        (Field("A", InType.UINT32, OutType.IPV4), 0x0100007F, "127.0.0.1"),
        (Field("A", InType.BINARY, OutType.IPV6), bytes(15) + b"\1", "::1"),
        (Field("P", InType.UINT16, OutType.PORT), 80, "80"),
        (Field("C", InType.UNICODECHAR), 0xE4, "ä"),
        (Field("C", InType.ANSICHAR), 7, "0x7"),
        (Field("C", InType.UINT16, OutType.STRING), 0x41, "A"),
        (Field("A", InType.BINARY, OutType.SOCKADDR), bytes.fromhex("02000050c0a80001") + bytes(8), "192.168.0.1:80"),
        (Field("A", InType.BINARY, OutType.SOCKADDR), bytes.fromhex(f"17000050{1:040x}00000000"), "[::1]:80"),
        (Field("A", InType.BINARY, OutType.SOCKADDR), b"\1\0", "0100"),
        (Field("S", InType.WBEMSID), b"", ""),
        (Field("M", InType.INT8, map=ValueMap("Hot", ((255, "all"),))), -1, "all"),
        (Field("D", InType.BINARY), b"\x01\xff", "01ff"),
        (Field("F", InType.DOUBLE), 1.5, "1.5"),
        (Field("M", InType.UINT32, map=COLOURS), 3, "red | green"),
        (Field("M", InType.UINT32, map=COLOURS), 8, "8"),
        (Field("L", InType.HEXINT32, shape=Shape.VARIABLE), [1, 16], "[0x1, 0x10]"),
        (Field("L", InType.UINT8, shape=Shape.VARIABLE), list(range(9)), "[0, 1, 2, 3, 4, 5, 6, 7, …]"),
        (Field("R", InType.STRUCT, fields=(Field("X", InType.HEXINT32), Field("Y", InType.UINT8))),
         {"X": 16, "Y": 2}, "{X=0x10 Y=2}"),
    ],
)  # fmt: skip
def test_a_value_is_written_as_its_field_means_it(described: Field, value: object, text: str) -> None:
    assert value_text(described, value) == text
