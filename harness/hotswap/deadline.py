"""One deadline is handed down through a test; a child can only shrink it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import TypeVar

from hotswap.errors import DeadlineExpired

T = TypeVar("T")


@dataclass(frozen=True)
class Deadline:
    """A point on the monotonic clock, in seconds."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The deadline this many seconds from now."""
        return cls(time.monotonic() + seconds)

    @property
    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - time.monotonic())

    @property
    def expired(self) -> bool:
        """Whether no time is left."""
        return self.remaining == 0.0

    def within(self, seconds: float, *, reserve: float = 0.0) -> Deadline:
        """A child: at most `seconds` from now, and at least `reserve` seconds before this one (for evidence)."""
        return Deadline(min(time.monotonic() + seconds, self.at - reserve))

    def wait_for(
        self,
        condition: Callable[[], T | None],
        what: str,
        *,
        alive: Callable[[], str | None] | None = None,
        interval: float = 0.02,
        last_seen: Callable[[], str] | None = None,
    ) -> T:
        """Return the first value of `condition` that is true: no list that is still empty, no count that is still 0.

        `alive` watches what the condition depends on: it returns None while that lives, else what became of it.
        Raises DeadlineExpired, which names the condition and what was seen last.
        """
        pause = Event()
        while True:
            value = condition()
            if value:
                return value
            gone = alive() if alive else None
            if gone is not None:
                raise DeadlineExpired(f"waiting for {what}: {gone}")
            if self.expired:
                seen = f"; last seen: {last_seen()}" if last_seen else ""
                raise DeadlineExpired(f"waiting for {what}: the deadline expired{seen}")
            pause.wait(min(interval, self.remaining))
