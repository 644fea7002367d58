"""A fault of a driver: the minidump that the guest leaves, the walk through it, and what is said of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hotswap.codes import CodeTable
from hotswap.driver.build import DriverBuild
from hotswap.driver.crash import read_crash
from hotswap.driver.minidump import parse_minidump
from hotswap.driver.symbols import MISSING, symbolize
from hotswap.driver.unwind import Unwinder
from hotswap.errors import LabFault
from hotswap.machine.wine import WineMachine
from hotswap.paths import package_data
from hotswap.swap.plan import SwapPlan
from hotswap.swap.runner import run_swap

FAULTY = "*(volatile ULONG *)(ULONG_PTR)BAD_ADDRESS = 1;"


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a swap to the driver that writes to address 8."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOTSWAP_RUNS", str(tmp_path_factory.mktemp("crashed")))
        result = run_swap(SwapPlan(updates=("v1", "crash"), seconds=0.2))
    assert "driver-host-alive" in {item.id for item in result.expectations if item.verdict == "fail"}
    return result.run_folder


def dump_of(run: Path) -> bytes:
    (dump,) = (run / "evidence").glob("crash-*.dmp")
    return dump.read_bytes()


def images(build: DriverBuild) -> list[Path]:
    return [image.path for image in build.drivers.values()]


def faulty_line() -> int:
    source = (package_data("driver") / "update/endpoint_crash.c").read_text().splitlines()
    return next(number for number, line in enumerate(source, 1) if FAULTY in line)


def test_the_verdict_names_status_address_function_and_line(crashed: Path) -> None:
    reason = json.loads((crashed / "run.json").read_text())["reason"]
    assert "STATUS_ACCESS_VIOLATION (0xC0000005) writing address 0x8" in reason
    assert f"hotswap_crash.sys!Worker endpoint_crash.c:{faulty_line()}" in reason
    assert "hotswap.sys!IterationRoutine iteration.c:" in reason


def test_the_evidence_has_the_whole_stack(crashed: Path) -> None:
    crash = json.loads((crashed / "evidence/crash.json").read_text())
    functions = [frame["functions"][0]["name"] for frame in crash["frames"] if frame["functions"]]
    assert functions[:4] == ["Worker", "DpWrapperCall", "IterationRoutine", "DpWrapperCall"]
    (thread,) = [frame["functions"] for frame in crash["frames"] if frame["module"] == "driverproxy.sys"][2:]
    assert thread[-1]["name"] == "DpWorkerThread", "with what was inlined into it before it"
    assert crash["frames"][-1]["module"] == "ntdll.dll"
    assert crash["problems"] == []
    text = (crashed / "evidence/crash.txt").read_text()
    assert f"Worker update/endpoint_crash.c:{faulty_line()}" in text


def test_every_thread_is_walked_to_where_threads_begin(crashed: Path, build: DriverBuild) -> None:
    dump = parse_minidump(dump_of(crashed))
    files = {path.name.lower(): path for path in WineMachine().wine.libraries.iterdir()}
    files |= {name: image.path for name, image in build.drivers.items()}
    unwinder = Unwinder(dump, lambda module: files.get(module.name.lower()))
    assert len(dump.threads) >= 8
    for thread in dump.threads:
        outermost = dump.module_at(unwinder.walk(thread)[-1])
        assert outermost is not None
        assert outermost.name == "ntdll.dll", f"thread {thread}"


def test_without_the_symbolizer_addresses_stay_and_the_lack_is_named(
    crashed: Path, build: DriverBuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    crash = read_crash(dump_of(crashed), images(build), lambda _path: None, build.codes)
    assert "hotswap_crash.sys+0x" in crash.headline
    assert MISSING in crash.headline
    assert MISSING in crash.text


def test_an_image_without_its_pdb_is_named(build: DriverBuild, tmp_path: Path) -> None:
    image = shutil.copy(build.driver("hotswap").path, tmp_path)
    found = symbolize(Path(image), [0x1000])
    assert found.of == ((),)
    assert "hotswap.sys has no .pdb" in found.problem


def test_images_of_another_build_are_not_mistaken_for_this_ones(crashed: Path) -> None:
    crash = read_crash(dump_of(crashed), [], lambda _path: None, CodeTable())
    assert not any(frame.symbols for frame in crash.frames)
    assert [frame.module for frame in crash.frames] == ["hotswap_crash.sys"]
    assert crash.status == "NTSTATUS 0xC0000005"


def test_a_damaged_dump_is_a_lab_fault_or_a_shorter_stack(crashed: Path, build: DriverBuild) -> None:
    whole = dump_of(crashed)
    refused = 0
    for cut in [0, 3, 31, 40, *range(100, len(whole), len(whole) // 40)]:
        try:
            crash = read_crash(whole[:cut], images(build), lambda _path: None, build.codes)
            assert len(crash.frames) <= 5
        except LabFault:
            refused += 1
    assert refused
    with pytest.raises(LabFault, match="reading a minidump of 3 bytes: it does not begin with MDMP"):
        read_crash(b"abc", [], lambda _path: None, build.codes)
