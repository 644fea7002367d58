"""A file of the guest that is being written there, as a source for whoever follows a trace (trace.follow)."""

from __future__ import annotations

from threading import Event

from hotswap.deadline import Deadline
from hotswap.transport.agent import Agent

_CALL_SECONDS = 30.0
_LOOK_SECONDS = 0.5
"""Nobody in the guest tells that a file has grown, and each look is a message."""


class GuestFile:
    """Reads through the agent: a file that only grows, and keeps its name."""

    def __init__(self, agent: Agent, guest_path: str, *, slowdown: float = 1.0) -> None:
        """`slowdown`: by how much everything takes longer in this guest."""
        self.name = guest_path
        self._agent = agent
        self._seconds = _CALL_SECONDS * slowdown

    def size(self) -> int:
        """How many bytes there are now."""
        return self._agent.read(self.name, 0, 0, deadline=Deadline.after(self._seconds))[0]

    def read(self, offset: int, size: int) -> bytes:
        """What is there now, at most `size` bytes."""
        parts: list[bytes] = []
        while size:
            _, part = self._agent.read(self.name, offset, size, deadline=Deadline.after(self._seconds))
            if not part:
                break
            parts.append(part)
            offset, size = offset + len(part), size - len(part)
        return b"".join(parts)

    def gone(self) -> str | None:
        """The agent opens it by its name each time, and an error of that says enough."""
        return None

    def wait(self, seconds: float) -> None:
        """Until it is time to look again."""
        Event().wait(min(seconds, _LOOK_SECONDS))

    def close(self) -> None:
        """There is nothing to let go of."""
