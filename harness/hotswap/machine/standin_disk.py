"""An ext4 file system out of a folder, the same bytes for the same content: no mount, no root."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path

from hotswap.deadline import Deadline
from hotswap.errors import DeadlineExpired, LabFault
from hotswap.machine.storage import MIB

_NAMES = uuid.UUID("5c52f0b4-4d0a-4d0e-9b8e-2f4c3f1a7e11")
_FREE_MIB = 384
_INODES_FREE = 4096


def make_disk(tree: Path, disk: Path, epoch: int, deadline: Deadline, *, dated: Sequence[str] = ()) -> None:
    """Write `tree` into a new file system in `disk`, with room for what a guest adds. Sparse.

    Owners and all times are set afterwards: a folder made twice gives the same bytes. Files named in
    `dated` keep the time of their last change.
    """
    entries = [tree, *tree.rglob("*")]
    size = sum({entry.lstat().st_ino: entry.lstat().st_size for entry in entries}.values())
    blocks = (size // MIB + len(entries) * 4 // 1024 + _FREE_MIB) * 256
    name = uuid.uuid5(_NAMES, "standin")
    environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC", "E2FSPROGS_FAKE_TIME": str(epoch)}
    options = [
        *("-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-m", "0", "-N", str(len(entries) + _INODES_FREE)),
        *("-U", str(name), "-L", "standin", "-E", f"hash_seed={name},root_owner=0:0,lazy_itable_init=0,nodiscard"),
        *("-O", "^resize_inode,^metadata_csum,^orphan_file", "-J", "size=8"),
    ]
    disk.unlink(missing_ok=True)
    _run(["mke2fs", *options, "-d", str(tree), str(disk), str(blocks)], environment, deadline)
    script = "".join(
        f"sif <{inode}> {field} {value}\n"
        for inode in _inodes(disk, environment, deadline)
        for field, value in (
            *((time, f"@{epoch}") for time in ("atime", "mtime", "ctime", "crtime")), ("uid", "0"), ("gid", "0"),
        )
    )  # fmt: skip
    script += "".join(f"sif /{name} mtime @{int((tree / name).stat().st_mtime)}\n" for name in dated)
    _run(["debugfs", "-w", "-f", "-", str(disk)], environment, deadline, script)


def _inodes(disk: Path, environment: dict[str, str], deadline: Deadline) -> list[int]:
    """The inodes that are in use, by the file system's own list."""
    told = _run(["dumpe2fs", str(disk)], environment, deadline)
    count = int(re.search(r"Inode count:\s+([0-9]+)", told)[1])  # type: ignore[index]
    free: set[int] = set()
    for line in re.findall(r"Free inodes: ([0-9, -]+)", told):
        for part in line.split(","):
            first, _, last = part.strip().partition("-")
            if first:
                free |= set(range(int(first), int(last or first) + 1))
    return [2, *(inode for inode in range(11, count + 1) if inode not in free)]


def _run(argv: list[str], environment: dict[str, str], deadline: Deadline, text: str | None = None) -> str:
    try:
        done = subprocess.run(
            argv,
            env={**environment, "PATH": f"{environment.get('PATH', '')}:/usr/sbin:/sbin"},
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            timeout=deadline.remaining,
        )
    except FileNotFoundError as error:
        raise LabFault(
            f"building the stand-in guest: {argv[0]} is not there: install the Debian package `e2fsprogs`"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise DeadlineExpired(f"building the stand-in guest: `{argv[0]}` did not end in time") from error
    if done.returncode != 0:
        words = " | ".join(done.stderr.strip().splitlines()[-3:])
        raise LabFault(f"building the stand-in guest: `{argv[0]}` ended with {done.returncode}: {words}")
    return done.stdout


def file_hash(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
