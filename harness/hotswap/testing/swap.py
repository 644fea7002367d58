"""A swap as a test sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hotswap.deadline import Deadline
from hotswap.driver.host_replies import UpdateReply
from hotswap.driver.ioctl import NtStatus
from hotswap.driver.package import DeployedImage
from hotswap.errors import DeadlineExpired, GuestFault
from hotswap.swap.observe import update_reply
from hotswap.swap.result import phase_ticks

HELD_SECONDS = 10.0


@dataclass(frozen=True, slots=True, repr=False)
class Swap:
    """How one swap ended. `reply` has the driver's own words, with the tick of each phase."""

    driver: str
    """What was asked for: a name, or the path of a .sys file."""
    image: DeployedImage
    reply: UpdateReply
    tick_frequency: int
    number: int
    """The field Swap of its events: from 1 in the order asked for, loads and refused ones too, `device.update` not."""

    @property
    def status(self) -> NtStatus:
        """NTSTATUS; prints with its name."""
        return self.reply.status

    @property
    def succeeded(self) -> bool:
        """The new version is in force, and the old image was unloaded without an error."""
        return self.reply.status.succeeded and self.reply.unload_status.succeeded

    @property
    def refused(self) -> bool:
        """The old version stayed in force, whether the swap was rolled back or never began."""
        return not self.reply.status.succeeded and self.reply.to_version == self.reply.from_version

    @property
    def rolled_back(self) -> bool:
        """Something had been done already, and was undone."""
        return bool(self.reply.rolled_back)

    @property
    def from_version(self) -> int:
        """In force before; 0: none."""
        return self.reply.from_version

    @property
    def to_version(self) -> int:
        """In force after; the old one when the swap was refused."""
        return self.reply.to_version

    @property
    def held_calls(self) -> int:
        """Calls that had to wait."""
        return self.reply.held_calls

    @property
    def hold_us(self) -> float | None:
        """Microseconds from the first call that was held to the release; None: no call was held."""
        return self.phase_us("hold")

    def phase_us(self, name: str) -> float | None:
        """Microseconds of load, pre_process, drain, switch, release, post_process, unload, hold or total.

        None when one of its ends was not reached. KeyError for another name.
        """
        ticks = phase_ticks(update_reply(self.reply))[name]
        return None if ticks is None else ticks * 1e6 / self.tick_frequency

    def __str__(self) -> str:
        held = "" if self.hold_us is None else f", {self.held_calls} calls held, {self.hold_us:,.0f} µs"
        end = "rolled back, " if self.rolled_back else ""
        return f"swap {self.from_version} -> {self.driver}: {self.status}, {end}version {self.to_version}{held}"

    def __repr__(self) -> str:
        return f"<{self}>"


class PendingSwap:
    """A swap that is under way. `result` must be asked for: until then nobody knows which version is in force."""

    def __init__(
        self,
        driver: str,
        number: int,
        *,
        finish: Callable[[], Swap],
        done: Callable[[], bool],
        holds: Callable[[], bool],
        slowdown: float = 1.0,
    ) -> None:
        """`slowdown`: by how much things may take longer in this guest, where a test names no limit."""
        self.driver = driver
        self.number = number
        """As that of the Swap it becomes."""
        self._finish = finish
        self._done = done
        self._holds = holds
        self._slowdown = slowdown
        self._swap: Swap | None = None

    @property
    def done(self) -> bool:
        """Whether `result` returns without waiting."""
        return self._swap is not None or self._done()

    def wait_until_held(self, seconds: float | None = None) -> None:
        """Wait until the swap holds a call, that is a worker that wants to run.

        Raises GuestFault when it ends without, or when none is held within `seconds`: 10, and more in a slow guest.
        """
        seconds = HELD_SECONDS * self._slowdown if seconds is None else seconds
        try:
            held = Deadline.after(seconds).wait_for(
                lambda: "held" if self._holds() else "ended" if self.done else None,
                "a call to be held",
                interval=0.002,
            )
        except DeadlineExpired:
            raise GuestFault(f"the swap to {self.driver} held no call within {seconds:g} s") from None
        if held == "ended":
            raise GuestFault(f"the swap to {self.driver} ended before a held call was seen: {self.result()}")

    def result(self) -> Swap:
        """Wait for its end. Raises GuestFault when the driver does not answer."""
        if self._swap is None:
            self._swap = self._finish()
        return self._swap
