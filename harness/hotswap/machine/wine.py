"""Machine `wine`: the real driver binary in Wine's driver host, in a private clone of a template prefix."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from hotswap.deadline import Deadline
from hotswap.errors import DeadlineExpired, LabFault, UsageError
from hotswap.machine.base import STOP_SECONDS, Machine
from hotswap.machine.lease import Lease, new_id
from hotswap.machine.proc import PidWatch, ProcessId, command_line, task_ids
from hotswap.machine.profile import MachineProfile, load_profile
from hotswap.machine.storage import os_fault
from hotswap.machine.sweep import sweep
from hotswap.machine.wine_evidence import collect
from hotswap.machine.wine_folder import PrefixFolder
from hotswap.machine.wine_install import WineInstall, find_wine
from hotswap.machine.wine_prefix import MACHINE_KIND, clone_from_template, clones_home
from hotswap.machine.wine_process import (
    driver_hosts,
    kill_prefix,
    mapped_images,
    prefix_processes,
    remove_prefix_folder,
)
from hotswap.transport.base import Transport
from hotswap.transport.pipe import PipeTransport

AGENT_FOLDER = "hotswap"
# As the profile registers the agent with AeDebug.
POST_MORTEM = "--post-mortem"
# Kept back from a stop's deadline, or added to it, so that force always gets its turn.
_FORCE_SECONDS = 3.0
_DIAGNOSE_SECONDS = 5.0
_NO_PLACE = "failed to map the shared user data"


class WineMachine(Machine):
    """One private prefix with its own wineserver. Everything of it lies in one folder and ends with `stop`."""

    name = "wine"
    shares_files = True

    def __init__(self, profile: MachineProfile | None = None, progress: Callable[[str], None] | None = None) -> None:
        """UsageError for a profile of another kind, LabFault when Wine is not installed. Makes nothing yet."""
        self.profile = profile or load_profile("wine")
        if self.profile.kind != "wine":
            raise UsageError(f"machine {self.profile.name!r} is of kind {self.profile.kind!r}, not 'wine'")
        self.wine: WineInstall = find_wine(self.profile)
        self.ntoskrnl = self.wine.ntoskrnl
        self.id = new_id()
        self.folder = PrefixFolder(clones_home() / self.id)
        self._progress = progress or (lambda _message: None)
        self._lease: Lease | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._children: list[subprocess.Popen[bytes]] = []
        self._ended: str | None = "not started"

    @property
    def environment(self) -> dict[str, str]:
        """The whole environment of the guest's processes."""
        return self.folder.environment(self.profile, self.wine)

    def start(self, deadline: Deadline) -> None:
        """Clone the template (built first when there is none), start the wineserver and Wine's services."""
        if self._ended != "not started":
            raise LabFault(f"starting machine {self.id}: a machine is started only once")
        sweep()
        self._lease = Lease.take(MACHINE_KIND, self.id, folder=str(self.folder.path))
        try:
            clone_from_template(self.profile, self.wine, self.folder, deadline, self._progress)
            self._ended = None
            self._start_server(deadline)
            self._boot(deadline)
        except BaseException:
            # Ctrl-C included: nothing runs and nothing lies about when start has failed.
            self.stop(Deadline.after(STOP_SECONDS))
            raise

    def _start_server(self, deadline: Deadline) -> None:
        self._server = self._spawn([str(self.wine.server), "-f", "-p"], "wineserver")

        def listening() -> bool:
            server = self.folder.server_folder()
            return server is not None and (server / "socket").exists()

        # A client that finds no socket starts a wineserver of its own, without -p.
        deadline.wait_for(listening, "the wineserver's socket", alive=self.alive, interval=0.005)

    def _boot(self, deadline: Deadline) -> None:
        for again in (True, True, False):
            boot = self._spawn(self.wine.command("wineboot"), "wineboot")
            try:
                code = boot.wait(deadline.remaining)
            except subprocess.TimeoutExpired as error:
                raise DeadlineExpired("starting Wine's services: wineboot did not end in time") from error
            if code == 0:
                return
            words = self._tail("wineboot")
            # Where its layout is not fixed (wine_install.py), Wine's page may be taken. Nothing of Wine had run yet.
            if not (again and _NO_PLACE in words):
                raise LabFault(f"starting Wine's services: wineboot ended with {code}; it wrote {words}")

    def _spawn(self, argv: list[str], log: str) -> subprocess.Popen[bytes]:
        """Start a process of the prefix: its own session (Ctrl-C is ours to handle), standard error to a log."""
        try:
            with (self.folder.logs / f"{log}.log").open("ab") as errors:
                child = subprocess.Popen(
                    argv,
                    env=self.environment,
                    cwd=self.folder.path,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    start_new_session=True,
                )
        except OSError as error:
            raise os_fault(f"starting {argv[0]}", self.folder.path, error) from error
        self._children.append(child)
        return child

    def _tail(self, log: str) -> str:
        lines = (self.folder.logs / f"{log}.log").read_text(errors="replace").splitlines()[-3:]
        return repr(" | ".join(lines)) if lines else "nothing"

    def connect_agent(self, agent_exe: Path, deadline: Deadline) -> Transport:
        """Copy the agent to `C:\\hotswap` and run it with its standard streams as the byte stream."""
        if (gone := self.alive()) is not None:
            raise LabFault(f"starting the agent in machine {self.id}: {gone}")
        if not agent_exe.is_file():
            raise LabFault(
                f"starting the agent in machine {self.id}: {agent_exe} does not exist; build the drivers first"
            )
        target = self.folder.prefix / "drive_c" / AGENT_FOLDER / agent_exe.name
        try:
            target.parent.mkdir(exist_ok=True)
            # Renamed into place: written over, the image of an agent that runs already would change below it.
            partial = target.with_name(f".{target.name}.{new_id()}.tmp")
            shutil.copyfile(agent_exe, partial)
            partial.replace(target)
            with (self.folder.logs / "agent.log").open("ab") as errors:
                child = subprocess.Popen(
                    self.wine.command(f"C:\\{AGENT_FOLDER}\\{agent_exe.name}", "--pipe"),
                    env=self.environment,
                    cwd=self.folder.path,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    start_new_session=True,
                    bufsize=0,
                )
        except OSError as error:
            raise os_fault("putting the agent into the guest", target, error) from error
        self._children.append(child)
        return PipeTransport(child, self.folder.logs / "agent.log")

    def alive(self) -> str | None:
        """None while the wineserver runs; the first cause of its end otherwise."""
        if self._ended is None and self._server is not None and (code := self._server.poll()) is not None:
            self._ended = f"the wineserver of machine {self.id} ended with {code}"
        return self._ended

    def guest_path(self, host: Path) -> str:
        """`C:\\...` for a file of the machine, `Z:\\...` for any other file of this host."""
        path = host.resolve()
        drive_c = (self.folder.prefix / "drive_c").resolve()
        if path.is_relative_to(drive_c):
            return "C:\\" + "\\".join(path.relative_to(drive_c).parts)
        for part in path.parts[1:]:
            if "\\" in part or ":" in part:
                raise UsageError(f"a guest cannot name {host}: {part!r} holds a backslash or a colon")
        return "Z:\\" + "\\".join(path.parts[1:])

    def host_path(self, guest: str) -> Path:
        """Where a `C:\\...` path of the guest lies on this host; UsageError for other drives."""
        drive, _, rest = guest.replace("/", "\\").partition(":\\")
        if drive.upper() != "C":
            raise UsageError(f"{guest!r} is no path on drive C: of the guest")
        return self.folder.prefix.joinpath("drive_c", *rest.split("\\"))

    def crash_dumps(self) -> list[Path]:
        """Minidumps of processes of the guest that faulted, oldest first (the agent is its post-mortem debugger)."""
        dumps = (self.folder.prefix / "drive_c" / AGENT_FOLDER).glob("crash-*.dmp")
        return sorted(dumps, key=lambda path: path.stat().st_mtime_ns if path.exists() else 0)

    def live_dump(self, image: str, deadline: Deadline) -> bytes:
        """A minidump of the driver host into which this image is mapped; it goes on. Raises LabFault."""
        folder = self.folder.prefix / "drive_c" / AGENT_FOLDER
        what = f"dumping the driver host of {image}"
        command = self.wine.command(f"C:\\{AGENT_FOLDER}\\hsagent.exe", "--dump", image)
        try:
            done = subprocess.run(
                command,
                env=self.environment,
                cwd=self.folder.path,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                start_new_session=True,
                timeout=deadline.remaining,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise LabFault(f"{what}: {error}") from error
        dumps = [(path, path.read_bytes()) for path in folder.glob("live-*.dmp")]
        for path, _content in dumps:
            path.unlink()
        if done.returncode != 0 or len(dumps) != 1:
            raise LabFault(f"{what}: hsagent ended with {done.returncode}: {done.stderr.decode(errors='replace')}")
        return dumps[0][1]

    def faulting(self) -> bool:
        """Whether a process of the guest has faulted and the post-mortem debugger is looking at it now."""
        return any(POST_MORTEM in command_line(process.pid) for process in self.processes())

    def driver_host_processes(self) -> list[ProcessId]:
        """This prefix's driver hosts (`winedevice.exe`): process ids and start times on this host."""
        return driver_hosts(self.folder.prefix)

    def watch_process(self, process: ProcessId) -> PidWatch:
        """Be told when a process of this prefix ends."""
        return PidWatch(process.pid)

    def mapped_images(self, pid: int) -> frozenset[Path]:
        """The `*.sys` files mapped into a process, from outside: /proc/PID/maps. Empty when it is gone."""
        return mapped_images(pid)

    def task_ids(self, pid: int) -> frozenset[int]:
        """The threads of a process, from outside: /proc/PID/task. Empty when it is gone."""
        return task_ids(pid)

    def processes(self) -> list[ProcessId]:
        """Every process of this prefix that runs now."""
        return prefix_processes(self.folder.prefix)

    def diagnose(self, folder: Path, deadline: Deadline | None = None) -> list[Path]:
        """Logs, minidumps, processes with threads, maps and wait channels, services as the registry has them."""
        return collect(
            folder,
            self.folder,
            verdict=self.alive,
            dumps=self.crash_dumps,
            query=self.wine.command("reg", "query", r"HKLM\System\CurrentControlSet\Services", "/s"),
            environment=self.environment,
            deadline=deadline or Deadline.after(_DIAGNOSE_SECONDS),
        )

    def kill(self) -> None:
        """SIGKILL to every process of the prefix."""
        if self._ended is None:
            self._ended = f"machine {self.id} was killed"
        kill_prefix(self.folder.prefix, Deadline.after(STOP_SECONDS))
        self._reap()

    def stop(self, deadline: Deadline) -> None:
        """As `wineserver -k` does, then SIGKILL; then nothing of the prefix runs, and its folder and lease are gone."""
        if self._lease is None:
            self._ended = "stopped"
            return
        if self.alive() is None:
            self._stop_orderly(deadline.within(deadline.remaining, reserve=_FORCE_SECONDS))
        self._ended = "stopped"
        try:
            remove_prefix_folder(self.folder.path, Deadline.after(max(deadline.remaining, _FORCE_SECONDS)))
        except OSError as error:
            raise os_fault("removing the machine's folder", self.folder.path, error) from error
        finally:
            self._reap()
        self._lease.release()
        self._lease = None

    def _stop_orderly(self, deadline: Deadline) -> None:
        """What `wineserver -k` does: on SIGINT the server ends all its clients and writes the registry."""
        if self._server is None:
            return
        self._server.send_signal(signal.SIGINT)
        # Should it not end in time, force comes next.
        with contextlib.suppress(DeadlineExpired, subprocess.TimeoutExpired):
            self._server.wait(deadline.remaining)
            deadline.wait_for(lambda: not self.processes(), "the end of the guest", interval=0.005)

    def _reap(self) -> None:
        for child in self._children:
            # Killed already; a child that cannot be killed has been reported by then.
            child.poll()
