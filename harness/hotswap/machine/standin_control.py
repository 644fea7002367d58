"""The host's end of the stand-in guest's control port: what is done and seen outside Windows (control.h there)."""

from __future__ import annotations

import contextlib
import itertools
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from queue import Empty, SimpleQueue
from signal import SIGKILL
from time import time_ns
from urllib.parse import unquote

from hotswap.deadline import Deadline
from hotswap.errors import DeadlineExpired, LabFault
from hotswap.machine.unix_socket import connect_unix

_ERRNO = re.compile(r"\(errno ([0-9]+)\)$")
_READ_BYTES = 1 << 16
_GREETING_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class GuestProcess:
    """A process of the guest: its id and start time (clock ticks) there, and its short name."""

    pid: int
    started: int
    name: str


@dataclass(frozen=True, slots=True)
class GuestClock:
    """The guest's clocks in nanoseconds: since 1970, and since its start."""

    real: int
    monotonic: int


class ControlRefused(LabFault):
    """The guest could not do it; the message has its errno, and so has `errno` (0: none was told)."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        told = _ERRNO.search(message)
        self.errno = int(told[1]) if told else 0


class StandinControl:
    """One connection. Safe for any number of threads; all requests end with LabFault when it breaks."""

    def __init__(self, path: Path, deadline: Deadline, alive: Callable[[], str | None]) -> None:
        """Connect to the socket of the port. LabFault when nobody listens there."""
        self._alive = alive
        self._ids = itertools.count(1)
        self._sending = threading.Lock()
        self._matching = threading.Lock()
        self._waiting: dict[str, SimpleQueue[list[str] | None]] = {}
        self._lost = False
        try:
            self._socket = connect_unix(path, deadline)
        except OSError as error:
            raise LabFault(f"connecting to the guest's control port: {alive() or error}") from error
        self._reader = threading.Thread(target=self._read, name="standin-control", daemon=True)
        self._reader.start()
        # Ends what an earlier connection may have left half said.
        with contextlib.suppress(OSError), self._sending:
            self._socket.sendall(b"\n")

    def close(self) -> None:
        """End the connection. Harmless when repeated."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.join()
        self._socket.close()

    def ask(self, verb: str, *words: str | int, data: bytes = b"", deadline: Deadline) -> list[str]:
        """Send a request and return the words of its answer.

        Raises ControlRefused when the guest cannot do it, DeadlineExpired, LabFault when the connection is lost.
        """
        id, box = self._send(verb, words, data)
        return self._answer(id, box, f"the guest's answer to {verb}", deadline)

    def _send(self, verb: str, words: tuple[str | int, ...], data: bytes) -> tuple[str, SimpleQueue[list[str] | None]]:
        id = str(next(self._ids))
        box: SimpleQueue[list[str] | None] = SimpleQueue()
        with self._matching:
            if self._lost:
                raise LabFault(f"asking the guest to {verb}: {self._alive() or 'its control port was closed'}")
            self._waiting[id] = box
        line = " ".join([id, verb, *(_escape(str(word)) for word in words)])
        try:
            with self._sending:
                self._socket.sendall(line.encode() + b"\n" + data)
        except OSError as error:
            raise LabFault(f"asking the guest to {verb}: {self._alive() or error}") from error
        return id, box

    def _answer(self, id: str, box: SimpleQueue[list[str] | None], what: str, deadline: Deadline) -> list[str]:
        try:
            answer = box.get(timeout=max(deadline.remaining, 0.001))
        except Empty:
            gone = self._alive()
            raise DeadlineExpired(f"waiting for {what}: {gone or 'the deadline expired; the machine runs'}") from None
        finally:
            with self._matching:
                self._waiting.pop(id, None)
        if answer is None:
            raise LabFault(f"waiting for {what}: {self._alive() or 'its control port was closed'}")
        if answer[0] != "ok":
            raise ControlRefused(f"{what}: {' '.join(answer[1:])}")
        return answer[1:]

    def _read(self) -> None:
        held = b""
        while True:
            try:
                part = self._socket.recv(_READ_BYTES)
            except OSError:
                part = b""
            if not part:
                break
            *lines, held = (held + part).split(b"\n")
            for line in lines:
                id, *words = line.decode(errors="replace").split(" ")
                with self._matching:
                    box = self._waiting.get(id)
                if box is not None and words:
                    box.put([_unescape(word) for word in words])
        with self._matching:
            self._lost = True
            for box in self._waiting.values():
                box.put(None)

    # What can be asked for

    def clock(self, *, deadline: Deadline) -> GuestClock:
        """The guest's clocks now."""
        real, monotonic = self.ask("clock", deadline=deadline)
        return GuestClock(int(real), int(monotonic))

    def greet(self, *, deadline: Deadline) -> None:
        """Ask until there is an answer: the first of a connection is lost when the guest still takes it for closed."""
        limit = deadline.within(_GREETING_SECONDS)
        while True:
            try:
                self.clock(deadline=limit)
                return
            except DeadlineExpired:
                if deadline.expired or self._alive() is not None:
                    raise
                limit = deadline.within(_GREETING_SECONDS)

    def set_clock(self, *, deadline: Deadline) -> None:
        """Give the guest this host's time."""
        self.ask("set-clock", time_ns(), deadline=deadline)

    def put(self, path: str, data: bytes, *, mode: int = 0o644, deadline: Deadline) -> None:
        """Write a file of the Linux guest, with the folders it needs; it appears when it is whole."""
        self.ask("put", path, f"{mode:o}", len(data), data=data, deadline=deadline)

    def read(self, path: str, most: int, *, deadline: Deadline) -> bytes:
        """The last bytes of a file of the Linux guest, or of /proc."""
        words = self.ask("read", path, most, deadline=deadline)
        return bytes.fromhex(words[0]) if words else b""

    def files(self, folder: str, *, deadline: Deadline) -> list[str]:
        """The names in a folder of the Linux guest, those that changed longest ago first; empty when there is none."""
        return self.ask("files", folder, deadline=deadline)

    def start_agent(self, port: str, *, deadline: Deadline) -> int:
        """See to it that an agent serves this port (`virtio` or `com2`); its process id."""
        return int(self.ask("agent", port, deadline=deadline)[0])

    def processes(self, *, deadline: Deadline) -> list[GuestProcess]:
        """All processes but the kernel's own threads."""
        words = self.ask("processes", deadline=deadline)
        return [GuestProcess(int(words[at]), int(words[at + 1]), words[at + 2]) for at in range(0, len(words), 3)]

    def mapped_files(self, pid: int, ending: str, *, deadline: Deadline) -> frozenset[PurePosixPath]:
        """The files of this ending that are mapped into a process; empty when it is gone."""
        return frozenset(PurePosixPath(word) for word in self.ask("maps", pid, ending, deadline=deadline))

    def task_ids(self, pid: int, *, deadline: Deadline) -> frozenset[int]:
        """The threads of a process; empty when it is gone."""
        return frozenset(int(word) for word in self.ask("tasks", pid, deadline=deadline))

    def kernel_log(self, most: int, *, deadline: Deadline) -> bytes:
        """The last bytes of what the Linux kernel has said since its start."""
        words = self.ask("kernel-log", most, deadline=deadline)
        return bytes.fromhex(words[0]) if words else b""

    def signal(self, process: GuestProcess, number: int, *, deadline: Deadline) -> None:
        """Send a signal to this very process; nothing when it is gone."""
        self.ask("signal", process.pid, process.started, int(number), deadline=deadline)

    def kill(self, process: GuestProcess, *, deadline: Deadline) -> None:
        """SIGKILL to this very process; nothing when it is gone."""
        self.signal(process, SIGKILL, deadline=deadline)

    def watch(self, process: GuestProcess) -> EndWatch:
        """Be told when a process ends."""
        return EndWatch(self, *self._send("watch", (process.pid, process.started), b""))

    def forget(self, id: str, *, tell: bool = False) -> None:
        """Wait no longer for the answer to a request; `tell` the guest too."""
        with self._matching:
            self._waiting.pop(id, None)
        if tell:
            with contextlib.suppress(LabFault):
                other, _ = self._send("forget", (id,), b"")
                with self._matching:
                    self._waiting.pop(other, None)

    def hang(self) -> None:
        """Let nothing in the guest run any more. Nothing is answered."""
        self._send("hang", (), b"")

    def end(self, how: str) -> None:
        """`power-off`, `reset` or `panic`: nothing is answered."""
        self._send("end", (how,), b"")


class EndWatch:
    """Watches one process of the guest: waits end at once when it ends, or the machine does."""

    def __init__(self, control: StandinControl, id: str, box: SimpleQueue[list[str] | None]) -> None:
        self._control = control
        self._id = id
        self._box = box
        self._over = False

    def ended_within(self, seconds: float) -> bool:
        """Wait for the end, this long at most; whether it has come."""
        if not self._over:
            try:
                self._box.get(timeout=max(seconds, 0.001))
            except Empty:
                return False
            self._over = True
            self._control.forget(self._id)
        return True

    def close(self) -> None:
        """Stop watching."""
        if not self._over:
            self._over = True
            self._control.forget(self._id, tell=True)


def _unescape(word: str) -> str:
    return unquote(word, errors="replace")


def _escape(word: str) -> str:
    return "".join(chr(byte) if 32 < byte < 127 and byte != 37 else f"%{byte:02X}" for byte in word.encode())
