"""The endpoint table of V2 (3.7): what the build puts into images, and what preflight makes of good and bad ones."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pefile
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hotswap.driver.build import DriverBuild
from hotswap.driver.endpoint_table import ENTRY, HEADER, NAME_MAX, REGISTERS, SECTION, VERSION, read_endpoint_table
from hotswap.driver.layout import read_layout
from hotswap.driver.preflight import preflight
from hotswap.driver.toolchain import Toolchain
from hotswap.paths import package_data

INCLUDE = package_data("driver") / "include"
WORKER = ("HotswapWorker", (2, 3, 0, 0), 0, 1)  # rcx, rdx -> rax
COMPUTE = ("HotswapCompute", (2, 3, 9, 10), 16, 1)  # four registers, two arguments of eight bytes on the stack
FUZZ = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def by_hand(image: bytes) -> tuple[int, bytes] | None:
    """(rva, bytes as mapped) of section .shsept, read from the headers alone, without pefile."""
    (pe,) = struct.unpack_from("<I", image, 0x3C)
    (sections,) = struct.unpack_from("<H", image, pe + 6)
    (optional,) = struct.unpack_from("<H", image, pe + 20)
    for number in range(sections):
        at = pe + 24 + optional + 40 * number
        name, size, rva, _raw_size, raw = struct.unpack_from("<8sIIII", image, at)
        if name == b".shsept\0":
            (flags,) = struct.unpack_from("<I", image, at + 36)
            assert flags == 0x4000_0040, "initialised data, readable, and nothing else"
            return rva, image[raw : raw + size]
    return None


def entries_by_hand(table: bytes) -> list[tuple[str, tuple[int, ...], int, int, int]]:
    """(name, registers, stack bytes, return register, rva) of each entry of a table that is as it should be."""
    version, size, count = struct.unpack_from("<III", table)
    assert version == 2
    assert size == len(table)
    found, at = [], 12
    for _ in range(count):
        length, rva, name_size, name_offset, *registers, stack, returned = struct.unpack_from("<10I", table, at)
        assert (name_offset, length % 4) == (40, 0)
        name = table[at + 40 : at + 40 + name_size].decode("ascii")
        assert not table[at + 40 + name_size : at + length].strip(b"\0")
        found.append((name, tuple(registers), stack, returned, rva))
        at += length
    assert at == size
    return found


def endpoint_drivers(build: DriverBuild) -> list[Path]:
    return [image.path for name, image in build.drivers.items() if name.startswith("hotswap_")]


def test_every_endpoint_driver_lists_its_two_endpoints_and_nothing_else(build: DriverBuild) -> None:
    for path in endpoint_drivers(build):
        section = by_hand(path.read_bytes())
        assert section, f"{path.name} has no {SECTION}"
        compute = (*COMPUTE[:2], 8, COMPUTE[3]) if path.stem == "hotswap_wrong_parameters" else COMPUTE
        assert [entry[:4] for entry in entries_by_hand(section[1])] == [WORKER, compute], path.name


def test_the_host_and_the_runtime_list_none(build: DriverBuild) -> None:
    for name in ("hotswap", "driverproxy"):
        assert by_hand(build.driver(name).path.read_bytes()) is None
        assert preflight(build.driver(name).path).facts["endpoints"] is None


def llvm(toolchain: Toolchain, program: str) -> str:
    """A program of the LLVM that assembles: in the folder of its version, which need not be on the PATH."""
    return str(toolchain.programs["llvm-ml"].resolve().parent / program)


def test_llvm_reads_the_same_bytes(build: DriverBuild, toolchain: Toolchain) -> None:
    path = build.driver("hotswap_v1").path
    command = [llvm(toolchain, "llvm-objdump"), "--section=.shsept", "-s", str(path)]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    lines = [line.split() for line in said.splitlines() if re.match(r"\s*[0-9a-f]+ [0-9a-f]{8}", line)]
    dumped = bytes.fromhex("".join(word for line in lines for word in line[1:5] if re.fullmatch("[0-9a-f]+", word)))
    section = by_hand(path.read_bytes())
    assert section
    assert dumped.startswith(section[1])


def test_the_addresses_are_those_of_the_functions_in_the_symbols(build: DriverBuild, toolchain: Toolchain) -> None:
    """The PDB's word against the table's, for an image whose two endpoints differ from those of the others."""
    path = build.driver("hotswap_v2").path
    section = by_hand(path.read_bytes())
    assert section
    symbolizer = [llvm(toolchain, "llvm-symbolizer"), "--relative-address", "--inlining=false", f"--obj={path}"]
    for name, _, _, _, rva in entries_by_hand(section[1]):
        for inside, expected in ((rva, True), (rva - 1, False)):
            said = subprocess.run(
                [*symbolizer, hex(inside)], check=True, capture_output=True, text=True, timeout=60
            ).stdout
            assert (said.splitlines()[0] == name) is expected, f"{name} at {rva:#x}: {said}"


def test_the_addresses_need_no_relocation(build: DriverBuild) -> None:
    """Image-relative: a loader that moves the image has nothing to do here."""
    path = build.driver("hotswap_v1").path
    section = by_hand(path.read_bytes())
    assert section
    with pefile.PE(str(path)) as image:
        places = [item.rva for block in image.DIRECTORY_ENTRY_BASERELOC for item in block.entries if item.type]
    assert places
    assert not [rva for rva in places if section[0] <= rva < section[0] + len(section[1])]


def test_the_reader_and_the_assembler_follow_the_c_header(toolchain: Toolchain) -> None:
    layout = read_layout([INCLUDE / "hotswap_endpoint_table.h"], toolchain)
    structs = layout["structs"]
    entry = structs["IMAGE_HOTSWAP_X64_ENDPOINT_INFO_ENTRY_V2"]
    offsets = {field["name"]: field["offset"] for field in entry["fields"]}
    assert offsets == {"Common": 0, "ArgRegs": 0x10, "ArgStackSize": 0x20, "RetReg": 0x24, "Name": 0x28}
    assert (entry["size"], ENTRY.size) == (0x2C, offsets["Name"])
    assert structs["IMAGE_HOTSWAP_ENDPOINT_INFO_HEADER_V2"]["size"] == HEADER.size == 0xC
    registers = layout["enums"]["IMAGE_HOTSWAP_X64_ENDPOINT_INFO_CC_REG"]
    named = {value: name.removeprefix("EndpointParamReg") for name, value in registers.items()}
    assert {value: (name.upper() or "None") for value, name in REGISTERS.items()} == named
    assert layout["strings"]["IMAGE_HOTSWAP_ENDPOINT_TABLE_SECTION"] == SECTION
    assert layout["constants"]["IMAGE_HOTSWAP_ENDPOINT_INFO_V2"] == VERSION
    assert layout["constants"]["HS_ENDPOINT_NAME_MAX"] == NAME_MAX
    text = (INCLUDE / "hotswap_endpoint_table.inc").read_text()
    equates = {name: int(value, 16) for name, value in re.findall(r"^HS_REG_(\w+) +EQU ([0-9A-F]+)h?$", text, re.M)}
    assert equates == {name.upper(): value for value, name in named.items()}
    assert f"HS_TABLE_VERSION EQU {VERSION}\n" in text


def test_preflight_tells_the_endpoints(build: DriverBuild) -> None:
    report = preflight(build.driver("hotswap_v1").path)
    endpoints = report.facts["endpoints"]
    assert isinstance(endpoints, list)
    worker, compute = endpoints
    assert worker["signature"] == "HotswapWorker(rcx, rdx) -> rax"
    assert compute == {
        "name": "HotswapCompute",
        "rva": compute["rva"],
        "registers": ("rcx", "rdx", "r8", "r9"),
        "stack_bytes": 16,
        "returns": "rax",
        "signature": "HotswapCompute(rcx, rdx, r8, r9, 16 stack bytes) -> rax",
    }
    assert report.ok
    assert f"  endpoint {worker['signature']} at 0x{worker['rva']:X}\n" in str(report) + "\n"


Change = Callable[[bytearray], None]
FIRST, SECOND = 12, 12 + 56  # of the two entries of hotswap_v1.sys


def put(at: int, value: int) -> Change:
    def change(table: bytearray) -> None:
        table[at : at + 4] = value.to_bytes(4, "little")

    return change


def copy(at: int, source: int, size: int = 4) -> Change:
    def change(table: bytearray) -> None:
        table[at : at + size] = table[source : source + size]

    return change


def rename(name: bytes, size: int) -> Change:
    def change(table: bytearray) -> None:
        table[FIRST + 40 : FIRST + 40 + len(name)] = name
        table[FIRST + 8 : FIRST + 12] = size.to_bytes(4, "little")

    return change


def mutated(build: DriverBuild, tmp_path: Path, change: Change, *, name: str = "hotswap_v1") -> list[str]:
    """What preflight says of the table after a change of its bytes (the checksum and the signature also suffer)."""
    content = bytearray(build.driver(name).path.read_bytes())
    section = by_hand(bytes(content))
    assert section
    at = bytes(content).index(section[1])
    table = bytearray(section[1])
    change(table)
    assert len(table) == len(section[1])
    content[at : at + len(table)] = table
    (tmp_path / "mutated.sys").write_bytes(content)
    problems = preflight(tmp_path / "mutated.sys").problems
    return [problem.message for problem in problems if problem.id == "endpoint-table"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (put(0, 1), "the table's version is 1, not 2"),
        (put(4, 0), "the table says that it has 0 bytes, its section has 124"),
        (put(4, 125), "the table says that it has 125 bytes"),
        (put(4, 0xFFFFFFFF), "the table says that it has 4294967295 bytes"),
        (put(4, 120), "entry 1 says that it has 56 bytes: 52 are left"),
        (put(8, 0), "the table lists no endpoint"),
        (put(8, 1), "56 bytes of the table are in none of its 1 entries"),
        (put(8, 3), "entry 2 of 3 does not fit: 0 of 124 bytes are left"),
        (put(8, 0xFFFFFFFF), "entry 2 of 4294967295 does not fit"),
        (put(FIRST, 0), "entry 0 says that it has 0 bytes"),
        (put(FIRST, 58), "entry 0 says that it has 58 bytes"),
        (put(SECOND, 0x7FFFFFFC), "entry 1 says that it has 2147483644 bytes"),
        (put(FIRST + 4, 0), "HotswapWorker at 0x0 is in no executable section"),
        (put(FIRST + 4, 0x2000), "HotswapWorker at 0x2000 is in no executable section"),
        (put(FIRST + 4, 0xFFFFFFFF), "HotswapWorker at 0xFFFFFFFF is in no executable section"),
        (put(FIRST + 8, 0), "the name of entry 0 is not 1 to 255 printable"),
        (put(FIRST + 8, 17), "the name of entry 0 (17 bytes at 40) is not inside the entry"),
        (put(FIRST + 8, 0xFFFFFFFF), "is not inside the entry"),
        (put(FIRST + 12, 39), "(13 bytes at 39) is not inside the entry"),
        (put(FIRST + 12, 0xFFFFFFF0), "is not inside the entry"),
        (rename(b"Hotswap\nWorker", 14), r"printable characters: 'Hotswap\\x0aWorker'"),
        (rename(b"Hotswap\xffWorker", 14), "printable characters"),
        (rename(b"\0", 1), "the name of entry 0 is not 1 to 255 printable"),
        (put(FIRST + 16, 3), "argument 0 of HotswapWorker is in rdx"),
        (put(FIRST + 16, 1), "argument 0 of HotswapWorker is in rax"),
        (put(FIRST + 16, 0), "argument 0 of HotswapWorker is in no register"),
        (put(FIRST + 28, 4), "argument 3 of HotswapWorker is in ?4"),
        (put(FIRST + 32, 8), "HotswapWorker takes 8 bytes of stack beside 2 registers"),
        (put(SECOND + 32, 12), "HotswapCompute takes 12 bytes of stack beside 4 registers"),
        (put(FIRST + 36, 2), "HotswapWorker returns in rcx, not in rax or xmm0"),
        (copy(SECOND + 4, FIRST + 4), "endpoints HotswapWorker and HotswapCompute are the same code"),
    ],
)
def test_each_defect_of_a_table_is_told(build: DriverBuild, tmp_path: Path, change: Change, says: str) -> None:
    found = mutated(build, tmp_path, change)
    assert any(says in message for message in found), found
    assert len(found) <= 2


def test_a_name_that_is_listed_twice_is_told(build: DriverBuild, tmp_path: Path) -> None:
    def change(table: bytearray) -> None:
        table[SECOND + 40 : SECOND + 56] = b"HotswapWorker\0\0\0"

    assert mutated(build, tmp_path, change) == ["endpoint HotswapWorker is listed twice"]


def test_zeros_at_the_end_are_no_part_of_a_name(build: DriverBuild, tmp_path: Path) -> None:
    assert mutated(build, tmp_path, put(FIRST + 8, 16)) == []


def test_an_address_inside_a_function_is_told(build: DriverBuild, tmp_path: Path) -> None:
    def change(table: bytearray) -> None:
        (rva,) = struct.unpack_from("<I", table, FIRST + 4)
        put(FIRST + 4, rva + 1)(table)

    (said,) = mutated(build, tmp_path, change)
    assert re.fullmatch("endpoint HotswapWorker at 0x[0-9A-F]+ is inside the function at 0x[0-9A-F]+", said)


def section_field(field: str, value: int) -> Callable[[pefile.PE, bytearray], None]:
    def change(image: pefile.PE, content: bytearray) -> None:
        section = next(section for section in image.sections if section.Name.startswith(b".shsept"))
        at = section.get_field_absolute_offset(field)
        content[at : at + 4] = value.to_bytes(4, "little")

    return change


def second_section(image: pefile.PE, content: bytearray) -> None:
    at = image.sections[-1].get_field_absolute_offset("Name")
    content[at : at + 8] = b".shsept\0"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (section_field("Misc_VirtualSize", 8), "section .shsept has 8 bytes, less than the table's header (12)"),
        (section_field("SizeOfRawData", 0), "has 0 bytes, less than the table's header"),
        (section_field("PointerToRawData", 0x7FFFFE00), "has 0 bytes, less than the table's header"),
        (section_field("Characteristics", 0xC0000040), "is writable or executable"),
        (section_field("Characteristics", 0x60000020), "is writable or executable"),
        (second_section, "there are 2 sections .shsept"),
    ],
)
def test_each_defect_of_the_section_is_told(
    build: DriverBuild, tmp_path: Path, change: Callable[[pefile.PE, bytearray], None], says: str
) -> None:
    content = bytearray(build.driver("hotswap_v1").path.read_bytes())
    with pefile.PE(data=bytes(content), fast_load=True) as image:
        change(image, content)
    (tmp_path / "x.sys").write_bytes(content)
    messages = [problem.message for problem in preflight(tmp_path / "x.sys").problems if problem.id == "endpoint-table"]
    assert any(says in message for message in messages), messages


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "fuzzed.sys"


LARGE = st.sampled_from([0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFFC])
words = st.one_of(st.integers(0, 0x100), LARGE, st.integers(0, 2**32 - 1))


@FUZZ
@given(edits=st.lists(st.tuples(st.integers(0, 30), words), min_size=1, max_size=6))
def test_a_damaged_table_is_a_problem_and_never_an_exception(
    build: DriverBuild, scratch: Path, edits: list[tuple[int, int]]
) -> None:
    """Words, because those steer a reader; names, sizes and offsets are among them."""
    content = bytearray(build.driver("hotswap_v1").path.read_bytes())
    section = by_hand(bytes(content))
    assert section
    begin = bytes(content).index(section[1])
    for word, value in edits:
        content[begin + 4 * word : begin + 4 * word + 4] = value.to_bytes(4, "little")
    scratch.write_bytes(content)
    report = preflight(scratch)
    assert all(problem.id != "corrupt" for problem in report.problems), str(report)
    assert all("\n" not in line and line.isprintable() for line in str(report).splitlines())
    if bytes(content[begin : begin + len(section[1])]) == section[1]:
        assert "endpoint-table" not in [problem.id for problem in report.problems]


signatures = st.tuples(
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=NAME_MAX),
    st.tuples(*(st.sampled_from(pair) for pair in ((2, 0xC8), (3, 0xC9), (9, 0xCA), (10, 0xCB)))),
    st.integers(0, 4),
    st.integers(0, 28),
    st.sampled_from([0, 1, 0xC8]),
)


@FUZZ
@given(wanted=st.lists(signatures, min_size=1, max_size=40, unique_by=lambda signature: signature[0]), data=st.data())
def test_what_is_written_by_the_rules_is_read_as_it_is(
    build: DriverBuild, wanted: list[tuple[str, tuple[int, ...], int, int, int]], data: st.DataObject
) -> None:
    """A writer of the test's own, by rules I1 to I7, into the place of an image's table."""
    image = pefile.PE(str(build.driver("hotswap").path), fast_load=True)
    functions = image.OPTIONAL_HEADER.DATA_DIRECTORY[3]
    raw = image.get_data(functions.VirtualAddress, functions.Size)
    begins = [begin for begin, _, _ in struct.iter_unpack("<III", raw)]
    rvas = data.draw(st.lists(st.sampled_from(begins), min_size=len(wanted), max_size=len(wanted), unique=True))
    body, expected = b"", []
    for (name, registers, used, stacked, returned), rva in zip(wanted, rvas, strict=True):
        stack = 8 * stacked if used == 4 else 0
        passed = [*registers[:used], *[0] * (4 - used)]
        padded = name.encode() + bytes(-len(name) % 4)
        body += struct.pack("<10I", 40 + len(padded), rva, len(name), 40, *passed, stack, returned) + padded
        expected.append((name, rva, tuple(REGISTERS[value] for value in passed[:used]), stack, REGISTERS[returned]))
    table = struct.pack("<III", 2, 12 + len(body), len(wanted)) + body
    section = next(section for section in image.sections if section.Name.startswith(b".rdata"))
    section.Name = b".shsept"
    section.get_data = lambda *_: table
    section.Misc_VirtualSize = len(table)
    found = read_endpoint_table(image)
    image.close()
    assert found
    assert found.problems == ()
    assert [(e.name, e.rva, e.registers, e.stack_bytes, e.returns) for e in found.endpoints] == expected


def test_an_image_that_was_linked_without_a_table_is_fine(build: DriverBuild, tmp_path: Path) -> None:
    content = bytearray(build.driver("hotswap_v1").path.read_bytes())
    with pefile.PE(data=bytes(content), fast_load=True) as image:
        section = next(section for section in image.sections if section.Name.startswith(b".shsept"))
        at = section.get_field_absolute_offset("Name")
    content[at : at + 8] = b".nothing"
    path = Path(shutil.copy(build.driver("hotswap_v1").path, tmp_path / "x.sys"))
    path.write_bytes(content)
    report = preflight(path)
    assert report.facts["endpoints"] is None
    assert "endpoint-table" not in [problem.id for problem in report.problems]
