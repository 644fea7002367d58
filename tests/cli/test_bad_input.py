"""Bad input and bad places: one clear line, the right exit code, nothing made and nothing left."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command import SHORT, Done, hotswap, run_folders, summary

from hotswap.driver.build import DriverBuild

USAGE, LAB_FAULT = 2, 4

PE_HEADER_AT = 0x3C
I386 = 0x014C


def is_text(path: Path, _good: bytes) -> None:
    path.write_text("this is no driver\n")


def is_empty(path: Path, _good: bytes) -> None:
    path.touch()


def is_cut_in_its_headers(path: Path, good: bytes) -> None:
    path.write_bytes(good[:100])


def is_cut_in_its_sections(path: Path, good: bytes) -> None:
    path.write_bytes(good[: len(good) // 2])


def is_for_32_bit(path: Path, good: bytes) -> None:
    image = bytearray(good)
    (header,) = struct.unpack_from("<I", image, PE_HEADER_AT)
    struct.pack_into("<H", image, header + 4, I386)
    path.write_bytes(image)


def is_a_dll(path: Path, good: bytes) -> None:
    image = bytearray(good)
    (header,) = struct.unpack_from("<I", image, PE_HEADER_AT)
    (flags,) = struct.unpack_from("<H", image, header + 22)
    struct.pack_into("<H", image, header + 22, flags | 0x2000)
    path.write_bytes(image)


def is_a_folder(path: Path, _good: bytes) -> None:
    path.mkdir()


def is_missing(_path: Path, _good: bytes) -> None:
    pass


def is_a_pipe(path: Path, _good: bytes) -> None:
    subprocess.run(["mkfifo", path], check=True)


def is_a_link_to_itself(path: Path, _good: bytes) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (is_text, "does not begin with MZ: give a driver image"),
        (is_empty, "is empty: give a driver image"),
        (is_cut_in_its_headers, "not a usable PE image"),
        (is_cut_in_its_sections, "truncated: "),
        (is_for_32_bit, "the machine is 0x014C, not AMD64"),
        (is_a_dll, "dll: the image is a DLL"),
        (is_a_folder, "is no file, but a folder"),
        (is_missing, "cannot be read: No such file or directory"),
        (is_a_pipe, "is no file, but a pipe, socket or device"),
        (is_a_link_to_itself, "cannot be read: Too many levels of symbolic links"),
    ],
)
def test_a_sys_that_is_none_is_refused(
    build: DriverBuild, runs: Path, tmp_path: Path, make: Callable[[Path, bytes], None], why: str
) -> None:
    path = tmp_path / "mine [v3].sys"
    make(path, build.driver("hotswap_v2").path.read_bytes())
    done = hotswap("swap", "--to", path, *SHORT, runs=runs)
    refused(done, runs, why)
    assert "mine [v3].sys" in done.complaint() or "the machine is" in done.complaint()


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv to give up root's right to read all files")
def test_a_sys_that_may_not_be_read_is_refused(build: DriverBuild, runs: Path, tmp_path: Path) -> None:
    path = tmp_path / "secret.sys"
    shutil.copyfile(build.driver("hotswap_v2").path, path)
    path.chmod(0)
    done = subprocess.run(
        [*WITHOUT_OVERRIDE, sys.executable, "-m", "hotswap", "swap", "--to", path],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == USAGE, done.stderr
    assert "secret.sys cannot be read: Permission denied" in Done(2, "", done.stderr).complaint()


WITHOUT_OVERRIDE = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--machine", "vax"], "unknown machine 'vax'; known machines: "),
        (["--machine", "../wine"], "unknown machine '../wine'"),
        (["--to", "v9"], "unknown update 'v9'; known are: v1, v2"),
        (["--from", ""], "unknown update ''"),
        (["--to", "v9\n\x1b[31m"], "unknown update 'v9\\n\\x1b[31m'"),
        (["--workers", "0"], "workers is 0; it must lie between 1 and 64"),
        (["--workers", "65"], "workers is 65"),
        (["--workers", "many"], "'--workers'"),
        (["--seconds", "nan"], "seconds is nan"),
        (["--rate", "-1"], "rate is -1"),
        (["--no-such-option"], "No such option: --no-such-option"),
        (["v2"], "unexpected extra argument"),
        (["--json", "no/such/folder/x.json"], "--json no/such/folder/x.json cannot be written: No such file"),
        (["--json", "."], "is a folder"),
        (["--json", ""], "is empty"),
    ],
)
def test_bad_usage_is_refused_before_there_is_work(runs: Path, arguments: list[str], why: str) -> None:
    refused(hotswap("swap", *arguments, runs=runs), runs, why)


def test_a_json_target_that_is_no_file_of_its_own_is_written_to_and_not_replaced(runs: Path, tmp_path: Path) -> None:
    device, link, real = tmp_path / "device", tmp_path / "link", tmp_path / "real"
    device.symlink_to("/dev/null")
    real.write_text("old")
    link.symlink_to(real)
    for target in (device, link):
        assert hotswap("swap", "--list", "--json", target, runs=runs).code == 0
    assert Path("/dev/null").is_char_device()
    assert device.is_symlink()
    assert link.is_symlink()
    assert json.loads(real.read_text())["updates"]


def refused(done: Done, runs: Path, why: str) -> None:
    complaint = done.complaint()
    assert why in complaint
    assert done.code == USAGE
    assert done.out == ""
    assert "start machine" not in done.err
    assert not runs.exists()


def test_runs_that_cannot_be_kept_are_a_lab_fault(runs: Path, tmp_path: Path) -> None:
    runs.write_text("a file is in the way")
    done = hotswap("swap", *SHORT, runs=runs)
    assert done.code == LAB_FAULT
    assert "HOTSWAP_RUNS" in done.complaint()
    assert "start machine" not in done.err


def test_a_full_standard_output_is_a_lab_fault(runs: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "hotswap", "swap", "--list", "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == LAB_FAULT
    assert "standard output: No space left on device" in Done(4, "", done.stderr).complaint()


def test_closed_standard_streams_are_no_place_for_files(runs: Path) -> None:
    """Without care the next file opened would be standard output, and be printed into."""
    line = f'exec "{sys.executable}" -m hotswap swap --list --json 0<&- 1>&- 2>&-'
    assert subprocess.run(["sh", "-c", line], timeout=60).returncode == 0


def test_without_wine_the_package_is_named(runs: Path, tmp_path: Path) -> None:
    profiles = profiles_with(tmp_path, loaders=[], programs=["no-such-wine"])
    done = with_profiles(profiles, runs, {})
    assert done.code == LAB_FAULT
    assert "needs Wine" in done.complaint()
    assert "`wine64`" in done.complaint()
    assert "ci/setup" in done.complaint()
    assert not runs.exists()


def test_without_clang_the_package_is_named(runs: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    done = hotswap("swap", runs=runs, env={"PATH": str(tools), "HOTSWAP_CACHE": str(tmp_path / "cache")})
    assert done.code == LAB_FAULT
    assert "needs clang" in done.complaint()
    assert "ci/setup" in done.complaint()
    assert not runs.exists()
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.name.startswith(".building")]


def can_mount() -> bool:
    return subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="a full disk needs the right to mount one (root)")
@pytest.mark.parametrize(
    ("variable", "size", "filled", "why"),
    [
        ("HOTSWAP_CACHE", "200k", False, "building the drivers in"),
        ("HOTSWAP_CACHE", "3m", True, "no disk space for a machine"),
        ("HOTSWAP_RUNS", "4k", False, "writing to the run folder failed on"),
        ("HOTSWAP_RUNS", "64k", False, "writing to the run folder failed on"),
    ],
    ids=["build", "machine", "run-begin", "run-end"],
)
def test_a_full_disk_is_a_lab_fault_and_leaves_nothing(
    cache: Path, runs: Path, tmp_path: Path, variable: str, size: str, filled: bool, why: str
) -> None:
    """A real one, mounted for the child only."""
    disk = tmp_path / "disk"
    disk.mkdir()
    fill = f'cp -a "{cache}/." "$1"' if filled else "true"
    # What is left on the disk goes to standard output, where the command itself says nothing.
    script = f"""
        mount -t tmpfs -o size={size} none "$1" && {fill} || exit 9
        {variable}="$1" "$2" -m hotswap swap --seconds 0.3
        code=$?
        find "$1" '(' -name '.*.tmp' -o -name '.building-*' -o -path '*/clones/*' -o -path '*/leases/*.json' ')'
        exit $code
    """
    done = subprocess.run(
        ["unshare", "-m", "bash", "-c", script, "bash", disk, sys.executable],
        env={**os.environ, "HOTSWAP_RUNS": str(runs)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    complaint = Done(done.returncode, done.stdout, done.stderr).complaint()
    assert done.returncode == LAB_FAULT, done.stderr
    assert why in complaint
    assert "space" in complaint
    assert done.stdout == "", "left on the disk"
    for folder in run_folders(runs):
        assert summary(folder)["state"] == "lab-fault"
        assert "space" in str(summary(folder)["reason"])


def profiles_with(folder: Path, **wine: list[str]) -> Path:
    """The wine profile with other settings of its table [wine]."""
    profiles = folder / "profiles"
    profiles.mkdir()
    settings = "\n".join(f"{name} = {json.dumps(value)}" for name, value in wine.items())
    head = 'schema = 1\nname = "wine"\nkind = "wine"\ndescription = "none"\n'
    (profiles / "wine.toml").write_text(f'{head}[wine]\npackage = "wine64"\n{settings}\n')
    return profiles


def with_profiles(profiles: Path, runs: Path, env: dict[str, str]) -> Done:
    """The profile's loaders are absolute paths, so that no PATH hides them."""
    script = (
        "import sys; from pathlib import Path; from hotswap.cli import main; from hotswap.machine import profile\n"
        "folder = Path(sys.argv.pop(1)); profile.profiles_folder = lambda: folder; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, profiles, "swap", *SHORT],
        env={**os.environ, "HOTSWAP_RUNS": str(runs), **env},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return Done(done.returncode, done.stdout, done.stderr)
