"""The runtime's reader of endpoint tables (proxy/shsept.c), run on this machine between guard pages."""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path

import pefile
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hotswap.driver.build import DriverBuild
from hotswap.driver.endpoint_table import REGISTERS, read_endpoint_table
from hotswap.paths import package_data

HERE = Path(__file__).parent
OK, INVALID, NOT_FOUND, TOO_SMALL = "00000000", "c000007b", "c0000225", "c0000023"
ROOM = 256
NASTY = (0, 1, 3, 0x28, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFC, 0xFFFFFFFF)
# Of these the runtime knows nothing: it takes functions for what they are, and several endpoints of the same code.
ONLY_PREFLIGHT = re.compile("are the same code|is inside the function at|is a part of a function")
FUZZ = settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("shsept") / "shsept_feed"
    driver = package_data("driver")
    flags = ["-std=gnu17", "-Wall", "-Wextra", "-Werror", "-g", "-O1", "-fsanitize=undefined"]
    flags += ["-fsanitize-trap=undefined", f"-I{HERE / 'native'}", f"-I{driver / 'proxy'}", f"-I{driver / 'include'}"]
    sources = [HERE / "native" / "shsept_feed.c", driver / "proxy" / "shsept.c"]
    subprocess.run(["clang", *flags, *sources, "-o", program], check=True, timeout=60)
    return program


