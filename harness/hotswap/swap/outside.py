"""What can be seen of a driver host from outside the guest, where the guest's host computer is this one."""

from __future__ import annotations

import os
import select
from pathlib import Path
from typing import Protocol, runtime_checkable

from hotswap.machine.proc import ProcessId


@runtime_checkable
class OutsideView(Protocol):
    """A machine whose driver host is a process of this computer."""

    def driver_host_processes(self) -> list[ProcessId]:
        """Every process that hosts drivers."""
        ...

    def mapped_images(self, pid: int) -> frozenset[Path]:
        """The `*.sys` files mapped into it."""
        ...

    def task_ids(self, pid: int) -> frozenset[int]:
        """Its threads."""
        ...


@runtime_checkable
class GuestFiles(Protocol):
    """A machine whose files lie on this computer."""

    def host_path(self, guest: str) -> Path:
        """Where a guest's file lies here."""
        ...


@runtime_checkable
class CrashDumps(Protocol):
    """A machine whose guest leaves a minidump when a process faults."""

    def crash_dumps(self) -> list[Path]:
        """Them, oldest first."""
        ...

    def faulting(self) -> bool:
        """Whether one is being written."""
        ...


class DriverHostWatch:
    """Watches the process that hosts one driver: waits end at once when it dies."""

    def __init__(self, process: ProcessId) -> None:
        self.process = process
        self._pidfd = os.pidfd_open(process.pid)
        self._poll = select.poll()
        self._poll.register(self._pidfd, select.POLLIN)

    @classmethod
    def find(cls, machine: OutsideView, image: str) -> DriverHostWatch | None:
        """The process into which this driver image is mapped."""
        for process in machine.driver_host_processes():
            if any(path.name.lower() == image.lower() for path in machine.mapped_images(process.pid)):
                return cls(process)
        return None

    def ended_within(self, seconds: float) -> bool:
        """Wait for its end, this long at most; whether it has ended."""
        return bool(self._poll.poll(max(0.0, seconds) * 1000))

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return not self.ended_within(0)

    def close(self) -> None:
        """Stop watching."""
        if self._pidfd >= 0:
            self._poll.unregister(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
