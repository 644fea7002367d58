"""Opening the file of a trace."""

from __future__ import annotations

import mmap
import os
import stat
from pathlib import Path

from hotswap.errors import UsageError
from hotswap.trace.buffers import BufferFile, Bytes, PlainFile
from hotswap.trace.compressed import CompressedFile, second_is_compressed
from hotswap.trace.modes import MODE_COMPRESSED


def map_file(path: Path) -> Bytes:
    """The content of a file. It must not be cut while it is read: who follows a file that is written reads it himself.

    Raises UsageError for a file that cannot be read.
    """
    try:
        with path.open("rb") as stream:
            status = os.fstat(stream.fileno())
            if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
                raise UsageError(f"reading {path}: it is a device, not a file")
            if not stat.S_ISREG(status.st_mode) or not status.st_size:
                return stream.read()
            return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise UsageError(f"reading {path}: {error.strerror or error}") from error


def buffer_file(data: Bytes, buffer_size: int, mode: int) -> BufferFile:
    """The buffers of a file, whose log-file header says this size and mode."""
    if mode & MODE_COMPRESSED or second_is_compressed(data):
        return CompressedFile(data)
    return PlainFile(data, buffer_size)
