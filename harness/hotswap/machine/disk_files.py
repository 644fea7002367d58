"""Files out of the disk of a guest that cannot be asked: an ext4 file system in a qcow2 file, without a mount.

The disk is copied flat (sparse) first, over all the overlays it consists of, and the journal of the file system is
replayed in the copy, as the next boot would do it: what the guest had committed is there; the disk itself stays as it
is.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hotswap.deadline import Deadline
from hotswap.errors import DeadlineExpired, LabFault
from hotswap.machine.lease import new_id
from hotswap.machine.storage import MIB, require_space

_SPARE_MIB = 512
# e2fsck: 0 is clean, 1 means that it corrected something: the journal.
_CORRECTED = (0, 1)


@dataclass(frozen=True, slots=True)
class DiskFile:
    """A file in a folder of the guest's disk."""

    name: str
    size: int


class FlatDisk:
    """The copy. Paths are those of the guest's file system."""

    def __init__(self, image: Path) -> None:
        self._image = image

    def files(self, folder: str, deadline: Deadline) -> list[DiskFile]:
        """The plain files of a folder; empty when there is none of that name."""
        told = _run(["debugfs", "-R", f"ls -p {_quoted(folder)}", str(self._image)], deadline)
        found = []
        for line in told.splitlines():
            # /inode/mode/owner/group/name/size/
            fields = line.split("/")
            if len(fields) >= 7 and fields[2].startswith("10"):
                found.append(DiskFile(fields[5], int(fields[6] or 0)))
        return found

    def copy(self, path: str, target: Path, deadline: Deadline) -> None:
        """Copy a file out. LabFault with debugfs' own words when there is none."""
        _run(["debugfs", "-R", f"dump {_quoted(path)} {_quoted(str(target))}", str(self._image)], deadline)
        if not target.exists():
            raise LabFault(f"reading {path} out of the guest's disk: there is no such file")


@contextmanager
def flat_disk(disk: Path, work: Path, deadline: Deadline) -> Iterator[FlatDisk]:
    """A copy of a qcow2 disk in `work`, gone at the end. Of a disk that QEMU has open, it must not be running.

    LabFault when it cannot be had: no space, no time, or no ext4 file system.
    """
    allocated = sum(path.stat().st_blocks for path in _chain(disk, deadline)) * 512 // MIB
    require_space(work, allocated + _SPARE_MIB, "a copy of the guest's disk")
    image = work / f"flat-{new_id()}.img"
    try:
        # Whoever holds it has stopped: there is nothing to lock out.
        _run(["qemu-img", "convert", "-U", "-q", "-S", "4k", "-O", "raw", str(disk), str(image)], deadline)
        _run(["e2fsck", "-y", "-E", "journal_only", str(image)], deadline, good=_CORRECTED)
        yield FlatDisk(image)
    finally:
        image.unlink(missing_ok=True)


def _chain(disk: Path, deadline: Deadline) -> list[Path]:
    told = _run(["qemu-img", "info", "-U", "--backing-chain", str(disk)], deadline)
    return [Path(line.removeprefix("image: ")) for line in told.splitlines() if line.startswith("image: ")]


def _quoted(path: str) -> str:
    """A name for debugfs. One that it could not be given is refused."""
    if any(letter in path for letter in '"\n') or not PurePosixPath(path).is_absolute():
        raise LabFault(f"reading {path!r} out of the guest's disk: debugfs cannot be given that name")
    return f'"{path}"'


def _run(argv: Sequence[str], deadline: Deadline, good: Sequence[int] = (0,)) -> str:
    environment = {"PATH": f"{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/sbin:/sbin", "LC_ALL": "C"}
    what = f"reading the guest's disk: `{' '.join(argv[:2])}`"
    try:
        done = subprocess.run(
            argv,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=max(deadline.remaining, 0.001),
        )
    except FileNotFoundError as error:
        raise LabFault(f"{what}: it is not there: install the Debian packages `qemu-utils` and `e2fsprogs`") from error
    except subprocess.TimeoutExpired as error:
        raise DeadlineExpired(f"{what} did not end in time") from error
    if done.returncode not in good:
        words = " | ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise LabFault(f"{what} ended with {done.returncode}: {words}")
    return done.stdout
