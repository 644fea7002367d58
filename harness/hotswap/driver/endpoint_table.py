"""The endpoint table of V2, section `.shsept` of a driver image: read with suspicion, never executed.

Layout: driver/include/hotswap_endpoint_table.h, which also lists what of it is inference (I1-I8).
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pefile

SECTION = ".shsept"
VERSION = 2
NAME_MAX = 255
STACK_MAX = 224
HEADER = struct.Struct("<3I")  # Version, Size, Count
ENTRY = struct.Struct("<10I")  # Size, Rva, NameSize, NameOffset, ArgRegs[4], ArgStackSize, RetReg
REGISTERS = {
    0: "",
    1: "rax",
    2: "rcx",
    3: "rdx",
    9: "r8",
    0xA: "r9",
    0xC8: "xmm0",
    0xC9: "xmm1",
    0xCA: "xmm2",
    0xCB: "xmm3",
}
_ARGUMENT = [{"", "rcx", "xmm0"}, {"", "rdx", "xmm1"}, {"", "r8", "xmm2"}, {"", "r9", "xmm3"}]
_RETURN = {"", "rax", "xmm0"}
_COUNT_LIMIT = 0x10000
_PROBLEM_LIMIT = 20
_EXECUTE = 0x20000000
_WRITE = 0x80000000
_EXCEPTION = 3
_CHAINED = 4  # UNW_FLAG_CHAININFO: a part of a function, not its start
_FUNCTION = struct.Struct("<3I")  # BeginAddress, EndAddress, UnwindInfo


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One entry: the endpoint's name, its code (bytes from the image base), and how it is called.

    `registers` holds the names of the argument registers, in order; "" where an argument has none.
    """

    name: str
    rva: int
    registers: tuple[str, ...]
    stack_bytes: int
    returns: str

    @property
    def signature(self) -> str:
        """As `HotswapCompute(rcx, rdx, r8, r9, 16 stack bytes) -> rax`."""
        arguments = [register for register in self.registers if register]
        if self.stack_bytes:
            arguments.append(f"{self.stack_bytes} stack bytes")
        return f"{self.name}({', '.join(arguments)}) -> {self.returns or 'void'}"


@dataclass(frozen=True, slots=True)
class EndpointTable:
    """What an image's table says, and what is wrong with it. `endpoints` has every entry that could be read."""

    version: int
    size: int
    endpoints: tuple[Endpoint, ...]
    problems: tuple[str, ...]


def read_endpoint_table(opened: pefile.PE) -> EndpointTable | None:
    """The endpoint table of an image, or None if it has none. Damage is a problem of the table, never an exception."""
    sections = [section for section in opened.sections if _name(section) == SECTION]
    if not sections:
        return None
    section = sections[0]
    problems: list[str] = []
    if len(sections) > 1:
        problems.append(f"there are {len(sections)} sections {SECTION}: merge them into one")
    if section.Characteristics & (_EXECUTE | _WRITE):
        problems.append(f"section {SECTION} is writable or executable: make it read-only data")
    content = _content(section)
    version, size, count = HEADER.unpack(content[: HEADER.size].ljust(HEADER.size, b"\0"))
    if len(content) < HEADER.size:
        problems.append(f"section {SECTION} has {len(content)} bytes, less than the table's header ({HEADER.size})")
        return EndpointTable(version, size, (), tuple(problems))
    if version != VERSION:
        problems.append(f"the table's version is {version}, not {VERSION}")
        return EndpointTable(version, size, (), tuple(problems))
    if not HEADER.size <= size <= len(content):
        problems.append(f"the table says that it has {size} bytes, its section has {len(content)}")
        return EndpointTable(version, size, (), tuple(problems))
    found, wrong = _entries(content[:size], count)
    endpoints = [endpoint for endpoint in found if endpoint is not None]
    problems += [*wrong, *_duplicates(endpoints), *_places(opened, endpoints)]
    if len(problems) > _PROBLEM_LIMIT:
        problems = [*problems[:_PROBLEM_LIMIT], f"{len(problems) - _PROBLEM_LIMIT} more like these"]
    return EndpointTable(version, size, tuple(endpoints), tuple(problems))


def _name(section: pefile.SectionStructure) -> str:
    return bytes(section.Name).rstrip(b"\0").decode("ascii", "replace")


def _content(section: pefile.SectionStructure) -> bytes:
    """The bytes that a loader maps, as far as the file has them (the rest are zeros, and no entry is)."""
    raw = bytes(section.get_data())
    return raw[: section.Misc_VirtualSize] if section.Misc_VirtualSize else raw


