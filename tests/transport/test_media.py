"""Discs: what is written on them is what another reader finds, and what the agent hashes in the guest."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import pycdlib
import pytest

from hotswap.deadline import Deadline
from hotswap.errors import LabFault, UsageError
from hotswap.machine.wine import WineMachine
from hotswap.transport.agent import Agent
from hotswap.transport.media import LABEL, Media, build_media, check_media, find_media

LONG = "A driver package with a long name, and blanks (signed) v2.0.sys"


@pytest.fixture
def media(tmp_path: Path) -> Media:
    large = tmp_path / "large"
    large.write_bytes(bytes(range(256)) * 12_000)
    files: dict[str, Path | bytes] = {
        "large.bin": large,
        LONG: b"long",
        "drivers/amd64/hotswap.sys": b"MZ",
        "drivers/amd64/Hotswap.inf": b"[Version]",
        "drivers/empty": b"",
        "grüße.txt": "Grüße".encode(),
    }
    return build_media(tmp_path / "disc.iso", files)


def unpack(media: Media, folder: Path) -> Path:
    """By CMake's own reader of ISO 9660 (libarchive)."""
    folder.mkdir()
    environment = {"PATH": "/usr/bin", "LANG": "C.UTF-8"}
    subprocess.run(["cmake", "-E", "tar", "xf", str(media.image)], cwd=folder, check=True, env=environment)
    return folder


def test_another_reader_finds_every_file_under_its_name(media: Media, tmp_path: Path) -> None:
    found = unpack(media, tmp_path / "found")
    names = {str(path.relative_to(found)) for path in found.rglob("*") if path.is_file()}
    assert names == {one.name for one in media.files} | {LABEL}
    assert (found / "large.bin").read_bytes() == (tmp_path / "large").read_bytes()
    assert (found / LONG).read_bytes() == b"long"


def test_the_names_are_in_udf_as_well_and_the_volume_is_labelled(media: Media) -> None:
    iso = pycdlib.PyCdlib()
    iso.open(str(media.image))
    content = io.BytesIO()
    iso.get_file_from_iso_fp(content, udf_path=f"/{LONG}")
    assert content.getvalue() == b"long"
    assert [child.file_identifier().decode() for child in iso.list_children(udf_path="/drivers") if child is not None][
        -2:
    ] == ["amd64", "empty"]
    assert iso.pvd.volume_identifier.decode().strip() == "HOTSWAP"
    iso.close()
    header = media.image.read_bytes()[0x8001:0x8006]
    assert header == b"CD001"


def insert(machine: WineMachine, letter: str, folder: Path) -> Path:
    drive = machine.folder.prefix / "dosdevices" / f"{letter}:"
    drive.unlink(missing_ok=True)
    drive.symlink_to(folder)
    return drive


def test_the_disc_is_found_in_the_guest_and_every_file_is_hashed_there(
    media: Media, machine: WineMachine, agent: Agent, tmp_path: Path, deadline: Deadline
) -> None:
    other = build_media(tmp_path / "other.iso", {"x": b"x"})
    first = insert(machine, "e", unpack(other, tmp_path / "e"))
    folder = unpack(media, tmp_path / "f")
    second = insert(machine, "f", folder)
    try:
        assert find_media(agent, media, deadline=deadline) == "F:"
        paths = check_media(agent, media, deadline=deadline)
        assert agent.get(paths["drivers/amd64/hotswap.sys"], deadline=deadline) == b"MZ"
        assert set(paths) == {one.name for one in media.files}
        (folder / "drivers/empty").write_bytes(b"not any more")
        with pytest.raises(LabFault, match=r"F:\\drivers\\empty has SHA-256"):
            check_media(agent, media, deadline=deadline)
        second.unlink()
        with pytest.raises(LabFault, match=r"in no drive of the guest \(E: has another one\)"):
            find_media(agent, media, deadline=deadline)
    finally:
        first.unlink()
        second.unlink(missing_ok=True)


@pytest.mark.parametrize("name", ["", "/x", "a//b", "../x", "a/../b", "x" * 65, "a:b", "a\\b", "a\nb", LABEL])
def test_names_that_fit_on_no_disc_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        build_media(tmp_path / "disc.iso", {name: b""})
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_read_leaves_no_image(tmp_path: Path) -> None:
    with pytest.raises(LabFault, match="for a disc: No such file"):
        build_media(tmp_path / "disc.iso", {"x": tmp_path / "none"})
    with pytest.raises(LabFault, match="writing the disc image"):
        build_media(tmp_path / "no" / "disc.iso", {"x": b"x"})
    assert list(tmp_path.iterdir()) == []
