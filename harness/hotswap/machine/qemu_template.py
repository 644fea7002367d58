"""Templates of QEMU machines: a guest that has booted, with its agent answering, stopped and kept, to be forked from.

Its memory is a file that every fork maps privately, so a fork costs what it changes; its disk is the overlays' backing.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, time
from typing import Any

from hotswap.deadline import Deadline
from hotswap.errors import LabFault
from hotswap.machine.building import BUILD_PREFIX, building
from hotswap.machine.lock import locked
from hotswap.machine.qemu_folder import QemuFolder, remove_machine, templates_home
from hotswap.machine.storage import MIB, make_folder, remove_tree, require_space

Progress = Callable[[str], None]

BUILD_KIND = "qemu-template"
_FORMAT = 1
_MANIFEST = "template.json"
_PARTS = ("ram", "state", "disk.qcow2")
# Templates of other agents or versions that are kept; each takes what its guest used of its memory.
_KEEP = 4
_IN_USE_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Template:
    """A kept guest. Nobody writes into its files."""

    path: Path
    manifest: dict[str, Any]

    @property
    def ram(self) -> Path:
        """The guest's memory."""
        return self.path / "ram"

    @property
    def state(self) -> Path:
        """The devices' state."""
        return self.path / "state"

    @property
    def disk(self) -> Path:
        """The guest's disk, an overlay over the image."""
        return self.path / "disk.qcow2"


def template_key(facts: dict[str, str]) -> str:
    """Names a template by everything that it depends on."""
    return hashlib.sha256(json.dumps({"format": _FORMAT, **facts}, sort_keys=True).encode()).hexdigest()[:20]


def find_template(key: str) -> Template | None:
    """The template of this name, if it is whole and nobody has written into it."""
    path = templates_home() / key
    try:
        manifest = json.loads((path / _MANIFEST).read_text())
        if manifest["parts"] != _parts(path):
            return None
        # When it was used last: what is in use is not pruned.
        os.utime(path / _MANIFEST)
        return Template(path, manifest)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _parts(path: Path) -> dict[str, list[int]]:
    return {name: [(status := (path / name).stat()).st_size, status.st_mtime_ns] for name in _PARTS}


def template_of(
    facts: dict[str, str],
    boot: Callable[[QemuFolder, Deadline], None],
    *,
    memory_mib: int,
    progress: Progress,
    deadline: Deadline,
) -> Template:
    """The template for these facts; made when there is none: `boot` fills a folder with its parts.

    Processes that need the same one wait for one maker. LabFault when it cannot be made; nothing half made is left.
    """
    key = template_key(facts)
    if (found := find_template(key)) is not None:
        return found
    home = make_folder(templates_home(), "the folder of templates")
    waiting = "waiting for another process that boots the same guest"
    with locked(home / f"{key}.lock", "the template", waiting, deadline, progress):
        if (found := find_template(key)) is not None:
            return found
        return _make(key, facts, boot, memory_mib, progress, deadline)


def _make(
    key: str,
    facts: dict[str, str],
    boot: Callable[[QemuFolder, Deadline], None],
    memory_mib: int,
    progress: Progress,
    deadline: Deadline,
) -> Template:
    require_space(templates_home(), memory_mib + 256, "a template of a QEMU machine")
    progress("booting the guest that machines are forked from (once for each agent, about half a minute)")
    begun = monotonic()
    final = templates_home() / key
    with building(BUILD_KIND, templates_home(), remove_machine, "making a template", final=final) as path:
        path.mkdir(mode=0o700)
        folder = QemuFolder(path)
        boot(folder, deadline)
        for leftover in path.iterdir():
            if leftover.name not in _PARTS and not leftover.name.endswith(".log"):
                leftover.unlink()
        seconds = monotonic() - begun
        manifest = {"schema": 1, "facts": facts, "seconds": round(seconds, 2), "parts": _parts(path)}
        (path / _MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
        remove_tree(final)
        path.rename(final)
    made = find_template(key)
    if made is None:
        raise LabFault(f"making the template {final}: it cannot be read back")
    progress(f"booted it in {seconds:.1f} s; {made.ram.stat().st_blocks * 512 / MIB:.0f} MiB of memory in use")
    _prune(key)
    return made


def _prune(newest: str) -> None:
    """Drop the oldest templates. Forks that run keep what they have open."""
    manifests = sorted(templates_home().glob(f"*/{_MANIFEST}"), key=lambda path: path.stat().st_mtime, reverse=True)
    for manifest in manifests[_KEEP:]:
        old = time() - manifest.stat().st_mtime > _IN_USE_SECONDS
        if old and manifest.parent.name != newest and not manifest.parent.name.startswith(BUILD_PREFIX):
            remove_tree(manifest.parent)
