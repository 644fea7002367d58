"""The log-file header, which is the first event of an `.etl` (reference: etl.md, section 2.5)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from hotswap.errors import UsageError
from hotswap.trace.buffers import Bytes
from hotswap.trace.clock import SessionClock
from hotswap.trace.framing import BUFFER_HEADER_SIZE, HeaderType


@dataclass(frozen=True, slots=True)
class LogFileHeader:
    """TRACE_LOGFILE_HEADER; times are FILETIME, `end_time` is 0 when the session was not closed."""

    buffer_size: int
    version: int
    os_build: int
    processors: int
    end_time: int
    timer_resolution: int
    maximum_file_size: int
    mode: int
    buffers_written: int
    pointer_size: int
    events_lost: int
    cpu_mhz: int
    boot_time: int
    perf_freq: int
    start_time: int
    clock_type: int
    buffers_lost: int
    logger_name: str
    file_name: str
    first_tick: int
    """TimeStamp of the header event itself."""

    @property
    def clock(self) -> SessionClock:
        """The session's clock."""
        return SessionClock.of(self.clock_type, self.perf_freq, self.cpu_mhz, self.first_tick, self.start_time)


def parse_header(data: Bytes, path: Path) -> LogFileHeader:
    """The header of a file, `path` for messages. Raises UsageError for what is no such file."""
    base = BUFFER_HEADER_SIZE
    if len(data) < base + 32 + 0x110:
        raise UsageError(f"{path}: not an ETL file ({len(data)} bytes)")
    kind, marker, size, hook = struct.unpack_from("<BBHH", data, base + 2)
    shift = {HeaderType.SYSTEM64: 0, HeaderType.SYSTEM32: -8}.get(kind)
    if shift is None or marker != 0xC0 or hook != 0 or size < 32 + 0x110 or base + size > len(data):
        raise UsageError(f"{path}: not an ETL file (it does not start with a log-file header)")
    at = base + 32

    def value(code: str, offset: int) -> int:
        moved = offset + shift if offset >= 0x40 else offset
        return int(struct.unpack_from("<" + code, data, at + moved)[0])

    names_at = at + 0x118 + shift
    names = data[names_at : base + size]
    texts = names[: len(names) & ~1].decode("utf-16-le", "replace").split("\0")
    return LogFileHeader(
        buffer_size=value("I", 0x00),
        version=value("I", 0x04),
        os_build=value("I", 0x08),
        processors=value("I", 0x0C),
        end_time=value("Q", 0x10),
        timer_resolution=value("I", 0x18),
        maximum_file_size=value("I", 0x1C),
        mode=value("I", 0x20),
        buffers_written=value("I", 0x24),
        pointer_size=value("I", 0x2C),
        events_lost=value("I", 0x30),
        cpu_mhz=value("I", 0x34),
        boot_time=value("Q", 0xF8),
        perf_freq=value("Q", 0x100),
        start_time=value("Q", 0x108),
        clock_type=value("I", 0x110),
        buffers_lost=value("I", 0x114),
        logger_name=texts[0],
        file_name=texts[1] if len(texts) > 1 else "",
        first_tick=struct.unpack_from("<q", data, base + 16)[0],
    )
