"""The real build, the Wine that is installed, a key of the test's own, and a driver project that builds in a second."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
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


def make_tiny_sources(sources: Path) -> None:
    """The project's own build files and contracts around one small driver."""
    real = package_data("driver")
    shutil.copytree(real / "cmake", sources / "cmake")
    shutil.copytree(real / "include", sources / "include")
    shutil.copy(real / "CMakePresets.json", sources)
    for folder in ("agent", "sample"):
        (sources / folder).mkdir()
    shutil.copy(real / "agent" / "protocol.h", sources / "agent")
    (sources / "agent" / "tiny.c").write_text("int Entry(void) { return 0; }\n")
    (sources / "sample" / "tiny.c").write_text(TINY_DRIVER)
    (sources / "CMakeLists.txt").write_text(TINY_PROJECT)


@dataclass(frozen=True)
class Built:
    """A small project, the cache that it was built in, and the steps which that took."""

    sources: Path
    cache: Path
    steps: list[str]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The small project, built once; tests take copies."""
    home = tmp_path_factory.mktemp("tiny")
    built = Built(home / "sources", home / "cache", [])
    make_tiny_sources(built.sources)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOTSWAP_CACHE", str(built.cache))
        patch.setattr("hotswap.driver.build.package_data", lambda _name: built.sources)
        build_drivers(built.steps.append)
    return built


@pytest.fixture
def tiny_sources(tiny: Built, tmp_path: Path) -> Path:
    """A copy of the small project's sources, for a test to change."""
    return Path(shutil.copytree(tiny.sources, tmp_path / "sources"))


@pytest.fixture
def tiny_build(
    tiny: Built, tiny_sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], tuple[DriverBuild, list[str]]]:
    """Builds the sources in a cache of the test's own, a copy in which the unchanged project is built already.

    Returns the build and the steps that it took: none when it came from the cache.
    """
    cache = tmp_path / "cache für Tests"
    shutil.copytree(tiny.cache, cache)
    monkeypatch.setenv("HOTSWAP_CACHE", str(cache))
    monkeypatch.setattr("hotswap.driver.build.package_data", lambda _name: tiny_sources)

    def run() -> tuple[DriverBuild, list[str]]:
        steps: list[str] = []
        return build_drivers(steps.append), steps

    return run
