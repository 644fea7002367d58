"""The Wine that is installed on this host: loader, server, kernel image, version."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hotswap.errors import LabFault
from hotswap.machine.profile import MachineProfile

_VERSION_SECONDS = 20.0
# The loader lies at 0x7d000000, so Linux puts its heap anywhere in the gigabyte behind, and Wine must have the page at
# 0x7ffe0000: one start in some thousands fails, of any process. Some containers do not allow this call.
_FIXED_LAYOUT = ("/usr/bin/setarch", "-R")


@dataclass(frozen=True, slots=True)
class WineInstall:
    """Paths of an installed Wine, and its version as the loader tells it."""

    loader: Path
    server: Path
    libraries: Path
    version: str
    launcher: tuple[str, ...] = ()
    """What the loader is started by, so that its processes and theirs are laid out alike each time."""

    def command(self, *arguments: str) -> list[str]:
        """How a program of the guest is started."""
        return [*self.launcher, str(self.loader), *arguments]

    @property
    def ntoskrnl(self) -> Path:
        """The kernel image of every prefix of this Wine."""
        return self.libraries / "ntoskrnl.exe"

    @property
    def stamp(self) -> str:
        """Changes whenever Wine would update an older prefix: it compares with the time of its wine.inf."""
        inf = Path("/usr/share/wine/wine.inf")
        return f"{self.version} {int(inf.stat().st_mtime) if inf.exists() else 0}"


def find_wine(profile: MachineProfile) -> WineInstall:
    """The Wine a profile asks for. LabFault that names the package when there is none."""
    package = profile.string("wine", "package", "wine64")

    def missing(what: str) -> LabFault:
        return LabFault(
            f"machine {profile.name!r} needs Wine, but {what}: "
            f"install the Debian package `{package}`, or run `ci/setup`"
        )

    loader = _first(profile.strings("wine", "loaders"), profile.strings("wine", "programs"))
    if loader is None:
        raise missing("its loader wine64 was not found")
    server = _first(profile.strings("wine", "servers"), profile.strings("wine", "server_programs"))
    if server is None:
        raise missing("its wineserver was not found")
    libraries = next((Path(f) for f in profile.strings("wine", "libraries") if Path(f, "ntoskrnl.exe").is_file()), None)
    if libraries is None:
        raise missing("its ntoskrnl.exe was not found")
    launcher = _FIXED_LAYOUT if Path(_FIXED_LAYOUT[0]).is_file() else ()
    try:
        answer = _ask_version([*launcher, str(loader)])
        if launcher and answer.returncode != 0:
            launcher = ()
            answer = _ask_version([str(loader)])
    except (OSError, subprocess.TimeoutExpired) as error:
        raise missing(f"`{loader} --version` failed: {error}") from error
    version = answer.stdout.strip()
    if answer.returncode != 0 or not version.startswith("wine"):
        raise missing(f"`{loader} --version` ended with {answer.returncode} and said {version or answer.stderr!r}")
    return WineInstall(loader, server, libraries, version, launcher)


def _ask_version(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_VERSION_SECONDS
    )


def _first(paths: list[str], programs: list[str]) -> Path | None:
    for path in paths:
        if Path(path).is_file():
            return Path(path)
    for program in programs:
        if found := shutil.which(program):
            return Path(found)
    return None
