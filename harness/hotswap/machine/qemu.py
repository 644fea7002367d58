"""Machine `qemu` with the stand-in guest, forked from a booted template where its profile allows that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from hotswap.deadline import Deadline
from hotswap.errors import HotswapError, LabFault, UsageError
from hotswap.machine.clock_check import ClockOff, read_clocks
from hotswap.machine.lease import Lease
from hotswap.machine.proc import Owner, boot_id, pid_namespace
from hotswap.machine.profile import MachineProfile, load_profile
from hotswap.machine.qemu_command import STANDIN_SOCKET, QemuSources, qemu_command
from hotswap.machine.qemu_folder import MACHINE_KIND, QemuFolder, machines_home
from hotswap.machine.qemu_live import Record, read_record, write_record
from hotswap.machine.qemu_process import QemuProcess, make_overlay
from hotswap.machine.qemu_template import Template, template_of
from hotswap.machine.restore import RestoreLevel
from hotswap.machine.standin_control import StandinControl
from hotswap.machine.standin_identity import check_identity, give_identity
from hotswap.machine.standin_image import StandinImage, kernel_file, standin_image
from hotswap.machine.standin_ports import StandinPorts, agent_hash
from hotswap.machine.standin_ssh import forget_keys

# A time that was late on its way stays off: to set it again helps, and to wait does not.
_CLOCK_TRIES = 4
_CLOCK_PATIENCE_SECONDS = 1.5
# What each takes at the speed of this computer, for choosing between them.
_BOOT_SECONDS = 5.0
_FORK_SECONDS = 1.5


class QemuMachine(StandinPorts):
    """A stand-in guest.

    `fork` says whether it starts from a template; `agent` is the agent that the template then has, set by
    `expect_agent` before `start`.
    """

    def __init__(
        self, profile: MachineProfile, progress: Callable[[str], None] | None = None, *, fork: bool | None = None
    ) -> None:
        """As QemuBase."""
        super().__init__(profile, progress)
        self.fork = self.profile.fork if fork is None else fork
        self._template: Template | None = None

    @cached_property
    def image(self) -> StandinImage:
        """What the guest boots from; built when there is none."""
        return standin_image(self._progress)

    @property
    def ntoskrnl(self) -> Path:  # type: ignore[override]
        """The guest's own kernel image."""
        return self.image.ntoskrnl

    # Restoring

    @property
    def restore_costs(self) -> Mapping[RestoreLevel, float]:
        """As Machine.restore_costs: where it can be forked, a fork is cheaper than a boot, and restores more."""
        costs = {RestoreLevel.DRIVER: 0.1, RestoreLevel.DISK: _BOOT_SECONDS * self.slowdown}
        return {**costs, RestoreLevel.MEMORY: _FORK_SECONDS} if self._template is not None else costs

    def restore_to(self, level: RestoreLevel, deadline: Deadline) -> None:
        """As Machine.restore_to."""
        if level is RestoreLevel.DISK:
            self.boot_again(deadline, fresh_disk=True)
            return
        if level is RestoreLevel.MEMORY:
            raise UsageError(f"machine {self.name!r}: another machine restores its memory; stop this one")
        check_identity(self.control, self.identity, deadline)
        if (problem := self.clock_problem(deadline)) is not None:
            raise ClockOff(problem)

    # Boot and fork

    def prepare(self, deadline: Deadline) -> Template | None:
        """Make what `start` would have to make first: image and template."""
        self._prepare(deadline)
        return self._template

    def _prepare(self, deadline: Deadline) -> None:
        self._template = self._find_template(deadline) if self.fork and self._agent is not None else None
        _ = self.image

    def _bring_up(self, deadline: Deadline) -> None:
        """Fork the template (booted first when there is none), or boot."""
        if self._template is None:
            self._boot(self.folder, self._sources(), deadline)
        else:
            self._fork(self._template, deadline)

    def _settle_in(self, deadline: Deadline) -> None:
        beside = ThreadPoolExecutor(1, "name-windows")
        try:
            named = beside.submit(self._name_windows, deadline) if self._agent_in_guest is not None else None
            self.control.greet(deadline=deadline)
            # The ticks are measured over the time that the rest takes.
            began = read_clocks(lambda: self._read_clock(deadline))
            give_identity(self.control, self.identity, deadline)
            if named is not None:
                named.result()
        finally:
            # After a failure it ends with the machine: nobody waits here for a guest that says nothing.
            beside.shutdown(wait=False)
        for left in reversed(range(_CLOCK_TRIES)):
            # Last: by now the port is warm, and the time does not grow old on its way. On a busy computer it may.
            self.control.set_clock(deadline=deadline)
            try:
                self.check_clock(deadline, began=began, patience=_CLOCK_PATIENCE_SECONDS)
                return
            except ClockOff:
                if not left:
                    raise

    def _read_clock(self, deadline: Deadline) -> tuple[int, int]:
        clock = self.control.clock(deadline=deadline)
        return clock.real, clock.monotonic

    def boot_again(self, deadline: Deadline, *, fresh_disk: bool = False) -> None:
        """After a power cut, or instead of one: boot from the machine's disk as it is, or from a fresh one.

        It is the same machine with the same name; only what the disk holds has survived.
        """
        if self._lease is None:
            raise LabFault(f"booting machine {self.id}: {self._ended}")
        self._let_go()
        self._begins_again()
        if fresh_disk:
            self.folder.disk.unlink(missing_ok=True)
            forget_keys(self.folder.path)
        self._ended = None
        self._agent_in_guest = None
        try:
            self._boot(self.folder, self._sources(), deadline)
            self._settle_in(deadline)
        except LabFault:
            self._ended = self._alive_now() or f"machine {self.id} did not boot again"
            raise

    def blame(self, deadline: Deadline) -> HotswapError | None:
        """As Machine.blame. A stopped agent looks like one that the driver keeps waiting, but for this."""
        found = super().blame(deadline)
        try:
            if found is None and (agent := self.stopped_agent()) is not None:
                return LabFault(f"the agent (process {agent} of the guest) is stopped by a signal")
        except LabFault as error:
            return error
        return found

    def power_off(self, deadline: Deadline) -> None:
        """Let the guest end by itself; its disk is complete then."""
        self.control.end("power-off")
        deadline.wait_for(self._alive_now, "the guest to power off")

    def _sources(self) -> QemuSources:
        return QemuSources(self.image.path / kernel_file(self.profile), self.image.ram_disk)

    def _boot(self, folder: QemuFolder, sources: QemuSources, deadline: Deadline) -> None:
        """From the image to a guest that answers on its control port."""
        if not folder.disk.exists():
            make_overlay(folder.disk, self.image.disk, "raw", deadline)
        self._process = self._launch(folder, sources, deadline)
        self._process.resume(deadline)
        self._control = StandinControl(folder.path / STANDIN_SOCKET, deadline, self._process.alive)
        self._control.clock(deadline=deadline)

    def _fork(self, template: Template, deadline: Deadline) -> None:
        make_overlay(self.folder.disk, template.disk, "qcow2", deadline)
        sources = replace(self._sources(), ram=template.ram, incoming=True)
        self._process = self._launch(self.folder, sources, deadline)
        self._process.load(template.state, deadline)
        self._process.resume(deadline)
        self._control = StandinControl(self.folder.path / STANDIN_SOCKET, deadline, self._process.alive)
        self._agent_in_guest = template.manifest["facts"]["agent"]

    def _find_template(self, deadline: Deadline) -> Template:
        assert self._agent is not None
        facts = {
            # With its place: the template's disk lies over that very file.
            "image": f"{self.image.content} {self.image.path}",
            "agent": agent_hash(self._agent),
            # Not how its agent is reached, nor what the host allows: that changes nothing in the guest.
            "profile": repr(replace(self.profile, name="", description="", agent="", files="", overlay_mib=0)),
            "qemu": self.qemu.version,
            "command": repr(qemu_command(self.qemu.program, self.profile, self.accelerator.name, _NO_SOURCES, name="")),
        }
        return template_of(
            facts, self._boot_template, memory_mib=self.profile.memory_mib, progress=self._progress, deadline=deadline
        )

    def _boot_template(self, folder: QemuFolder, deadline: Deadline) -> None:
        """Boot a guest with its memory in a file, let its agent start, stop it, and keep it."""
        assert self._agent is not None
        try:
            self._boot(folder, replace(self._sources(), ram=folder.ram, ram_shared=True), deadline)
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
        with self._port_agent(folder, deadline) as agent:
            agent.hello(deadline=deadline)

    # Living on without this process

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
        self._detach()
        self._ended = "let go of"

    @classmethod
    def attach(cls, id: str, deadline: Deadline) -> QemuMachine:
        """A machine that lives on, by its id. UsageError when there is none; LabFault when its QEMU has ended."""
        folder = QemuFolder(machines_home() / id)
        record = read_record(folder)
        machine = cls(load_profile(record.profile))
        machine.id, machine.folder, machine.identity = id, folder, record.identity
        machine._process = QemuProcess(
            folder, (), deadline, attach=record.process, overlay_mib=machine.profile.overlay_mib
        )
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
        if self._process is not None and self._agent_in_guest is not None:
            write_record(self.folder, Record(self.name, self._process.id, self.identity, self._agent_in_guest))
        self._detach()

    def _detach(self) -> None:
        if self._process is not None:
            self._process.detach()
        if self._control is not None:
            self._control.close()
        if self._winrm is not None:
            self._winrm.close()
        self._process = self._control = self._winrm = None


_NO_SOURCES = QemuSources(Path("kernel"), Path("ram-disk"), Path("ram"))
