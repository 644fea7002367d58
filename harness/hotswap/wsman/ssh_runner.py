"""Runs commands of a remote shell in a guest's Wine prefix, over SSH."""

from __future__ import annotations

import contextlib
import os
import shlex
import threading
from collections.abc import Callable, Mapping
from typing import IO

import paramiko

from hotswap.deadline import Deadline
from hotswap.errors import LabFault
from hotswap.transport.ssh import SshConnection, SshTarget
from hotswap.wsman.runner import RunningCommand, split_line

_START_SECONDS = 30.0
_PIECE_BYTES = 1 << 15


class SshRunner:
    """Starts commands by Wine's loader, over one connection that is made when it is first needed."""

    def __init__(self, target: SshTarget, loader: str = '"$WINELOADER"', prefix: str = '"$WINEPREFIX"') -> None:
        """`loader` and `prefix` are words for the guest's shell."""
        self._target = target
        self._loader = loader
        self._prefix = prefix
        self._connection: SshConnection | None = None
        self._lock = threading.Lock()

    def start(self, line: str, *, shell: bool, folder: str, environment: Mapping[str, str]) -> RunningCommand:
        """As Runner.start."""
        words = ["cmd.exe", "/c", line] if shell else list(split_line(line))
        # Nothing but what every shell has built in; the first line says which process group to end.
        script = "echo $$ >&2; "
        script += "".join(f"export {shlex.quote(f'{name}={value}')}; " for name, value in environment.items())
        if folder:
            drive, _, rest = folder.replace("\\", "/").partition("/")
            script += f"cd {self._prefix}/dosdevices/{shlex.quote(drive.lower())}/{shlex.quote(rest)} || exit 1; "
        channel = self._execute(f"{script}exec {self._loader} {shlex.join(words)}")
        group = _first_line(channel)
        return _ChannelCommand(channel, lambda: self._end(group))

    def _execute(self, script: str) -> paramiko.Channel:
        deadline = Deadline.after(_START_SECONDS)
        try:
            with self._lock:
                if self._connection is None or self._connection.gone():
                    self._connection = SshConnection.open(self._target, deadline)
                return self._connection.execute(script, deadline)
        except LabFault as error:
            raise OSError(str(error)) from error

    def _end(self, group: int) -> None:
        with contextlib.suppress(OSError, paramiko.SSHException):
            self._execute(f"kill -9 -{group}").recv_exit_status()


def _first_line(channel: paramiko.Channel) -> int:
    """The number on the first line of standard error."""
    channel.settimeout(_START_SECONDS)
    line = b""
    try:
        while not line.endswith(b"\n") and (byte := channel.recv_stderr(1)):
            line += byte
    finally:
        channel.settimeout(None)
    if not line.strip().isdigit():
        raise OSError(f"the guest's shell did not start the command, but said {line!r}")
    return int(line)


class _ChannelCommand:
    """A channel as three pipes."""

    def __init__(self, channel: paramiko.Channel, end: Callable[[], None]) -> None:
        self._channel = channel
        self._end = end
        input_end, stdin = os.pipe()
        stdout, output_end = os.pipe()
        stderr, error_end = os.pipe()
        self.stdin: IO[bytes] = os.fdopen(stdin, "wb", buffering=0)
        self.stdout: IO[bytes] = os.fdopen(stdout, "rb", buffering=0)
        self.stderr: IO[bytes] = os.fdopen(stderr, "rb", buffering=0)
        for copy in (
            lambda: self._send(input_end),
            lambda: self._receive(channel.recv, output_end),
            lambda: self._receive(channel.recv_stderr, error_end),
        ):
            threading.Thread(target=copy, daemon=True).start()

    def _send(self, source: int) -> None:
        with os.fdopen(source, "rb", buffering=0) as pipe, contextlib.suppress(OSError):
            while data := pipe.read(_PIECE_BYTES):
                self._channel.sendall(data)
            self._channel.shutdown_write()

    def _receive(self, receive: Callable[[int], bytes], target: int) -> None:
        with os.fdopen(target, "wb", buffering=0) as pipe, contextlib.suppress(OSError):
            while data := receive(_PIECE_BYTES):
                rest = memoryview(data)
                while rest:
                    rest = rest[pipe.write(rest) :]

    def wait(self) -> int:
        """As RunningCommand.wait."""
        return self._channel.recv_exit_status()

    def kill(self) -> None:
        """As RunningCommand.kill."""
        if not self._channel.exit_status_ready():
            self._end()
            self._channel.close()
