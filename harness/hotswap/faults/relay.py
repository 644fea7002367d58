"""A relay in front of a guest's port: slow, stalling or cut, as a seed says. Every byte arrives, or the stream ends.

Loss is what a reliable stream makes of it: a stall of as long as the repetition takes.
"""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from hotswap.deadline import Deadline
from hotswap.machine.unix_socket import connect_unix, listen_unix

_PART_BYTES = 4096
_CONNECT_SECONDS = 10.0
_JOIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Line:
    """What a line is like: seconds of delay of each part (up to 4 KiB), and how often a part is lost and repeated."""

    delay: tuple[float, float] = (0.0, 0.0)
    loss: float = 0.0
    repeat_seconds: float = 0.2
    seed: int = 1


class Relay:
    """Takes connections and passes them on. `cut` ends those that there are; `refuse` ends them for good."""

    def __init__(self, server: socket.socket, upstream: Callable[[], socket.socket], line: Line) -> None:
        """`server` listens already, and is the relay's from now on; `upstream` makes a connection to the real port."""
        self.passed = 0
        """Bytes, in both directions."""
        self.taken = 0
        """Connections."""
        self._server = server
        self._upstream = upstream
        self._line = line
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        self._over = threading.Event()
        self._refusing = False
        self._threads: list[threading.Thread] = []
        self._begin(self._accept)

    @classmethod
    def of_unix(cls, path: Path, line: Line) -> Self:
        """In the place of a socket that somebody listens on: that one is given another name, and the relay has its."""
        behind = path.with_name(f"{path.stem}-behind{path.suffix}")
        path.rename(behind)
        return cls(listen_unix(path), lambda: connect_unix(behind, Deadline.after(_CONNECT_SECONDS)), line)

    @classmethod
    def of_port(cls, port: int, line: Line) -> Self:
        """In front of a TCP port of 127.0.0.1; `port` of the relay is another one."""
        server = socket.create_server(("127.0.0.1", 0))
        return cls(server, lambda: _connect(port), line)

    @property
    def port(self) -> int:
        """The TCP port that it listens on."""
        return int(self._server.getsockname()[1])

    def cut(self) -> None:
        """End every connection that there is; the next one is taken."""
        with self._guard:
            streams, self._open = self._open, set()
        for stream in streams:
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)

    def refuse(self) -> None:
        """End every connection, and each that comes at once."""
        self._refusing = True
        self.cut()

    def close(self) -> None:
        """End all of it."""
        self._over.set()
        self._refusing = True
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.cut()
        limit = Deadline.after(_JOIN_SECONDS)
        for thread in self._threads:
            thread.join(limit.remaining)

    def _begin(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, name="fault-relay", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                stream, _ = self._server.accept()
            except OSError:
                return
            self.taken += 1
            if self._refusing:
                stream.close()
                continue
            try:
                behind = self._upstream()
            except Exception:
                # Whoever connected sees it as the end of the stream, as it would without a relay.
                stream.close()
                continue
            with self._guard:
                self._open |= {stream, behind}
            number = self.taken
            self._begin(self._pass, stream, behind, random.Random(f"{self._line.seed} {number} out"))
            self._begin(self._pass, behind, stream, random.Random(f"{self._line.seed} {number} back"))

    def _pass(self, source: socket.socket, target: socket.socket, chance: random.Random) -> None:
        try:
            while data := source.recv(_PART_BYTES):
                seconds = chance.uniform(*self._line.delay)
                while chance.random() < self._line.loss:
                    seconds += self._line.repeat_seconds
                if seconds and self._over.wait(seconds):
                    break
                target.sendall(data)
                self.passed += len(data)
        except OSError:
            pass
        finally:
            for stream in (source, target):
                with contextlib.suppress(OSError):
                    stream.shutdown(socket.SHUT_RDWR)
            with self._guard:
                self._open -= {source, target}
            source.close()


def _connect(port: int) -> socket.socket:
    stream = socket.create_connection(("127.0.0.1", port), _CONNECT_SECONDS)
    # The limit was for the connection: what comes over it may take any time.
    stream.settimeout(None)
    return stream
