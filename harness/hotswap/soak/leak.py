"""Leaks on purpose, one a step, so that a soak is seen to find them. For tests of soaks only."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from mmap import mmap
from pathlib import Path
from threading import Event, Thread

from hotswap.machine.lease import Lease, new_id
from hotswap.machine.wine_prefix import MACHINE_KIND
from hotswap.paths import cache_home, runs_home

_BLOCK = 1 << 20


class Leak:
    """Loses one thing a step, and gives all of them back at its end."""

    KINDS = ("memory", "thread", "open-file", "process", "lease", "cache-file", "run-file")

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._ended = Event()
        self._undo: list[Callable[[], object]] = []

    def step(self) -> None:
        """Lose one more."""
        if self._kind == "memory":
            # Of its own pages, for the allocator may have some to spare; written to, or they were not resident.
            block = mmap(-1, _BLOCK)
            block.write(os.urandom(1) * _BLOCK)
            self._undo.append(block.close)
        elif self._kind == "thread":
            thread = Thread(target=self._ended.wait, daemon=True)
            thread.start()
            self._undo.append(thread.join)
        elif self._kind == "open-file":
            number = os.open(os.devnull, os.O_RDONLY)
            self._undo.append(lambda: os.close(number))
        elif self._kind == "process":
            child = subprocess.Popen(["sleep", "600"])
            self._undo += [child.wait, child.kill]
        elif self._kind == "lease":
            self._undo.append(Lease.take(MACHINE_KIND, new_id()).release)
        else:
            home = cache_home() if self._kind == "cache-file" else runs_home()
            self._file(home / f"leak-{new_id()}")

    def _file(self, path: Path) -> None:
        path.touch()
        self._undo.append(lambda: path.unlink(missing_ok=True))

    def end(self) -> None:
        """Give all back."""
        self._ended.set()
        while self._undo:
            self._undo.pop()()
