"""Machine `qemu`: a guest under QEMU, forked from a booted template where its profile allows that."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import NoReturn
from weakref import WeakSet

from hotswap.codes import CodeTable
from hotswap.deadline import Deadline
from hotswap.errors import HotswapError, LabFault, UsageError
from hotswap.machine.base import STOP_SECONDS, Machine
from hotswap.machine.clock_check import ClockCheck, check_clock, read_clocks
from hotswap.machine.lease import Lease, new_id
from hotswap.machine.proc import Owner, boot_id, pid_namespace
from hotswap.machine.profile import MachineProfile, load_profile
from hotswap.machine.qemu_accelerator import Accelerator, QemuInstall, choose_accelerator, find_qemu
from hotswap.machine.qemu_command import AGENT_SOCKET, COM_SOCKET, STANDIN_SOCKET, QemuSources, qemu_command
from hotswap.machine.qemu_folder import QemuFolder, machines_home, remove_machine
from hotswap.machine.qemu_live import Record, read_record, write_record
from hotswap.machine.qemu_process import QemuProcess, make_overlay
from hotswap.machine.qemu_profile import QemuProfile, qemu_profile
from hotswap.machine.qemu_screen import ScreenRecorder, take_screen
from hotswap.machine.qemu_snapshot import load_snapshot, save_snapshot
from hotswap.machine.qemu_state import GuestState, look
from hotswap.machine.qemu_template import Template, template_of
from hotswap.machine.qmp import Qmp
from hotswap.machine.standin_control import StandinControl
from hotswap.machine.standin_identity import Identity, give_identity
from hotswap.machine.standin_image import StandinImage, standin_image
from hotswap.machine.standin_ssh import start_ssh
from hotswap.machine.standin_view import AGENT_FILE, StandinView
from hotswap.machine.standin_winrm import StandinWinRm
from hotswap.machine.storage import make_folder, os_fault, require_space
from hotswap.machine.unix_socket import connect_unix
from hotswap.transport.agent import Agent
from hotswap.transport.base import FILE_CHUNK_BYTES, Reconnection, Transport
from hotswap.transport.protocol import AgentContract
from hotswap.transport.socket import SERIAL_CHUNK_BYTES, SocketTransport
from hotswap.transport.ssh import SshConnection, SshTarget

MACHINE_KIND = "qemu"
# Kept back from a stop's deadline, or added to it, so that force always gets its turn.
_FORCE_SECONDS = 3.0
_DISK_MIB = 512
_TCG_SLOWDOWN = 6.0
_CLOCK_OFFSET_MS = 250.0
_CLOCK_RATE = 0.05


class QemuMachine(StandinView, Machine):
    """One QEMU with a folder of its own; both end with `stop`.

    `fork` says whether it starts from a template; `agent` is the agent that the template then has, set by
    `expect_agent` before `start`.
    """

    def __init__(
        self, profile: MachineProfile, progress: Callable[[str], None] | None = None, *, fork: bool | None = None
    ) -> None:
        """UsageError: the profile is wrong or only planned; LabFault: QEMU is not installed. Makes nothing yet."""
        self.profile: QemuProfile = qemu_profile(profile)
        if self.profile.planned:
            raise UsageError(f"machine {profile.name!r} is planned and cannot run yet: {self.profile.reason}")
        self.name = profile.name
        self.qemu: QemuInstall = find_qemu()
        self.id = new_id()
        self.identity = Identity.of(self.id)
        self.folder = QemuFolder(machines_home() / self.id)
        self.fork = self.profile.fork if fork is None else fork
        self.clock: ClockCheck | None = None
        """The check of the guest's clock that its start made."""
        self.reroute: Callable[[int], int] = lambda port: port
        """What stands between this host and a forwarded port of the guest: a relay's port, say."""
        self._progress = progress or (lambda _message: None)
        self._agent: Path | None = None
        self._agent_in_guest: str | None = None
        self._lease: Lease | None = None
        self._process: QemuProcess | None = None
        self._control: StandinControl | None = None
        self._winrm: StandinWinRm | None = None
        self._recorder: ScreenRecorder | None = None
        self._streams: WeakSet[Transport] = WeakSet()
        self._events_at_start = 0
        self._wrong: GuestState | None = None
        self._evidence: Path | None = None
        self._collected: list[Path] | None = None
        self._ended: str | None = "not started"

    @property
    def slowdown(self) -> float:  # type: ignore[override]
        """TCG translates every instruction: what takes a second under KVM may take several."""
        return _TCG_SLOWDOWN if self.accelerator.name == "tcg" else 1.0

    @cached_property
    def image(self) -> StandinImage:
        """What the guest boots from; built when there is none."""
        return standin_image(self._progress)

    @property
    def ntoskrnl(self) -> Path:  # type: ignore[override]
        """The guest's own kernel image."""
        return self.image.ntoskrnl

    @cached_property
    def accelerator(self) -> Accelerator:
        """What the guest runs by here."""
        return choose_accelerator(self.profile, self.qemu, self._progress)

    def expect_agent(self, agent_exe: Path) -> None:
        """Have this agent in the guest when it has started."""
        self._agent = agent_exe

    def start(self, deadline: Deadline) -> None:
        """Fork the template (booted first when there is none), or boot; then identity, and the clock check."""
        if self._ended != "not started":
            raise LabFault(f"starting machine {self.id}: a machine is started only once")
        from hotswap.machine.sweep import sweep

        sweep()
        template = self._template(deadline) if self.fork and self._agent is not None else None
        make_folder(machines_home(), "the folder of machines")
        require_space(machines_home(), _DISK_MIB, "a QEMU machine")
        self._lease = Lease.take(MACHINE_KIND, self.id, folder=str(self.folder.path))
        try:
            self.folder.path.mkdir(mode=0o700)
            self._ended = None
            if template is None:
                self._boot(self.folder, QemuSources(self.image.kernel, self.image.ram_disk), deadline)
            else:
                self._fork(template, deadline)
            give_identity(self.control, self.identity, deadline)
            self.clock = self.check_clock(deadline)
            self._events_at_start = len(self.qmp.events)
            self._begin_recording()
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

    def command(self, sources: QemuSources) -> list[str]:
        """QEMU's arguments, as `start` uses them."""
        return qemu_command(self.qemu.program, self.profile, self.accelerator.name, sources, name=self.id)

    def boot_again(self, deadline: Deadline, *, fresh_disk: bool = False) -> None:
        """After a power cut, or instead of one: boot from the machine's disk as it is, or from a fresh one.

        It is the same machine with the same name; only what the disk holds has survived.
        """
        if self._lease is None:
            raise LabFault(f"booting machine {self.id}: {self._ended}")
        self._let_go()
        self._wrong, self._events_at_start = None, 0
        if fresh_disk:
            self.folder.disk.unlink(missing_ok=True)
        self._ended = None
        self._agent_in_guest = None
        try:
            self._boot(self.folder, QemuSources(self.image.kernel, self.image.ram_disk), deadline)
            give_identity(self.control, self.identity, deadline)
            self.clock = self.check_clock(deadline)
        except LabFault:
            self._ended = self._alive_now() or f"machine {self.id} did not boot again"
            raise

    def snapshot(self, name: str, deadline: Deadline) -> None:
        """Keep memory and disk under a name, inside the machine's disk."""
        save_snapshot(self.qmp, name, deadline)

    def restore(self, name: str, deadline: Deadline) -> None:
        """Return to a kept state; the clock is set anew. Streams to the agent have to be made anew."""
        load_snapshot(self.qmp, name, deadline)
        give_identity(self.control, self.identity, deadline)
        self.clock = self.check_clock(deadline)

    def screenshot(self, target: Path, deadline: Deadline) -> None:
        """The guest's screen as a PNG file."""
        picture = take_screen(self.qmp, self.folder.path, deadline)
        try:
            target.write_bytes(picture)
        except OSError as error:
            raise os_fault("writing a screenshot", target, error) from error

    def ssh(self, deadline: Deadline) -> SshTarget:
        """The guest's SSH server, started with keys that were made for this machine, on a port of 127.0.0.1."""
        port = next((nic.services["ssh"] for nic in self.profile.nics if "ssh" in nic.services), None)
        if port is None:
            raise UsageError(f"machine {self.name!r}: its profile names no service `ssh`")
        target = start_ssh(self.control, self.qmp, self.folder.path, port, deadline)
        return replace(target, port=self.reroute(target.port))

    def winrm(self, deadline: Deadline) -> StandinWinRm:
        """WinRM to this guest, started when it is first asked for; ends with the machine."""
        if self._winrm is None:
            self._winrm = StandinWinRm(self.folder.path, self.ssh(deadline), deadline)
        return self._winrm

    @property
    def qmp(self) -> Qmp:
        """QEMU's control socket."""
        if self._process is None:
            raise LabFault(f"machine {self.id}: {self._ended}")
        return self._process.qmp

    def prepare(self, deadline: Deadline) -> Template | None:
        """Make what `start` would have to make first: image and template."""
        if self.fork and self._agent is not None:
            return self._template(deadline)
        _ = self.image
        return None

    def have_agent(self, agent_exe: Path, deadline: Deadline) -> None:
        """See to it that this agent runs in the guest and serves its port."""
        if self._agent_in_guest is None:
            self._put_agent(agent_exe, deadline)

    def power_off(self, deadline: Deadline) -> None:
        """Let the guest end by itself; its disk is complete then."""
        self.control.end("power-off")
        deadline.wait_for(self._alive_now, "the guest to power off")

    def keep(self) -> None:
        """Let the machine live on without this process; from now on QEMU itself owns the lease."""
        assert self._process is not None
        assert self._lease is not None
        write_record(self.folder, Record(self.name, self._process.id, self.identity, self._agent_in_guest))
        kept = Lease.take(
            MACHINE_KIND, self.id, owner=Owner(self._process.id, boot_id(), pid_namespace()), profile=self.name
        )
        self._lease.release()
        self._lease = None
        assert kept.owner == self._process.id
        self._process.detach()
        if self._control is not None:
            self._control.close()
        self._process = self._control = None
        self._ended = "let go of"

    @classmethod
    def attach(cls, id: str, deadline: Deadline) -> QemuMachine:
        """A machine that lives on, by its id. UsageError when there is none; LabFault when its QEMU has ended."""
        folder = QemuFolder(machines_home() / id)
        record = read_record(folder)
        machine = cls(load_profile(record.profile))
        machine.id, machine.folder, machine.identity = id, folder, record.identity
        machine._process = QemuProcess(folder, (), deadline, attach=record.process)
        machine._agent_in_guest = record.agent
        machine._ended = None
        try:
            machine._control = StandinControl(folder.path / STANDIN_SOCKET, deadline, machine._process.alive)
        except BaseException:
            machine._process.detach()
            raise
        return machine

    def let_live(self) -> None:
        """The end of `attach`: this process lets go, the machine goes on."""
        if self._process is not None:
            if self._agent_in_guest is not None:
                write_record(self.folder, Record(self.name, self._process.id, self.identity, self._agent_in_guest))
            self._process.detach()
        if self._control is not None:
            self._control.close()
        self._process = self._control = None

    def _boot(self, folder: QemuFolder, sources: QemuSources, deadline: Deadline) -> None:
        """From the image to a guest that answers on its control port."""
        if not folder.disk.exists():
            make_overlay(folder.disk, self.image.disk, "raw", deadline)
        self._process = QemuProcess(folder, self.command(sources), deadline, on_panic=self._hang_up)
        self._process.resume(deadline)
        self._control = StandinControl(folder.path / STANDIN_SOCKET, deadline, self._process.alive)
        self._control.clock(deadline=deadline)

    def _fork(self, template: Template, deadline: Deadline) -> None:
        make_overlay(self.folder.disk, template.disk, "qcow2", deadline)
        sources = QemuSources(self.image.kernel, self.image.ram_disk, template.ram, incoming=True)
        self._process = QemuProcess(self.folder, self.command(sources), deadline, on_panic=self._hang_up)
        self._process.load(template.state, deadline)
        self._process.resume(deadline)
        self._control = StandinControl(self.folder.path / STANDIN_SOCKET, deadline, self._process.alive)
        self._agent_in_guest = template.manifest["facts"]["agent"]

    def _template(self, deadline: Deadline) -> Template:
        assert self._agent is not None
        facts = {
            # With its place: the template's disk lies over that very file.
            "image": f"{self.image.content} {self.image.path}",
            "agent": _hash(self._agent),
            # Not how its agent is reached: that changes nothing in the guest.
            "profile": repr(replace(self.profile, name="", description="", agent="")),
            "qemu": self.qemu.version,
            "command": repr(qemu_command(self.qemu.program, self.profile, self.accelerator.name, _NO_SOURCES, name="")),
        }
        return template_of(
            facts, self._boot_template, memory_mib=self.profile.memory_mib, progress=self._progress, deadline=deadline
        )

    def _boot_template(self, folder: QemuFolder, deadline: Deadline) -> None:
        """Boot a guest with its memory in a file, let its agent start, stop it, and keep it."""
        assert self._agent is not None
        sources = QemuSources(self.image.kernel, self.image.ram_disk, folder.ram, ram_shared=True)
        try:
            self._boot(folder, sources, deadline)
            self._put_agent(self._agent, deadline)
            self._wait_for_agent(folder, deadline)
            self.control.ask("sync", deadline=deadline)
            self.control.close()
            assert self._process is not None
            self._process.save(folder.state, deadline)
            self._process.quit(deadline)
        finally:
            self._let_go()

    def _wait_for_agent(self, folder: QemuFolder, deadline: Deadline) -> None:
        """Its first answer, in a connection of its own: a fork's client finds an agent that nobody has asked yet."""
        assert self._agent is not None
        contract = AgentContract.load(self._agent.with_name("agent.json"))
        with Agent(self._stream(folder, deadline), contract) as agent:
            agent.hello(deadline=deadline)

    def _put_agent(self, agent_exe: Path, deadline: Deadline) -> None:
        self.control.put(AGENT_FILE, agent_exe.read_bytes(), mode=0o755, deadline=deadline)
        self._agent_in_guest = _hash(agent_exe)
        self.control.start_agent("virtio", deadline=deadline)

    def connect_agent(self, agent_exe: Path, deadline: Deadline) -> Transport:
        """The port's stream. The agent is in the guest already when it was forked with it, else it is put there now."""
        if (gone := self.alive()) is not None:
            raise LabFault(f"connecting to the agent in machine {self.id}: {gone}")
        if not agent_exe.is_file():
            raise LabFault(
                f"starting the agent in machine {self.id}: {agent_exe} does not exist; build the drivers first"
            )
        self.have_agent(agent_exe, deadline)
        if self._agent_in_guest != _hash(agent_exe):
            raise LabFault(
                f"starting the agent in machine {self.id}: another build of it runs there; start a fresh machine"
            )
        return self._connect(deadline)

    def _connect(self, deadline: Deadline) -> Transport:
        """The way that the profile names; there is no other when it fails."""
        if (gone := self.alive()) is not None:
            raise LabFault(f"connecting to the agent in machine {self.id}: {gone}")
        stream = self._connect_as_told(deadline)
        self._streams.add(stream)
        return stream

    def _connect_as_told(self, deadline: Deadline) -> Transport:
        match self.profile.agent:
            case "virtio-serial":
                return self._stream(self.folder, deadline)
            case "com":
                return self._stream(self.folder, deadline, COM_SOCKET, SERIAL_CHUNK_BYTES)
            case "ssh":
                return SshConnection.open(self.ssh(deadline), deadline).agent(deadline)
            case "winrm":
                return self.winrm(deadline).agent(deadline)
        raise UsageError(f"machine {self.name!r}: no way to an agent is called {self.profile.agent}")

    def reconnection(self) -> Reconnection:
        """The agent stays when its stream breaks: the next client of the port finds it, and its journal."""
        return Reconnection(self._connect, seconds=20.0 * self.slowdown, ask_after=self.slowdown, gone=self._alive_now)

    def _hang_up(self) -> None:
        """The guest has panicked: whoever waits for an answer of it need not."""
        for stream in list(self._streams):
            stream.close()
        if self._control is not None:
            self._control.close()

    def _stream(
        self, folder: QemuFolder, deadline: Deadline, port: str = AGENT_SOCKET, chunk_bytes: int = FILE_CHUNK_BYTES
    ) -> SocketTransport:
        try:
            connected = connect_unix(folder.path / port, deadline)
        except OSError as error:
            raise LabFault(f"connecting to the agent's port {port}: {self._alive_now() or error}") from error
        return SocketTransport(connected, f"the guest's {port}", alive=self._alive_now, chunk_bytes=chunk_bytes)

    @property
    def control(self) -> StandinControl:
        """What stands outside Windows in the guest."""
        if self._control is None:
            raise LabFault(f"machine {self.id}: {self._ended or 'it has no control port'}")
        return self._control

    def check_clock(self, deadline: Deadline) -> ClockCheck:
        """The guest's clocks against this host's. LabFault when they are off: nothing it measured could be believed."""

        def guest() -> tuple[int, int]:
            clock = self.control.clock(deadline=deadline)
            return clock.real, clock.monotonic

        first = read_clocks(guest)
        seen: list[ClockCheck] = []

        def good() -> bool:
            seen.append(check_clock(first, read_clocks(guest)))
            return seen[-1].problem(offset_ms=_CLOCK_OFFSET_MS, rate=_CLOCK_RATE) is None

        limit = deadline.within(2.0)
        try:
            limit.wait_for(good, "the guest's clock to agree with the host's", alive=self.alive, interval=0.05)
        except LabFault as error:
            problem = seen[-1].problem(offset_ms=_CLOCK_OFFSET_MS, rate=_CLOCK_RATE) if seen else str(error)
            raise LabFault(f"clock check of machine {self.id}: {problem or error}") from error
        return seen[-1]

    def alive(self) -> str | None:
        """None while QEMU runs; the first cause of its end otherwise."""
        if self._ended is None and self._process is not None and (cause := self._process.alive()) is not None:
            self._ended = cause
        return self._ended

    def _alive_now(self) -> str | None:
        return self._process.alive() if self._process is not None else self._ended

    def guest_path(self, host: Path) -> NoReturn:
        """UsageError: the guest sees nothing of this host."""
        raise UsageError(f"a guest of machine {self.name!r} cannot see {host}: copy it there with the agent's `put`")

    def state(self, deadline: Deadline) -> GuestState:
        """What has become of guest and QEMU, and by whom."""
        if self._wrong is None:
            found = look(
                self._process,
                self._control,
                self.alive(),
                deadline,
                since=self._events_at_start,
                slowdown=self.slowdown,
            )
            if found.of_guest is None:
                return found
            # The first cause stays: what is done to the machine from now on is our own doing.
            self._wrong = found
        return self._wrong

    def blame(self, deadline: Deadline) -> HotswapError | None:
        """As Machine.blame: panics, hangs, resets and ends are told apart by QMP's events and QEMU's process."""
        return self.state(deadline).error()

    def keep_evidence(self, folder: Path) -> None:
        """As Machine.keep_evidence."""
        self._evidence = folder

    def _begin_recording(self) -> None:
        if self._evidence is not None:
            self._recorder = ScreenRecorder(self.qmp, self.folder.path)

    def _failed_start(self) -> None:
        if self._process is not None and self._evidence is not None:
            self._collected = self.diagnose(self._evidence)

    def diagnose(self, folder: Path, deadline: Deadline | None = None, *, memory: bool | None = None) -> list[Path]:
        """As Machine.diagnose; `evidence.json` lists all of it. `memory`: as in qemu_evidence.collect."""
        from hotswap.machine.qemu_evidence import SECONDS, Subject, collect

        if self._collected is not None and folder == self._evidence:
            # By the start that failed: there is nothing left to look at.
            return self._collected
        deadline = deadline or Deadline.after(SECONDS)
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.close()
        subject = Subject(
            name=self.id,
            machine=self.folder,
            process=self._process,
            control=self._control,
            state=self.state(deadline.within(deadline.remaining / 2)),
            qemu=self.qemu.version,
            accelerator=self.accelerator.name if "accelerator" in vars(self) else "not chosen",
            memory_mib=self.profile.memory_mib,
            standin=self.profile.boot == "standin",
            clock=self.clock,
            bug_checks=self._bug_checks(),
            pictures=recorder.pictures if recorder is not None else (),
        )
        return collect(folder, subject, deadline, memory=memory)

    def _bug_checks(self) -> Mapping[int, str]:
        """Names, from beside the agent, when one was expected."""
        try:
            return CodeTable.load(self._agent.with_name("codes.json")).bug_checks if self._agent else {}
        except LabFault:
            return {}

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
        if self._recorder is not None:
            self._recorder.close()
            self._recorder = None
        if self._process is not None:
            self._process.kill()
        if self._control is not None:
            self._control.close()
        if self._winrm is not None:
            self._winrm.close()
        self._process = self._control = self._winrm = None


_NO_SOURCES = QemuSources(Path("kernel"), Path("ram-disk"), Path("ram"))


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
