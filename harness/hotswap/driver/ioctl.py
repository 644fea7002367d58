"""The IOCTL contract of a driver build, ready to use: requests to bytes, bytes to replies.

Names are those of the C header in Python's spelling: field `WaitType` is `wait_type`, `IOCTL_HOTSWAP_CREATE_WORKER` is
`create_worker`. Two conventions of the header are known here: a signed 32-bit field whose name ends in `Status` is an
NTSTATUS, and `XCount` tells how many elements of the array `Xs` count.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, cast

from hotswap.codes import CodeTable
from hotswap.errors import GuestFault, LabFault, UsageError

_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_INTEGERS = {1: "b", 2: "h", 4: "i", 8: "q"}


_WAIT_OBJECTS = 64


class NtStatus(int):
    """An NTSTATUS as an unsigned number that prints with its name: `STATUS_TIMEOUT (0x00000102)`."""

    name: str
    """`STATUS_TIMEOUT`; empty for a code that no header names."""
    text: str

    def __new__(cls, code: int, codes: CodeTable | None = None, *, wait: bool = False) -> NtStatus:
        """`code` may be signed. `wait`: a wait returned it, so that 0 to 63 are STATUS_WAIT_0 to STATUS_WAIT_63."""
        status = super().__new__(cls, code & 0xFFFFFFFF)
        known = codes or CodeTable()
        if wait and status < _WAIT_OBJECTS:
            known = CodeTable({int(status): f"STATUS_WAIT_{int(status)}"})
        status.name = known.ntstatus_names.get(int(status), "")
        status.text = known.ntstatus(code)
        return status

    @property
    def succeeded(self) -> bool:
        """NT_SUCCESS: a success or an informational status."""
        return self < 0x80000000

    def __repr__(self) -> str:
        return self.text

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a structure. `size` is that of one element in bytes; `count` is None where it is no array."""

    name: str
    attribute: str
    offset: int
    size: int
    kind: str
    count: int | None
    signed: bool
    enum: type[IntEnum] | None
    struct: Structure | None
    counted_by: str | None = None

    @property
    def is_status(self) -> bool:
        """Whether it holds an NTSTATUS."""
        return self.kind == "int" and self.signed and self.size == 4 and self.name.endswith("Status")

    @property
    def reserved(self) -> bool:
        """Whether nobody needs to see it."""
        return self.name.startswith("Reserved")

    @property
    def limits(self) -> tuple[int, int]:
        """The smallest and the largest number that it takes; an NTSTATUS may be given signed or unsigned."""
        bits = 8 * self.size
        if not self.signed:
            return 0, (1 << bits) - 1
        return -(1 << (bits - 1)), (1 << (bits - (0 if self.is_status else 1))) - 1


@dataclass(frozen=True, slots=True)
class Structure:
    """A structure of the contract."""

    name: str
    size: int
    fields: tuple[Field, ...]
    codes: CodeTable = dataclasses.field(repr=False)

    @property
    def reply(self) -> type:
        """The frozen dataclass that the structure's bytes are read into."""
        return _reply_class(self.name, tuple((field.attribute, field.reserved) for field in self.fields))

    def pack(self, values: Mapping[str, object], *, where: str = "") -> bytes:
        """The bytes of a request; fields that are not given are zero.

        An array may be shorter than in the header; its count is filled in unless it is given. Nested structures are
        mappings, sequences in field order, or replies. Raises UsageError for unknown fields and values that do not fit.
        """
        where = where or self.name
        known = {field.attribute: field for field in self.fields}
        for name in values:
            if name not in known:
                raise UsageError(f"{where} has no field {name!r}; it has: {', '.join(known) or '(none)'}")
        complete = dict(values)
        for field in self.fields:
            given = values.get(field.attribute)
            if field.counted_by and field.counted_by not in values and isinstance(given, Sequence):
                complete[field.counted_by] = len(given)
        data = bytearray(self.size)
        for name, value in complete.items():
            field = known[name]
            packed = _pack_field(field, value, f"{where}.{name}")
            data[field.offset : field.offset + len(packed)] = packed
        return bytes(data)

    def unpack(self, data: bytes) -> Any:
        """The reply in `data`: an immutable object, the fields its attributes. Raises GuestFault if it is too short."""
        if len(data) < self.size:
            raise GuestFault(
                f"the device answered {len(data)} bytes where {self.name} has {self.size}: "
                "the driver in the guest is of another build than this contract"
            )
        values: dict[str, Any] = {f.attribute: self._unpack_field(f, data) for f in self.fields}
        for field in self.fields:
            if field.counted_by:
                values[field.attribute] = values[field.attribute][: values[field.counted_by]]
        return self.reply(**values)

    def _unpack_field(self, field: Field, data: bytes) -> Any:
        end = field.offset + field.size * (1 if field.count is None else field.count)
        raw = data[field.offset : end]
        if field.kind == "wchar":
            text = raw.decode("utf-16-le", "replace")
            return text if field.count is None else text.split("\0", 1)[0]
        if field.kind == "char":
            return raw.split(b"\0", 1)[0].decode("latin-1")
        if field.count is None:
            return self._unpack_element(field, raw)
        if field.kind == "int" and field.size == 1 and not field.signed and field.enum is None:
            return raw
        return tuple(self._unpack_element(field, raw[at : at + field.size]) for at in range(0, len(raw), field.size))

    def _unpack_element(self, field: Field, raw: bytes) -> Any:
        if field.struct is not None:
            return field.struct.unpack(raw)
        value = int.from_bytes(raw, "little", signed=field.signed)
        if field.is_status:
            return NtStatus(value, self.codes, wait=field.name.endswith("WaitStatus"))
        if field.enum is not None and value in field.enum.__members__.values():
            return field.enum(value)
        return value


