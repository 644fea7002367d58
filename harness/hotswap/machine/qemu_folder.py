"""The folder of one QEMU machine, the processes that belong to it, and how both end."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hotswap.deadline import Deadline
from hotswap.errors import DeadlineExpired, LabFault
from hotswap.machine.proc import ProcessId, command_name, environment, running
from hotswap.machine.storage import os_fault, remove_tree
from hotswap.paths import cache_home

MACHINE_KIND = "qemu"
# In the environment of QEMU and all that serves it; so they are found whatever became of who started them.
MARK = "HOTSWAP_QEMU_MACHINE"
_KILL_SECONDS = 10.0


def machines_home() -> Path:
    """Where machines lie, each in a folder named by its lease."""
    return cache_home() / "qemu" / "machines"


def templates_home() -> Path:
    """Where templates lie: booted guests that machines are forked from."""
    return cache_home() / "qemu" / "templates"


@dataclass(frozen=True, slots=True)
class QemuFolder:
    """Everything of one machine: removing it leaves nothing behind. QEMU runs in it, so its paths are short."""

    path: Path

    @property
    def disk(self) -> Path:
        """The machine's own disk, an overlay."""
        return self.path / "disk.qcow2"

    @property
    def ram(self) -> Path:
        """The guest's memory, of a machine that becomes a template."""
        return self.path / "ram"

    @property
    def state(self) -> Path:
        """The devices' state beside it."""
        return self.path / "state"

    @property
    def control(self) -> Path:
        """QMP's socket."""
        return self.path / "qmp.sock"

    @property
    def log(self) -> Path:
        """What QEMU wrote."""
        return self.path / "qemu.log"

    @property
    def console(self) -> Path:
        """What the guest wrote to its first serial port."""
        return self.path / "console.log"

    @property
    def debug(self) -> Path:
        """What firmware and boot code wrote to the debug port."""
        return self.path / "debug.log"

    @property
    def events(self) -> Path:
        """QMP's events, one a line."""
        return self.path / "qmp-events.jsonl"

    def spawn(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start a process of this machine in its folder, found by MARK whatever becomes of us; its words go to `log`.

        LabFault when it cannot be started.
        """
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "HOME": str(self.path), MARK: str(self.path)}
        try:
            with self.log.open("ab") as log:
                return subprocess.Popen(
                    argv,
                    env=environment,
                    cwd=self.path,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        except OSError as error:
            raise os_fault(f"starting {argv[0]}", self.path, error) from error

    def processes(self) -> list[ProcessId]:
        """What of this machine runs now."""
        wanted = os.fsencode(self.path)
        return [process for process in running() if environment(process.pid).get(MARK.encode()) == wanted]

    def kill(self, deadline: Deadline) -> None:
        """SIGKILL to all of it until nothing runs. LabFault that names what resists."""
        left: list[ProcessId] = []

        def none_left() -> bool:
            left[:] = self.processes()
            for process in left:
                process.kill()
            return not left

        try:
            deadline.wait_for(none_left, f"the end of machine {self.path.name}", interval=0.005)
        except DeadlineExpired as error:
            names = ", ".join(f"{process.pid} ({command_name(process.pid)})" for process in left)
            raise LabFault(f"killing machine {self.path.name}: still running: {names}") from error


def remove_machine(path: Path, deadline: Deadline | None = None) -> None:
    """End all of a machine and delete its folder. May be repeated."""
    QemuFolder(path).kill(deadline or Deadline.after(_KILL_SECONDS))
    remove_tree(path)