class Reader:
    """The program; it ends by a signal when the reader touches a byte that is not the image's."""

    def __init__(self, program: Path) -> None:
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self.same: list[str] = []
        """Of the last image: "0=1" for each two of its endpoints whose signatures are the same."""

    def read(self, image: bytes, room: int = ROOM) -> list[str]:
        """Status, count, and each endpoint, as the program prints them."""
        if self._process is None:
            self._process = subprocess.Popen([self._program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=-1)
        process = self._process
        assert process.stdin
        assert process.stdout
        process.stdin.write(struct.pack("<II", room, len(image)) + image)
        process.stdin.flush()
        line = process.stdout.readline()
        if not line.endswith(b"\n"):
            self._process = None
            pytest.fail(f"the reader of endpoint tables died with {process.wait(timeout=10)}")
        status, count, *words = line.decode("ascii").split()
        self.same = [word for word in words if "=" in word and ":" not in word]
        return [status, count, *(word for word in words if word not in self.same)]

    def close(self) -> None:
        if self._process is not None:
            self._process.communicate(timeout=10)


@pytest.fixture(scope="module")
def reader(program: Path) -> Iterator[Reader]:
    reader = Reader(program)
    yield reader
    reader.close()


def mapped(content: bytes) -> bytes:
    """An image as a loader lays it out, at the size that its header says."""
    with pefile.PE(data=content, fast_load=True) as image:
        memory = bytearray(image.OPTIONAL_HEADER.SizeOfImage)
        memory[: image.OPTIONAL_HEADER.SizeOfHeaders] = content[: image.OPTIONAL_HEADER.SizeOfHeaders]
        for section in image.sections:
            data = content[section.PointerToRawData :][: min(section.SizeOfRawData, section.Misc_VirtualSize)]
            memory[section.VirtualAddress : section.VirtualAddress + len(data)] = data
    return bytes(memory)


class Image:
    """hotswap_v1.sys: the file, what is mapped of it, and where its table and its header of .shsept are."""

    def __init__(self, path: Path) -> None:
        self.file = path.read_bytes()
        self.memory = mapped(self.file)
        with pefile.PE(data=self.file, fast_load=True) as image:
            section = next(section for section in image.sections if section.Name.startswith(b".shsept"))
            self.header = section.get_file_offset()
            self.rva, self.raw, self.size = section.VirtualAddress, section.PointerToRawData, section.Misc_VirtualSize
            self.headers_end = image.sections[-1].get_file_offset() + 40

    def with_table(self, table: bytes) -> tuple[bytes, bytes]:
        """(file, mapped image) with another table in the section, of at most 512 bytes."""
        assert len(table) <= 512
        file, memory = bytearray(self.file), bytearray(self.memory)
        for content in (file, memory):
            content[self.header + 8 : self.header + 12] = len(table).to_bytes(4, "little")
        file[self.raw : self.raw + len(table)] = table
        memory[self.rva : self.rva + len(table)] = table
        return bytes(file), bytes(memory)


@pytest.fixture(scope="module")
def image(build: DriverBuild) -> Image:
    return Image(build.driver("hotswap_v1").path)


def python_reads(file: bytes) -> tuple[list[str], list[str]]:
    """Problems but for those that are preflight's alone, and the endpoints as the program prints them."""
    with pefile.PE(data=file, fast_load=True) as opened:
        table = read_endpoint_table(opened)
    assert table is not None
    codes = {name: value for value, name in REGISTERS.items()}
    lines = []
    for endpoint in table.endpoints:
        numbers = [codes.get(name, -1) for name in endpoint.registers]
        registers = ",".join(f"{number:x}" for number in [*numbers, 0, 0, 0, 0][:4])
        returned = codes.get(endpoint.returns, -1)
        lines.append(f"{endpoint.name}:{endpoint.rva:x}:{registers}:{endpoint.stack_bytes}:{returned:x}")
    return [problem for problem in table.problems if not ONLY_PREFLIGHT.search(problem)], lines


def agree(reader: Reader, image: Image, table: bytes) -> None:
    """Two readers written apart, by the same rules, say the same of any bytes."""
    file, memory = image.with_table(table)
    status, _, *endpoints = reader.read(memory)
    problems, expected = python_reads(file)
    assert (status == OK) == (not problems), f"{status} against {problems}"
    assert status in (OK, INVALID, TOO_SMALL)
    if status == OK:
        assert endpoints == expected


def put(content: bytes, at: int, value: int) -> bytes:
    return content[:at] + value.to_bytes(4, "little") + content[at + 4 :]


def test_the_built_images_are_read_as_preflight_reads_them(reader: Reader, build: DriverBuild) -> None:
    for name, driver in build.drivers.items():
        content = driver.path.read_bytes()
        status, count, *endpoints = reader.read(mapped(content))
        if b".shsept\0" not in content[:0x400]:
            assert (status, count) == (NOT_FOUND, "0"), name
            continue
        problems, expected = python_reads(content)
        assert (status, count, endpoints, problems) == (OK, str(len(expected)), expected, []), name
        assert len(expected) >= 2


def test_without_room_for_all_none_is_given(reader: Reader, image: Image) -> None:
    assert reader.read(image.memory, room=2)[0] == OK
    for room in (0, 1):
        assert reader.read(image.memory, room) == [TOO_SMALL, "2"]


def test_an_image_cut_short_anywhere_is_refused_and_read_to_its_end_at_most(reader: Reader, image: Image) -> None:
    places = {*range(image.headers_end + 8), *range(image.rva - 8, image.rva + image.size + 1), len(image.memory) - 1}
    for length in sorted(places):
        status = reader.read(image.memory[:length])[0]
        assert (status == OK) == (length >= image.rva + image.size), f"{length:#x} bytes: {status}"
        assert status in (OK, INVALID)


def test_each_word_of_the_headers_may_be_nonsense(reader: Reader, image: Image) -> None:
    for at, value in product(range(0, image.headers_end, 2), NASTY):
        assert reader.read(put(image.memory, at, value))[0] in (OK, INVALID, NOT_FOUND), f"{value:#x} at {at:#x}"


def test_each_word_of_the_table_may_be_nonsense(reader: Reader, image: Image) -> None:
    table = image.memory[image.rva : image.rva + image.size]
    for at, value in product(range(image.size - 3), NASTY):
        agree(reader, image, put(table, at, value))


def section_fields(image: Image) -> Iterable[tuple[int, int, str]]:
    """(offset, value, what it should lead to) of the header of .shsept."""
    size, rva, flags = image.header + 8, image.header + 12, image.header + 36
    end = len(image.memory)
    yield from ((size, value, INVALID) for value in (0, 11, image.size - 1, end - image.rva + 1, 0xFFFFFFFF))
    yield from ((size, value, OK) for value in (image.size, end - image.rva))
    yield from ((rva, value, INVALID) for value in (end - 11, end, end + 1, 0xFFFFFFFF))
    # Executable, writable, discardable: none of them is a table that stays as it was loaded.
    yield from ((flags, 0x4000_0040 | flag, INVALID) for flag in (0x20000000, 0x80000000, 0x02000000))
    yield (image.header, int.from_bytes(b".shS", "little"), NOT_FOUND)
    yield (image.header - 40, int.from_bytes(b".shs", "little"), OK)


def test_the_section_must_be_inside_the_image_and_stay_as_it_is(reader: Reader, image: Image) -> None:
    for at, value, expected in section_fields(image):
        assert reader.read(put(image.memory, at, value))[0] == expected, f"{value:#x} at {at - image.header:#x}"


def test_two_sections_of_that_name_are_refused(reader: Reader, image: Image) -> None:
    at = image.header - 40
    assert reader.read(image.memory[:at] + b".shsept\0" + image.memory[at + 8 :])[0] == INVALID


def test_code_that_is_discarded_is_no_endpoint(reader: Reader, image: Image) -> None:
    with pefile.PE(data=image.file, fast_load=True) as opened:
        text = next(section for section in opened.sections if section.Name.startswith(b".text"))
        flags = text.get_field_absolute_offset("Characteristics")
        size = text.get_field_absolute_offset("Misc_VirtualSize")
    assert reader.read(put(image.memory, flags, 0x6000_0020))[0] == OK
    assert reader.read(put(image.memory, flags, 0x6200_0020))[0] == INVALID
    assert reader.read(put(image.memory, flags, 0x4000_0020))[0] == INVALID
    assert reader.read(put(image.memory, size, 0x10))[0] == INVALID


def test_code_outside_the_image_is_no_endpoint(reader: Reader, image: Image) -> None:
    """A section that says it is larger than the image does not make it so."""
    with pefile.PE(data=image.file, fast_load=True) as opened:
        size = opened.sections[0].get_field_absolute_offset("Misc_VirtualSize")
    memory = put(image.memory, size, 0x7FFFF000)
    assert reader.read(memory)[0] == OK
    for rva, expected in ((len(memory) - 1, OK), (len(memory), INVALID), (len(memory) + 0x1000, INVALID)):
        assert reader.read(put(memory, image.rva + 12 + 4, rva))[0] == expected, hex(rva)


ALL = (2, 3, 9, 10)


def entry(
    name: bytes,
    *,
    offset: int = 40,
    registers: tuple[int, ...] = ALL,
    stack: int = 0,
    size: int | None = None,
    returns: int = 1,
) -> bytes:
    """One entry by the rules, but for what is asked for."""
    padded = name + bytes(-len(name) % 4)
    length = len(name) if size is None else size
    return struct.pack("<10I", 40 + len(padded), 0x1060, length, offset, *registers, stack, returns) + padded


def table(*entries: bytes) -> bytes:
    body = b"".join(entries)
    return struct.pack("<III", 2, 12 + len(body), len(entries)) + body


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (table(entry(b"A"), entry(b"B")), OK),
        (table(entry(b"A"), entry(b"A")), INVALID),
        (table(entry(b"A"), entry(b"A\0")), INVALID),
        (table(entry(b"A"), entry(b"AA")), OK),
        (table(entry(b"a" * 255)), OK),
        (table(entry(b"a" * 256)), INVALID),
        (table(entry(b"a" * 255 + b"\0")), OK),
        (table(entry(b"?f@@YAXXZ")), OK),
        (table(entry(b"a b")), INVALID),
        (table(entry(b"a\x7fb")), INVALID),
        (table(entry(b"")), INVALID),
        (table(entry(b"AAAA", size=4, stack=0x28)), OK),
        (table(entry(b"AAAA", size=1, offset=32, stack=0x28)), INVALID),  # "(", which is not the name but ArgStackSize
        (table(entry(b"A", stack=224)), OK),
        (table(entry(b"A", stack=232)), INVALID),
        (table(entry(b"A", stack=0x80000000)), INVALID),
        (table(entry(b"A", registers=(0xC8, 0xC9, 0xCA, 0xCB))), OK),
        (table(entry(b"A", registers=(0xC9, 3, 9, 10))), INVALID),
        (table(), INVALID),
        (table(entry(b"A")) + bytes(40), OK),
        (table(entry(b"A"))[:-4], INVALID),
    ],
)
def test_each_rule_is_held_to_its_edge(reader: Reader, image: Image, content: bytes, expected: str) -> None:
    agree(reader, image, content)
    assert reader.read(image.with_table(content)[1])[0] == expected


