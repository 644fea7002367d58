"""The guest of a fuzz run: the host driver started and stopped again and again, without a trace session."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from hotswap.deadline import Deadline
from hotswap.driver.device import LINK
from hotswap.errors import DeadlineExpired, GuestFault, HotswapError, LabFault
from hotswap.fuzz.script import Step
from hotswap.run import RunFolder
from hotswap.swap.lab import Lab
from hotswap.swap.outside import DriverHostWatch, OutsideView
from hotswap.testing.guest import GuestMachine
from hotswap.transport.replies import ScriptOutcome

_CALL_SECONDS = 60.0
_DEATH_SECONDS = 2.0
LIMIT_MS = 20_000
"""So long one request may take: an orderly stop of a worker has 10 s."""
BATCH_SECONDS = 90.0
"""And so long one script."""


class HostDied(GuestFault):
    """The driver host died; the message has status and stack."""


class FuzzGuest:
    """`start` and `stop` the driver, `run` scripts in between. A guest that is spent is replaced by `renew`."""

    def __init__(self, machine: GuestMachine, services: Sequence[str], run: RunFolder) -> None:
        """`services`: endpoint drivers that updates may name, deployed in every guest."""
        self.machine = machine
        self.run_folder = run
        self._services = tuple(services)
        self._lab: Lab | None = None

    @property
    def lab(self) -> Lab:
        """The guest with the driver in it, once started."""
        assert self._lab is not None
        return self._lab

    def start(self) -> None:
        """A freshly started driver. Raises LabFault when the lab cannot."""
        deadline = Deadline.after(_CALL_SECONDS)
        self._lab = lab = self.machine.lab(self.run_folder)
        for name in self._services:
            self.machine.deploy(name)
        service = lab.package.host.service
        assert service is not None
        lab.agent.service_start(service, deadline=deadline)
        if isinstance(lab.machine, OutsideView):
            lab.host = DriverHostWatch.find(lab.machine, lab.package.host.image.name)

    def run(self, steps: Sequence[Step]) -> list[ScriptOutcome]:
        """Run a script. Raises HostDied when that killed the driver host, GuestFault when the driver hangs."""
        try:
            items = [step.item for step in steps]
            outcomes = self.lab.agent.script(LINK, items, limit_ms=LIMIT_MS, deadline=Deadline.after(BATCH_SECONDS))
        except HotswapError as error:
            self.check(_DEATH_SECONDS)
            if isinstance(error, DeadlineExpired) and self.lab.driver_hangs():
                raise GuestFault(f"{error}; {self.lab.hang_told}") from None
            raise
        self.check(0.0)
        return outcomes

    def check(self, seconds: float) -> None:
        """Raises HostDied when the driver host is dead, or dies within this time."""
        if self.lab.host is None or not self.lab.host_ends_within(seconds):
            return
        crash = self.lab.crash()
        raise HostDied(f"the driver host died: {crash.headline if crash else 'it left no minidump'}")

    def stop(self) -> None:
        """Stop the driver's service. Raises HostDied or GuestFault when that fails."""
        lab = self.lab
        service = lab.package.host.service
        assert service is not None
        try:
            lab.agent.service_stop(service, deadline=Deadline.after(_CALL_SECONDS))
        except HotswapError as error:
            self.check(_DEATH_SECONDS)
            raise GuestFault(f"stopping the driver: {error}") from error
        if lab.host is not None:
            lab.host.close()
            lab.host = None

    def renew(self, why: str) -> None:
        """Throw the guest away."""
        if self._lab is not None:
            with suppress(LabFault):
                self.machine.leave(self._lab, why)
        self.machine.discard(why)
        self._lab = None
