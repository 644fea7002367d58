"""Wine's processes as this host sees them: which belong to a prefix, and how to end them."""

from __future__ import annotations

import os
from pathlib import Path

from hotswap.deadline import Deadline
from hotswap.errors import DeadlineExpired, LabFault
from hotswap.machine.proc import ProcessId, command_name, environment, mapped_files, running
from hotswap.machine.storage import remove_tree
from hotswap.machine.wine_folder import PrefixFolder

DRIVER_HOST = "winedevice.exe"
_KILL_SECONDS = 10.0


def prefix_processes(prefix: Path) -> list[ProcessId]:
    """The processes that run in a prefix now, its wineserver included, by the environment they were started with."""
    wanted = os.path.realpath(os.fsencode(prefix))
    return [process for process in running() if _prefix_of(process) == wanted]


def driver_hosts(prefix: Path) -> list[ProcessId]:
    """The driver hosts of a prefix: Wine runs kernel drivers in them."""
    return [process for process in prefix_processes(prefix) if command_name(process.pid) == DRIVER_HOST]


def _prefix_of(process: ProcessId) -> bytes | None:
    prefix = environment(process.pid).get(b"WINEPREFIX")
    return os.path.realpath(prefix) if prefix else None


def mapped_images(pid: int) -> frozenset[Path]:
    """The driver images (`*.sys`) mapped into a process, as paths on this host."""
    return frozenset(path for path in mapped_files(pid) if path.suffix.lower() == ".sys")


def kill_prefix(prefix: Path, deadline: Deadline) -> None:
    """SIGKILL everything that runs in a prefix until nothing does. LabFault that names what resists."""
    left: list[ProcessId] = []

    def none_left() -> bool:
        # Again and again: a process may have started another between the look and the kill.
        left[:] = prefix_processes(prefix)
        for process in left:
            process.kill()
        return not left

    try:
        deadline.wait_for(none_left, f"the end of the processes of {prefix}", interval=0.01)
    except DeadlineExpired as error:
        names = ", ".join(f"{process.pid} ({command_name(process.pid)})" for process in left)
        raise LabFault(f"killing the processes of {prefix}: still running: {names}") from error


def remove_prefix_folder(path: Path, deadline: Deadline | None = None) -> None:
    """End all that runs in a prefix folder and delete it. May be repeated."""
    folder = PrefixFolder(path)
    kill_prefix(folder.prefix, deadline or Deadline.after(_KILL_SECONDS))
    server = folder.server_folder()
    remove_tree(path)
    if server is not None and not server.is_relative_to(path):
        remove_tree(server)
