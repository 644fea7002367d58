"""Removing what killed runs left: every kind of leased resource, and folders that lost their lease."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from hotswap.deadline import Deadline
from hotswap.machine.lease import SweepReport, leases, release_own, sweep_leases
from hotswap.machine.qemu_folder import machines_home, remove_machine
from hotswap.machine.qemu_folder import templates_home as qemu_templates_home
from hotswap.machine.qemu_template import BUILD_KIND as QEMU_BUILD_KIND
from hotswap.machine.qemu_template import build_folder as qemu_build_folder
from hotswap.machine.standin_image import BUILD_KIND as IMAGE_BUILD_KIND
from hotswap.machine.standin_image import build_folder as image_build_folder
from hotswap.machine.standin_image import images_home
from hotswap.machine.storage import remove_tree
from hotswap.machine.windows_base import BUILD_KIND as WINDOWS_BUILD_KIND
from hotswap.machine.windows_base import build_folder as windows_build_folder
from hotswap.machine.windows_base import windows_home
from hotswap.machine.wine_folder import PrefixFolder
from hotswap.machine.wine_prefix import BUILD_KIND, build_folder, clones_home, templates_home
from hotswap.machine.wine_process import kill_prefix

MACHINE_KIND = "wine"
QEMU_KIND = "qemu"
_KILL_SECONDS = 10.0


def remove_prefix_folder(path: Path, deadline: Deadline | None = None) -> None:
    """End all that runs in a prefix folder and delete it. May be repeated."""
    folder = PrefixFolder(path)
    kill_prefix(folder.prefix, deadline or Deadline.after(_KILL_SECONDS))
    server = folder.server_folder()
    remove_tree(path)
    if server is not None and not server.is_relative_to(path):
        remove_tree(server)


def sweep() -> SweepReport:
    """Remove what dead owners left in the cache: processes, machines, half-built templates.

    Never touches what belongs to a living process; safe while other runs start and stop.
    """
    _adopt_orphans()
    return sweep_leases(_REMOVERS)


def remove_own() -> SweepReport:
    """Remove all that the calling process still leases: for its end, when nothing of it should be there any more."""
    return release_own(_REMOVERS)


_REMOVERS: Mapping[str, Callable[[str], None]] = {
    MACHINE_KIND: lambda id: remove_prefix_folder(clones_home() / id),
    BUILD_KIND: lambda id: remove_prefix_folder(build_folder(id)),
    QEMU_KIND: lambda id: remove_machine(machines_home() / id),
    QEMU_BUILD_KIND: lambda id: remove_machine(qemu_build_folder(id)),
    WINDOWS_BUILD_KIND: lambda id: remove_machine(windows_build_folder(id)),
    IMAGE_BUILD_KIND: lambda id: remove_tree(image_build_folder(id)),
}


def _adopt_orphans() -> None:
    """Remove folders whose lease was lost: whoever makes a folder leases it first and releases it last."""
    found: dict[Path, Callable[[Path], None]] = {}
    places: tuple[tuple[Path, str, Callable[[Path], None]], ...] = (
        (clones_home(), "", remove_prefix_folder),
        (templates_home(), "build-", remove_prefix_folder),
        (machines_home(), "", remove_machine),
        (qemu_templates_home(), "build-", remove_machine),
        (windows_home(), "build-", remove_machine),
        (images_home(), "build-", remove_tree),
    )
    for home, prefix, remove in places:
        if home.is_dir():
            found |= {path: remove for path in home.iterdir() if path.is_dir() and path.name.startswith(prefix)}
    # Only now, so that a folder made after its lease was looked for is never taken for an orphan.
    leased = {lease.id for lease in leases()}
    for path, remove in found.items():
        if path.name.removeprefix("build-") not in leased:
            _quietly(remove, path)


def _quietly(remove: Callable[[Path], None], path: Path) -> None:
    try:
        remove(path)
    except Exception:
        # A leftover that resists must not stop the run that swept; the next sweep tries again.
        return
