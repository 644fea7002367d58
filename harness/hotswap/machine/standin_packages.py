"""Debian packages for the stand-in guest: those that apt would take, fetched and checked by apt, and unpacked."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from hotswap.deadline import Deadline
from hotswap.errors import DeadlineExpired, LabFault
from hotswap.machine.storage import make_folder

_URI = re.compile(r"'(?P<uri>[^']+)' (?P<file>\S+) (?P<size>[0-9]+) (?P<hash>\S+)")
_NEWEST_KERNEL = re.compile(r"^\s*Depends: (linux-image-\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Package:
    """One package as apt would fetch it now. `hash` is the archive's own for it (`SHA256:...`)."""

    name: str
    version: str
    file: str
    hash: str


def resolve_packages(names: Sequence[str], kernel: str, deadline: Deadline) -> tuple[Package, ...]:
    """The packages, the kernel that `kernel` stands for among them. Reads apt's lists, and fetches them if need be.

    LabFault when this is no Debian, or apt knows one of them not.
    """
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise LabFault(
            "building the stand-in guest: it is made of Debian's packages, and apt-get or dpkg-deb is not there"
        )
    found = _NEWEST_KERNEL.search(_apt(["apt-cache", "depends", kernel], deadline, check=False))
    if found is None:
        # A container's image often comes without apt's lists.
        _apt(["apt-get", "-qq", "update"], deadline)
        found = _NEWEST_KERNEL.search(_apt(["apt-cache", "depends", kernel], deadline))
    if found is None:
        raise LabFault(f"building the stand-in guest: apt knows no kernel by the name {kernel}; run apt-get update")
    wanted = [found[1], *names]
    packages = []
    for line in _apt(["apt-get", "download", "--print-uris", *wanted], deadline).splitlines():
        match = _URI.fullmatch(line.strip())
        if match is not None:
            name, version, _ = match["file"].split("_")
            packages.append(Package(name, unquote(version), match["file"], match["hash"]))
    if missing := sorted(set(wanted) - {package.name for package in packages}):
        raise LabFault(f"building the stand-in guest: apt does not offer {', '.join(missing)}; run apt-get update")
    return tuple(sorted(packages, key=lambda package: package.name))


def fetch_packages(packages: Sequence[Package], folder: Path, deadline: Deadline) -> dict[str, Path]:
    """The archives by package name, in `folder`: fetched unless they are there already. apt checks each by its hash."""
    make_folder(folder, "the package folder")
    missing = [package for package in packages if not (folder / package.file).is_file()]
    if missing:
        # One that was fetched half is under another name until it is whole.
        _apt(["apt-get", "-qq", "download", *(f"{one.name}={one.version}" for one in missing)], deadline, folder)
    lost = [package.file for package in packages if not (folder / package.file).is_file()]
    if lost:
        raise LabFault(f"building the stand-in guest: apt-get download said nothing, but {lost[0]} is not there")
    return {package.name: folder / package.file for package in packages}


def unpack_packages(archives: Mapping[str, Path], parts: Mapping[str, Sequence[str]], target: Path) -> None:
    """Unpack into one tree; of a package that `parts` names only what lies below those paths."""
    for name, archive in archives.items():
        wanted = tuple(parts.get(name, ()))
        reader = subprocess.Popen(
            ["dpkg-deb", "--fsys-tarfile", str(archive)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        assert reader.stdout is not None
        try:
            with tarfile.open(fileobj=reader.stdout, mode="r|") as members:
                for member in members:
                    if not wanted or any(member.name == part or member.name.startswith(f"{part}/") for part in wanted):
                        members.extract(member, target, set_attrs=not member.isdir(), numeric_owner=False)
        except (tarfile.TarError, OSError) as error:
            raise LabFault(f"unpacking {archive}: {error}; remove it, it is fetched again") from error
        finally:
            reader.stdout.close()
            code = reader.wait()
        if code != 0:
            raise LabFault(f"unpacking {archive}: dpkg-deb ended with {code}; remove it, it is fetched again")


def _apt(argv: list[str], deadline: Deadline, folder: Path | None = None, *, check: bool = True) -> str:
    options = ["-o", "APT::Sandbox::User=root"] if argv[0] == "apt-get" and os.geteuid() == 0 else []
    try:
        done = subprocess.run(
            [argv[0], *options, *argv[1:]],
            cwd=folder,
            env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=deadline.remaining,
        )
    except subprocess.TimeoutExpired as error:
        raise DeadlineExpired(f"building the stand-in guest: `{' '.join(argv[:2])}` did not end in time") from error
    if check and done.returncode != 0:
        words = " | ".join(done.stderr.strip().splitlines()[-3:])
        raise LabFault(f"building the stand-in guest: `{' '.join(argv[:2])}` ended with {done.returncode}: {words}")
    return done.stdout
