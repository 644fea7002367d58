"""Machine `qemu` with a Windows guest: installed once, then booted from an overlay over that, its agent a service.

Written completely; not yet run on real Windows. What is before Windows, firmware, TPM and media, is tested.
"""

from __future__ import annotations

import hashlib
import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from hotswap.deadline import Deadline
from hotswap.driver.signing import make_key
from hotswap.errors import HotswapError, LabFault, UsageError
from hotswap.machine.clock_check import OFFSET_MS, ClockOff
from hotswap.machine.profile import MachineProfile
from hotswap.machine.qemu_base import QemuBase
from hotswap.machine.qemu_command import QemuSources
from hotswap.machine.qemu_folder import QemuFolder
from hotswap.machine.qemu_process import make_disk, make_overlay
from hotswap.machine.restore import RestoreLevel
from hotswap.machine.windows_answers import agent_disc, answers_disc
from hotswap.machine.windows_base import (
    NTOSKRNL,
    WindowsBase,
    find_base,
    install_base,
    keep_kernel,
    media_of,
    place,
)
from hotswap.transport.agent import Agent
from hotswap.transport.base import Transport
from hotswap.transport.protocol import AgentContract

AGENT_FILE = r"C:\hotswap\hsagent.exe"
_KERNEL_FILE = r"C:\Windows\System32\ntoskrnl.exe"
_FILE_TIME_EPOCH = 116_444_736_000_000_000
_ASK_SECONDS = 10.0
# For choosing between a boot and going on.
_BOOT_SECONDS = 60.0
_LOOK_SECONDS = 1.0
# A medium of Windows asks for a key before it starts, and only when it is first booted may it get one.
_PROMPT_SECONDS = 60.0
_PASSWORD_LETTERS = 24
# What QEMU says of a guest that will not answer any more.
_LOST = frozenset(("guest-panicked", "internal-error", "io-error", "shutdown"))


