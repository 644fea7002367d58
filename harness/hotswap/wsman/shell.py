"""Remote shells and their commands: output that waits to be received, input that is sent, ends and signals."""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO

from hotswap.wsman.faults import WsmanCode, WsmanFault, timed_out
from hotswap.wsman.runner import RunningCommand

_HELD_BYTES = 1 << 20
_READ_BYTES = 1 << 16
_IDLE_SECONDS = 7200.0
_END_SECONDS = 5.0
_GRACE_SECONDS = 0.5
TERMINATED = 0xC000013A
"""STATUS_CONTROL_C_EXIT: the exit code of a command that was ended by a signal."""


@dataclass(frozen=True, slots=True)
class Received:
    """What a Receive brings: bytes of each stream in order, and the exit code once all has been brought."""

    parts: list[tuple[str, bytes]]
    exit_code: int | None


class Command:
    """One command of a shell."""

    def __init__(self, running: RunningCommand, command_id: str | None = None) -> None:
        self.id = command_id or str(uuid.uuid4()).upper()
        self._running = running
        self._changed = threading.Condition()
        self._held: list[tuple[str, bytes]] = []
        self._size = 0
        self._open = 2
        self._exit: int | None = None
        self._signalled = False
        self._sending = threading.Lock()
        os.set_blocking(running.stdin.fileno(), False)
        for name, stream in (("stdout", running.stdout), ("stderr", running.stderr)):
            threading.Thread(target=self._take, args=(name, stream), daemon=True).start()
        threading.Thread(target=self._watch, daemon=True).start()

    def _take(self, name: str, stream: IO[bytes]) -> None:
        """Hold what the command writes, until it is received; a command that writes more waits."""
        while True:
            try:
                data = os.read(stream.fileno(), _READ_BYTES)
            except (OSError, ValueError):
                data = b""
            with self._changed:
                if not data:
                    break
                self._held.append((name, data))
                self._size += len(data)
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._size < _HELD_BYTES or self._signalled)
        stream.close()
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    def _watch(self) -> None:
        """Note its end once all that it wrote is here. What it left running may hold the streams: not waited for."""
        code = self._running.wait()
        with self._changed:
            while self._open:
                full = self._size >= _HELD_BYTES and not self._signalled
                if not self._changed.wait(None if full else _GRACE_SECONDS):
                    break
            self._exit = TERMINATED if self._signalled else code & 0xFFFFFFFF
            self._changed.notify_all()

    def receive(self, timeout: float, limit: int) -> Received:
        """Wait until there is output, or the command has ended. WsmanFault when neither comes within `timeout`."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._held or self._exit is not None, timeout):
                raise timed_out()
            parts: list[tuple[str, bytes]] = []
            room = limit
            while self._held and room:
                name, data = self._held.pop(0)
                if len(data) > room:
                    self._held.insert(0, (name, data[room:]))
                parts.append((name, data[:room]))
                room -= len(parts[-1][1])
            self._size -= limit - room
            self._changed.notify_all()
            return Received(parts, None if self._held else self._exit)

    def send(self, data: bytes, *, end: bool, timeout: float) -> None:
        """Write to its input, and close that. WsmanFault when it takes nothing in time, or has ended."""
        until = time.monotonic() + timeout
        rest = memoryview(data)
        with self._sending:
            try:
                while rest:
                    left = until - time.monotonic()
                    if left <= 0 or not select.select([], [self._running.stdin], [], left)[1]:
                        raise timed_out()
                    with contextlib.suppress(BlockingIOError):
                        rest = rest[os.write(self._running.stdin.fileno(), rest) :]
                if end:
                    self._running.stdin.close()
            except (OSError, ValueError) as error:
                raise WsmanFault(
                    "w:InternalError", 0, f"The command takes no input any more: {error}.", code="s:Receiver"
                ) from None

    def terminate(self) -> None:
        """End it at once. What it wrote can still be received."""
        with self._changed:
            self._signalled = True
            self._changed.notify_all()
        self._running.kill()
        with self._sending, contextlib.suppress(OSError):
            self._running.stdin.close()

    def join(self) -> None:
        """Wait a moment for its end after `terminate`."""
        with self._changed:
            self._changed.wait_for(lambda: self._exit is not None, _END_SECONDS)


@dataclass
class Shell:
    """A remote shell: what its commands have in common."""

    id: str
    owner: str
    folder: str
    environment: Mapping[str, str]
    input_streams: str
    output_streams: str
    idle_seconds: float = _IDLE_SECONDS
    commands: dict[str, Command] = field(default_factory=dict)
    made: float = field(default_factory=time.monotonic)
    used: float = field(default_factory=time.monotonic)
    busy: int = 0

    @property
    def abandoned(self) -> bool:
        """Whether nobody has used it for longer than it may be idle."""
        return self.busy == 0 and time.monotonic() - self.used > self.idle_seconds

    def add(self, command: Command) -> None:
        """Take a command in."""
        if command.id in self.commands:
            command.terminate()
            raise WsmanFault(
                "w:InvalidParameter",
                WsmanCode.SHELLCOMMAND_CLIENTID_NOT_VALID,
                f"The CommandId {command.id} is in use in this shell already.",
            )
        self.commands[command.id] = command

    def close(self) -> None:
        """End all its commands."""
        for command in self.commands.values():
            command.terminate()
        for command in self.commands.values():
            command.join()
