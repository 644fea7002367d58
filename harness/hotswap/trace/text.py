"""Fields of events as text for people: codes by their name, times as dates, addresses in hexadecimal digits."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from uuid import UUID

from hotswap.trace.schema import Field, InType, OutType, unique_names
from hotswap.trace.table import EventTable, system_time

_STATUS_NAMES = {
    0x000000C0: "STATUS_USER_APC",
    0x00000101: "STATUS_ALERTED",
    0x00000102: "STATUS_TIMEOUT",
    0x00000103: "STATUS_PENDING",
    0xC0000001: "STATUS_UNSUCCESSFUL",
    0xC0000005: "STATUS_ACCESS_VIOLATION",
    0xC000000D: "STATUS_INVALID_PARAMETER",
    0xC0000034: "STATUS_OBJECT_NAME_NOT_FOUND",
    0xC0000059: "STATUS_REVISION_MISMATCH",
    0xC000009A: "STATUS_INSUFFICIENT_RESOURCES",
    0xC00000A3: "STATUS_DEVICE_NOT_READY",
    0xC00000BB: "STATUS_NOT_SUPPORTED",
    0xC00000F0: "STATUS_INVALID_PARAMETER_2",
    0xC00000F1: "STATUS_INVALID_PARAMETER_3",
    0xC000010E: "STATUS_IMAGE_ALREADY_LOADED",
    0xC0000120: "STATUS_CANCELLED",
    0xC0000225: "STATUS_NOT_FOUND",
}


def status_text(code: int, *, wait: bool) -> str:
    """An NTSTATUS as its name where it is one that a wait or an update returns, else as a number.

    `wait`: the value came from a wait, so that 0 to 63 are indices.
    """
    code &= 0xFFFFFFFF
    if wait and code < 64:
        return f"STATUS_WAIT_{code}"
    return "STATUS_SUCCESS" if code == 0 else _STATUS_NAMES.get(code, f"0x{code:08x}")


def status_code(name: str) -> int | None:
    """The NTSTATUS of a name that `status_text` gives; None for any other."""
    if name.startswith("STATUS_WAIT_") and name[12:].isdigit() and int(name[12:]) < 64:
        return int(name[12:])
    if name == "STATUS_SUCCESS":
        return 0
    return next((code for code, known in _STATUS_NAMES.items() if known == name), None)


_EPOCH = dt.datetime(1601, 1, 1)
_HEXADECIMAL = {InType.HEXINT32: 8, InType.HEXINT64: 16, InType.POINTER: 16}
_CHARACTERS = (InType.UNICODECHAR, InType.ANSICHAR)
_SHOWN_ELEMENTS = 8


def fields_text(table: EventTable, row: int) -> str:
    """`Name=value` of all fields of a row, with blanks between them; else why there is none."""
    parts = field_texts(table, row)
    return undecoded(table, row) if parts is None else " ".join(f"{name}={text}" for name, text in parts.items())


def undecoded(table: EventTable, row: int) -> str:
    """What is said in the place of fields that could not be decoded."""
    return f"({table.row(row)['problem']}: {int(table.payload_length[row])} bytes)"


def field_texts(table: EventTable, row: int) -> dict[str, str] | None:
    """The fields of a row by name; None where the payload could not be decoded."""
    schema, fields = table.schema_of(row), table.row(row)["fields"]
    if not isinstance(fields, dict):
        return None
    if schema is None:
        return {}
    described = dict(zip(unique_names(schema.fields), schema.fields, strict=True))
    return {name: value_text(described[name], value) for name, value in fields.items()}


def value_text(described: Field, value: object) -> str:
    """A value as decode_payload or a payload column gives it."""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        more = ["…"] if len(value) > _SHOWN_ELEMENTS else []
        return f"[{', '.join([value_text(described, one) for one in value[:_SHOWN_ELEMENTS]] + more)}]"
    if isinstance(value, Mapping):
        members = dict(zip(unique_names(described.fields), described.fields, strict=True))
        inner = (f"{name}={value_text(members[name], one)}" for name, one in value.items() if name in members)
        return f"{{{' '.join(inner)}}}"
    if isinstance(value, bytes):
        return _bytes_text(described, value)
    return _integer_text(described, value) if isinstance(value, int) else str(value)


def _integer_text(described: Field, value: int) -> str:
    if described.map is not None and (name := described.map.text(value)) is not None:
        return name
    kind, out = described.in_type, described.out_type
    if out == OutType.NTSTATUS:
        return status_text(value, wait=described.name.startswith("Wait"))
    if kind == InType.BOOL32 or out == OutType.BOOLEAN:
        return {0: "false", 1: "true"}.get(value, str(value))
    if kind == InType.FILETIME or out in (OutType.FILETIME, OutType.DATETIME_UTC):
        return _file_time(value)
    if kind in _CHARACTERS:
        return chr(value) if chr(value).isprintable() else f"0x{value:x}"
    if out == OutType.IPV4:
        return str(IPv4Address((value & 0xFFFFFFFF).to_bytes(4, "little")))
    if out == OutType.PORT:
        return str(int.from_bytes((value & 0xFFFF).to_bytes(2, "little"), "big"))
    if kind in _HEXADECIMAL or out in (OutType.HEX, OutType.HRESULT, OutType.CODE_POINTER):
        return f"0x{value & (0xFFFFFFFF if kind == InType.INT32 else (1 << 64) - 1):x}"
    return str(value)


def _file_time(value: int) -> str:
    try:
        moment = _EPOCH + dt.timedelta(microseconds=value // 10)
    except OverflowError:
        return str(value)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{value % 10_000_000:07}Z" if value else "0"


def _bytes_text(described: Field, value: bytes) -> str:
    if described.in_type == InType.GUID and len(value) == 16:
        return str(UUID(bytes_le=value))
    if described.in_type == InType.SYSTEMTIME and len(value) == 16:
        return system_time(value)
    if described.in_type in (InType.SID, InType.WBEMSID) and len(value) >= 8:
        parts = [int.from_bytes(value[at : at + 4], "little") for at in range(8, len(value), 4)]
        return "-".join(["S", str(value[0]), str(int.from_bytes(value[2:8], "big")), *map(str, parts)])
    if described.out_type == OutType.IPV6 and len(value) == 16:
        return str(IPv6Address(value))
    return value.hex()