def _entries(table: bytes, count: int) -> tuple[list[Endpoint | None], list[str]]:
    """Every entry that could be read, and what is wrong with the others or with the table as a whole."""
    found: list[Endpoint | None] = []
    problems: list[str] = []
    if count == 0:
        problems.append("the table lists no endpoint: leave the section out")
    at = HEADER.size
    for number in range(min(count, _COUNT_LIMIT)):
        if len(table) - at < ENTRY.size:
            problems.append(f"entry {number} of {count} does not fit: {len(table) - at} of {len(table)} bytes are left")
            return found, problems
        size = int.from_bytes(table[at : at + 4], "little")
        if size < ENTRY.size or size % 4 or size > len(table) - at:
            problems.append(f"entry {number} says that it has {size} bytes: {len(table) - at} are left")
            return found, problems
        entry, wrong = _entry(table[at : at + size], number)
        found.append(entry)
        problems += wrong
        at += size
    if at != len(table):
        problems.append(f"{len(table) - at} bytes of the table are in none of its {count} entries")
    return found, problems


def _entry(entry: bytes, number: int) -> tuple[Endpoint | None, list[str]]:
    _size, rva, name_size, name_offset, *numbers, stack_bytes, returned = ENTRY.unpack_from(entry)
    if name_offset < ENTRY.size or name_offset > len(entry) or name_size > len(entry) - name_offset:
        return None, [f"the name of entry {number} ({name_size} bytes at {name_offset}) is not inside the entry"]
    raw = entry[name_offset : name_offset + name_size].rstrip(b"\0")
    name = raw.decode("latin-1").encode("ascii", "backslashreplace").decode("ascii")
    name = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in name)
    problems = []
    if not 1 <= len(raw) <= NAME_MAX or any(not 0x21 <= byte <= 0x7E for byte in raw):
        problems.append(f"the name of entry {number} is not 1 to {NAME_MAX} printable characters: {name[:40]!r}")
    registers = [REGISTERS.get(value, f"?{value}") for value in numbers]
    while registers and not registers[-1]:
        registers.pop()
    endpoint = Endpoint(name, rva, tuple(registers), stack_bytes, REGISTERS.get(returned, f"?{returned}"))
    for position, register in enumerate(registers):
        if register not in _ARGUMENT[position] or not register:
            problems.append(f"argument {position} of {name} is in {register or 'no register'}, which x64 never does")
    if endpoint.returns not in _RETURN:
        problems.append(f"{name} returns in {endpoint.returns}, not in rax or xmm0")
    if stack_bytes % 8 or (stack_bytes and len(registers) < len(_ARGUMENT)):
        problems.append(f"{name} takes {stack_bytes} bytes of stack beside {len(registers)} registers")
    if stack_bytes > STACK_MAX:
        problems.append(f"{name} takes {stack_bytes} bytes of stack: a wrapper passes at most {STACK_MAX}")
    return endpoint, problems


def _duplicates(endpoints: Sequence[Endpoint]) -> Iterator[str]:
    names: set[str] = set()
    places: dict[int, str] = {}
    for endpoint in endpoints:
        if endpoint.name in names:
            yield f"endpoint {endpoint.name} is listed twice"
        elif endpoint.rva in places:
            yield f"endpoints {places[endpoint.rva]} and {endpoint.name} are the same code, 0x{endpoint.rva:X}"
        names.add(endpoint.name)
        places.setdefault(endpoint.rva, endpoint.name)


def _places(opened: pefile.PE, endpoints: Sequence[Endpoint]) -> Iterator[str]:
    """Whether each endpoint is code, and the start of a function where unwind data tell."""
    code = [
        (section.VirtualAddress, section.VirtualAddress + max(section.Misc_VirtualSize, section.SizeOfRawData))
        for section in opened.sections
        if section.Characteristics & _EXECUTE
    ]
    functions = _functions(opened)
    starts = [begin for begin, _, _ in functions]
    for endpoint in endpoints:
        if not any(begin <= endpoint.rva < end for begin, end in code):
            yield f"endpoint {endpoint.name} at 0x{endpoint.rva:X} is in no executable section"
            continue
        before = bisect_right(starts, endpoint.rva) - 1
        if before < 0:
            continue
        begin, end, unwind = functions[before]
        if begin < endpoint.rva < end:
            yield f"endpoint {endpoint.name} at 0x{endpoint.rva:X} is inside the function at 0x{begin:X}"
        elif begin == endpoint.rva and _is_part(opened, unwind):
            yield f"endpoint {endpoint.name} at 0x{endpoint.rva:X} is a part of a function, not its start"


def _functions(opened: pefile.PE) -> list[tuple[int, int, int]]:
    """(begin, end, unwind information) of each function with unwind data, sorted; rvas."""
    directories = opened.OPTIONAL_HEADER.DATA_DIRECTORY
    if len(directories) <= _EXCEPTION or not directories[_EXCEPTION].Size:
        return []
    directory = directories[_EXCEPTION]
    try:
        data = bytes(opened.get_data(directory.VirtualAddress, directory.Size))
    except pefile.PEFormatError:  # outside the image; the linker's own tables are not this file's to judge
        return []
    return sorted(_FUNCTION.iter_unpack(data[: len(data) // _FUNCTION.size * _FUNCTION.size]))


def _is_part(opened: pefile.PE, unwind: int) -> bool:
    try:
        first = bytes(opened.get_data(unwind, 1))
    except pefile.PEFormatError:
        return False
    return bool(first and first[0] >> 3 & _CHAINED)
