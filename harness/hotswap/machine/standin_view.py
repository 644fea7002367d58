"""What is seen of the stand-in guest from outside its Windows: processes, driver images, threads, files, minidumps."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

from hotswap.deadline import Deadline
from hotswap.errors import LabFault, UsageError
from hotswap.machine.qemu_folder import QemuFolder
from hotswap.machine.standin_control import EndWatch, GuestProcess, StandinControl

DRIVE_C = "/var/lib/hotswap/prefix/drive_c"
AGENT_FOLDER = f"{DRIVE_C}/hotswap"
AGENT_FILE = f"{AGENT_FOLDER}/hsagent.exe"
DRIVER_HOST = "winedevice.exe"
_AGENT_NAME = "hsagent"
_POST_MORTEM = b"--post-mortem"
_ASK_SECONDS = 20.0
_READ_SECONDS = 30.0
_READ_MOST = 64 << 20


class StandinView:
    """Of a machine with a control port, whose folder is `folder`."""

    folder: QemuFolder

    @property
    def control(self) -> StandinControl:
        """What stands outside Windows in the guest."""
        raise NotImplementedError

    def driver_host_processes(self) -> list[GuestProcess]:
        """The driver hosts (`winedevice.exe`): process ids and start times in the Linux guest."""
        return [process for process in self.processes() if process.name == DRIVER_HOST]

    def processes(self) -> list[GuestProcess]:
        """Every process of the Linux guest that runs now."""
        return self.control.processes(deadline=Deadline.after(_ASK_SECONDS))

    def mapped_images(self, pid: int) -> frozenset[Path]:
        """The `*.sys` files mapped into a process of the guest. Empty when it is gone."""
        found = self.control.mapped_files(pid, ".sys", deadline=Deadline.after(_ASK_SECONDS))
        return frozenset(Path(path) for path in found)

    def task_ids(self, pid: int) -> frozenset[int]:
        """The threads of a process of the guest. Empty when it is gone."""
        return self.control.task_ids(pid, deadline=Deadline.after(_ASK_SECONDS))

    def watch_process(self, process: GuestProcess) -> EndWatch:
        """Be told when a process of the guest ends."""
        return self.control.watch(process)

    def host_path(self, guest: str) -> Path:
        """A copy, made now, of a `C:\\...` file of the guest; a path without a file when it has none."""
        path = PureWindowsPath(guest.replace("/", "\\"))
        if path.drive.upper() != "C:":
            raise UsageError(f"{guest!r} is no path on drive C: of the guest")
        copy = self.folder.path.joinpath("files", *path.parts[1:])
        content = self._read("/".join((DRIVE_C, *path.parts[1:])))
        if content is not None:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)
        return copy

    def _read(self, path: str) -> bytes | None:
        try:
            return self.control.read(path, _READ_MOST, deadline=Deadline.after(_READ_SECONDS))
        except LabFault:
            return None

    def crash_dumps(self) -> list[Path]:
        """Minidumps of processes of the guest that faulted, oldest first, as copies here."""
        copies = []
        for name in self.control.files(AGENT_FOLDER, deadline=Deadline.after(_ASK_SECONDS)):
            if name.startswith("crash-") and name.endswith(".dmp"):
                copies.append(self.host_path(f"C:\\hotswap\\{name}"))
        return copies

    def stopped_agent(self) -> int | None:
        """The process id of an agent that a signal has stopped, so that it answers nothing; None: there is none."""
        for process in self.processes():
            if process.name.startswith(_AGENT_NAME):
                fields = (self._read(f"/proc/{process.pid}/stat") or b"").rpartition(b")")[2].split()
                if fields and fields[0] in (b"T", b"t"):
                    return process.pid
        return None

    def faulting(self) -> bool:
        """Whether a process of the guest has faulted and the post-mortem debugger is looking at it now."""
        for process in self.processes():
            if process.name.startswith(_AGENT_NAME):
                line = self._read(f"/proc/{process.pid}/cmdline")
                if line is not None and _POST_MORTEM in line:
                    return True
        return False
