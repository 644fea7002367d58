"""A lock between processes: one makes what several need, the others wait for it and say so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from hotswap.deadline import Deadline
from hotswap.errors import DeadlineExpired
from hotswap.machine.storage import os_fault

_AT_ONCE_SECONDS = 0.2


@contextmanager
def locked(path: Path, what: str, waiting: str, deadline: Deadline, progress: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock file `path` for `what`; `waiting` is said when another process holds it.

    DeadlineExpired when it is not free in time, LabFault when the file cannot be made.
    """
    lock = FileLock(path)
    try:
        try:
            lock.acquire(timeout=_AT_ONCE_SECONDS)
        except Timeout:
            progress(waiting)
            lock.acquire(timeout=deadline.remaining, poll_interval=0.05)
    except Timeout as error:
        raise DeadlineExpired(f"waiting for the lock of {what}, {path}: another process still holds it") from error
    except OSError as error:
        raise os_fault(f"locking {what}", path, error) from error
    try:
        yield
    finally:
        lock.release()
