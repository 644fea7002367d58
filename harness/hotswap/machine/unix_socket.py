"""Connecting to a Unix socket whose path may be longer than the 107 bytes that a socket's address holds."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from hotswap.deadline import Deadline


def connect_unix(path: Path, deadline: Deadline) -> socket.socket:
    """A blocking stream connected to it. Raises OSError."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        stream.settimeout(max(deadline.remaining, 0.001))
        stream.connect(f"/proc/self/fd/{folder}/{path.name}")
        stream.settimeout(None)
    except BaseException:
        stream.close()
        raise
    finally:
        os.close(folder)
    return stream


def listen_unix(path: Path) -> socket.socket:
    """A listening socket at a path that does not exist yet. Raises OSError."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        server.bind(f"/proc/self/fd/{folder}/{path.name}")
        server.listen(1)
    except BaseException:
        server.close()
        raise
    finally:
        os.close(folder)
    return server