def test_only_registers_stack_and_result_make_a_signature(reader: Reader, image: Image) -> None:
    entries = [
        entry(b"A"),
        entry(b"Another"),
        entry(b"C", registers=(2, 3, 9, 0)),
        entry(b"D", registers=(2, 3, 9, 0xCB)),
        entry(b"E", stack=8),
        entry(b"F", returns=0xC8),
        entry(b"G", returns=0),
        entry(b"H", stack=8),
    ]
    assert reader.read(image.with_table(table(*entries))[1])[0] == OK
    assert reader.same == ["0=1", "4=7"]


LARGE = st.sampled_from([0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFFC, 0xC8, 0xCB])
words = st.one_of(st.integers(0, 0x100), LARGE, st.integers(0, 2**32 - 1))
edits = st.lists(st.tuples(st.integers(0, 30), words), min_size=1, max_size=5)


@FUZZ
@given(edits=edits)
def test_both_readers_agree_on_any_damage_to_a_table(
    reader: Reader, image: Image, edits: list[tuple[int, int]]
) -> None:
    table = image.memory[image.rva : image.rva + image.size]
    for word, value in edits:
        table = put(table, 4 * word, value)
    agree(reader, image, table)


near = st.tuples(st.integers(36, 60), st.integers(0, 20), st.integers(36, 60))


