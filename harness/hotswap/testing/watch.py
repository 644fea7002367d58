"""Who is at fault when a call to the driver fails: the driver host may have died, or the driver may hang."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hotswap.deadline import Deadline
from hotswap.errors import DeadlineExpired, GuestFault, HotswapError, LabFault, UsageError
from hotswap.swap.lab import Lab
from hotswap.swap.observe import Observations
from hotswap.transport.agent import AgentError

CALL_SECONDS = 30.0
_DEATH_SECONDS = 1.0
_GONE_SECONDS = 10.0
_ACCESS_DENIED = 5
_FILE_DELETED = 0xC0000123


class HostWatch:
    """Watches the driver host of one test. `stopped`: it was asked to end, so that its end is no death any more."""

    def __init__(self, lab: Lab, seen: Observations) -> None:
        self.stopped = False
        self.death_told = False
        """Whether the test has got a GuestFault for the death."""
        self._lab = lab
        self._seen = seen

    @property
    def death(self) -> str | None:
        """How the driver host died; None while it lives, or when it ended because it was asked to."""
        if not self.stopped:
            self._seen.note_host(self._lab)
        return f"the driver host died: {self._seen.host_end}" if self._seen.host_alive is False else None

    @contextmanager
    def calling(self, what: str) -> Iterator[None]:
        """What fails because the driver host died, or because the driver hangs, is the guest's fault."""
        try:
            yield
        except HotswapError as error:
            if isinstance(error, UsageError) or self.stopped:
                raise
            if (blame := self._lab.blame(error)) is not None:
                raise type(blame)(f"{what}: {blame}") from error
            if self._host_is_dead(error):
                self.death_told = True
                # What the guest said to that call is a guess of what the death looks like from there.
                raise GuestFault(f"{what}: {self.death}") from None
            if isinstance(error, DeadlineExpired) and self._lab.driver_hangs():
                raise GuestFault(f"{what}: {error}; {self._lab.hang_told}") from None
            raise

    def _host_is_dead(self, error: HotswapError) -> bool:
        """A driver that faults answers before its process has ended."""
        if self._lab.host is None:
            return False
        seconds = 0.0
        if isinstance(error, AgentError) and error.ntstatus == _FILE_DELETED:
            # Whoever served the device is gone; on a very busy computer its last thread ends a good while later.
            seconds = _GONE_SECONDS
        elif isinstance(error, LabFault) or (isinstance(error, AgentError) and error.code == _ACCESS_DENIED):
            seconds = _DEATH_SECONDS
        return self._lab.host_ends_within(seconds) and self.death is not None

    def limit(self) -> Deadline:
        """For one request: a driver that hangs is noticed, and a computer that is very busy is given its time."""
        return Deadline.after(CALL_SECONDS * self._lab.machine.slowdown)
