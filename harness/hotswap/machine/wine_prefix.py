"""Wine prefixes: one template, built once, and clones of it that cost milliseconds.

`wine/<key>/` in the cache holds a template; the key changes with Wine and with the profile. A clone shares the
template's images (PE files, fonts, tables) by hard links and has its own copy of everything that Wine rewrites.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from hotswap.deadline import Deadline
from hotswap.errors import DeadlineExpired, LabFault
from hotswap.machine.building import building
from hotswap.machine.lock import locked
from hotswap.machine.profile import MachineProfile
from hotswap.machine.storage import make_folder, os_fault, remove_tree, require_space
from hotswap.machine.wine_folder import PrefixFolder
from hotswap.machine.wine_install import WineInstall
from hotswap.machine.wine_process import remove_prefix_folder
from hotswap.paths import cache_home

Progress = Callable[[str], None]

MACHINE_KIND = "wine"
BUILD_KIND = "wine-build"
_FORMAT = 1
_MANIFEST = "template.json"
# What Wine only ever reads, so that a link is as good as a copy. All else (*.reg, *.ini, *.inf, user files) is copied.
_SHARED_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("dll", "exe", "sys", "drv", "ocx", "cpl", "acm", "ax", "com", "tlb"),
        *("nls", "ds", "icm", "msstyles", "ttf", "fon", "manifest"),
    )
)


@dataclass(frozen=True, slots=True)
class Template:
    """A finished template: its folder, the files a clone shares as (size, mtime in ns), the files it copies."""

    path: Path
    folders: tuple[str, ...]
    shared: dict[str, tuple[int, int]]
    copied: tuple[str, ...]
    links: dict[str, str]
    size: int

    @property
    def prefix(self) -> Path:
        """The template's prefix; never run anything in it."""
        return self.path / "prefix"


class TemplateDamaged(LabFault):
    """A template no longer is what was built; it must be built again."""


def templates_home() -> Path:
    """Where templates lie."""
    return cache_home() / "wine"


def clones_home() -> Path:
    """Where clones lie, each in a folder named by its lease."""
    return cache_home() / "clones"


def template_key(profile: MachineProfile, wine: WineInstall) -> str:
    """Names a template by everything that its content depends on."""
    return hashlib.sha256(f"{_FORMAT}\n{wine.stamp}\n{profile.hash}".encode()).hexdigest()[:20]


def clone_from_template(
    profile: MachineProfile, wine: WineInstall, target: PrefixFolder, deadline: Deadline, progress: Progress
) -> None:
    """Make a clone in `target`, whose lease the caller holds; build the template first when there is none.

    Processes that need the same template wait for one builder. A template that something has written into is
    noticed and built again. LabFault when the disk is full, the cache cannot be written, or Wine fails.
    """
    home = make_folder(templates_home(), "the template folder")
    key = template_key(profile, wine)
    waiting = "waiting for another process that uses the Wine template"
    with locked(home / f"{key}.lock", "the Wine template", waiting, deadline, progress):
        template = find_template(home / key)
        if template is not None:
            try:
                return _clone(template, profile, target)
            except TemplateDamaged as damage:
                progress(f"{damage}; building it again")
                remove_tree(target.path)
                remove_tree(template.path)
        template = _build(profile, wine, home / key, deadline, progress)
        return _clone(template, profile, target)