class WindowsMachine(QemuBase):
    """A Windows guest. It is not forked: each start is a boot from a disk of its own."""

    @property
    def clock_offset_ms(self) -> float:  # type: ignore[override]
        """It takes its time from the machine's clock, which counts whole seconds, and nobody sets it afterwards; from
        that look on it loses what its start takes, more where it is translated."""
        return 1000.0 + OFFSET_MS * self.slowdown

    def __init__(self, profile: MachineProfile, progress: Callable[[str], None] | None = None) -> None:
        """As QemuBase."""
        super().__init__(profile, progress)
        self._base: WindowsBase | None = None
        self._prompted: Deadline | None = None

    @property
    def ntoskrnl(self) -> Path:  # type: ignore[override]
        """The guest's own kernel image, taken out of it when it was installed."""
        base = find_base(self.profile)
        if base is None or base.ntoskrnl is None:
            raise LabFault(
                f"the kernel image of machine {self.name!r} is not known yet: `hotswap machine build {self.name}` "
                "installs its Windows and takes it out"
            )
        return base.ntoskrnl

    def expect_agent(self, agent_exe: Path) -> None:
        """The agent that comes on a disc at each boot."""
        self._agent = agent_exe

    # From media to a disk

    def prepare(self, deadline: Deadline) -> WindowsBase:
        """Have Windows installed, which takes from twenty minutes to hours, or know the user's own disk image."""
        self._agent_exe()
        base = find_base(self.profile) or install_base(self.profile, self._install, deadline, self._progress)
        if base.ntoskrnl is None:
            # Of the user's own image: it takes a boot to know its kernel image.
            with self:
                self.start(deadline)
        return find_base(self.profile) or base

    def _prepare(self, deadline: Deadline) -> None:
        self._agent_exe()
        self._base = find_base(self.profile)
        if self._base is None:
            raise LabFault(
                f"machine {self.name!r} has no Windows yet: `hotswap machine build {self.name}` installs it from the "
                "user's media, once"
            )

    def _install(self, folder: QemuFolder, deadline: Deadline) -> None:
        """Let Setup run from its medium with all answers, until the agent answers; then power off."""
        install, drivers = media_of(self.profile, "install"), media_of(self.profile, "drivers")
        if install is None:
            raise UsageError(f"machine {self.name!r}: its profile has neither a disk image nor a medium `install`")
        answers = folder.path / "answers.iso"
        password = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(_PASSWORD_LETTERS))
        answers_disc(answers, self.profile, self._agent_exe(), make_key().certificate, "HOTSWAP", password)
        make_disk(folder.disk, self.profile.disks[0].size_gib, deadline)
        media = tuple(path for path in (install, drivers, answers) if path is not None)
        self._ended = None
        self._prompted = Deadline.after(_PROMPT_SECONDS * self.slowdown)
        try:
            # What becomes the disk of all later machines is no overlay of one.
            self._process = self._launch(folder, QemuSources(media=media), deadline, bounded=False)
            self._process.resume(deadline)
            self._await_agent(folder, deadline)
            with self._port_agent(folder, deadline) as agent:
                (folder.path / NTOSKRNL).write_bytes(agent.get(_KERNEL_FILE, deadline=deadline))
                agent.run(["shutdown.exe", "/s", "/t", "0"], deadline=deadline)
            deadline.wait_for(self._alive_now, "Windows to power off", interval=_LOOK_SECONDS)
        finally:
            self._let_go()
            self._ended = "not started"
            self._prompted = None
            answers.unlink(missing_ok=True)

    # A boot

    def _bring_up(self, deadline: Deadline) -> None:
        assert self._base is not None
        make_overlay(self.folder.disk, self._base.disk, "qcow2", deadline)
        place(self._base, self.folder)
        self._boot(deadline)

    def _boot(self, deadline: Deadline) -> None:
        disc = self.folder.path / "agent.iso"
        if not disc.exists():
            agent_disc(disc, self._agent_exe())
        self._process = self._launch(self.folder, QemuSources(media=(disc,)), deadline)
        self._process.resume(deadline)
        self._await_agent(self.folder, deadline)

    def boot_again(self, deadline: Deadline, *, fresh_disk: bool = False) -> None:
        """After a power cut, or instead of one: boot from the machine's disk as it is, or from a fresh one."""
        if self._lease is None or self._base is None:
            raise LabFault(f"booting machine {self.id}: {self._ended}")
        self._let_go()
        self._begins_again()
        if fresh_disk:
            self.folder.disk.unlink(missing_ok=True)
            make_overlay(self.folder.disk, self._base.disk, "qcow2", deadline)
        self._ended = None
        try:
            self._boot(deadline)
            self._settle_in(deadline)
        except LabFault:
            self._ended = self._alive_now() or f"machine {self.id} did not boot again"
            raise

    def _settle_in(self, deadline: Deadline) -> None:
        """The name is that of the installation: nothing but this machine's own overlay knows of it. Then the clock."""
        self.check_clock(deadline)
        assert self._base is not None
        if self._base.ntoskrnl is None:
            with self._port_agent(self.folder, deadline) as agent:
                kernel = keep_kernel(self.profile, agent.get(_KERNEL_FILE, deadline=deadline))
            self._base = replace(self._base, ntoskrnl=kernel)

    def _read_clock(self, deadline: Deadline) -> tuple[int, int]:
        with self._port_agent(self.folder, deadline) as agent:
            sample = agent.clock(deadline=deadline)
        ticks = (sample.ticks_before + sample.ticks_after) / 2
        return (sample.system_time - _FILE_TIME_EPOCH) * 100, int(ticks * 1e9 / sample.tick_frequency)

    # Restoring

    @property
    def restore_costs(self) -> Mapping[RestoreLevel, float]:
        """As Machine.restore_costs."""
        return {RestoreLevel.DRIVER: 1.0, RestoreLevel.DISK: _BOOT_SECONDS * self.slowdown}

    def restore_to(self, level: RestoreLevel, deadline: Deadline) -> None:
        """As Machine.restore_to."""
        if level is RestoreLevel.DISK:
            self.boot_again(deadline, fresh_disk=True)
        elif level is RestoreLevel.MEMORY:
            raise UsageError(f"machine {self.name!r}: another machine restores its memory; stop this one")
        elif (problem := self.clock_problem(deadline)) is not None:
            raise ClockOff(problem)

    # The agent

    def connect_agent(self, agent_exe: Path, deadline: Deadline) -> Transport:
        """The stream to the service, which has this build of the agent since the boot."""
        if self._agent is None or _hash(self._agent) != _hash(agent_exe):
            raise LabFault(
                f"connecting to the agent in machine {self.id}: it was started with another build of it; "
                "start a fresh machine"
            )
        return self._connect(deadline)

    def _connect_by_network(self, way: str, deadline: Deadline) -> Transport:
        raise UsageError(
            f"machine {self.name!r}: the installation sets up no {way} in Windows yet; "
            "machine.agent is virtio-serial or com"
        )

    def _agent_exe(self) -> Path:
        if self._agent is None:
            raise LabFault(f"machine {self.id} is to be started without an agent: say which (expect_agent)")
        return self._agent

    def _port_agent(self, folder: QemuFolder, deadline: Deadline) -> Agent:
        agent = self._agent_exe()
        return Agent(self._stream(folder, deadline, *self._port()), AgentContract.load(agent.with_name("agent.json")))

    def _await_agent(self, folder: QemuFolder, deadline: Deadline) -> None:
        """Until the service answers, with the agent that is wanted: another build takes it over from the disc first."""
        wanted = _hash(self._agent_exe())
        seen = ["no answer"]

        def answers() -> bool:
            self._answer_prompt()
            limit = deadline.within(_ASK_SECONDS * self.slowdown)
            try:
                with self._port_agent(folder, limit) as agent:
                    agent.hello(deadline=limit)
                    found = agent.file_hash(AGENT_FILE, deadline=limit)
            except HotswapError as error:
                seen[0] = str(error)
                return False
            seen[0] = f"an agent with SHA-256 {found} answers, the disc has {wanted}"
            return found == wanted

        deadline.wait_for(
            answers,
            f"the agent in the Windows of machine {self.id}",
            alive=lambda: self._lost(deadline),
            interval=_LOOK_SECONDS,
            last_seen=lambda: f"{seen[0]}; on the console: {_last_line(folder.console)}",
        )

    def _answer_prompt(self) -> None:
        """Press a key for the medium, as long as it may ask: a second boot from it would install once more."""
        if self._prompted is not None and not self._prompted.expired:
            keys = {"keys": [{"type": "qcode", "data": "spc"}]}
            self.qmp.execute("send-key", keys, deadline=Deadline.after(_ASK_SECONDS))

    def _lost(self, deadline: Deadline) -> str | None:
        """None while the guest may still answer."""
        if (gone := self._alive_now()) is not None:
            return gone
        status = str(self.qmp.execute("query-status", deadline=deadline.within(_ASK_SECONDS))["status"])
        return f"QEMU says of the guest: {status}" if status in _LOST else None


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _last_line(console: Path) -> str:
    try:
        lines = [line for line in console.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        return "nothing"
    return lines[-1].strip() if lines else "nothing"
