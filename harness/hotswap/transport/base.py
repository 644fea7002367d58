"""What every way to the agent offers: a byte stream; and, to an agent that stays, another one when it breaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from hotswap.deadline import Deadline

FILE_CHUNK_BYTES = 1 << 20
"""As HSAGENT_FILE_CHUNK: what one request carries of a file over a stream that is not slow."""


class Transport(Protocol):
    """A byte stream to an agent. One thread reads; any thread may write, one at a time; close from any thread."""

    @property
    def chunk_bytes(self) -> int:
        """How much of a file one request should carry: little over a stream that is slow or has a small queue."""
        ...

    def read(self, size: int, deadline: Deadline) -> bytes:
        """Block until bytes are there and return at most `size` of them; b"" when the stream has ended.

        Raises DeadlineExpired when nothing came in time. Never an OSError for a stream that broke: that is its end.
        """
        ...

    def write(self, data: bytes, deadline: Deadline) -> None:
        """Write all of it.

        Raises BrokenPipeError when the other end is gone, DeadlineExpired when it did not take the data in time; the
        stream may hold part of it then, so that nothing more can be written.
        """
        ...

    def close(self) -> None:
        """End the stream, after which the agent ends, and let go of everything. A pending read returns b""."""
        ...

    def alive(self) -> str | None:
        """None while the other end lives, else what became of it (exit code, last words)."""
        ...


@dataclass(frozen=True, slots=True)
class Reconnection:
    """How a client comes back to an agent that outlives its streams.

    `connect` makes a new stream to the same agent, over the same way (there is no other to fall back to), and raises
    LabFault or DeadlineExpired. A stream that is away for more than `seconds` is lost for good. An answer that has not
    come for `ask_after` seconds is asked for again, each time after twice as long: a line may lose bytes. `gone` says
    what became of the guest when no stream can come back any more; None while one can.
    """

    connect: Callable[[Deadline], Transport]
    seconds: float = 20.0
    ask_after: float = 1.0
    gone: Callable[[], str | None] = lambda: None
