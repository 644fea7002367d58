"""A Unix socket as a stream to the agent: the host's end of a serial or virtio port of a QEMU machine."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Callable
from pathlib import Path

from hotswap.deadline import Deadline
from hotswap.errors import DeadlineExpired, LabFault
from hotswap.machine.unix_socket import connect_unix


class UnixTransport:
    """One connection to the port. The agent at its other end stays when this is closed."""

    def __init__(self, path: Path, deadline: Deadline, alive: Callable[[], str | None]) -> None:
        """Connect. `alive` tells what became of the machine. LabFault when nobody listens."""
        self._alive = alive
        try:
            self._socket = connect_unix(path, deadline)
        except OSError as error:
            raise LabFault(f"connecting to the agent's port: {alive() or error}") from error
        self._socket.setblocking(False)
        self._closed = False

    def read(self, size: int, deadline: Deadline) -> bytes:
        """As Transport.read."""
        while not self._closed:
            try:
                return self._socket.recv(size)
            except BlockingIOError:
                pass
            except OSError:
                return b""
            try:
                ready, _, _ = select.select([self._socket], [], [], deadline.remaining)
            except (OSError, ValueError):
                return b""
            if not ready and deadline.expired:
                raise DeadlineExpired("reading from the agent: nothing came")
        return b""

    def write(self, data: bytes, deadline: Deadline) -> None:
        """As Transport.write."""
        rest = memoryview(data)
        while rest:
            if self._closed:
                raise BrokenPipeError("the stream was closed")
            try:
                rest = rest[self._socket.send(rest) :]
                continue
            except BlockingIOError:
                pass
            except OSError as error:
                raise BrokenPipeError(f"the agent's port broke: {self._alive() or error}") from error
            _, ready, _ = select.select([], [self._socket], [], deadline.remaining)
            if not ready and deadline.expired:
                raise DeadlineExpired("writing to the agent: it takes no more data")

    def close(self) -> None:
        """As Transport.close, but the agent stays."""
        if not self._closed:
            self._closed = True
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()

    def alive(self) -> str | None:
        """None while the machine runs."""
        return self._alive()
