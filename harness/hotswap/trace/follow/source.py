"""Where a growing trace is read from: a file of this computer, watched by inotify where there is one."""

from __future__ import annotations

import ctypes
import os
import select
import stat
import sys
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Protocol, Self

from hotswap.errors import LabFault, UsageError

_IN_MODIFY = 0x2
_IN_ATTRIB = 0x4
_IN_CLOSE_WRITE = 0x8
_IN_DELETE_SELF = 0x400
_IN_MOVE_SELF = 0x800
_IN_CLOEXEC = os.O_CLOEXEC if hasattr(os, "O_CLOEXEC") else 0
_IN_NONBLOCK = os.O_NONBLOCK if hasattr(os, "O_NONBLOCK") else 0
_POLL_SECONDS = 0.1
"""Where nobody tells that the file has changed."""


class TraceSource(Protocol):
    """Bytes that somebody else is writing."""

    @property
    def name(self) -> str:
        """For messages."""
        ...

    def size(self) -> int:
        """How many bytes there are now."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """What is there now, at most `size` bytes."""
        ...

    def gone(self) -> str | None:
        """None while this is what its name leads to, else what became of it: replaced, removed."""
        ...

    def wait(self, seconds: float) -> None:
        """Return when something may have changed, at the latest after this time."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class FileSource:
    """A file of this computer. Use `with`, or `close`."""

    def __init__(self, path: Path) -> None:
        """Raises UsageError for a file that cannot be read, and for what is no file."""
        self.path = path
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise UsageError(f"following {path}: it is no file")
            self._file = os.open(path, os.O_RDONLY | _IN_CLOEXEC)
        except OSError as error:
            raise UsageError(f"following {path}: {error.strerror or error}") from error
        self._watch = _Inotify.of(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def name(self) -> str:
        """As TraceSource says."""
        return str(self.path)

    def size(self) -> int:
        """As TraceSource says."""
        return os.fstat(self._file).st_size

    def read(self, offset: int, size: int) -> bytes:
        """As TraceSource says."""
        parts = []
        while size:
            try:
                part = os.pread(self._file, size, offset)
            except OSError as error:
                raise LabFault(f"following {self.path}: reading {size} bytes at {offset}: {error.strerror}") from error
            if not part:
                break
            parts.append(part)
            offset, size = offset + len(part), size - len(part)
        return b"".join(parts)

    def gone(self) -> str | None:
        """As TraceSource says."""
        try:
            now = self.path.stat()
        except OSError:
            return "it was removed"
        mine = os.fstat(self._file)
        return None if (now.st_dev, now.st_ino) == (mine.st_dev, mine.st_ino) else "another file took its place"

    def wait(self, seconds: float) -> None:
        """As TraceSource says."""
        if self._watch is None:
            Event().wait(min(seconds, _POLL_SECONDS))
        else:
            self._watch.wait(seconds)

    def close(self) -> None:
        """As TraceSource says. Harmless when repeated."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class _Inotify:
    """Tells of changes of one file (inotify(7), by the C library: Python has no module for it)."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def of(cls, path: Path) -> _Inotify | None:
        """None where there is no inotify, or no more of it."""
        if not sys.platform.startswith("linux"):
            return None
        library = ctypes.CDLL(None, use_errno=True)
        descriptor = library.inotify_init1(_IN_CLOEXEC | _IN_NONBLOCK)
        if descriptor < 0:
            return None
        mask = _IN_MODIFY | _IN_ATTRIB | _IN_CLOSE_WRITE | _IN_DELETE_SELF | _IN_MOVE_SELF
        if library.inotify_add_watch(descriptor, os.fsencode(path), mask) < 0:
            os.close(descriptor)
            return None
        return cls(descriptor)

    def wait(self, seconds: float) -> None:
        """What happened since the last wait ends it at once."""
        ready, _, _ = select.select([self._descriptor], [], [], seconds)
        if ready:
            os.read(self._descriptor, 1 << 16)

    def close(self) -> None:
        os.close(self._descriptor)
