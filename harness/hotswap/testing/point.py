"""A point in a test's schedule, named by a trace event: `driver.at(event("IterationBegin", worker=2), nth=3)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from hotswap.deadline import Deadline
from hotswap.driver.host_events import host_events
from hotswap.errors import DeadlineExpired, GuestFault, UsageError
from hotswap.testing.pauses import Pauses, PauseState
from hotswap.testing.trace_event import find_field, meant, spelled

POINT_SECONDS = 10.0
_CALL_SECONDS = 10.0

Calling = Callable[[str], AbstractContextManager[None]]


class Point:
    """The thread that writes this event the nth time from now on stops right after it, until it is let go.

    As a context manager it waits for the thread, which stands there until the end of the block.
    """

    def __init__(
        self,
        pauses: Pauses,
        calling: Calling,
        last_seen: Callable[[int], str],
        name: str,
        key: int,
        nth: int,
        *,
        slowdown: float = 1.0,
    ) -> None:
        """`last_seen` tells of a worker, for when it does not come.

        `slowdown`: by how much things may take longer in this guest, where a test names no limit.
        """
        self.name = name
        self.thread: int | None = None
        """The thread that stands here, once it is known; after the end, that stood here."""
        self._pauses = pauses
        self._calling = calling
        self._last_seen = last_seen
        self._key = key
        self._nth = nth
        self._slowdown = slowdown
        with calling(f"arming {self}"):
            self._arm = pauses.arm([name], key=key, nth=nth, deadline=self._call())

    def reached(self, seconds: float | None = None) -> int:
        """Wait until the thread is there; returns its id.

        GuestFault, with what was seen last, if it does not come within `seconds`: 10, and more in a slow guest.
        """
        seconds = POINT_SECONDS * self._slowdown if seconds is None else seconds
        deadline = Deadline.after(seconds)
        with self._calling(f"waiting for {self}"):
            state = self._pauses.query(deadline=self._call())
            while (thread := self._standing(state)) is None:
                try:
                    state = self._pauses.wait(state.arrivals, deadline=deadline)
                except DeadlineExpired:
                    self._give_up(state, seconds)
        self.thread = thread
        return thread

    def let_go(self) -> None:
        """Let the thread go on; it stops here no more."""
        with self._calling(f"letting go of {self}"):
            self._pauses.release(arm=self._arm, deadline=self._call())

    def _call(self) -> Deadline:
        return Deadline.after(_CALL_SECONDS * self._slowdown)

    def _standing(self, state: PauseState) -> int | None:
        return next((paused.thread for paused in state.waiting if paused.arm == self._arm), None)

    def _give_up(self, state: PauseState, seconds: float) -> None:
        others = ", ".join(f"thread {paused.thread} stands at {paused.event}" for paused in state.waiting)
        seen = [*([self._last_seen(self._key)] if self._key else []), others or "nobody stands at another point"]
        # Whoever comes later must not stay here for ever.
        self._pauses.clear(deadline=self._call())
        raise GuestFault(f"nobody came to {self} within {seconds:g} s: {'; '.join(seen)}") from None

    def __enter__(self) -> Self:
        self.reached()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.let_go()

    def __str__(self) -> str:
        of = f" of worker {self._key}" if self._key else ""
        return f"{self.name}{of} (number {self._nth} from then on)"

    def __repr__(self) -> str:
        return f"<point {self}>"


def key_of(name: str, fields: Mapping[str, object]) -> int:
    """The key by which the driver knows the event: its first field. UsageError for an event or a field that is none."""
    known = host_events()
    if name not in known:
        raise UsageError(f"there is no event {name!r}{meant(name, list(known))}")
    first = next(iter(known[name]))
    for field, value in fields.items():
        if find_field(field, [first]) is None:
            spelled(name, field, tuple(known[name]))
            raise UsageError(f"a thread stops at {name} by its field {first} only, and not by {field}")
        if not isinstance(value, int) or value == 0:
            raise UsageError(f"{field} is {value!r}; it is a number from 1 on")
        return value
    return 0
