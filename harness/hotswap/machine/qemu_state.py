"""What has become of a QEMU machine, and by whom: the guest itself, or our lab."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from hotswap.deadline import Deadline
from hotswap.errors import DeadlineExpired, GuestFault, HotswapError, LabFault
from hotswap.machine.proc import processor_seconds, state_letter, task_ids
from hotswap.machine.qemu_panic import panic_of
from hotswap.machine.qemu_process import QemuProcess
from hotswap.machine.qmp import QmpEvent
from hotswap.machine.standin_control import StandinControl

_QMP_SECONDS = 2.0
_END_SECONDS = 5.0
_ANSWER_SECONDS = 2.0
# Of one processor: less, while threads of QEMU want to run, means that this host does not let them.
_STARVED = 0.05


@dataclass(frozen=True, slots=True)
class GuestState:
    """One look. `name`: running, hung, panicked, paused, powered-off, reset, frozen (QEMU itself is), ended, gone.

    `of_guest`: True, the guest did it; False, our lab; None, nothing is wrong. `status` is QMP's, if it answered.
    """

    name: str
    cause: str
    of_guest: bool | None
    status: str | None = None

    @property
    def answers(self) -> bool:
        """Whether something in the guest can be asked."""
        return self.name in ("running", "reset")

    @property
    def qmp_answers(self) -> bool:
        """Whether QEMU can be asked."""
        return self.status is not None

    def error(self) -> HotswapError | None:
        """As an error of the family that it belongs to; None when nothing is wrong."""
        if self.of_guest is None:
            return None
        return GuestFault(self.cause) if self.of_guest else LabFault(self.cause)


def look(
    process: QemuProcess | None,
    control: StandinControl | None,
    gone: str | None,
    deadline: Deadline,
    *,
    since: int = 0,
    slowdown: float = 1.0,
) -> GuestState:
    """Look at a machine. `gone` is what its owner says of its end; resets count from event number `since` on."""
    if process is None:
        return GuestState("gone", gone or "there is no QEMU", None)
    events = process.qmp.events
    if (ended := process.ended()) is not None:
        return _ended(events, gone or ended)
    if process.frozen:
        return GuestState("frozen", f"QEMU of machine {process.folder.path.name} is stopped by a signal", False)
    try:
        answer = process.qmp.execute("query-status", deadline=deadline.within(_QMP_SECONDS * slowdown))
        status = str(answer["status"])
    except LabFault as error:
        if (ended := _ends(process, error, deadline)) is not None:
            return _ended(process.qmp.events, ended)
        return GuestState("frozen", f"QEMU does not answer on its control socket: {error}", False)
    if process.panic is not None or status == "guest-panicked":
        told = panic_of(process.panic.data).told if process.panic else ""
        return GuestState("panicked", f"the guest panicked{told}", True, status)
    if status == "shutdown":
        return GuestState("powered-off", "the guest has ended itself", True, status)
    if status != "running":
        return GuestState("paused", f"the guest stands still: QEMU says that it is {status}", False, status)
    if (reset := _reset(events[since:])) is not None:
        return GuestState("reset", reset[0], reset[1], status)
    return _answers(process, control, status, deadline, slowdown)


def _ends(process: QemuProcess, error: LabFault, deadline: Deadline) -> str | None:
    """The cause of its end. A QEMU that is about to end closes its socket a moment before."""
    if isinstance(error, DeadlineExpired):
        return process.ended()
    try:
        return deadline.within(_END_SECONDS).wait_for(process.ended, "QEMU's end")
    except DeadlineExpired:
        return None


def _ended(events: Sequence[QmpEvent], cause: str) -> GuestState:
    for event in events:
        if event.name == "SHUTDOWN":
            reason = event.data.get("reason", "unknown")
            if event.data.get("guest"):
                return GuestState("powered-off", f"the guest ended itself ({reason}); {cause}", True)
            return GuestState("ended", f"{cause} ({reason})", False)
    return GuestState("ended", cause, False)


def _reset(events: Sequence[QmpEvent]) -> tuple[str, bool] | None:
    for event in events:
        reason = str(event.data.get("reason", "unknown"))
        if event.name == "RESET" and reason != "snapshot-load":
            by_guest = bool(event.data.get("guest"))
            return f"the guest was reset by {'itself' if by_guest else 'the host'} ({reason})", by_guest
    return None


def _answers(
    process: QemuProcess, control: StandinControl | None, status: str, deadline: Deadline, slowdown: float
) -> GuestState:
    running = GuestState("running", "the guest runs", None, status)
    if control is None:
        return running
    begun, used = monotonic(), processor_seconds(process.id.pid) or 0.0
    try:
        control.clock(deadline=deadline.within(_ANSWER_SECONDS * slowdown))
        return running
    except DeadlineExpired:
        waited = max(monotonic() - begun, 0.001)
        share = ((processor_seconds(process.id.pid) or used) - used) / waited
    except LabFault as error:
        return GuestState("running", f"the guest's control port is gone: {error}", False, status)
    wanting = any(state_letter(task) == "R" for task in task_ids(process.id.pid))
    told = f"nothing in the guest answers for {waited:.1f} s, in which QEMU used {share:.0%} of a processor"
    if share < _STARVED and wanting:
        return GuestState("hung", f"{told}: this host does not let it run", False, status)
    return GuestState("hung", f"{told}: the guest hangs", True, status)
