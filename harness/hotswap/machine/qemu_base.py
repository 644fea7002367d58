"""One guest under QEMU: its folder, its process and its end; what is in the guest is a matter of the subclass."""

from __future__ import annotations

import shutil
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import NoReturn
from weakref import WeakSet

from hotswap.deadline import Deadline
from hotswap.driver.deploy import DeployAgent
from hotswap.errors import LabFault, UsageError
from hotswap.machine.base import STOP_SECONDS
from hotswap.machine.clock_check import (
    OFFSET_MS,
    PATIENCE_SECONDS,
    ClockCheck,
    ClockReading,
    checked_clock,
    later_clock_problem,
)
from hotswap.machine.lease import Lease, new_id
from hotswap.machine.profile import MachineProfile
from hotswap.machine.qemu_accelerator import Accelerator, QemuInstall, choose_accelerator, find_qemu
from hotswap.machine.qemu_command import (
    AGENT_SOCKET,
    COM_SOCKET,
    FIRMWARE_VARIABLES,
    QemuSources,
    firmware_template,
    qemu_command,
)
from hotswap.machine.qemu_disc import eject, files_on_disc, insert
from hotswap.machine.qemu_folder import MACHINE_KIND, QemuFolder, machines_home, remove_machine
from hotswap.machine.qemu_process import QemuProcess
from hotswap.machine.qemu_profile import QemuProfile, qemu_profile
from hotswap.machine.qemu_screen import take_screen
from hotswap.machine.qemu_snapshot import load_snapshot, save_snapshot
from hotswap.machine.qemu_space import require_room
from hotswap.machine.qemu_watched import WatchedMachine
from hotswap.machine.qmp import Qmp
from hotswap.machine.storage import make_folder, os_fault, require_space
from hotswap.machine.swtpm import TPM_SOCKET, Tpm
from hotswap.machine.unix_socket import connect_unix
from hotswap.transport.agent import Agent
from hotswap.transport.base import FILE_CHUNK_BYTES, Reconnection, Transport
from hotswap.transport.socket import SERIAL_CHUNK_BYTES, SocketTransport

# Kept back from a stop's deadline, or added to it, so that force always gets its turn.
_FORCE_SECONDS = 3.0
_DISK_MIB = 512
_TCG_SLOWDOWN = 6.0


