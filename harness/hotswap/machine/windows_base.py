"""What Windows machines start from: a disk with an installed Windows and its agent, never written to again.

It is installed once from the user's media, without a question asked, or it is a disk image of the user's own.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hotswap.deadline import Deadline
from hotswap.errors import LabFault, UsageError
from hotswap.machine.building import building
from hotswap.machine.lease import new_id
from hotswap.machine.lock import locked
from hotswap.machine.qemu_folder import QemuFolder, remove_machine, templates_home
from hotswap.machine.qemu_profile import QemuProfile
from hotswap.machine.storage import make_folder, remove_tree, require_space
from hotswap.paths import cache_home

BUILD_KIND = "qemu-windows"
DISK, VARIABLES, TPM, NTOSKRNL = "disk.qcow2", "variables.fd", "tpm", "ntoskrnl.exe"
_MANIFEST = "windows.json"
_MEDIA = "HOTSWAP_MEDIA"
_FORMAT = 1

Install = Callable[[QemuFolder, Deadline], None]


@dataclass(frozen=True, slots=True)
class WindowsBase:
    """A Windows that machines lie over. `variables`, `tpm`: those it was installed with; None: new ones do."""

    disk: Path
    variables: Path | None = None
    tpm: Path | None = None
    ntoskrnl: Path | None = None


def media_home() -> Path:
    """Where the user's media and disk images lie: `$HOTSWAP_MEDIA`, else `media` in the cache."""
    if override := os.environ.get(_MEDIA):
        return Path(override).resolve()
    return cache_home() / "media"


def media_file(profile: QemuProfile, name: str, what: str) -> Path:
    """A file of the user's. UsageError says where it is looked for."""
    path = media_home() / name
    if not path.is_file():
        raise UsageError(
            f"machine {profile.name!r} needs {what}, {name}: it is not in {media_home()}; put it there, or set "
            f"{_MEDIA} to the folder that has it"
        )
    return path


def media_of(profile: QemuProfile, role: str) -> Path | None:
    """The medium of a role; None when the profile has none."""
    for media in profile.media:
        if media.role == role:
            return media_file(profile, media.file, f"the medium `{role}`")
    return None


def windows_home() -> Path:
    """Where installed ones lie."""
    return templates_home().with_name("windows")


def find_base(profile: QemuProfile) -> WindowsBase | None:
    """The user's own disk image, or what was installed from these media before; None: that is still to be done."""
    if profile.disks and profile.disks[0].image:
        disk = media_file(profile, profile.disks[0].image, "its disk image")
        beside = disk.with_suffix(".fd")
        kernel = windows_home() / base_key(profile) / NTOSKRNL
        return WindowsBase(disk, beside if beside.is_file() else None, None, kernel if kernel.is_file() else None)
    path = windows_home() / base_key(profile)
    try:
        manifest = json.loads((path / _MANIFEST).read_text())
        if manifest["disk"] != _facts(path / DISK):
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    parts = {name: path / name if (path / name).exists() else None for name in (VARIABLES, TPM, NTOSKRNL)}
    return WindowsBase(path / DISK, parts[VARIABLES], parts[TPM], parts[NTOSKRNL])


def base_key(profile: QemuProfile) -> str:
    """Names an installation by what it is made from."""
    files = [disk.image for disk in profile.disks if disk.image] or [media.file for media in profile.media]
    facts: dict[str, Any] = {
        "format": _FORMAT,
        "files": [[name, *_facts(media_file(profile, name, "its medium"))] for name in files],
        "firmware": [profile.firmware, profile.secure_boot, profile.tpm],
        "disk": [[disk.bus, disk.size_gib] for disk in profile.disks],
        "windows": repr(profile.windows),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:20]


def install_base(
    profile: QemuProfile, install: Install, deadline: Deadline, progress: Callable[[str], None]
) -> WindowsBase:
    """Have Windows installed, when it is not yet: `install` fills a folder, which gets its name when it is complete.

    Processes that need the same one wait for one of them. LabFault when it fails; nothing half made is left.
    """
    home = make_folder(windows_home(), "the folder of installed Windows")
    key = base_key(profile)
    waiting = "waiting for another process that installs the same Windows"
    with locked(home / f"{key}.lock", "the installation of Windows", waiting, deadline, progress):
        if (found := find_base(profile)) is not None:
            return found
        require_space(home, profile.disks[0].size_gib * 1024 // 2, "an installation of Windows")
        progress("installing Windows from the user's media (once; it takes from twenty minutes to hours)")
        with building(BUILD_KIND, home, remove_machine, "installing Windows", final=home / key) as path:
            path.mkdir(mode=0o700)
            install(QemuFolder(path), deadline)
            _keep(QemuFolder(path), home / key)
        made = find_base(profile)
        if made is None:
            raise LabFault(f"installing Windows in {home / key}: it cannot be read back")
        return made


def keep_kernel(profile: QemuProfile, content: bytes) -> Path:
    """Keep the guest's kernel image of a user's own disk image, for preflight."""
    folder = make_folder(windows_home() / base_key(profile), "the folder of an installed Windows")
    partial = folder / f".{NTOSKRNL}.{new_id()}"
    partial.write_bytes(content)
    partial.replace(folder / NTOSKRNL)
    return folder / NTOSKRNL


def _keep(folder: QemuFolder, final: Path) -> None:
    """What machines lie over; sockets, discs with answers and logs go."""
    for item in folder.path.iterdir():
        if item.name not in (DISK, VARIABLES, TPM, NTOSKRNL):
            remove_tree(item) if item.is_dir() else item.unlink()
    folder.disk.chmod(0o400)
    (folder.path / _MANIFEST).write_text(json.dumps({"schema": 1, "disk": _facts(folder.disk)}) + "\n")
    remove_tree(final)
    folder.path.rename(final)


def place(base: WindowsBase, folder: QemuFolder) -> None:
    """Give a machine copies of what each writes for itself: firmware variables and TPM."""
    if base.variables is not None:
        shutil.copyfile(base.variables, folder.path / VARIABLES)
    if base.tpm is not None:
        shutil.copytree(base.tpm, folder.path / TPM)


def _facts(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]
