"""Removing what killed runs left: every kind of leased resource, and folders that lost their lease."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hotswap.machine import qemu_folder, qemu_template, standin_image, windows_base, wine_prefix
from hotswap.machine.building import BUILD_PREFIX
from hotswap.machine.lease import SweepReport, leases, release_own, sweep_leases
from hotswap.machine.qemu_folder import remove_machine
from hotswap.machine.storage import remove_tree
from hotswap.machine.wine_process import remove_prefix_folder


@dataclass(frozen=True, slots=True)
class _Place:
    """Where folders of one kind of lease lie, `<prefix><id of the lease>`, and how one is removed."""

    home: Callable[[], Path]
    prefix: str
    remove: Callable[[Path], None]

    def remove_id(self, id: str) -> None:
        self.remove(self.home() / f"{self.prefix}{id}")

    def folders(self) -> list[Path]:
        home = self.home()
        if not home.is_dir():
            return []
        return [path for path in home.iterdir() if path.is_dir() and path.name.startswith(self.prefix)]


_PLACES: Mapping[str, _Place] = {
    wine_prefix.MACHINE_KIND: _Place(wine_prefix.clones_home, "", remove_prefix_folder),
    wine_prefix.BUILD_KIND: _Place(wine_prefix.templates_home, BUILD_PREFIX, remove_prefix_folder),
    qemu_folder.MACHINE_KIND: _Place(qemu_folder.machines_home, "", remove_machine),
    qemu_template.BUILD_KIND: _Place(qemu_folder.templates_home, BUILD_PREFIX, remove_machine),
    windows_base.BUILD_KIND: _Place(windows_base.windows_home, BUILD_PREFIX, remove_machine),
    standin_image.BUILD_KIND: _Place(standin_image.images_home, BUILD_PREFIX, remove_tree),
}
_REMOVERS: Mapping[str, Callable[[str], None]] = {kind: place.remove_id for kind, place in _PLACES.items()}


def sweep() -> SweepReport:
    """Remove what dead owners left in the cache: processes, machines, half-built templates.

    Never touches what belongs to a living process; safe while other runs start and stop.
    """
    _adopt_orphans()
    return sweep_leases(_REMOVERS)


def remove_own() -> SweepReport:
    """Remove all that the calling process still leases: for its end, when nothing of it should be there any more."""
    return release_own(_REMOVERS)


def _adopt_orphans() -> None:
    """Remove folders whose lease was lost: whoever makes a folder leases it first and releases it last."""
    found = [(place, path) for place in _PLACES.values() for path in place.folders()]
    # Only now, so that a folder made after its lease was looked for is never taken for an orphan.
    leased = {lease.id for lease in leases()}
    for place, path in found:
        if path.name.removeprefix(place.prefix) not in leased:
            _quietly(place.remove, path)


def _quietly(remove: Callable[[Path], None], path: Path) -> None:
    try:
        remove(path)
    except Exception:
        # A leftover that resists must not stop the run that swept; the next sweep tries again.
        return
