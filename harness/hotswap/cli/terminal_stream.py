"""Joins this terminal to a guest: to a serial console's socket, or to a shell over SSH."""

from __future__ import annotations

import os
import select
import shutil
import socket
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from hotswap.deadline import Deadline
from hotswap.transport.ssh import SshConnection, SshTarget

_ESCAPE = b"\x1d"


class Stream(Protocol):
    """What a socket and a paramiko channel have in common."""

    def fileno(self) -> int:
        """To wait for."""
        ...

    def recv(self, size: int, /) -> bytes:
        """What has come; empty at the end."""
        ...

    def sendall(self, data: bytes, /) -> object:
        """Send all of it."""
        ...


@contextmanager
def _raw() -> Iterator[None]:
    """A terminal without line editing; nothing where standard input is none."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setraw(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def join(stream: Stream) -> None:
    """Carry bytes both ways until the guest hangs up, or Ctrl-]. A standard input that ends is no reason to leave."""
    source = sys.stdin.fileno()
    sources = [stream.fileno(), source]
    with _raw():
        while True:
            ready, _, _ = select.select(sources, [], [])
            if stream.fileno() in ready:
                with suppress(socket.timeout):
                    data = stream.recv(65536)
                    if not data:
                        return
                    os.write(sys.stdout.fileno(), data)
            if source in ready:
                typed = os.read(source, 65536)
                if not typed:
                    sources.remove(source)
                before, escape, _ = typed.partition(_ESCAPE)
                if before:
                    stream.sendall(before)
                if escape:
                    return


def ssh_shell(target: SshTarget, deadline: Deadline) -> None:
    """A login shell on a pseudo-terminal of this one's size."""
    connection = SshConnection.open(target, deadline)
    try:
        channel = connection.open_session(deadline)
        size = shutil.get_terminal_size()
        channel.get_pty(os.environ.get("TERM", "dumb"), size.columns, size.lines)
        channel.invoke_shell()
        join(channel)
    finally:
        connection.close()
