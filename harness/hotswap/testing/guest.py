"""The guest that the tests of one process share: started when it is first needed, replaced when it is spent."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild, build_drivers
from hotswap.driver.deploy import deploy
from hotswap.driver.package import DeployedImage, DriverPackage
from hotswap.errors import HotswapError, UsageError
from hotswap.machine.base import Machine
from hotswap.machine.registry import create_machine
from hotswap.machine.restore import RestoreLevel
from hotswap.run import RunFolder
from hotswap.swap.lab import Lab, Progress
from hotswap.testing.restore import Dirt, RestorePolicy
from hotswap.transport.agent import Agent

_START_SECONDS = 180.0
_RESTORE_SECONDS = 60.0
_DRIVER_SECONDS = 60.0


class GuestMachine:
    """One started guest at a time. `discard` throws it away, and whoever needs one next gets a new one."""

    def __init__(self, name: str, folder: Path, progress: Progress | None = None) -> None:
        """`folder` takes what is noted of the guest outside any test; `progress` is told of what takes long, once.

        UsageError: no such machine.
        """
        self.name = name
        self._progress = progress or (lambda _line: None)
        self.spent: str | None = None
        """Why the last guest was thrown away."""
        self._folder = folder
        self._next: Machine | None = create_machine(name, self._progress)
        self._build: DriverBuild | None = None
        self._lab: Lab | None = None
        self._own: RunFolder | None = None
        self._in_use = False
        self._before: frozenset[str] = frozenset()
        """What was left in the guest before the present test, or belongs to it whatever the test."""
        self.restored: list[RestoreLevel] = []
        """How this guest was restored after each test, those that needed a new one left out."""

    @property
    def build(self) -> DriverBuild:
        """The drivers of this version of the sources, built when first needed."""
        if self._build is None:
            self._build = build_drivers(self._progress)
        return self._build

    @property
    def current(self) -> Machine:
        """The machine that runs now; started when none does."""
        return self.lab().machine

    @property
    def agent(self) -> Agent:
        """The agent in the guest; started when there is none."""
        return self.lab().agent

    def lab(self, run: RunFolder | None = None) -> Lab:
        """The guest with the host driver deployed, and not started. What happens to it is noted in `run`.

        One that is gone is replaced, but never under a test that uses its driver: from `run` to `leave` it stays.
        """
        if self._lab is not None and not self._in_use and (gone := self._gone(self._lab)) is not None:
            self.discard(gone)
        if self._lab is None:
            self._lab = self._start(run)
        if run is not None:
            self._lab.run = run
            self._lab.steps = {}
            self._in_use = True
            self._before = self._lab.agent.changes.left()
        return self._lab

    def _start(self, run: RunFolder | None) -> Lab:
        self._own = RunFolder.create(self._folder)
        machine, self._next = self._next or create_machine(self.name, self._progress), None
        return self._enter(machine, run)

    def _enter(self, machine: Machine, run: RunFolder | None = None) -> Lab:
        """Start it, unless it runs, and put agent and drivers there."""
        assert self._own is not None
        lab = Lab(machine, self.build, DriverPackage.of(self.build, []), run or self._own, lambda _line: None)
        try:
            lab.start_guest(Deadline.after(_START_SECONDS * machine.slowdown))
        except BaseException:
            self._lab = lab
            self.discard("it did not start")
            raise
        return lab

    @staticmethod
    def _gone(lab: Lab) -> str | None:
        return lab.machine.alive() or lab.agent.connection.transport.alive()

    @contextmanager
    def driver(self, run: RunFolder, updates: Sequence[str] = ()) -> Iterator[Lab]:
        """The host driver freshly started, with the trace running; stopped at the end, if that was not done before.

        `updates` are deployed first. A guest that is not as it should be afterwards is thrown away.
        """
        lab = self.lab(run)
        try:
            for name in updates:
                self.deploy(name)
            lab.start_driver(Deadline.after(_DRIVER_SECONDS * lab.machine.slowdown))
            yield lab
        except BaseException as error:
            self.leave(lab, f"{type(error).__name__}: {error}")
            raise
        self.leave(lab)

    def leave(self, lab: Lab, spent: str | None = None) -> None:
        """Take the driver out of use. `spent` says why this guest should serve no other test."""
        died = lab.host is not None and not lab.host.alive
        try:
            closed = lab.close()
            trouble = [*closed.faults, *closed.problems, *(["the driver host died"] if died else [])]
        except HotswapError as error:
            trouble = [str(error)]
        self._in_use = False
        if self._own is not None:
            lab.run = self._own
        wrong = [spent, *trouble] if spent else trouble
        left = lab.agent.changes.left() - self._before if lab.machine.restore_costs and not wrong else ()
        self._restore(lab, Dirt(tuple(sorted(left)), tuple(wrong)))

    def _restore(self, lab: Lab, dirt: Dirt) -> None:
        """For the next test: by as much as the last one needs, which the machine offers."""
        level = RestorePolicy(lab.machine.restore_costs or {RestoreLevel.DRIVER: 0.0}).choose(dirt)
        if level is RestoreLevel.MEMORY:
            self.discard(str(dirt))
            return
        if not lab.machine.restore_costs:
            return
        begun = monotonic()
        try:
            if level is RestoreLevel.DISK:
                lab.leave_guest()
            lab.machine.restore_to(level, Deadline.after(_RESTORE_SECONDS * lab.machine.slowdown))
            if level is RestoreLevel.DISK:
                self._lab = self._enter(lab.machine)
        except HotswapError as error:
            # Not the test's failure, which has ended: the next one gets another guest.
            self.discard(f"restoring it ({level.name.lower()}, for {dirt}): {error}")
            return
        self.restored.append(level)
        if self._own is not None:
            seconds = round(monotonic() - begun, 3)
            self._own.timeline.event("guest-restored", level=level.name.lower(), why=str(dirt), seconds=seconds)

    def deploy(self, name: str, *, beside: Collection[DeployedImage] = ()) -> DeployedImage:
        """Put an endpoint driver into the guest, by name or as the path of a .sys file, unless it is there already.

        What is loaded already, `beside`, cannot be loaded once more: then this is a copy under another name.
        Raises UsageError: no such driver, or one that cannot work in this guest.
        """
        lab = self.lab()
        package = lab.package.adding(self.build, name, again=False)
        if package.endpoints[-1] in beside:
            package = lab.package.adding(self.build, name, again=True)
        image = package.endpoints[-1]
        if image not in lab.package.images:
            exporting = tuple(item for item in package.images if item.service is None)
            for report in DriverPackage((*exporting, image), ()).preflight(lab.machine.ntoskrnl):
                if not report.ok:
                    problems = "; ".join(f"{problem.id}: {problem.message}" for problem in report.problems)
                    raise UsageError(f"preflight of {report.image.name} for machine {self.name!r} failed: {problems}")
            deadline = Deadline.after(_DRIVER_SECONDS * lab.machine.slowdown)
            before = lab.agent.changes.left()
            with lab.machine.carrying(lab.agent, [image.image.path], deadline) as carrier:
                deploy(carrier, [image], deadline=deadline)
            lab.package = package
            # Ours, and to stay for the next test.
            self._before |= lab.agent.changes.left() - before
        return image

    def discard(self, why: str) -> None:
        """Stop the guest, if there is one, and remove all of it."""
        lab, self._lab = self._lab, None
        own, self._own = self._own, None
        self._in_use = False
        if lab is None:
            return
        self.spent = why
        if own is not None:
            lab.run = own
        try:
            lab.run.timeline.event("guest-spent", reason=why)
            lab.__exit__()
        finally:
            if own is not None:
                own.close()

    def close(self) -> None:
        """The end of the session."""
        self.discard("the session has ended")
