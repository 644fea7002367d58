"""Each thing that keeps a driver from working is found, under its own name, and nothing else is."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pefile
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hotswap.driver.build import DriverBuild
from hotswap.driver.exports import GuestExports
from hotswap.driver.preflight import PreflightReport, preflight
from hotswap.driver.signing import SigningKey, sign
from hotswap.driver.toolchain import TARGET, Toolchain
from hotswap.errors import LabFault


def ids(report: PreflightReport) -> list[str]:
    return [problem.id for problem in report.problems]


@pytest.fixture(scope="module")
def proxy(build: DriverBuild) -> Path:
    return build.driver("driverproxy").path


@pytest.fixture(scope="module")
def unsigned(build: DriverBuild, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The host driver without its signature, as a linker would have made it."""
    out = tmp_path_factory.mktemp("unsigned") / "hotswap.sys"
    command = ["osslsigncode", "remove-signature", "-in", str(build.driver("hotswap").path), "-out", str(out)]
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
    return out.read_bytes()


@pytest.mark.parametrize(
    "name", ["driverproxy", "hotswap", "hotswap_v1", "hotswap_v2", "hotswap_lose_wakeup", "hotswap_twice"]
)
def test_the_projects_own_drivers_can_work_on_wine(
    build: DriverBuild, guest: GuestExports, proxy: Path, name: str
) -> None:
    report = preflight(build.driver(name).path, ntoskrnl=guest, siblings=[proxy])
    assert report.ok, str(report)
    assert report.sha256 == build.driver(name).sha256


def test_the_facts_tell_what_the_image_is(build: DriverBuild, guest: GuestExports, proxy: Path) -> None:
    facts = preflight(build.driver("hotswap").path, ntoskrnl=guest, siblings=[proxy]).facts
    imports = facts["imports"]
    assert isinstance(imports, dict)
    assert {module.lower() for module in imports} >= {"ntoskrnl.exe", "driverproxy.sys"}
    assert facts["pdb"] == "hotswap.pdb"
    assert facts["signer"] == "CN=HotSwap test signing"
    assert facts["relocations"]
    assert facts["unwind_entries"]
    assert preflight(proxy, ntoskrnl=guest).facts["exports"]


def test_the_pdb_beside_a_driver_is_the_one_it_names(build: DriverBuild) -> None:
    for driver in build.drivers.values():
        facts = preflight(driver.path).facts
        guid_and_age = str(facts["pdb_guid"])
        guid = bytes.fromhex(guid_and_age[:32])
        little = guid[3::-1] + guid[5:3:-1] + guid[7:5:-1] + guid[8:]
        assert little in driver.path.with_name(str(facts["pdb"])).read_bytes()


Mutation = Callable[[pefile.PE, bytearray], None]


def set_field(part: str, name: str, change: Callable[[int], int]) -> Mutation:
    def mutate(image: pefile.PE, content: bytearray) -> None:
        structure = getattr(image, part)
        value = change(getattr(structure, name))
        at = structure.get_field_absolute_offset(name)
        size = 4 if name in ("SectionAlignment", "AddressOfEntryPoint") else 2
        content[at : at + size] = value.to_bytes(size, "little")

    return mutate


def make_writable(image: pefile.PE, content: bytearray) -> None:
    section = next(section for section in image.sections if section.Characteristics & 0x20000000)
    at = section.get_field_absolute_offset("Characteristics")
    content[at : at + 4] = (section.Characteristics | 0x80000000).to_bytes(4, "little")


def enter_data(image: pefile.PE, content: bytearray) -> None:
    data = next(section for section in image.sections if not section.Characteristics & 0x20000000)
    at = image.OPTIONAL_HEADER.get_field_absolute_offset("AddressOfEntryPoint")
    content[at : at + 4] = data.VirtualAddress.to_bytes(4, "little")


