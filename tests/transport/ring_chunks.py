"""Trace ring chunks as a driver would hand them out (driver/include/trace_ring.h), and a native .etl writer."""

from __future__ import annotations

import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

PROVIDER = bytes(range(16))
EVENT_HEADER = struct.Struct("<HBBHHIIQ16sHBBBBHQQ16s")


@dataclass(frozen=True)
class Event:
    tick: int
    cpu: int = 0
    pid: int = 4
    tid: int = 8
    payload: bytes = b"payload!"

    def encode(self) -> bytes:
        size = EVENT_HEADER.size + len(self.payload)
        header = EVENT_HEADER.pack(
            size, 0x13, 0xC0, 0, 0, self.tid, self.pid, self.tick, PROVIDER, 0, 0, 11, 4, 0, 0, 1, 0, bytes(16)
        )
        return header + self.payload

    @property
    def row(self) -> tuple[int, int, int, str, int]:
        return (self.tick, self.pid, self.tid, PROVIDER.hex(), len(self.payload))


def entry(event: bytes, cpu: int) -> bytes:
    body = event + bytes(-len(event) % 8)
    return struct.pack("<IHH", 8 + len(body), cpu, 0) + body


def chunk(entries: list[bytes], *, written: int = 0, dropped: int = 0, remaining: int = 0) -> bytes:
    body = b"".join(entries)
    return struct.pack("<IIQQQII", 40 + len(body), len(entries), written, dropped, 10_000_000, remaining, 0) + body


def chunk_of(events: list[Event], **counts: int) -> bytes:
    return chunk([entry(event.encode(), event.cpu) for event in events], **counts)


def feed(data: bytes, now: int = 5000) -> bytes:
    return b"F" + struct.pack("<I", len(data)) + data + struct.pack("<Q", now)


def flush(now: int = 6000) -> bytes:
    return b"L" + struct.pack("<Q", now)


def close(now: int = 7000, end_time: int = 133000000100000000) -> bytes:
    return b"C" + struct.pack("<QQ", now, end_time)


@dataclass(frozen=True)
class Outcome:
    codes: list[int]
    counts: dict[str, int]


def run_writer(program: Path, target: Path, commands: list[bytes], disk: int | None = None) -> Outcome:
    """Write a file with the native writer. `disk`: bytes after which the disk is full."""
    environment = {"ETL_FEED_DISK": str(disk)} if disk is not None else {}
    ended = subprocess.run(
        [program, target], input=b"".join(commands), capture_output=True, env=environment, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr.decode()
    *codes, counts = ended.stdout.decode().splitlines()
    words = counts.split()
    return Outcome([int(code) for code in codes], dict(zip(words[::2], map(int, words[1::2]), strict=True)))