@dataclass(frozen=True, slots=True)
class Ioctl:
    """One request: its code, what it takes and gives, whether bytes follow the output, and whether it may wait."""

    name: str
    method: str
    code: int
    input: Structure | None
    output: Structure | None
    trailing: bool
    pended: bool

    def request(self, arguments: Sequence[object], fields: Mapping[str, object]) -> bytes:
        """The input buffer. `arguments` are fields by position; both as Structure.pack takes them."""
        known = self.input.fields if self.input else ()
        if len(arguments) > len(known):
            names = ", ".join(field.attribute for field in known) or "(none)"
            raise UsageError(f"{self.method} takes {len(known)} fields, not {len(arguments)}; they are: {names}")
        positional = {field.attribute: value for field, value in zip(known, arguments, strict=False)}
        if twice := positional.keys() & fields.keys():
            raise UsageError(f"{self.method}: {', '.join(sorted(twice))} is given both by position and by name")
        if self.input is None:
            if fields:
                raise UsageError(f"{self.method} takes no fields, so not {', '.join(fields)} either")
            return b""
        return self.input.pack({**positional, **fields}, where=self.method)

    @property
    def output_size(self) -> int:
        """Bytes of the output structure, without what may follow it."""
        return self.output.size if self.output else 0

    def reply(self, data: bytes) -> Any:
        """The reply object; None for a request without output, ReplyWithData where bytes may follow."""
        if self.output is None:
            return None
        reply = self.output.unpack(data)
        return ReplyWithData(reply, data[self.output.size :]) if self.trailing else reply


@dataclass(frozen=True, slots=True)
class ReplyWithData:
    """A reply and the bytes behind it."""

    header: Any
    data: bytes


@dataclass(frozen=True, slots=True)
class IoctlContract:
    """All that ioctl.json of a build says; `ioctls` are found by their Python name."""

    constants: Mapping[str, int]
    enums: Mapping[str, type[IntEnum]]
    structs: Mapping[str, Structure]
    ioctls: Mapping[str, Ioctl]

    @classmethod
    def load(cls, path: Path, codes: CodeTable | None = None) -> IoctlContract:
        """Read ioctl.json of a driver build. Raises LabFault."""
        try:
            return cls.of(json.loads(path.read_text(encoding="utf-8")), codes)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LabFault(f"reading the IOCTL contract {path}: {error}; remove that build and build again") from error

    @classmethod
    def of(cls, layout: Mapping[str, Any], codes: CodeTable | None = None) -> IoctlContract:
        """Make the contract of what hotswap.driver.layout read."""
        codes = codes or CodeTable()
        enums = {name: _enum(name, members) for name, members in layout["enums"].items()}
        structs: dict[str, Structure] = {}
        for name in layout["structs"]:
            _add_structure(name, layout["structs"], enums, codes, structs)
        prefix = _method_prefix(layout["ioctls"])
        ioctls = {}
        for name, entry in layout["ioctls"].items():
            method = name.removeprefix(prefix).lower()
            given, got = (structs[entry[key]] if entry[key] else None for key in ("input", "output"))
            ioctls[method] = Ioctl(name, method, entry["code"], given, got, entry["trailing"], entry["pended"])
        return cls(dict(layout["constants"]), enums, structs, ioctls)

    def ioctl(self, method: str) -> Ioctl:
        """The request of this Python name. Raises UsageError that lists the known ones."""
        try:
            return self.ioctls[method]
        except KeyError:
            raise UsageError(f"the driver has no request {method!r}; it has: {', '.join(self.ioctls)}") from None


def _enum(name: str, members: Mapping[str, int]) -> type[IntEnum]:
    # Through a plain callable: mypy wants a literal name for the functional form.
    make: Callable[..., Any] = IntEnum
    return cast(type[IntEnum], make(name, dict(members)))


def _method_prefix(names: Iterable[str]) -> str:
    """The words that all names begin with; the last word is always kept: `IOCTL_HOTSWAP_`."""
    return "".join(f"{word}_" for word in _common_words([name.split("_") for name in names]))


def _common_words(names: Sequence[Sequence[str]]) -> list[str]:
    common = []
    for words in zip(*(name[:-1] for name in names), strict=False):
        if len(set(words)) > 1:
            break
        common.append(words[0])
    return common


