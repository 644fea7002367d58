"""The real build, the Wine that is installed, a key of the test's own, and a driver project that builds in a second."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hotswap.driver.build import DriverBuild, build_drivers
from hotswap.driver.exports import GuestExports
from hotswap.driver.signing import SigningKey, make_key
from hotswap.driver.toolchain import Toolchain, find_toolchain
from hotswap.machine.profile import load_profile
from hotswap.machine.wine_install import find_wine
from hotswap.paths import package_data


@pytest.fixture(scope="session")
def build() -> DriverBuild:
    """The drivers of this checkout, from the user's own cache."""
    return build_drivers()


@pytest.fixture(scope="session")
def toolchain() -> Toolchain:
    return find_toolchain()


@pytest.fixture(scope="session")
def guest() -> GuestExports:
    return GuestExports(find_wine(load_profile("wine")).ntoskrnl)


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return make_key(tmp_path_factory.mktemp("signing") / "key")


TINY_DRIVER = """#include <ntddk.h>
static VOID NTAPI Unload(PDRIVER_OBJECT driver) { UNREFERENCED_PARAMETER(driver); }
NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    KEVENT event;
    UNREFERENCED_PARAMETER(path);
    KeInitializeEvent(&event, NotificationEvent, FALSE);
    driver->DriverUnload = Unload;
    return STATUS_SUCCESS;
}
"""
TINY_PROJECT = """cmake_minimum_required(VERSION 3.24)
project(tiny LANGUAGES C)
include(cmake/clang.cmake)
hs_add_driver(hotswap_v1 SOURCES sample/tiny.c)
add_executable(hsagent agent/tiny.c)
set_target_properties(hsagent PROPERTIES SUFFIX .exe)
target_link_options(hsagent PRIVATE -nostdlib -fuse-ld=lld -Wl,-e,Entry)
"""


@pytest.fixture
def tiny_sources(tmp_path: Path) -> Path:
    """The project's own build files and contracts around one small driver."""
    real = package_data("driver")
    sources = tmp_path / "sources"
    shutil.copytree(real / "cmake", sources / "cmake")
    shutil.copytree(real / "include", sources / "include")
    shutil.copy(real / "CMakePresets.json", sources)
    for folder in ("agent", "sample"):
        (sources / folder).mkdir()
    shutil.copy(real / "agent" / "protocol.h", sources / "agent")
    (sources / "agent" / "tiny.c").write_text("int Entry(void) { return 0; }\n")
    (sources / "sample" / "tiny.c").write_text(TINY_DRIVER)
    (sources / "CMakeLists.txt").write_text(TINY_PROJECT)
    return sources


@pytest.fixture
def tiny_build(
    tiny_sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], tuple[DriverBuild, list[str]]]:
    """Builds the small project in a cache of its own; returns the build and the steps that it took."""
    monkeypatch.setenv("HOTSWAP_CACHE", str(tmp_path / "cache für Tests"))
    monkeypatch.setattr("hotswap.driver.build.package_data", lambda _name: tiny_sources)

    def run() -> tuple[DriverBuild, list[str]]:
        steps: list[str] = []
        return build_drivers(steps.append), steps

    return run