def import_instead(old: bytes, new: bytes) -> Mutation:
    def mutate(image: pefile.PE, content: bytearray) -> None:
        assert len(new) <= len(old)
        image.parse_data_directories(directories=[pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_IMPORT"]])
        names = {entry.dll: entry.struct.Name for entry in image.DIRECTORY_ENTRY_IMPORT}
        names |= {
            item.name: item.hint_name_table_rva + 2 for entry in image.DIRECTORY_ENTRY_IMPORT for item in entry.imports
        }
        at = image.get_offset_from_rva(names[old])
        content[at : at + len(old)] = new.ljust(len(old), b"\0")

    return mutate


def import_by_ordinal(image: pefile.PE, content: bytearray) -> None:
    image.parse_data_directories(directories=[pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_IMPORT"]])
    entry = next(entry for entry in image.DIRECTORY_ENTRY_IMPORT if entry.dll.lower() == b"ntoskrnl.exe")
    for table in (entry.struct.OriginalFirstThunk, entry.struct.FirstThunk):
        at = image.get_offset_from_rva(table)
        content[at : at + 8] = (1 << 63 | 5).to_bytes(8, "little")


@pytest.mark.parametrize(
    ("problem", "mutate", "says"),
    [
        ("machine", set_field("FILE_HEADER", "Machine", lambda _: 0x14C), "0x014C, not AMD64"),
        ("executable", set_field("FILE_HEADER", "Characteristics", lambda flags: flags & ~2), "link it again"),
        ("dll", set_field("FILE_HEADER", "Characteristics", lambda flags: flags | 0x2000), "no -shared"),
        ("relocations", set_field("FILE_HEADER", "Characteristics", lambda flags: flags | 1), "--dynamicbase"),
        ("relocations", set_field("OPTIONAL_HEADER", "DllCharacteristics", lambda f: f & ~0x40), "--dynamicbase"),
        ("subsystem", set_field("OPTIONAL_HEADER", "Subsystem", lambda _: 3), "--subsystem,native"),
        ("alignment", set_field("OPTIONAL_HEADER", "SectionAlignment", lambda _: 0x1800), "0x1800"),
        ("entry-point", set_field("OPTIONAL_HEADER", "AddressOfEntryPoint", lambda _: 0), "--entry,DriverEntry"),
        ("entry-point", enter_data, "in no executable section"),
        ("write-execute", make_writable, "section .text is writable"),
        ("import-missing", import_instead(b"KeSetEvent", b"KeSetEvenX"), "has no KeSetEvenX"),
        ("import-missing", import_instead(b"KeSetEvent", b"EtwWrite"), "has no EtwWrite"),
        (
            "import-raises",
            import_instead(b"PsCreateSystemThread", b"KePulseEvent"),
            "raises when called",
        ),
        ("import-module", import_instead(b"ntoskrnl.exe", b"ntoskrnm.exe"), "imports ntoskrnm.exe"),
        ("import-module", import_instead(b"driverproxy.sys", b"driverproxi.sys"), "imports driverproxi.sys"),
        ("import-ordinal", import_by_ordinal, "#5 of ntoskrnl.exe"),
    ],
)
def test_each_defect_is_found_by_its_own_name_and_no_other(
    unsigned: bytes,
    guest: GuestExports,
    proxy: Path,
    key: SigningKey,
    tmp_path: Path,
    problem: str,
    mutate: Mutation,
    says: str,
) -> None:
    content = bytearray(unsigned)
    with pefile.PE(data=unsigned, fast_load=True) as image:
        mutate(image, content)
    path = tmp_path / "mutated.sys"
    path.write_bytes(content)
    if problem != "machine":
        sign(path, key)
    report = preflight(path, ntoskrnl=guest, siblings=[proxy])
    assert ids(report) == [problem]
    assert says in report.problems[0].message


def test_an_unsigned_image_is_told(unsigned: bytes, guest: GuestExports, proxy: Path, tmp_path: Path) -> None:
    path = tmp_path / "unsigned.sys"
    path.write_bytes(unsigned)
    assert ids(preflight(path, ntoskrnl=guest, siblings=[proxy])) == ["signature"]


def test_a_wrong_checksum_is_told(build: DriverBuild, tmp_path: Path) -> None:
    content = bytearray(build.driver("hotswap").path.read_bytes())
    with pefile.PE(data=bytes(content), fast_load=True) as image:
        at = image.OPTIONAL_HEADER.get_field_absolute_offset("CheckSum")
    content[at] ^= 1
    (tmp_path / "x.sys").write_bytes(content)
    assert ids(preflight(tmp_path / "x.sys")) == ["checksum"]


def test_the_checksum_is_the_one_that_pefile_computes(build: DriverBuild) -> None:
    for driver in build.drivers.values():
        with pefile.PE(str(driver.path), fast_load=True) as image:
            assert image.verify_checksum()


def test_a_change_after_signing_is_told_even_with_a_right_checksum(build: DriverBuild, tmp_path: Path) -> None:
    content = bytearray(build.driver("hotswap").path.read_bytes())
    content[0x500] ^= 1
    with pefile.PE(data=bytes(content), fast_load=True) as image:
        at = image.OPTIONAL_HEADER.get_field_absolute_offset("CheckSum")
        content[at : at + 4] = image.generate_checksum().to_bytes(4, "little")
    (tmp_path / "x.sys").write_bytes(content)
    assert ids(preflight(tmp_path / "x.sys")) == ["signature-mismatch"]


def test_a_sibling_must_be_there_and_export_what_is_imported(
    build: DriverBuild, guest: GuestExports, tmp_path: Path
) -> None:
    host = build.driver("hotswap").path
    assert ids(preflight(host, ntoskrnl=guest)) == ["import-module"]
    impostor = Path(shutil.copy(build.driver("hotswap_v1").path, tmp_path / "driverproxy.sys"))
    assert set(ids(preflight(host, ntoskrnl=guest, siblings=[impostor]))) == {"import-missing"}


def test_without_a_guest_imports_are_not_judged(build: DriverBuild) -> None:
    assert preflight(build.driver("hotswap").path).ok


def test_a_guest_that_cannot_be_read_is_no_drivers_failure(build: DriverBuild, tmp_path: Path) -> None:
    (tmp_path / "ntoskrnl.exe").write_text("nothing")
    with pytest.raises(LabFault):
        preflight(build.driver("hotswap").path, ntoskrnl=tmp_path / "ntoskrnl.exe")


def test_a_linker_that_cannot_be_told_from_ours_is_found_out(
    toolchain: Toolchain, key: SigningKey, tmp_path: Path
) -> None:
    """A driver linked the usual mingw way, as a shared library, is what the `dll` problem is for."""
    (tmp_path / "x.c").write_text("int DriverEntry(void) { return 0; }\n")
    command = [str(toolchain.programs["clang"]), f"--target={TARGET}", "-shared", "-nostdlib", "-fuse-ld=lld"]
    command += [
        "-Wl,--subsystem,native",
        "-Wl,--entry,DriverEntry",
        str(tmp_path / "x.c"),
        "-o",
        str(tmp_path / "x.sys"),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    sign(tmp_path / "x.sys", key)
    assert ids(preflight(tmp_path / "x.sys")) == ["dll"]


@pytest.mark.parametrize(
    "content", [b"", b"M", b"hello", b"#!/bin/sh\n", b"\x7fELF" + bytes(100), b"MZ", b"MZ" + bytes(500)]
)
def test_what_is_no_image_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.sys"
    path.write_bytes(content)
    report = preflight(path)
    assert ids(report) == ["not-a-pe"]
    assert report.sha256 == hashlib.sha256(content).hexdigest()
    assert str(report).count("\n") == 1
    assert "x.sys is not a usable PE image" in report.problems[0].message


def test_a_file_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        preflight(tmp_path / "none.sys")


FUZZ = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "fuzzed.sys"


@FUZZ
@given(data=st.data())
def test_damage_never_ends_in_a_traceback(
    build: DriverBuild, guest: GuestExports, proxy: Path, scratch: Path, data: st.DataObject
) -> None:
    content = bytearray(build.driver("hotswap").path.read_bytes())
    # Most of the bytes that steer a parser are in the headers and in the import and export tables.
    position = st.one_of(st.integers(0, 0x400), st.integers(0, len(content) - 1))
    for at, value in data.draw(st.lists(st.tuples(position, st.integers(0, 255)), max_size=12)):
        content[at] = value
    kept = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    scratch.write_bytes(content[:kept])
    report = preflight(scratch, ntoskrnl=guest, siblings=[proxy])
    assert all(problem.message and "\n" not in problem.message for problem in report.problems)
    if kept < len(content):
        assert not report.ok


@FUZZ
@given(data=st.data())
def test_no_single_changed_byte_passes(
    build: DriverBuild, guest: GuestExports, proxy: Path, scratch: Path, data: st.DataObject
) -> None:
    content = bytearray(build.driver("hotswap_v1").path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    scratch.write_bytes(content)
    assert not preflight(scratch, ntoskrnl=guest, siblings=[proxy]).ok
