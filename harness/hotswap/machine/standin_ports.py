"""The ways into a stand-in guest: its control port, its agent over each transport, its drive."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from hotswap.deadline import Deadline
from hotswap.errors import LabFault, UsageError
from hotswap.machine.profile import MachineProfile
from hotswap.machine.qemu_base import QemuBase
from hotswap.machine.qemu_folder import QemuFolder
from hotswap.machine.standin_control import StandinControl
from hotswap.machine.standin_drive import mount_disc
from hotswap.machine.standin_identity import Identity
from hotswap.machine.standin_ssh import start_ssh
from hotswap.machine.standin_view import AGENT_FILE, StandinView
from hotswap.machine.standin_winrm import StandinWinRm
from hotswap.transport.agent import Agent
from hotswap.transport.base import Transport
from hotswap.transport.protocol import AgentContract
from hotswap.transport.ssh import SshConnection, SshTarget


class StandinPorts(StandinView, QemuBase):
    """A machine with a stand-in guest, as far as it is spoken to."""

    def __init__(self, profile: MachineProfile, progress: Callable[[str], None] | None = None) -> None:
        """As QemuBase."""
        super().__init__(profile, progress)
        self.identity = Identity.of(self.id)
        self.reroute: Callable[[int], int] = lambda port: port
        """What stands between this host and a forwarded port of the guest: a relay's port, say."""
        self._agent_in_guest: str | None = None
        self._control: StandinControl | None = None
        self._winrm: StandinWinRm | None = None

    @property
    def control(self) -> StandinControl:
        """What stands outside Windows in the guest."""
        if self._control is None:
            raise LabFault(f"machine {self.id}: {self._ended or 'it has no control port'}")
        return self._control

    def expect_agent(self, agent_exe: Path) -> None:
        """Have this agent in the guest when it has started."""
        self._agent = agent_exe

    # The agent

    def have_agent(self, agent_exe: Path, deadline: Deadline) -> None:
        """See to it that this agent runs in the guest and serves its port."""
        if self._agent_in_guest is None:
            self._agent = agent_exe
            self._put_agent(agent_exe, deadline)
            self._name_windows(deadline)

    def _put_agent(self, agent_exe: Path, deadline: Deadline) -> None:
        self.control.put(AGENT_FILE, agent_exe.read_bytes(), mode=0o755, deadline=deadline)
        self._agent_in_guest = agent_hash(agent_exe)
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
        if self._agent_in_guest != agent_hash(agent_exe):
            raise LabFault(
                f"starting the agent in machine {self.id}: another build of it runs there; start a fresh machine"
            )
        return self._connect(deadline)

    def _connect_by_network(self, way: str, deadline: Deadline) -> Transport:
        if way == "ssh":
            return SshConnection.open(self.ssh(deadline), deadline).agent(deadline)
        return self.winrm(deadline).agent(deadline)

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

    def _port_agent(self, folder: QemuFolder, deadline: Deadline) -> Agent:
        """A client of the agent on the virtio port."""
        if self._agent is None:
            raise LabFault(f"speaking to the agent in machine {self.id}: it is not known which one; expect_agent first")
        contract = AgentContract.load(self._agent.with_name("agent.json"))
        return Agent(self._stream(folder, deadline), contract)

    def _name_windows(self, deadline: Deadline) -> None:
        """The part of the identity that Windows keeps, over the port of its own that the agent has in every profile."""
        with self._port_agent(self.folder, deadline) as agent:
            agent.identify(self.identity.name.upper(), deadline=deadline)

    # Discs

    def insert_disc(self, image: Path, deadline: Deadline) -> None:
        """As QemuBase.insert_disc: the guest's Linux mounts it, and its Windows has it as drive D:."""
        super().insert_disc(image, deadline)
        mount_disc(self.control, deadline)

    def eject_disc(self, deadline: Deadline) -> None:
        """As QemuBase.eject_disc. ControlRefused when a program of the guest has a file of it open."""
        self.control.ask("disc-release", deadline=deadline)
        super().eject_disc(deadline)

    # The end

    def _outside(self) -> StandinControl | None:
        return self._control

    def _hang_up(self) -> None:
        super()._hang_up()
        if self._control is not None:
            self._control.close()

    def _let_go(self) -> None:
        super()._let_go()
        if self._control is not None:
            self._control.close()
        if self._winrm is not None:
            self._winrm.close()
        self._control = self._winrm = None


def agent_hash(path: Path) -> str:
    """SHA-256 (hex) of a build of the agent."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
