"""Programs: the driver toolchain, which is one owner's list, and what reports and their tests use."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from hotswap.doctor.check import Check, State, install, version_of
from hotswap.driver.toolchain import HEADERS_PACKAGE, PROGRAMS, find_program, windows_include

_NEEDED_FOR = {
    "clang": "compiling the drivers and the agent",
    "ld.lld": "linking the drivers and the agent",
    "llvm-ml": "assembling the wrapper stubs of the compat runtime",
    "cmake": "building the drivers",
    "ninja": "building the drivers",
    "osslsigncode": "signing the drivers with the test key",
}
CHROMIUM_PACKAGE = "chromium"
TYPEFACE_PACKAGE = "fonts-liberation"
_CHROMIUM = "/usr/bin/chromium"
_FONTS = Path("/usr/share/fonts/truetype")
_PICTURES = "pictures of reports, and the tests that look at them"

_MACHINES = "machines under QEMU"
# By package: what is looked for, on the search path or by pattern, and what it is for. A swap in Wine does without.
BROUGHT: Mapping[str, tuple[str, tuple[str, ...], str]] = {
    "qemu-utils": ("qemu-img", ("qemu-img",), f"{_MACHINES}: their disks"),
    "ovmf": ("OVMF", ("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd",), f"{_MACHINES} with UEFI and Secure Boot"),
    "swtpm": ("swtpm", ("swtpm",), f"{_MACHINES} with a TPM"),
    "e2fsprogs": (
        "mke2fs",
        ("mke2fs", "/usr/sbin/mke2fs", "/sbin/mke2fs"),
        f"{_MACHINES}: building the stand-in guest",
    ),
    "libclang-rt-14-dev": (
        "libFuzzer",
        tuple(
            f"{base}/lib/linux/libclang_rt.fuzzer-*.a" for base in ("/usr/lib/llvm-*/lib/clang/*", "/usr/lib/clang/*")
        ),
        "fuzzing the native kernel of the trace reader",
    ),
}

Checks = Callable[[], Iterator[Check]]


def build_tools() -> tuple[Checks, ...]:
    """Each tool of the toolchain, and the headers."""
    return (*(partial(_build_tool, program) for program in PROGRAMS), _headers)


def optional_tools() -> tuple[Checks, ...]:
    """What a swap does without."""
    return (_chromium, _typeface, _node, *(partial(_brought, package) for package in BROUGHT))


def _build_tool(program: str) -> Iterator[Check]:
    path, package, purpose = find_program(program), PROGRAMS[program], _NEEDED_FOR.get(program, "building the drivers")
    if path is None:
        yield Check(
            program, State.MISSING, "not on the search path", purpose, install([package]), True, package=package
        )
        return
    # llvm-ml tells no version; it lies in a folder of its version.
    version = path.resolve().parent.parent.name.removeprefix("llvm-") if program == "llvm-ml" else version_of(path)
    found = f"{version} at {path}" if version else f"{path}, which tells no version"
    state = State.OK if version else State.DEGRADED
    mend = None if version else install(["--reinstall", package])
    yield Check(program, state, found, purpose, mend, True, version, path, package)


def _headers() -> Iterator[Check]:
    folder = windows_include()
    name, purpose = "mingw-w64 headers", "compiling the drivers"
    if folder is None:
        line = install([HEADERS_PACKAGE])
        yield Check(name, State.MISSING, "no ddk/ntddk.h", purpose, line, True, package=HEADERS_PACKAGE)
    else:
        yield Check(name, State.OK, str(folder), purpose, None, True, None, folder, HEADERS_PACKAGE)


def _chromium() -> Iterator[Check]:
    """By its path, as the tests of reports use it."""
    yield _optional("chromium", (os.environ.get("HOTSWAP_CHROMIUM") or _CHROMIUM,), _PICTURES, CHROMIUM_PACKAGE)


def _typeface() -> Iterator[Check]:
    found = next(_FONTS.glob("liberation*"), None)
    name, purpose = "typeface", f"{_PICTURES}: alike everywhere"
    if found is None:
        line = install([TYPEFACE_PACKAGE])
        yield Check(name, State.MISSING, "no Liberation (optional)", purpose, line, package=TYPEFACE_PACKAGE)
    else:
        yield Check(name, State.OK, f"Liberation in {found}", purpose, path=found, package=TYPEFACE_PACKAGE)


def _node() -> Iterator[Check]:
    yield _optional("node", ("node", "nodejs"), "nothing that a swap does; checking scripts by hand", "nodejs")


def _brought(package: str) -> Iterator[Check]:
    name, places, purpose = BROUGHT[package]
    found = next(filter(None, map(_place, places)), None)
    if found is None:
        yield Check(name, State.MISSING, "not installed (optional)", purpose, install([package]), package=package)
    else:
        yield Check(name, State.OK, str(found), purpose, path=found, package=package)


def _place(place: str) -> Path | None:
    if "/" not in place:
        return Path(on_path) if (on_path := shutil.which(place)) else None
    return next(Path("/").glob(place.lstrip("/")), None)


def _optional(name: str, programs: tuple[str, ...], purpose: str, package: str) -> Check:
    path = next((Path(found) for program in programs if (found := shutil.which(program))), None)
    if path is None:
        return Check(name, State.MISSING, "not installed (optional)", purpose, install([package]), package=package)
    version = version_of(path)
    return Check(
        name, State.OK, f"{version or 'version not told'} at {path}", purpose, None, False, version, path, package
    )
