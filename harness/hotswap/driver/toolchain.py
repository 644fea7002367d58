"""The compiler, linker and headers that drivers are built with: where they are, and which versions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hotswap.errors import LabFault

TARGET = "x86_64-w64-windows-gnu"

# program -> Debian package that has it
PROGRAMS = {
    "clang": "clang",
    "ld.lld": "lld",
    "cmake": "cmake",
    "ninja": "ninja-build",
    "osslsigncode": "osslsigncode",
    "llvm-ml": "llvm",
}
# Debian has some programs under a versioned name only.
_VERSIONED = {"llvm-ml": tuple(f"llvm-ml-{version}" for version in range(25, 13, -1))}
HEADERS_PACKAGE = "mingw-w64-x86-64-dev"
_HEADERS_PROBES = ("ntstatus.h", "winerror.h", "ddk/ntddk.h")
_INCLUDE_FOLDERS = ("/usr/x86_64-w64-mingw32/include", "/usr/share/mingw-w64/include")


@dataclass(frozen=True, slots=True)
class Toolchain:
    """Programs by name, the mingw-w64 include folder, clang's own header folder, and the version line of each."""

    programs: dict[str, Path]
    windows_include: Path
    builtin_include: Path
    versions: dict[str, str]

    @property
    def include_flags(self) -> tuple[str, ...]:
        """What clang, or libclang (which has no headers of its own), needs to read a Windows driver header."""
        folders = (self.builtin_include, self.windows_include / "ddk", self.windows_include)
        return tuple(flag for folder in folders for flag in ("-isystem", str(folder)))


def find_toolchain(memo: Path | None = None) -> Toolchain:
    """Find every tool, or raise LabFault naming all the Debian packages that are missing.

    Asking the tools for their versions takes 0.1 s, so the answers are kept in the file `memo` and used again for as
    long as path, size and modification time of every tool are what they were.
    """
    programs: dict[str, Path] = {}
    missing: dict[str, str] = {}
    for program, package in PROGRAMS.items():
        found = find_program(program)
        if found is None:
            missing[program] = package
        else:
            programs[program] = found
    include = windows_include()
    if include is None:
        missing["mingw-w64 headers (ddk/ntddk.h)"] = HEADERS_PACKAGE
    if missing or include is None:
        packages = " ".join(sorted(set(missing.values())))
        raise LabFault(
            f"building the drivers needs {', '.join(missing)}, not found here; "
            f"run ci/setup, or install the Debian packages: {packages}"
        )
    identity = [_identity(path) for path in programs.values()]
    identity += [_identity(include / header) for header in _HEADERS_PROBES]
    remembered = _recall(memo, identity)
    if remembered is None:
        versions = {name: _version(path) for name, path in programs.items()}
        resource = _output([str(programs["clang"]), f"--target={TARGET}", "-print-resource-dir"])
        remembered = {"identity": identity, "versions": versions, "resource": resource}
        if memo is not None:
            _remember(memo, remembered)
    builtin = Path(str(remembered["resource"])) / "include"
    if not (builtin / "stddef.h").is_file():
        raise LabFault(f"clang's own headers are not at {builtin}; install the Debian package clang again")
    kept = remembered["versions"]
    assert isinstance(kept, dict)
    return Toolchain(programs, include, builtin, {str(name): str(version) for name, version in kept.items()})


def find_program(program: str) -> Path | None:
    """One of `PROGRAMS` on the search path, under whatever name Debian has it."""
    found = next(filter(None, map(shutil.which, (program, *_VERSIONED.get(program, ())))), None)
    return Path(found) if found else None


def windows_include() -> Path | None:
    """The folder of the mingw-w64 headers, with all that the drivers need of them."""
    for folder in map(Path, _INCLUDE_FOLDERS):
        if all((folder / header).is_file() for header in _HEADERS_PROBES):
            return folder
    return None


def _identity(path: Path) -> list[str | int]:
    real = path.resolve()
    status = real.stat()
    return [str(real), status.st_size, status.st_mtime_ns]


def _recall(memo: Path | None, identity: list[list[str | int]]) -> dict[str, object] | None:
    if memo is None:
        return None
    try:
        kept = json.loads(memo.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    fits = isinstance(kept, dict) and kept.get("identity") == identity and isinstance(kept.get("versions"), dict)
    return kept if fits else None


def _remember(memo: Path, answer: dict[str, object]) -> None:
    memo.parent.mkdir(parents=True, exist_ok=True)
    temporary = memo.with_name(f".{memo.name}.{os.getpid()}")
    temporary.write_text(json.dumps(answer), encoding="utf-8")
    temporary.replace(memo)


def _version(program: Path) -> str:
    if program.name.startswith("llvm-ml"):
        # It tells no version; it lies in a folder of its version.
        return str(program.resolve())
    return _output([str(program), "--version"]).splitlines()[0].removesuffix(", using:").strip()


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabFault(f"{' '.join(command)} did not run: {error}; run ci/setup") from error
    if done.returncode != 0 or not done.stdout.strip():
        raise LabFault(f"{' '.join(command)} ended with {done.returncode}: {done.stdout.strip()[:200]}; run ci/setup")
    return done.stdout.strip()
