"""Threads of a driver that stop at an event they write, until they are released: driver/include/trace_pause.h."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hotswap.deadline import Deadline
from hotswap.driver.device import Device
from hotswap.driver.host_events import host_events
from hotswap.errors import DeadlineExpired, UsageError
from hotswap.testing.trace_event import meant
from hotswap.transport.agent import AgentError

_CANCELLED = 0xC0000120


@dataclass(frozen=True, slots=True)
class Paused:
    """A thread that stands at an event. `key` is the event's first field, the worker for most."""

    arm: int
    thread: int
    event: str
    key: int
    arrival: int


@dataclass(frozen=True, slots=True)
class PauseState:
    """How many threads have ever arrived, how many arms there are, and who stands where now, in order of arrival."""

    arrivals: int
    arms: int
    waiting: tuple[Paused, ...]


class Pauses:
    """The pause points of the host driver."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._names = tuple(host_events())

    def arm(self, events: Iterable[str], *, key: int = 0, nth: int = 0, deadline: Deadline) -> int:
        """Stop whoever writes one of these events, with this key unless it is 0: the nth from now on, or each (0).

        Returns the number of the arm. UsageError: no such event.
        """
        mask = sum(1 << self._number(name) for name in set(events))
        reply = self._device.call("pause_arm", event_mask=mask, key=key, nth=nth, deadline=deadline)
        return int(reply.arm_id)

    def query(self, *, deadline: Deadline) -> PauseState:
        """Who stands where now."""
        return self.state(self._device.call("pause_query", deadline=deadline))

    def wait(self, arrivals: int, *, deadline: Deadline) -> PauseState:
        """As soon as more threads than these have arrived. DeadlineExpired."""
        try:
            return self.state(self._device.call("pause_wait", arrivals=arrivals, deadline=deadline))
        except AgentError as error:
            if error.ntstatus != _CANCELLED:
                raise
            # By the agent, so that its answer comes in time.
            raise DeadlineExpired(f"waiting for arrival {arrivals + 1} at a pause point: {error}") from error

    def release(self, *, arm: int = 0, thread: int = 0, deadline: Deadline) -> PauseState:
        """Let those go on that stand at this arm, or this thread; 0 for any. Arms for each event stay."""
        return self.state(self._device.call("pause_release", arm_id=arm, thread_id=thread, deadline=deadline))

    def clear(self, *, deadline: Deadline) -> PauseState:
        """Disarm everything, and let everybody go on."""
        return self.state(self._device.call("pause_clear", deadline=deadline))

    def _number(self, name: str) -> int:
        try:
            return self._names.index(name)
        except ValueError:
            raise UsageError(f"there is no event {name!r}{meant(name, self._names)}") from None

    def state(self, reply: Any) -> PauseState:
        """Of a reply of the device."""
        return PauseState(
            int(reply.arrivals),
            int(reply.arms),
            tuple(
                Paused(item.arm_id, item.thread_id, self._names[item.event], item.key, item.arrival)
                for item in reply.waiting[: reply.waiting_count]
            ),
        )