def find_template(path: Path) -> Template | None:
    """The finished template in this folder, `templates_home() / template_key(...)`; None when there is none."""
    try:
        content = json.loads((path / _MANIFEST).read_text())
        shared = {name: (int(size), int(mtime)) for name, (size, mtime) in content["shared"].items()}
        folders, copied = tuple(content["folders"]), tuple(content["copied"])
        return Template(path, folders, shared, copied, dict(content["links"]), content["size"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _clone(template: Template, profile: MachineProfile, target: PrefixFolder) -> None:
    make_folder(target.path, "the machine's folder")
    require_space(target.path, profile.number("template", "clone_free_mib", 64), "a machine")
    source, prefix = os.fspath(template.prefix), os.fspath(target.prefix)
    try:
        target.make()
        target.prefix.mkdir()
        for name in template.folders:
            os.mkdir(f"{prefix}/{name}")  # noqa: PTH102 - plain strings: this runs once a file and machine
        for name, (size, mtime) in template.shared.items():
            _share(f"{source}/{name}", f"{prefix}/{name}")
            status = os.stat(f"{prefix}/{name}")  # noqa: PTH116
            if (status.st_size, status.st_mtime_ns) != (size, mtime):
                raise TemplateDamaged(f"the Wine template {template.path} was written into: {name}")
        for name in template.copied:
            shutil.copy2(f"{source}/{name}", f"{prefix}/{name}")
        for name, to in template.links.items():
            os.symlink(to, f"{prefix}/{name}")  # noqa: PTH211
    except FileNotFoundError as error:
        raise TemplateDamaged(f"the Wine template {template.path} has lost {error.filename}") from error
    except OSError as error:
        raise os_fault("cloning the Wine template", target.path, error) from error


def _share(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        # A file system without hard links, or with too many on one file.
        shutil.copy2(source, target)


def _build(profile: MachineProfile, wine: WineInstall, final: Path, deadline: Deadline, progress: Progress) -> Template:
    remove_tree(final)
    require_space(templates_home(), profile.number("template", "free_mib", 1024), "the Wine template")
    progress("building the Wine template (once for each Wine version, about 15 seconds)")
    begun = monotonic()
    with building(
        BUILD_KIND, templates_home(), remove_prefix_folder, "building the Wine template", final=final
    ) as path:
        folder = PrefixFolder(path)
        folder.make()
        _boot(profile, wine, folder, deadline)
        _check_complete(profile, wine, folder.prefix)
        _trim(profile, folder.prefix)
        size = _write_manifest(profile, wine, folder, monotonic() - begun)
        for leftover in (folder.home, folder.temporary):
            remove_tree(leftover)
        path.rename(final)
    template = find_template(final)
    if template is None:
        raise LabFault(f"building the Wine template {final}: its manifest cannot be read back")
    progress(f"built the Wine template in {monotonic() - begun:.1f} s, {size / 1e6:.0f} MB")
    return template


def _boot(profile: MachineProfile, wine: WineInstall, folder: PrefixFolder, deadline: Deadline) -> None:
    """Let Wine fill a new prefix, write the profile's registry values, and wait until it is all on disk."""
    registry = folder.path / "profile.reg"
    registry.write_text(_registry_text(profile), encoding="utf-16")
    environment = folder.environment(profile, wine)
    server = str(wine.server)
    steps: dict[str, list[str]] = {
        "wineboot": wine.command("wineboot", "--init"),
        "registry": wine.command("reg", "import", str(registry)),
        # wineserver writes the registry when it ends: wait for that, not for a time.
        "end": [server, "-k"],
        "wait": [server, "-w"],
    }
    for name, argv in steps.items():
        log = folder.logs / f"build-{name}.log"
        with log.open("wb") as output:
            try:
                code = subprocess.run(
                    argv,
                    env=environment,
                    cwd=folder.path,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    timeout=deadline.remaining,
                ).returncode
            except subprocess.TimeoutExpired as error:
                raise DeadlineExpired(
                    f"building the Wine template: `{name}` did not end; it wrote {_tail(log)}"
                ) from error
        if code != 0 and name in ("wineboot", "registry"):
            require_space(folder.path, 16, "the Wine template")
            raise LabFault(f"building the Wine template: `{name}` ended with {code}; it wrote {_tail(log)}")
    registry.unlink()


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-3:]
    return repr(" | ".join(lines)) if lines else "nothing"


def _registry_text(profile: MachineProfile) -> str:
    lines = ["Windows Registry Editor Version 5.00", ""]
    for key, values in profile.table("registry").items():
        lines.append(f"[{key}]")
        for name, value in values.items():
            if isinstance(value, int):
                lines.append(f'"{name}"=dword:{value:08x}')
            else:
                escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
                lines.append(f'"{name}"="{escaped}"')
        lines.append("")
    return "\r\n".join(lines)


def _check_complete(profile: MachineProfile, wine: WineInstall, prefix: Path) -> None:
    """Wine reports success on a full disk too: compare what it copied with what it copied from."""
    system = prefix / "drive_c/windows/system32"
    wanted = [*(system / name for name in ("ntoskrnl.exe", "winedevice.exe", "services.exe", "kernel32.dll"))]
    wanted += [prefix / name for name in ("system.reg", "user.reg", "userdef.reg")]
    broken = [path for path in wanted if not path.is_file() or path.stat().st_size == 0]
    for path in system.iterdir():
        original = wine.libraries / path.name
        if path.is_file() and original.is_file() and path.stat().st_size != original.stat().st_size:
            broken.append(path)
    if broken:
        require_space(prefix, 16, "the Wine template")
        raise LabFault(f"building the Wine template: Wine left {len(broken)} files incomplete, first {broken[0]}")


def _trim(profile: MachineProfile, prefix: Path) -> None:
    """Drop what the profile names, and everything that ties the prefix to this host, this user or this build."""
    for pattern in profile.strings("template", "drop"):
        for path in prefix.glob(pattern):
            if path.is_file():
                path.unlink()
    (prefix / "wineserver").unlink(missing_ok=True)
    for path in [*prefix.rglob("*")]:
        if not path.is_symlink() or path.name in ("c:", "z:"):
            continue
        # Wine links Desktop, Documents and so on into the home folder, and com1 to a serial port.
        path.unlink()
        if path.parent.name != "dosdevices":
            path.mkdir()


def _write_manifest(profile: MachineProfile, wine: WineInstall, folder: PrefixFolder, seconds: float) -> int:
    folders: list[str] = []
    copied: list[str] = []
    shared: dict[str, tuple[int, int]] = {}
    links: dict[str, str] = {}
    size = 0
    for path in sorted(folder.prefix.rglob("*")):
        name = path.relative_to(folder.prefix).as_posix()
        if path.is_symlink():
            links[name] = str(path.readlink())
        elif path.is_dir():
            folders.append(name)
        else:
            status = path.stat()
            size += status.st_size
            if path.suffix.lower() in _SHARED_SUFFIXES:
                path.chmod(0o555 if status.st_mode & 0o100 else 0o444)
                shared[name] = (status.st_size, status.st_mtime_ns)
            else:
                copied.append(name)
    facts = {
        "wine": wine.version,
        "profile": profile.name,
        "profile_hash": profile.hash,
        "size": size,
        "seconds": round(seconds, 3),
        "folders": folders,
        "shared": shared,
        "copied": copied,
        "links": links,
    }
    (folder.path / _MANIFEST).write_text(json.dumps(facts))
    return size
