"""What can be seen of a driver host from outside the guest: on this computer, or on the Linux below Windows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from hotswap.deadline import Deadline
from hotswap.machine.proc import PidWatch


class HostProcess(Protocol):
    """A process where driver hosts run: its id and start time there name it."""

    @property
    def pid(self) -> int:
        """Its id."""
        ...

    @property
    def started(self) -> int:
        """When it started, in clock ticks."""
        ...


class ProcessWatch(Protocol):
    """Waits for the end of one process."""

    def ended_within(self, seconds: float) -> bool:
        """Wait for its end, this long at most; whether it has ended."""
        ...

    def close(self) -> None:
        """Stop watching."""
        ...


@runtime_checkable
class OutsideView(Protocol):
    """A machine whose driver host can be seen from outside Windows."""

    def driver_host_processes(self) -> Sequence[HostProcess]:
        """Every process that hosts drivers."""
        ...

    def watch_process(self, process: Any) -> ProcessWatch:
        """Watch one of them."""
        ...

    def mapped_images(self, pid: int) -> frozenset[Path]:
        """The `*.sys` files mapped into it."""
        ...

    def task_ids(self, pid: int) -> frozenset[int]:
        """Its threads."""
        ...


@runtime_checkable
class GuestFiles(Protocol):
    """A machine whose files can be read without the agent."""

    def host_path(self, guest: str) -> Path:
        """Where a guest's file lies here, or a copy of it that is made now."""
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


@runtime_checkable
class LiveDumps(Protocol):
    """A machine that can take a minidump of a driver host that lives."""

    def live_dump(self, image: str, deadline: Deadline) -> bytes:
        """Of the process that this driver image is mapped into; it goes on. Raises LabFault."""
        ...


class DriverHostWatch:
    """Watches the process that hosts one driver: waits end at once when it dies."""

    def __init__(self, process: HostProcess, watch: ProcessWatch | None = None) -> None:
        """`watch` is how the machine tells of its end; None: it is a process of this computer."""
        self.process = process
        self._watch = watch or PidWatch(process.pid)

    @classmethod
    def find(cls, machine: OutsideView, image: str) -> DriverHostWatch | None:
        """The process into which this driver image is mapped."""
        for process in machine.driver_host_processes():
            if any(path.name.lower() == image.lower() for path in machine.mapped_images(process.pid)):
                return cls(process, machine.watch_process(process))
        return None

    def ended_within(self, seconds: float) -> bool:
        """Wait for its end, this long at most; whether it has ended."""
        return self._watch.ended_within(seconds)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return not self.ended_within(0)

    def close(self) -> None:
        """Stop watching."""
        self._watch.close()
