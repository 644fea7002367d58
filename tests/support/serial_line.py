"""A serial line between a Unix socket and a pseudo-terminal: what QEMU's character device is, without QEMU."""

from __future__ import annotations

import os
import pty
import select
import socket
import threading
import tty
from pathlib import Path
from types import TracebackType

_BYTES = 1 << 16


class SerialLine:
    """Takes one client at a time, as QEMU does. What the guest writes while nobody listens is lost."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._master, slave = pty.openpty()
        tty.setraw(self._master)
        tty.setraw(slave)
        self.device = os.ttyname(slave)
        os.set_blocking(self._master, False)
        self._slave = slave  # held open, so that the line does not hang up when the guest closes it
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        self._stop_read, self._stop_write = os.pipe()
        self._thread = threading.Thread(target=self._relay, daemon=True)
        self._thread.start()

    def _relay(self) -> None:
        client: socket.socket | None = None
        while True:
            wanted = [self._master, self._stop_read, client if client is not None else self._server]
            ready = select.select(wanted, [], [])[0]
            if self._stop_read in ready:
                break
            if self._server in ready:
                client = self._server.accept()[0]
            if self._master in ready:
                data = os.read(self._master, _BYTES)
                try:
                    if client is not None:
                        client.sendall(data)
                except OSError:
                    client.close()
                    client = None
            elif client is not None and client in ready:
                try:
                    data = client.recv(4096)
                except OSError:
                    data = b""
                if data:
                    self._write(data)
                else:
                    client.close()
                    client = None
        if client is not None:
            client.close()

    def _write(self, data: bytes) -> None:
        """Wait for a guest that does not read, but not beyond the end."""
        rest = memoryview(data)
        while rest:
            stopped, ready, _ = select.select([self._stop_read], [self._master], [])
            if stopped:
                return
            if ready:
                rest = rest[os.write(self._master, rest) :]

    def close(self) -> None:
        os.write(self._stop_write, b"!")
        self._thread.join()
        self._server.close()
        for end in (self._master, self._slave, self._stop_read, self._stop_write):
            os.close(end)

    def __enter__(self) -> SerialLine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
