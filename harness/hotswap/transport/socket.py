"""The host's end of a QEMU character device (virtio-serial, COM): a Unix socket. The agent behind it stays."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from hotswap.deadline import Deadline
from hotswap.errors import DeadlineExpired, LabFault
from hotswap.transport.base import FILE_CHUNK_BYTES

SERIAL_CHUNK_BYTES = 1 << 14
"""For a COM port: it has no flow control, and what waits for its reader must fit into the guest's queues (64 KiB)."""


class SocketTransport:
    """Owns the socket. `close` hangs up; the agent stays, and QEMU takes the next client."""

    def __init__(
        self,
        connected: socket.socket,
        name: str,
        *,
        alive: Callable[[], str | None] | None = None,
        chunk_bytes: int = FILE_CHUNK_BYTES,
    ) -> None:
        """`alive` watches whoever holds the other end: None, or what became of it."""
        self.name = name
        self.chunk_bytes = chunk_bytes
        self._socket = connected
        self._socket.setblocking(False)
        self._other_end = alive or (lambda: None)
        self._ended: str | None = None
        self._closed = False
        self._cut: str | None = None
        self._reading = threading.Lock()
        self._writing = threading.Lock()

    @classmethod
    def connect(
        cls,
        path: Path,
        deadline: Deadline,
        *,
        alive: Callable[[], str | None] | None = None,
        chunk_bytes: int = FILE_CHUNK_BYTES,
    ) -> SocketTransport:
        """Connect once. LabFault when nobody listens at the path."""
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            connected.settimeout(deadline.remaining or 0.001)
            connected.connect(str(path))
        except OSError as error:
            connected.close()
            gone = f"; {what}" if alive and (what := alive()) else ""
            raise LabFault(f"connecting to the guest's port at {path}: {error.strerror or error}{gone}") from error
        return cls(connected, str(path), alive=alive, chunk_bytes=chunk_bytes)

    def read(self, size: int, deadline: Deadline) -> bytes:
        """As Transport.read."""
        with self._reading:
            while not self._closed:
                if not _ready(self._socket, select.POLLIN, deadline):
                    raise DeadlineExpired(f"reading from {self.name}: nothing came")
                try:
                    data = self._socket.recv(size)
                except BlockingIOError:
                    continue
                except OSError as error:
                    self._ended = self._ended or f"the stream over {self.name} broke: {error}"
                    return b""
                if not data:
                    self._ended = self._ended or f"the other end of {self.name} hung up"
                return data
            return b""

    def write(self, data: bytes, deadline: Deadline) -> None:
        """As Transport.write."""
        with self._writing:
            if self._cut is not None:
                raise BrokenPipeError(self._cut)
            rest = memoryview(data)
            while rest:
                if self._closed:
                    raise BrokenPipeError("the stream was closed")
                try:
                    rest = rest[self._socket.send(rest) :]
                    continue
                except BlockingIOError:
                    pass
                if not _ready(self._socket, select.POLLOUT, deadline):
                    if len(rest) != len(data):
                        self._cut = f"a write was given up after {len(data) - len(rest)} of {len(data)} bytes"
                    raise DeadlineExpired(f"writing to {self.name}: it takes no more data")

    def close(self) -> None:
        """As Transport.close."""
        self._closed = True
        with suppress(OSError):  # it is disconnected already
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes whoever waits for it
        with self._reading, self._writing:
            self._socket.close()

    def alive(self) -> str | None:
        """None while the stream is there, else what became of it or of whoever holds its other end."""
        return self._other_end() or self._ended


def _ready(connected: socket.socket, event: int, deadline: Deadline) -> bool:
    poll = select.poll()
    poll.register(connected, event)
    return bool(poll.poll(deadline.remaining * 1000))
