"""Processes of this host as /proc shows them (proc(5)), named so that a reused id is noticed."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process id and when it started, in clock ticks since boot: together they name one process only."""

    pid: int
    started: int

    @classmethod
    def own(cls) -> ProcessId:
        """The calling process."""
        pid = os.getpid()
        started = start_time(pid)
        assert started is not None, "/proc shows the calling process"
        return cls(pid, started)

    @classmethod
    def of(cls, pid: int) -> ProcessId:
        """A child of the calling process that has not been waited for."""
        return cls(pid, start_time(pid) or 0)

    def alive(self) -> bool:
        """Whether this very process still exists and is no zombie."""
        facts = _stat(self.pid)
        return facts is not None and facts[1] == self.started and facts[0] not in "ZX"

    def kill(self) -> None:
        """SIGKILL to this very process; nothing when it is gone, never to a later one with its id."""
        self.send(signal.SIGKILL)

    def send(self, number: int) -> None:
        """As `kill`, any signal."""
        try:
            handle = os.pidfd_open(self.pid)
        except (ProcessLookupError, PermissionError):
            return
        try:
            # The handle pins the process, so a check after opening it cannot be overtaken by reuse of the id.
            if self.alive():
                signal.pidfd_send_signal(handle, number)
        except (ProcessLookupError, PermissionError):
            return
        finally:
            os.close(handle)


class PidWatch:
    """Waits for the end of one process of this computer that runs now."""

    def __init__(self, pid: int) -> None:
        self._pidfd = os.pidfd_open(pid)
        self._poll = select.poll()
        self._poll.register(self._pidfd, select.POLLIN)

    def ended_within(self, seconds: float) -> bool:
        """Wait for its end, this long at most; whether it has ended."""
        return bool(self._poll.poll(max(0.0, seconds) * 1000))

    def close(self) -> None:
        """Stop watching."""
        if self._pidfd >= 0:
            self._poll.unregister(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose something on disk is: a process, of this boot, in a namespace where its id means something."""

    process: ProcessId
    boot: str
    namespace: str

    @classmethod
    def own(cls) -> Owner:
        """The calling process."""
        return cls(ProcessId.own(), boot_id(), pid_namespace())

    @classmethod
    def of_json(cls, content: Mapping[str, Any]) -> Owner:
        """What `to_json` wrote. Raises KeyError or TypeError for anything else."""
        return cls(ProcessId(content["pid"], content["started"]), content["boot"], content["pid_namespace"])

    def to_json(self) -> dict[str, str | int]:
        """As members of a JSON object."""
        return {
            "pid": self.process.pid,
            "started": self.process.started,
            "boot": self.boot,
            "pid_namespace": self.namespace,
        }

    def is_dead(self) -> bool:
        """Whether it is surely gone: never true of one that lives, or whose process ids we cannot see."""
        if self.boot != boot_id():
            return True
        # A container that shares a folder with us has ids of its own.
        return self.namespace == pid_namespace() and not self.process.alive()


def _stat(task: int | str) -> tuple[str, int] | None:
    """State letter and start time of a process or thread, None when there is none."""
    try:
        text = (PROC / str(task) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    # The name, field 2, is in brackets and may itself hold brackets and blanks.
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])


def state_letter(pid: int) -> str | None:
    """What the kernel says of a process: R runs or wants to, S and D wait, T is stopped; None: there is none."""
    facts = _stat(pid)
    return facts[0] if facts else None


def processor_seconds(pid: int) -> float | None:
    """How long a process has run, all its threads together, in seconds; None when there is none."""
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot (field 22 of stat); None when there is no such process."""
    facts = _stat(pid)
    return facts[1] if facts else None


def running() -> list[ProcessId]:
    """All processes that run now, without zombies: a zombie holds nothing but its exit status."""
    found = []
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (facts := _stat(int(entry.name))) and facts[0] not in "ZX":
            found.append(ProcessId(int(entry.name), facts[1]))
    return found


def environment(pid: int) -> dict[bytes, bytes]:
    """The environment a process was started with; empty when it is gone or not ours to read."""
    try:
        raw = (PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return {}
    return dict(item.partition(b"=")[::2] for item in raw.split(b"\0") if item)


def command_name(pid: int) -> str:
    """The short name of a process, at most 15 bytes; empty when it is gone."""
    try:
        return (PROC / str(pid) / "comm").read_text(errors="replace").rstrip("\n")
    except OSError:
        return ""


def command_line(pid: int) -> str:
    """A process's arguments, joined by blanks; empty when it is gone."""
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def task_ids(pid: int) -> frozenset[int]:
    """The ids of the threads of a process that have not ended; empty when it is gone."""
    try:
        found = [int(entry.name) for entry in (PROC / str(pid) / "task").iterdir()]
    except OSError:
        return frozenset()
    # A process that nobody has waited for yet still lists its first thread, as a zombie.
    return frozenset(tid for tid in found if (facts := _stat(f"{pid}/task/{tid}")) and facts[0] not in "ZX")


def mapped_files(pid: int) -> frozenset[Path]:
    """The files mapped into a process, those already deleted included; empty when it is gone."""
    try:
        lines = (PROC / str(pid) / "maps").read_bytes().splitlines()
    except OSError:
        return frozenset()
    found = set()
    for line in lines:
        fields = line.split(None, 5)
        if len(fields) == 6 and fields[5].startswith(b"/"):
            found.add(Path(os.fsdecode(fields[5].removesuffix(b" (deleted)"))))
    return frozenset(found)


def boot_id() -> str:
    """Names this boot of this host."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def pid_namespace() -> str:
    """Names the namespace in which process ids mean something to us."""
    return str((PROC / "self/ns/pid").readlink())
