"""Makes one fault at its moment in a swap test: by the points of the test, and the pause points of the driver."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hotswap.deadline import Deadline
from hotswap.errors import DeadlineExpired, HotswapError, LabFault, UsageError
from hotswap.faults.catalog import Fault, Target, find_fault, with_seed
from hotswap.faults.moment import BOOTING, AtEvent, AtPoint, Moment, parse_moment
from hotswap.machine.base import Machine
from hotswap.machine.qemu import QemuMachine
from hotswap.swap.lab import Lab
from hotswap.testing.pauses import Pauses

_POINT = "load-running"
_CALL_SECONDS = 10.0
_LOOK_SECONDS = 1.0
_BOOT_SECONDS = 120.0
_JOIN_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """A fault and its moment: the same text, the same plan."""

    fault: Fault
    moment: Moment
    text: str

    @classmethod
    def parse(cls, text: str, *, seconds: float, seed: int) -> FaultPlan:
        """`NAME`, `NAME@EVENT`, `NAME@EVENT:2`, `NAME@seed:7`. `seed` is that of the test. UsageError."""
        name, at, moment = text.partition("@")
        if at and not moment:
            raise UsageError(f"the fault {text!r} says no moment behind its @")
        fault = with_seed(find_fault(name), seed)
        return cls(fault, parse_moment(moment or _POINT, seconds), text)

    def check_machine(self, machine: Machine) -> QemuMachine:
        """The machine, as one that faults can be made in; UsageError when it is none."""
        if not isinstance(machine, QemuMachine):
            raise UsageError(
                f"the fault {self.fault.name} needs a stand-in guest, and the machine {machine.name!r} has none: "
                "take --machine standin"
            )
        return machine

    def __str__(self) -> str:
        return f"{self.fault.name} at {self.moment}"


class Injector:
    """One test's fault. Call it at each point of the test (it is an Interference); `close` in the end."""

    def __init__(self, plan: FaultPlan) -> None:
        self.plan = plan
        self.made = False
        """Whether the fault was made."""
        self.trouble: str | None = None
        """Why it could not be made as planned."""
        self._passed = 0
        self._target: Target | None = None
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __call__(self, point: str, lab: Lab) -> None:
        """The test has come to this point."""
        target = self._of(lab)
        moment = self.plan.moment
        if point == "machine-starting" and isinstance(moment, AtPoint) and moment.point == BOOTING:
            # A fork is there at once: to be met while it boots, it has to boot.
            target.machine.fork = False
            self._begin(self._while_booting, lab)
        if point == "machine-started":
            self.plan.fault.prepare(target)
        if point == "driver-open" and isinstance(moment, AtEvent):
            pauses = Pauses(lab.device)
            pauses.arm([moment.event], nth=moment.nth, deadline=self._limit(lab))
            self._begin(self._at_event, lab, pauses)
        if isinstance(moment, AtPoint) and point == moment.point:
            self._passed += 1
            if self._passed == moment.nth and moment.milliseconds:
                self._begin(self._later, lab, moment.milliseconds / 1000)
            elif self._passed == moment.nth:
                self._make(lab)

    def _of(self, lab: Lab) -> Target:
        if self._target is None:
            self._target = Target(self.plan.check_machine(lab.machine))
            lab.run.timeline.event("fault-planned", fault=self.plan.fault.name, moment=str(self.plan.moment))
        return self._target

    def _limit(self, lab: Lab) -> Deadline:
        return Deadline.after(_CALL_SECONDS * lab.machine.slowdown)

    def _make(self, lab: Lab) -> None:
        assert self._target is not None
        lab.run.timeline.event("fault", fault=self.plan.fault.name, told=self.plan.fault.told, at=str(self.plan.moment))
        try:
            self.plan.fault.do(self._target)
        except HotswapError as error:
            self.trouble = str(error)
            lab.run.timeline.event("fault-failed", error=self.trouble)
            return
        self.made = True

    # On a thread of its own

    def _begin(self, target: Callable[..., None], *arguments: object) -> None:
        def run() -> None:
            try:
                target(*arguments)
            except Exception as error:
                # Told by `close`: nobody waits for this thread before.
                self.trouble = self.trouble or f"{type(error).__name__}: {error}"

        self._thread = threading.Thread(target=run, name="fault-injector", daemon=True)
        self._thread.start()

    def _later(self, lab: Lab, seconds: float) -> None:
        if not self._over.wait(seconds):
            self._make(lab)

    def _while_booting(self, lab: Lab) -> None:
        machine = lab.machine
        assert isinstance(machine, QemuMachine)
        Deadline.after(_BOOT_SECONDS * machine.slowdown).wait_for(
            lambda: self._over.is_set() or _boots(machine), "the guest's first words"
        )
        if not self._over.is_set():
            self._make(lab)

    def _at_event(self, lab: Lab, pauses: Pauses) -> None:
        arrivals = 0
        while not self._over.is_set():
            try:
                state = pauses.wait(arrivals, deadline=Deadline.after(_LOOK_SECONDS * lab.machine.slowdown))
            except DeadlineExpired:
                continue
            if state.waiting:
                self._make(lab)
                break
            arrivals = state.arrivals
        # Whoever stands there goes on, when the guest still can.
        try:
            pauses.clear(deadline=self._limit(lab))
        except HotswapError as error:
            lab.run.timeline.event("fault-not-released", error=str(error))

    def close(self) -> None:
        """The test is over: end what the fault has put in between, and whoever waits for its moment."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(_JOIN_SECONDS)
        if self._target is not None:
            self._target.close()

    def check(self, before: Sequence[str] = ()) -> None:
        """LabFault when the fault was not made: then the test shows nothing about it. `before` is what went wrong."""
        if not self.made:
            why = self.trouble or "; ".join(["the test did not come to it", *before])
            raise LabFault(f"the fault {self.plan} was not made: {why}")


def _boots(machine: QemuMachine) -> bool:
    """Whether QEMU can be asked, and the guest has said something."""
    try:
        _ = machine.qmp
        return machine.folder.console.stat().st_size > 0
    except (LabFault, OSError):
        return False