class QemuBase(WatchedMachine):
    """One QEMU with a folder of its own; both end with `stop`."""

    clock_offset_ms: float = OFFSET_MS
    """By how much the guest's time may be off."""

    def __init__(self, profile: MachineProfile, progress: Callable[[str], None] | None = None) -> None:
        """UsageError: the profile is wrong or only planned; LabFault: QEMU is not installed. Makes nothing yet."""
        super().__init__()
        self.profile: QemuProfile = qemu_profile(profile)
        if self.profile.planned:
            raise UsageError(f"machine {profile.name!r} is planned and cannot run yet: {self.profile.reason}")
        self.name = profile.name
        self.qemu: QemuInstall = find_qemu()
        self.id = new_id()
        self.folder = QemuFolder(machines_home() / self.id)
        self.clock: ClockCheck | None = None
        """The check of the guest's clock that its last start made."""
        self._clock_began: ClockReading | None = None
        self._progress = progress or (lambda _message: None)
        self._agent: Path | None = None
        self._lease: Lease | None = None
        self._streams: WeakSet[Transport] = WeakSet()
        self._process: QemuProcess | None = None
        self._tpm: Tpm | None = None
        self._ended: str | None = "not started"

    @property
    def slowdown(self) -> float:  # type: ignore[override]
        """TCG translates every instruction: what takes a second under KVM may take several."""
        return _TCG_SLOWDOWN if self.accelerator.name == "tcg" else 1.0

    @cached_property
    def accelerator(self) -> Accelerator:
        """What the guest runs by here."""
        return choose_accelerator(self.profile, self.qemu, self._progress)

    # What is in the guest

    @abstractmethod
    def _prepare(self, deadline: Deadline) -> None:
        """Make what the machine is made from, before anything of its own is made: an image, a template."""

    @abstractmethod
    def _bring_up(self, deadline: Deadline) -> None:
        """From an empty folder to a guest that answers."""

    @abstractmethod
    def _settle_in(self, deadline: Deadline) -> None:
        """After each start, restore and boot: give the guest its own identity and time, and check its clock."""

    @abstractmethod
    def _read_clock(self, deadline: Deadline) -> tuple[int, int]:
        """The guest's time since 1970 and its ticks, both in nanoseconds."""

    # Start and end

    def start(self, deadline: Deadline) -> None:
        """Bring the guest up; then identity, and the clock check: ClockOff when that finds the clock unfit."""
        if self._ended != "not started":
            raise LabFault(f"starting machine {self.id}: a machine is started only once")
        from hotswap.machine.sweep import sweep

        sweep()
        self._prepare(deadline)
        make_folder(machines_home(), "the folder of machines")
        require_space(machines_home(), _DISK_MIB, "a QEMU machine")
        require_room(machines_home())
        self._lease = Lease.take(MACHINE_KIND, self.id, folder=str(self.folder.path))
        try:
            self.folder.path.mkdir(mode=0o700)
            self._ended = None
            self._bring_up(deadline)
            self._settle_in(deadline)
            self._began()
        except LabFault:
            self._failed_start()
            self.stop(Deadline.after(STOP_SECONDS))
            raise
        except OSError as error:
            self.stop(Deadline.after(STOP_SECONDS))
            raise os_fault("starting a QEMU machine", self.folder.path, error) from error
        except BaseException:
            # Ctrl-C included: nothing runs and nothing lies about when start has failed.
            self.stop(Deadline.after(STOP_SECONDS))
            raise

    def _launch(
        self, folder: QemuFolder, sources: QemuSources, deadline: Deadline, *, bounded: bool = True
    ) -> QemuProcess:
        """QEMU in a folder, with the firmware's variables and the TPM that the profile asks for: the machine's own.

        `bounded`: its disks are held to the machine's budget.
        """
        if self.profile.firmware == "uefi":
            variables = folder.path / FIRMWARE_VARIABLES
            if not variables.exists():
                shutil.copyfile(firmware_template(self.profile), variables)
        if self.profile.tpm:
            self._tpm = Tpm(folder, deadline)
            sources = replace(sources, tpm_socket=Path(TPM_SOCKET))
        budget = self.profile.overlay_mib if bounded else None
        return QemuProcess(folder, self.command(sources), deadline, on_panic=self._hang_up, overlay_mib=budget)

    def command(self, sources: QemuSources) -> list[str]:
        """QEMU's arguments, as `start` uses them."""
        return qemu_command(self.qemu.program, self.profile, self.accelerator.name, sources, name=self.id)

    def alive(self) -> str | None:
        """None while QEMU runs; the first cause of its end otherwise."""
        if self._ended is None and self._process is not None and (cause := self._process.alive()) is not None:
            self._ended = cause
        return self._ended

    def _alive_now(self) -> str | None:
        return self._process.alive() if self._process is not None else self._ended

    def kill(self) -> None:
        """SIGKILL to QEMU: a power cut."""
        if self._ended is None:
            self._ended = f"machine {self.id} was killed"
        if self._process is not None:
            self._process.kill()

    def stop(self, deadline: Deadline) -> None:
        """End QEMU, in an orderly way and then by force, and remove what it left."""
        self._ended = "stopped"
        if self._process is not None:
            self._process.quit(deadline.within(deadline.remaining, reserve=_FORCE_SECONDS))
        self._let_go()
        if self._lease is None:
            return
        try:
            remove_machine(self.folder.path, Deadline.after(max(deadline.remaining, _FORCE_SECONDS)))
        except OSError as error:
            raise os_fault("removing the machine's folder", self.folder.path, error) from error
        self._lease.release()
        self._lease = None

    def _let_go(self) -> None:
        """End QEMU by force, if it runs, and what this process has open of the machine."""
        self._close_recorder()
        if self._process is not None:
            self._process.kill()
        if self._tpm is not None:
            self._tpm.end()
        self._process = self._tpm = None

    # Of a machine that runs

    @property
    def qmp(self) -> Qmp:
        """QEMU's control socket."""
        if self._process is None:
            raise LabFault(f"machine {self.id}: {self._ended}")
        return self._process.qmp

    def snapshot(self, name: str, deadline: Deadline) -> None:
        """Keep memory and disk under a name, inside the machine's disk."""
        save_snapshot(self.qmp, name, deadline)

    def restore(self, name: str, deadline: Deadline) -> None:
        """Return to a kept state; identity and clock are set anew. Streams to the agent have to be made anew."""
        load_snapshot(self.qmp, name, deadline)
        self._settle_in(deadline)

    def screenshot(self, target: Path, deadline: Deadline) -> None:
        """The guest's screen as a PNG file."""
        picture = take_screen(self.qmp, self.folder.path, deadline)
        try:
            target.write_bytes(picture)
        except OSError as error:
            raise os_fault("writing a screenshot", target, error) from error

    def guest_path(self, host: Path) -> NoReturn:
        """UsageError: the guest sees nothing of this host."""
        raise UsageError(f"a guest of machine {self.name!r} cannot see {host}: copy it there with the agent's `put`")

    # Discs

    def insert_disc(self, image: Path, deadline: Deadline) -> None:
        """Put a disc into the guest's drive. UsageError when the profile has no drive."""
        if not self.profile.disc:
            raise UsageError(f"machine {self.name!r} has no drive for discs: its profile names none (machine.disc)")
        insert(self.qmp, image, deadline)

    def eject_disc(self, deadline: Deadline) -> None:
        """Take out the disc that is in the guest's drive."""
        eject(self.qmp, deadline)

    def carrying(self, agent: Agent, files: Sequence[Path], deadline: Deadline) -> AbstractContextManager[DeployAgent]:
        """As Machine.carrying: on a disc, where the profile says so."""
        if self.profile.files == "disc":
            return files_on_disc(self, self.folder.path, agent, files, deadline)
        return nullcontext(agent)

    # Clocks

    def check_clock(
        self, deadline: Deadline, *, began: ClockReading | None = None, patience: float = PATIENCE_SECONDS
    ) -> ClockCheck:
        """The guest's clocks against this host's. ClockOff when they are off: nothing it measured could be believed.

        `began` and `patience` are those of checked_clock.
        """
        self._clock_began, checked = checked_clock(
            lambda: self._read_clock(deadline),
            f"machine {self.id}",
            self.alive,
            deadline,
            offset_ms=self.clock_offset_ms,
            began=began,
            patience=patience,
        )
        self.clock = checked
        return checked

    def clock_problem(self, deadline: Deadline) -> str | None:
        """As Machine.clock_problem; the rate is that over the whole time since the start."""
        if self._clock_began is None:
            return "it was never checked"
        return later_clock_problem(
            lambda: self._read_clock(deadline),
            self._clock_began,
            self.alive,
            deadline,
            offset_ms=self.clock_offset_ms,
        )

    # The agent

    def reconnection(self) -> Reconnection:
        """The agent stays when its stream breaks: the next client of the port finds it, and its journal."""
        return Reconnection(self._connect, seconds=20.0 * self.slowdown, ask_after=self.slowdown, gone=self._alive_now)

    def _connect(self, deadline: Deadline) -> Transport:
        """The way that the profile names; there is no other when it fails."""
        if (gone := self.alive()) is not None:
            raise LabFault(f"connecting to the agent in machine {self.id}: {gone}")
        if self.profile.agent in ("virtio-serial", "com"):
            stream: Transport = self._stream(self.folder, deadline, *self._port())
        else:
            stream = self._connect_by_network(self.profile.agent, deadline)
        self._streams.add(stream)
        return stream

    def _hang_up(self) -> None:
        """The guest has panicked: whoever waits for an answer of it need not."""
        for stream in list(self._streams):
            stream.close()

    def _port(self) -> tuple[str, int]:
        """The socket of the agent's port, and the bytes of a file that one request over it should carry."""
        return (COM_SOCKET, SERIAL_CHUNK_BYTES) if self.profile.agent == "com" else (AGENT_SOCKET, FILE_CHUNK_BYTES)

    def _connect_by_network(self, way: str, deadline: Deadline) -> Transport:
        """By `ssh` or `winrm`."""
        raise UsageError(f"machine {self.name!r}: no way to an agent is called {way}")

    def _stream(
        self, folder: QemuFolder, deadline: Deadline, port: str = AGENT_SOCKET, chunk_bytes: int = FILE_CHUNK_BYTES
    ) -> SocketTransport:
        try:
            connected = connect_unix(folder.path / port, deadline)
        except OSError as error:
            raise LabFault(f"connecting to the agent's port {port}: {self._alive_now() or error}") from error
        return SocketTransport(connected, f"the guest's {port}", alive=self._alive_now, chunk_bytes=chunk_bytes)
