"""Buffers as they lie in a file: WMI_BUFFER_HEADER, events, filler; compressed where asked for (etl.md, 2.1, 2.8)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hotswap.errors import UsageError
from hotswap.trace.compression import compress
from hotswap.trace.framing import BUFFER_HEADER_SIZE, BufferFlag
from hotswap.trace.writer.session import Layout, Session

FLAGS_AT = 0x34
TYPE_GENERIC = 0
TYPE_HEADER = 4
_FLUSHED = 3
"""State of a buffer."""
_SECTOR = 512
_ALIGNMENT = 8 << 8
"""Windows 7 has it in the byte above the processor's number."""


_NO_FLAG = BufferFlag(0)


@dataclass(slots=True)
class OpenBuffer:
    """A buffer that is being filled. It got its sequence number when it was begun, as in Windows."""

    cpu: int
    sequence: int = -1
    used: int = BUFFER_HEADER_SIZE
    """Bytes, header included."""
    last_tick: int = 0
    flags: BufferFlag = _NO_FLAG
    parts: list[NDArray[np.uint64]] = field(default_factory=list)

    def add(self, words: NDArray[np.uint64], last_tick: int) -> None:
        """Put events behind those that are in it."""
        self.parts.append(words)
        self.used += 8 * len(words)
        self.last_tick = last_tick

    def content(self) -> bytes:
        """The events."""
        return b"".join(part.tobytes() for part in self.parts)


def header_buffer(session: Session, content: bytes) -> bytes:
    """Buffer 0, which is never compressed, but cut to what it needs in a compressed file."""
    filled = BUFFER_HEADER_SIZE + len(content)
    if filled > session.buffer_size:
        raise UsageError(f"a buffer of {session.buffer_size} bytes is too small for the file header")
    flags = BufferFlag.FLUSH_MARKER
    if session.layout is Layout.WINDOWS_10 and session.compression is None:
        flags |= BufferFlag.PROC_INDEX
    size, state = session.buffer_size, _state(session)
    if session.compression is not None:
        size, state = filled + -filled % _SECTOR, session.compression
    head = _header(session, size, filled, 0, 0, 0, state, flags, TYPE_HEADER)
    return head + content + b"\xff" * (size - filled)


def seal(session: Session, buffer: OpenBuffer, tick: int) -> bytes:
    """A buffer that is written at `tick`."""
    content, flags = buffer.content(), buffer.flags
    if session.layout is not Layout.WINDOWS_7:
        flags |= BufferFlag.PROC_INDEX
    if session.compression is None:
        stored = content + b"\xff" * (session.buffer_size - buffer.used)
    else:
        stored, flags = compress(session.compression, content), flags | BufferFlag.COMPRESSED
    time = session.filetime(tick) if session.layout is Layout.RELOGGED else tick
    size = BUFFER_HEADER_SIZE + len(stored)
    head = _header(session, size, buffer.used, time, buffer.sequence, buffer.cpu, _state(session), flags, TYPE_GENERIC)
    return head + stored


def _state(session: Session) -> int:
    return 0 if session.layout is Layout.RELOGGED else _FLUSHED


def _header(
    session: Session, size: int, filled: int, time: int, sequence: int, cpu: int, state: int, flags: int, kind: int
) -> bytes:
    windows_7 = session.layout is Layout.WINDOWS_7
    return struct.pack(
        "<IIIIqQQHHIIHH16x",
        size,
        0 if windows_7 else filled,
        filled,
        0,
        time,
        sequence,
        0,
        cpu | (_ALIGNMENT if windows_7 else 0),
        1,
        state,
        filled,
        flags,
        kind,
    )