@FUZZ
@given(entries=st.lists(near, min_size=1, max_size=3), off=st.integers(-4, 4))
def test_both_readers_agree_on_sizes_near_the_right_ones(
    reader: Reader, image: Image, entries: list[tuple[int, int, int]], off: int
) -> None:
    """Entries of some size, name size and name offset, in a table that is about as large as they are together."""
    body = b""
    for size, name_size, name_offset in entries:
        name = f"Endpoint{len(body)}".encode().ljust(24, b"n")
        entry = struct.pack("<10I", size, 0x1060, name_size, name_offset, 2, 0, 0, 0, 0, 1) + name
        body += entry[:size]
    table = struct.pack("<III", 2, max(0, 12 + len(body) + off), len(entries)) + body
    agree(reader, image, table[: image.size].ljust(image.size, b"\0"))


@FUZZ
@given(data=st.data())
def test_random_damage_to_the_whole_image_is_survived(reader: Reader, image: Image, data: st.DataObject) -> None:
    memory = bytearray(image.memory)
    position = st.one_of(st.integers(0, image.headers_end), st.integers(image.rva, image.rva + image.size - 1))
    for at, value in data.draw(st.lists(st.tuples(position, st.integers(0, 255)), max_size=12)):
        memory[at] = value
    kept = data.draw(st.one_of(st.just(len(memory)), st.integers(0, len(memory))))
    assert reader.read(bytes(memory[:kept]))[0] in (OK, INVALID, NOT_FOUND, TOO_SMALL)
