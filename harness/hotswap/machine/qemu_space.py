"""The space that machines may take on this host's disk: each for itself, and all together."""

from __future__ import annotations

import os
from pathlib import Path

from hotswap.errors import LabFault, UsageError
from hotswap.machine.storage import MIB

OVERLAYS = "disk*.qcow2"
_ALL = "HOTSWAP_OVERLAY_MIB"
_ALL_MIB = 32768


def taken(folder: Path) -> int:
    """Bytes that the disks of the machine in this folder really take: a sparse file's size says nothing."""
    return sum(_blocks(path) for path in folder.glob(OVERLAYS))


def over_budget(folder: Path, budget_mib: int) -> str | None:
    """What is wrong with a machine whose disks have outgrown its budget; None: they have not."""
    used = taken(folder)
    if used <= budget_mib * MIB:
        return None
    return (
        f"its disks take {used / MIB:.0f} MiB here, more than its budget of {budget_mib} MiB; what writes so much in "
        "the guest? machine.overlay_mib of its profile is the budget"
    )


def require_room(home: Path) -> None:
    """LabFault when the disks of all machines below `home` take as much as they may."""
    used = sum(_blocks(path) for path in home.glob(f"*/{OVERLAYS}"))
    budget = _all_mib()
    if used >= budget * MIB:
        raise LabFault(
            f"no room for another QEMU machine: the disks of those in {home} take {used / MIB:.0f} MiB, the budget of "
            f"all is {budget} MiB; stop some (`hotswap machine list`), or set {_ALL} higher"
        )


def _all_mib() -> int:
    given = os.environ.get(_ALL, "")
    if not given:
        return _ALL_MIB
    if not given.isascii() or not given.isdigit():
        raise UsageError(f"{_ALL} is {given!r}; it is a whole number of MiB")
    return int(given)


def _blocks(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512
    except OSError:
        # A machine that ends at this moment.
        return 0
