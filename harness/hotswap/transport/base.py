"""What every way to the agent offers: a byte stream, nothing else."""

from __future__ import annotations

from typing import Protocol

from hotswap.deadline import Deadline


class Transport(Protocol):
    """A byte stream to an agent. One thread reads; any thread may write, one at a time; close from any thread."""

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
