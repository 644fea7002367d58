"""A build appears whole or not at all, once for each content of the sources, and says clearly why it failed."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from hotswap.deadline import Deadline
from hotswap.driver import build as build_module
from hotswap.driver.build import DriverBuild, build_drivers
from hotswap.driver.signing import make_key, verify
from hotswap.errors import LabFault, UsageError
from hotswap.paths import cache_home

if TYPE_CHECKING:
    from tests.driver.conftest import Built

TinyBuild = Callable[[], tuple[DriverBuild, list[str]]]

# Builds the small project in a process of its own and tells what it did.
CHILD = """
import sys
from pathlib import Path
from hotswap.driver import build
build.package_data = lambda _name: Path(sys.argv[1])
built = build.build_drivers(lambda line: print("step", line, flush=True))
print("done", built.hash, flush=True)
"""


def left_overs() -> list[str]:
    return [path.name for path in (cache_home() / "drivers").glob(".building-*")]


def built_folders() -> list[str]:
    return sorted(path.name for path in (cache_home() / "drivers").iterdir() if path.is_dir())


def test_the_real_build_has_all_that_a_test_needs(build: DriverBuild) -> None:
    assert set(build.drivers) >= {
        "driverproxy.sys",
        "hotswap.sys",
        "hotswap_v1.sys",
        "hotswap_v2.sys",
        "hotswap_lose_wakeup.sys",
        "hotswap_twice.sys",
    }
    assert build.agent.read_bytes().startswith(b"MZ")
    assert (build.folder / "hotswap.pdb").is_file()
    assert build.ioctl.constants["HOTSWAP_CONTRACT_VERSION"] == 1
    assert build.codes.ntstatus(0x102) == "STATUS_TIMEOUT (0x00000102)"
    assert build.driver("hotswap") is build.driver("hotswap.sys")
    manifest = json.loads((build.folder / "build.json").read_text())
    assert manifest["toolchain"]["clang"]
    assert {entry["name"] for entry in manifest["drivers"]} == set(build.drivers)
    key = make_key()
    assert [verify(driver.path, key) for driver in build.drivers.values()] == [None] * len(build.drivers)


def test_an_unknown_driver_lists_the_known_ones(build: DriverBuild) -> None:
    with pytest.raises(UsageError, match=r"no driver 'v9' is built here; there are: .*driverproxy\.sys, hotswap\.sys"):
        build.driver("v9")


def test_a_second_call_takes_less_than_50_ms_of_the_processor(build: DriverBuild) -> None:
    times = []
    for _ in range(10):
        begin = time.process_time()
        assert build_drivers().hash == build.hash
        times.append(time.process_time() - begin)
    assert min(times) < 0.05


STEPS = [
    "configuring the driver build",
    "compiling the drivers and the agent",
    "signing and checking the drivers",
    "reading the contracts",
]


def test_a_build_is_made_once_and_again_when_a_source_changes(
    tiny: Built, tiny_build: TinyBuild, tiny_sources: Path
) -> None:
    assert tiny.steps == STEPS
    first, steps = tiny_build()
    assert steps == []
    # Times do not matter, nor do hidden files and a build tree that somebody made by hand.
    os.utime(tiny_sources / "sample" / "tiny.c", (1, 1))
    (tiny_sources / "sample" / ".tiny.c.swp").write_text("x")
    (tiny_sources / "build").mkdir()
    (tiny_sources / "build" / "x.c").write_text("x")
    assert tiny_build() == (first, [])
    header = tiny_sources / "include" / "hotswap_ioctl.h"
    header.write_text(header.read_text().replace("MAX_WORKERS 64", "MAX_WORKERS 63"))
    other, steps = tiny_build()
    assert steps == STEPS
    assert other.hash != first.hash
    assert other.ioctl.constants["HOTSWAP_MAX_WORKERS"] == 63
    assert first.folder.is_dir()


def test_a_build_that_was_removed_is_made_again_with_the_same_bytes(
    tiny_build: TinyBuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the caller's shell says does not matter.
    monkeypatch.setenv("CFLAGS", "--no-such-flag")
    monkeypatch.setenv("CMAKE_GENERATOR", "No Such Generator")
    hashes = []
    for _ in range(2):
        shutil.rmtree(tiny_build()[0].folder)
        again, steps = tiny_build()
        assert steps == STEPS
        hashes.append(again.driver("hotswap_v1").sha256)
    assert hashes[0] == hashes[1]


def test_another_key_is_another_build(tiny_build: TinyBuild, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_module, "_build", quick_build)
    first, _ = tiny_build()
    shutil.rmtree(cache_home() / "signing")
    second, _ = tiny_build()
    assert second.hash != first.hash
    assert second.folder != first.folder


def test_a_compiler_error_is_one_line_with_the_log(tiny_build: TinyBuild, tiny_sources: Path) -> None:
    (tiny_sources / "sample" / "tiny.c").write_text("#include <ntddk.h>\nint broken = ;\n")
    with pytest.raises(LabFault) as caught:
        tiny_build()
    message = str(caught.value)
    assert "tiny.c:2:14: error: expected expression" in message
    assert "\n" not in message
    log = Path(message.partition("full log: ")[2].rstrip(")"))
    assert "expected expression" in log.read_text()
    assert left_overs() == []
    (tiny_sources / "sample" / "tiny.c").write_text("int missing(void);\nint DriverEntry(void) { return missing(); }\n")
    with pytest.raises(LabFault, match="undefined symbol: missing"):
        tiny_build()


def test_a_cmake_error_is_one_line(tiny_build: TinyBuild, tiny_sources: Path) -> None:
    with (tiny_sources / "CMakeLists.txt").open("a") as file:
        file.write('message(FATAL_ERROR "no such thing")\n')
    with pytest.raises(LabFault, match=r"CMake Error at CMakeLists\.txt:\d+ \(message\): no such thing"):
        tiny_build()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("-fasynchronous-unwind-tables", "-fno-asynchronous-unwind-tables", "has no unwind data"),
        ("-Wl,--subsystem,native", "-Wl,--subsystem,console", "the subsystem is 3"),
        ("/${name}.pdb", "/other.pdb", r"made no hotswap_v1\.pdb"),
    ],
)
def test_a_driver_that_cannot_work_is_not_delivered(
    tiny_build: TinyBuild, tiny_sources: Path, old: str, new: str, message: str
) -> None:
    flags = tiny_sources / "cmake" / "clang.cmake"
    text = flags.read_text()
    assert old in text
    flags.write_text(text.replace(old, new))
    before = built_folders()
    with pytest.raises(LabFault, match=message):
        tiny_build()
    assert built_folders() == before


def test_a_contract_that_does_not_read_fails_the_build(tiny_build: TinyBuild, tiny_sources: Path) -> None:
    header = tiny_sources / "include" / "hotswap_ioctl.h"
    header.write_text(header.read_text().replace("HOTSWAP_EVENT_REPLY */", "HOTSWAP_EVENT_ANSWER */"))
    with pytest.raises(LabFault, match="HOTSWAP_EVENT_ANSWER, and no such structure"):
        tiny_build()
    assert left_overs() == []


def test_a_full_disk_is_said_so(tiny_build: TinyBuild, tiny_sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_sources: Path, target: Path, *_others: object) -> None:
        (target / "half").write_text("written")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(build_module, "_build", full)
    (tiny_sources / "note.txt").write_text("new")
    before = built_folders()
    with pytest.raises(LabFault, match="No space left on device; free some space, or set HOTSWAP_CACHE"):
        tiny_build()
    assert built_folders() == before


def test_a_cache_that_cannot_be_written_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOTSWAP_CACHE", str(tmp_path / "file"))
    with pytest.raises(LabFault, match=r"building the drivers in .*set HOTSWAP_CACHE"):
        build_drivers()


@pytest.mark.parametrize("name", ["hotswap_v1.sys", "ioctl.json", "conformance.json", "hsagent.exe", "build.json"])
def test_a_damaged_build_is_made_again(tiny_build: TinyBuild, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_module, "_build", quick_build)
    first, _ = tiny_build()
    damaged = first.folder / name
    damaged.write_bytes(damaged.read_bytes()[:-3])
    second, _ = tiny_build()
    assert second.folder == first.folder
    assert (second.folder / "quick").exists()
    assert left_overs() == []


def test_old_builds_go_but_never_one_that_is_in_use(
    tiny_build: TinyBuild, tiny_sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_module, "KEEP", 2)
    # What takes the time is not what this test is about.
    monkeypatch.setattr(build_module, "_build", quick_build)
    held, _ = tiny_build()
    folders = []
    for number in range(4):
        (tiny_sources / "note.txt").write_text(str(number))
        folders.append(tiny_build()[0].folder)
    assert held.folder.is_dir()
    assert not folders[0].exists()
    assert folders[-1].is_dir()
    assert left_overs() == []
    # Given up, it is the oldest, and the next build takes its place.
    folder = held.folder
    del held
    (tiny_sources / "note.txt").write_text("last")
    tiny_build()
    assert not folder.exists()


def quick_build(sources: Path, target: Path, digest: str, *_others: object) -> None:
    (target / "quick").write_text("")
    (target / "codes.json").write_text('{"ntstatus": {}, "win32": {}}')
    for contract in ("ioctl.json", "conformance.json"):
        (target / contract).write_text('{"constants": {}, "enums": {}, "structs": {}, "ioctls": {}}')
    (target / "build.json").write_text(json.dumps({"drivers": [], "toolchain": {}, "files": {}}))


def compilers() -> list[list[str]]:
    """What still runs in a folder of this cache."""
    found = []
    for process in psutil.process_iter(["cwd", "cmdline"]):
        if Path(process.info["cwd"] or "/").is_relative_to(cache_home()):
            found.append(process.info["cmdline"])
    return found


def start(sources: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, str(sources)]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def start_a_long_build(sources: Path) -> subprocess.Popen[str]:
    """A build that is in the middle of its compilation, and stays there."""
    with (sources / "CMakeLists.txt").open("a") as file:
        file.write("add_custom_target(long ALL COMMAND sleep 60)\n")
    child = start(sources)
    Deadline.after(30).wait_for(lambda: ["sleep", "60"] in compilers(), "the compilation to begin")
    return child


def assert_nothing_runs() -> None:
    Deadline.after(10).wait_for(lambda: not compilers(), "the end of the compilers", last_seen=lambda: f"{compilers()}")


def test_a_killed_build_is_swept_by_the_next(
    tiny_build: TinyBuild, tiny_sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = start_a_long_build(tiny_sources)
    # Only the process itself, as `kill -9` does it: its compilers end by themselves.
    child.kill()
    child.communicate(timeout=20)
    assert_nothing_runs()
    assert len(left_overs()) == 1
    monkeypatch.setattr(build_module, "_build", quick_build)
    built, _ = tiny_build()
    assert built.folder.is_dir()
    assert left_overs() == []


@pytest.mark.usefixtures("tiny_build")
def test_an_interrupted_build_leaves_nothing(tiny_sources: Path) -> None:
    child = start_a_long_build(tiny_sources)
    # To the whole group, as a terminal does it.
    os.killpg(child.pid, signal.SIGINT)
    child.communicate(timeout=20)
    assert child.returncode != 0
    assert_nothing_runs()
    assert left_overs() == []


@pytest.mark.usefixtures("tiny_build")
def test_two_at_once_build_once(tiny_sources: Path) -> None:
    (tiny_sources / "note.txt").write_text("new")
    children = [start(tiny_sources) for _ in range(2)]
    limit = Deadline.after(60)
    outputs = [child.communicate(timeout=limit.remaining)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    done = {line for output in outputs for line in output.splitlines() if line.startswith("done ")}
    assert len(done) == 1
    assert sorted(output.count("step ") for output in outputs) == [0, 4]
