"""Folders in which something is built: leased before they are made, and gone when what they held has its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hotswap.machine.lease import Lease, new_id
from hotswap.machine.storage import os_fault

BUILD_PREFIX = "build-"


def build_folder(home: Path, id: str) -> Path:
    """Where what comes to lie in `home` is built, by the lease's id."""
    return home / f"{BUILD_PREFIX}{id}"


@contextmanager
def building(kind: str, home: Path, remove: Callable[[Path], None], what: str, *, final: Path) -> Iterator[Path]:
    """The path of a folder that the caller makes, fills, and renames to `final`.

    `remove` ends what runs in it and deletes it, however the building ends; a file operation that fails becomes a
    LabFault that tells `what` was attempted.
    """
    lease = Lease.take(kind, new_id(), folder=str(final))
    path = build_folder(home, lease.id)
    try:
        yield path
    except OSError as error:
        raise os_fault(what, Path(error.filename or path), error) from error
    finally:
        remove(path)
        lease.release()
