"""The faults that there are, by name: what is done to which part of a QEMU machine."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from time import monotonic

from hotswap.deadline import Deadline
from hotswap.errors import LabFault, UsageError
from hotswap.faults.relay import Line, Relay
from hotswap.machine.qemu import QemuMachine
from hotswap.machine.qemu_command import AGENT_SOCKET, COM_SOCKET
from hotswap.machine.standin_control import GuestProcess
from hotswap.machine.standin_view import DRIVE_C, DRIVER_HOST

_SECONDS = 10.0
_BRIEF_SECONDS = 1.0
_AGENT = "hsagent"
_FILLER = f"{DRIVE_C}/hotswap-fills-the-disk"
_LEFT_BYTES = 64 << 10
_UNKNOWN_NMI = "/proc/sys/kernel/unknown_nmi_panic"


@dataclass(slots=True)
class Target:
    """The machine that a fault is made in, and what of the fault has to be ended afterwards."""

    machine: QemuMachine
    relay: Relay | None = None

    def limit(self) -> Deadline:
        """For one request of a fault."""
        return Deadline.after(_SECONDS * self.machine.slowdown)

    def qmp(self, command: str) -> None:
        """A command of QMP without arguments."""
        self.machine.qmp.execute(command, deadline=self.limit())

    def qemu(self, number: int) -> None:
        """A signal to QEMU."""
        for process in self.machine.folder.processes():
            process.send(number)

    def processes(self, name: str) -> list[GuestProcess]:
        """Those of the guest whose names begin so. LabFault when there is none: then the fault could not be made."""
        found = [each for each in self.machine.control.processes(deadline=self.limit()) if each.name.startswith(name)]
        if not found:
            raise LabFault(f"making a fault in the guest: no process {name} runs there")
        return found

    def signal(self, name: str, number: int) -> None:
        """A signal to processes of the guest."""
        for process in self.processes(name):
            self.machine.control.signal(process, number, deadline=self.limit())

    def close(self) -> None:
        """End what the fault has put in between."""
        if self.relay is not None:
            self.relay.close()
            self.relay = None


def _put_relay(line: Line) -> Callable[[Target], None]:
    def prepare(target: Target) -> None:
        machine = target.machine
        sockets = {"virtio-serial": AGENT_SOCKET, "com": COM_SOCKET}
        if machine.profile.agent in sockets:
            target.relay = Relay.of_unix(machine.folder.path / sockets[machine.profile.agent], line)
        else:
            # SSH, and WinRM's endpoint that goes on over SSH: in front of the guest's forwarded port.
            def through(port: int) -> int:
                target.relay = target.relay or Relay.of_port(port, line)
                return target.relay.port

            machine.reroute = through

    return prepare


def _relayed(target: Target) -> Relay:
    if target.relay is None:
        raise LabFault("cutting the agent's stream: nothing has connected through the relay yet")
    return target.relay


def _nmi(target: Target) -> None:
    target.machine.control.ask("set", _UNKNOWN_NMI, "1", deadline=target.limit())
    target.qmp("inject-nmi")


def _cut(target: Target) -> None:
    try:
        target.qmp("quit")
    except LabFault:
        # The connection may end before the answer comes.
        Deadline.after(_SECONDS).wait_for(target.machine.alive, "the end of QEMU")


def _pause_briefly(target: Target) -> None:
    target.qmp("stop")
    until = monotonic() + _BRIEF_SECONDS
    Deadline.after(_SECONDS).wait_for(lambda: monotonic() >= until, "the pause to pass", alive=target.machine.alive)
    target.qmp("cont")


def _fill(target: Target) -> None:
    target.machine.control.ask("fill", _FILLER, _LEFT_BYTES, deadline=target.limit())


def _nothing(_target: Target) -> None:
    return


@dataclass(frozen=True, slots=True)
class Fault:
    """`do` makes it, at its moment; `prepare` what it needs before anything connects to the guest."""

    name: str
    told: str
    do: Callable[[Target], None] = field(repr=False)
    prepare: Callable[[Target], None] = field(default=_nothing, repr=False)


_PLAIN = Line()
_SLOW = Line(delay=(0.002, 0.02))
_LOSSY = Line(delay=(0.0, 0.002), loss=0.05, repeat_seconds=0.2)

_ALL = (
    Fault(
        "power-cut",
        "QEMU ends at once; what the guest had not written to its disk is lost",
        _cut,
    ),
    Fault(
        "kill-qemu",
        "SIGKILL to QEMU: what QEMU itself had not written is lost, too",
        lambda target: target.qemu(signal.SIGKILL),
    ),
    Fault("freeze-qemu", "SIGSTOP to QEMU: it answers nothing", lambda target: target.qemu(signal.SIGSTOP)),
    Fault("reset", "the machine's reset line", lambda target: target.qmp("system_reset")),
    Fault("power-off", "the guest ends itself", lambda target: target.machine.control.end("power-off")),
    Fault("pause", "the guest's processors stand still for good", lambda target: target.qmp("stop")),
    Fault("pause-briefly", f"the guest's processors stand still for {_BRIEF_SECONDS:g} s", _pause_briefly),
    Fault("hang", "the guest spins, and nothing in it runs any more", lambda target: target.machine.control.hang()),
    Fault("panic", "the guest's kernel panics", lambda target: target.machine.control.end("panic")),
    Fault("nmi", "a non-maskable interrupt, which the guest answers with a panic", _nmi),
    Fault("kill-agent", "the agent is killed", lambda target: target.signal(_AGENT, signal.SIGKILL)),
    Fault(
        "hang-agent", "the agent is stopped, its process stays", lambda target: target.signal(_AGENT, signal.SIGSTOP)
    ),
    Fault(
        "kill-driver-host",
        "the driver hosts are killed",
        lambda target: target.signal(DRIVER_HOST, signal.SIGKILL),
    ),
    Fault("full-disk", f"the guest's disk is full but for {_LEFT_BYTES >> 10} KiB", _fill),
    Fault(
        "cut-stream",
        "the agent's stream is cut; another one is taken",
        lambda target: _relayed(target).cut(),
        _put_relay(_PLAIN),
    ),
    Fault(
        "lose-stream",
        "the agent's stream is cut, and none is taken any more",
        lambda target: _relayed(target).refuse(),
        _put_relay(_PLAIN),
    ),
    Fault("slow-stream", "every part of the agent's stream takes 2 to 20 ms", _nothing, _put_relay(_SLOW)),
    Fault(
        "lossy-stream",
        "one part in 20 of the agent's stream is lost, and comes 0.2 s later",
        _nothing,
        _put_relay(_LOSSY),
    ),
)
FAULTS: Mapping[str, Fault] = {fault.name: fault for fault in _ALL}


def find_fault(name: str) -> Fault:
    """UsageError names those that there are."""
    if name not in FAULTS:
        raise UsageError(f"there is no fault {name!r}; there are: {', '.join(FAULTS)}")
    return FAULTS[name]


def with_seed(fault: Fault, seed: int) -> Fault:
    """The same fault, its line with another seed."""
    lines = {"slow-stream": _SLOW, "lossy-stream": _LOSSY}
    if fault.name not in lines:
        return fault
    return replace(fault, prepare=_put_relay(replace(lines[fault.name], seed=seed)))
