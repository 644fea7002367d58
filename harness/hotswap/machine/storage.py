"""Folders that appear whole or not at all, and disk errors told in one line."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from hotswap.errors import LabFault

MIB = 1 << 20


def os_fault(doing: str, path: Path, error: OSError) -> LabFault:
    """The LabFault for a failed file operation: what was attempted, on what, what came back, what to do."""
    code = errno.errorcode.get(error.errno or 0, "EIO")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        advice = "free some space, or set HOTSWAP_CACHE to a folder on another disk"
    else:
        advice = "make it writable, or set HOTSWAP_CACHE to a folder that is"
    return LabFault(f"{doing} failed on {path}: {error.strerror} ({code}); {advice}")


def make_folder(path: Path, what: str) -> Path:
    """Create a folder with its parents; LabFault when it cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise os_fault(f"creating {what}", path, error) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise os_fault(f"using {what}", path, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
    return path


def require_space(path: Path, mib: int, what: str) -> None:
    """LabFault when the disk of `path` has less than `mib` MiB left."""
    free = shutil.disk_usage(path).free // MIB
    if free < mib:
        raise LabFault(
            f"no disk space for {what}: {free} MiB free on the disk of {path}, {mib} MiB needed; "
            "free some space, or set HOTSWAP_CACHE to a folder on another disk"
        )


def remove_tree(path: Path) -> None:
    """Delete a folder with all it holds; nothing when it is not there. OSError when something resists."""
    # What other threads or processes delete at the same time is as good as deleted by us.
    shutil.rmtree(path, onerror=_ignore_missing)


def _ignore_missing(function: object, path: str, info: tuple[type[BaseException], BaseException, object]) -> None:
    if not isinstance(info[1], FileNotFoundError):
        raise info[1]
