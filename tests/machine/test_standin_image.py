"""The stand-in guest's image: the same bytes from the same input, and nothing of the Wine template changed by it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from hotswap.deadline import Deadline
from hotswap.errors import LabFault
from hotswap.machine.standin_disk import file_hash, make_disk
from hotswap.machine.standin_image import StandinImage, find_image, rebuild_reason, standin_image
from hotswap.machine.standin_kernel import KernelModules, ram_disk
from hotswap.machine.standin_recipe import load_recipe
from hotswap.machine.standin_tree import needed, needed_libraries, settled_registry

EPOCH = 1_700_000_000


def some_tree(folder: Path) -> Path:
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/dated").write_text("dated")
    os.utime(folder / "etc/dated", (1_600_000_000, 1_600_000_000))
    for name in ("b", "a", "c"):
        (folder / name).write_bytes(name.encode() * 5000)
    os.link(folder / "a", folder / "etc/also a")
    (folder / "link").symlink_to("a")
    return folder


def test_a_disk_made_twice_has_the_same_bytes(tmp_path: Path) -> None:
    hashes = []
    for turn in ("one", "two"):
        tree = some_tree(tmp_path / turn)
        os.utime(tree / "b", (EPOCH + len(hashes), EPOCH))
        make_disk(tree, tmp_path / f"{turn}.img", EPOCH, Deadline.after(60), dated=["etc/dated"])
        hashes.append(file_hash(tmp_path / f"{turn}.img"))
    assert hashes[0] == hashes[1]
    check = subprocess.run(
        ["/usr/sbin/e2fsck", "-fn", str(tmp_path / "one.img")], capture_output=True, text=True, timeout=60
    )
    assert check.returncode == 0, check.stdout
    told = subprocess.run(
        ["/usr/sbin/debugfs", "-R", "stat /etc/dated", str(tmp_path / "one.img")],
        capture_output=True,
        text=True,
        env={"TZ": "UTC", "PATH": "/usr/bin"},
        timeout=60,
    ).stdout
    assert "mtime: 0x5f5e1000" in told
    assert f"ctime: 0x{EPOCH:08x}" in told
    assert (
        "Links: 2"
        in subprocess.run(
            ["/usr/sbin/debugfs", "-R", "stat /a", str(tmp_path / "one.img")],
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout
    )


def test_a_ram_disk_lists_modules_after_what_they_need(tmp_path: Path) -> None:
    for name, depends in (("net-card", "bus_ring,bus"), ("bus", "bus_ring"), ("bus_ring", "")):
        (tmp_path / f"{name}.ko").write_bytes(b"\x7fELF\0license=GPL\0depends=" + depends.encode() + b"\0vermagic=1\0")
    modules = KernelModules.below(tmp_path)
    ordered = modules.ordered(["net_card"])
    assert [path.stem for path in ordered] == ["bus_ring", "bus", "net-card"]
    disk = ram_disk(b"init", ordered)
    assert disk == ram_disk(b"init", ordered)
    assert disk.index(b"TRAILER!!!") > disk.index(b"modules/net-card.ko") > disk.index(b"dev/console")
    assert b"bus_ring.ko\nbus.ko\nnet-card.ko\n" in disk
    with pytest.raises(LabFault, match="no module sound"):
        modules.ordered(["sound"])


def test_needed_libraries_are_those_that_the_loader_names(tmp_path: Path) -> None:
    program = Path("/usr/bin/clang").resolve()
    told = subprocess.run(["llvm-readelf-14", "--needed-libs", str(program)], capture_output=True, text=True).stdout
    names = needed(program)
    assert "libc.so.6" in names
    for name in names:
        assert name in told or not told
    assert needed(Path(__file__)) == []
    with pytest.raises(LabFault, match=r"clang.* needs lib.*, which no package of the recipe brings"):
        needed_libraries([program], tmp_path, tmp_path)


def test_a_registry_keeps_nothing_of_the_time_it_was_written() -> None:
    text = (
        "WINE REGISTRY Version 2\n\n"
        "[System\\\\CurrentControlSet\\\\Services\\\\one] 1795937766\n#time=1dd7fd44b60eafe\n"
        '"Start"=dword:00000002\n\n[System\\\\CurrentControlSet\\\\Services\\\\two] 1795937767\n#time=1dd7fd44b7f2eec\n'
        '"Name"="[x] 1795937766"\n"Start"=dword:00000002\n"MachineGuid"="6cacf731-afde-4072-8751-e888a6991ae1"\n'
        '"VideoID"="{8e02c804-fbaf-47a8-a354-4c8c2cae2455}"\n"DriverDateData"=hex:89,d4,9f,18,dd,7f,dd,01\n'
    )
    settled = settled_registry(text, EPOCH, {"two": 4})
    assert settled.count(f"] {EPOCH}\n") == 2
    assert "1dd7fd44" not in settled
    assert settled.count('"Start"=dword:00000002') == 1
    assert settled.count('"Start"=dword:00000004') == 1
    assert "6cacf731" not in settled
    assert '"VideoID"="{5c52f0b4-' in settled
    assert "89,d4,9f" not in settled
    assert '"[x] 1795937766"' in settled


def test_the_image_is_of_this_recipe_and_whole() -> None:
    image = standin_image(lambda _line: None)
    assert find_image() == image
    for name, content in load_recipe().sources.items():
        assert image.manifest["sources"][f"vm/standin/{name}"] == content
    for name, facts in image.manifest["files"].items():
        path = image.path / name
        assert path.stat().st_size == facts["size"]
        assert path.stat().st_mode & 0o222 == 0, f"{name} can be written"
    assert any(key.startswith("package linux-image") for key in image.manifest["inputs"])


def test_a_rebuild_says_what_changed() -> None:
    def image(built: int, **inputs: str) -> StandinImage:
        return StandinImage(Path(f"/{built}"), "", {"built": built, "inputs": inputs})

    old, last = image(1, a="0"), image(2, **{"vm/standin/main.c": "1", "package libc6": "2.36 SHA256:0", "x": "same"})
    now = {"vm/standin/main.c": "2", "package libc6": "2.37 SHA256:1", "x": "same"}
    assert rebuild_reason(now, []) == "there is none yet"
    assert rebuild_reason(now, [last, old]) == "vm/standin/main.c changed; package libc6 is 2.37 now"
    fewer = {name: value for name, value in last.manifest["inputs"].items() if name != "package libc6"}
    assert rebuild_reason(fewer, [old, last]) == "a package is no longer part of it"