def python_name(name: str) -> str:
    """A name of the C header in the spelling of Python: `WaitType` is `wait_type`."""
    return _WORDS.sub("_", name).lower()


def _add_structure(
    name: str,
    layouts: Mapping[str, Any],
    enums: Mapping[str, type[IntEnum]],
    codes: CodeTable,
    done: dict[str, Structure],
) -> Structure:
    if name in done:
        return done[name]
    scalars = {entry["name"] for entry in layouts[name]["fields"] if entry["count"] is None}
    fields = []
    for entry in layouts[name]["fields"]:
        nested = None
        if entry["kind"] == "struct":
            nested = _add_structure(entry["type"], layouts, enums, codes, done)
        counter = entry["name"].removesuffix("s") + "Count"
        counted = entry["count"] is not None and counter in scalars
        fields.append(
            Field(
                name=entry["name"],
                attribute=python_name(entry["name"]),
                offset=entry["offset"],
                size=entry["size"],
                kind=entry["kind"],
                count=entry["count"],
                signed=entry["signed"],
                enum=enums[entry["enum"]] if entry["enum"] else None,
                struct=nested,
                counted_by=python_name(counter) if counted else None,
            )
        )
    # Python names may fall together where C names do not, or be words that calls use themselves.
    attributes = [field.attribute for field in fields]
    taken = {*(a for a in attributes if attributes.count(a) > 1), *({"deadline", "out_size"} & set(attributes))}
    if taken:
        raise LabFault(f"the contract's structure {name} has fields that cannot be told apart: {', '.join(taken)}")
    done[name] = Structure(name, layouts[name]["size"], tuple(fields), codes)
    return done[name]


@functools.cache
def _reply_class(name: str, attributes: tuple[tuple[str, bool], ...]) -> type:
    """Made when first needed: a class takes 1 ms, and most tests use a few of them."""
    fields = [(attribute, Any, dataclasses.field(repr=not reserved)) for attribute, reserved in attributes]
    return dataclasses.make_dataclass(name, fields, frozen=True, slots=True)


def _pack_field(field: Field, value: object, where: str) -> bytes:
    if field.kind in ("wchar", "char"):
        return _pack_text(field, value, where)
    if field.count is None:
        return _pack_element(field, value, where)
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise UsageError(f"{where} is an array of at most {field.count}: give a sequence, not {value!r}")
    if len(value) > field.count:
        raise UsageError(f"{where} holds at most {field.count} elements, not {len(value)}")
    return b"".join(_pack_element(field, element, f"{where}[{at}]") for at, element in enumerate(value))


def _pack_element(field: Field, value: object, where: str) -> bytes:
    if field.struct is not None:
        return _pack_nested(field.struct, value, where)
    if field.enum is not None and isinstance(value, str):
        value = _enum_value(field.enum, value, where)
    if not isinstance(value, int):
        raise UsageError(f"{where} is a whole number, not {value!r}")
    low, high = field.limits
    if not low <= value <= high:
        raise UsageError(f"{where} is {value}, out of its range {low} to {high}")
    return struct.pack(f"<{_INTEGERS[field.size].upper()}", value & ((1 << 8 * field.size) - 1))


def _pack_nested(nested: Structure, value: object, where: str) -> bytes:
    if isinstance(value, nested.reply):
        value = {field.attribute: getattr(value, field.attribute) for field in nested.fields}
    if isinstance(value, Mapping):
        return nested.pack(value, where=where)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes) and len(value) <= len(nested.fields):
        return nested.pack(dict(zip((f.attribute for f in nested.fields), value, strict=False)), where=where)
    names = ", ".join(field.attribute for field in nested.fields)
    raise UsageError(f"{where} is a structure of {names}, not {value!r}")


def _pack_text(field: Field, value: object, where: str) -> bytes:
    count = 1 if field.count is None else field.count
    if not isinstance(value, str) or "\0" in value:
        raise UsageError(f"{where} is a text without NUL, not {value!r}")
    try:
        packed = value.encode("utf-16-le" if field.kind == "wchar" else "latin-1")
    except UnicodeEncodeError as error:
        raise UsageError(f"{where}: {value!r} cannot be written in {error.encoding}") from error
    room = count if field.count is None else count - 1
    if len(packed) > room * field.size:
        raise UsageError(f"{where} holds at most {room} characters, not {len(packed) // field.size}: {value!r}")
    return packed


def _enum_value(enum: type[IntEnum], name: str, where: str) -> int:
    """A member by its full name or by what sets it apart: `HotswapRuntimeCompat` or `compat`."""
    members = enum.__members__
    if name in members:
        return int(members[name])
    prefix = "".join(_common_words([_WORDS.split(member) for member in members]))
    short = {member.removeprefix(prefix).lower(): value for member, value in members.items()}
    if name.lower() in short:
        return int(short[name.lower()])
    raise UsageError(f"{where} has no value {name!r}; it has: {', '.join(members)}")
