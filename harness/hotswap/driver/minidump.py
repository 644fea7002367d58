"""Reads a minidump (driver/agent/minidump.c, or any other debugger's): exception, threads, modules, memory."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PureWindowsPath
from uuid import UUID

from hotswap.errors import LabFault

_SIGNATURE = b"MDMP"
_THREADS, _MODULES, _MEMORY, _EXCEPTION = 3, 4, 5, 6
_THREAD = struct.Struct("<IIIIQQIIII")
_MODULE = struct.Struct("<QIIII52sIIIIQQ")
_RANGE = struct.Struct("<QII")
_EXCEPTION_HEAD = struct.Struct("<IIIIQQII")
# In CONTEXT (x64): Rax to R15 in the order of the unwind codes' register numbers, then Rip.
_REGISTERS_AT = 0x78
REGISTERS = (
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class DumpModule:
    """A loaded image: its path in the guest, base and size in bytes, and the GUID of its .pdb where it names one."""

    path: str
    base: int
    size: int
    pdb_guid: UUID | None

    @property
    def name(self) -> str:
        """Its file name."""
        return PureWindowsPath(self.path).name

    def holds(self, address: int) -> bool:
        """Whether the address lies in the image."""
        return self.base <= address < self.base + self.size


@dataclass(frozen=True, slots=True)
class DumpException:
    """What nobody handled: code (NTSTATUS, unsigned), address, parameters, and the thread that raised it."""

    thread: int
    code: int
    address: int
    parameters: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Minidump:
    """A parsed dump. `threads`: registers by name for each thread id; `memory`: (start address, bytes)."""

    exception: DumpException | None
    threads: Mapping[int, Mapping[str, int]]
    modules: tuple[DumpModule, ...]
    memory: tuple[tuple[int, bytes], ...]

    def module_at(self, address: int) -> DumpModule | None:
        """The image that holds an address."""
        return next((module for module in self.modules if module.holds(address)), None)

    def read_u64(self, address: int) -> int | None:
        """Eight bytes of the dumped memory; None where it was not dumped."""
        for start, data in self.memory:
            at = address - start
            if 0 <= at <= len(data) - 8:
                return int.from_bytes(data[at : at + 8], "little")
        return None


def parse_minidump(data: bytes) -> Minidump:
    """LabFault when it is no minidump, or damaged."""
    try:
        return _parse(data)
    except (struct.error, ValueError, IndexError, UnicodeDecodeError) as error:
        raise LabFault(f"reading a minidump of {len(data)} bytes: {error}") from error


def _parse(data: bytes) -> Minidump:
    if data[:4] != _SIGNATURE:
        raise ValueError("it does not begin with MDMP")
    count, directory = struct.unpack_from("<II", data, 8)
    streams: dict[int, tuple[int, int]] = {}
    for number in range(count):
        kind, size, at = struct.unpack_from("<III", data, directory + 12 * number)
        streams[kind] = (at, size)
    threads: dict[int, Mapping[str, int]] = {}
    for fields in _entries(data, streams.get(_THREADS), _THREAD):
        threads[fields[0]] = _registers(data, fields[9], fields[8])
    modules = tuple(
        DumpModule(_text(data, fields[4]), fields[0], fields[1], _pdb_guid(data, fields[7], fields[6]))
        for fields in _entries(data, streams.get(_MODULES), _MODULE)
    )
    memory = tuple((start, data[at : at + size]) for start, size, at in _entries(data, streams.get(_MEMORY), _RANGE))
    exception = None
    if _EXCEPTION in streams:
        at = streams[_EXCEPTION][0]
        thread, _, code, _, _, address, parameters, _ = _EXCEPTION_HEAD.unpack_from(data, at)
        values = struct.unpack_from(f"<{min(parameters, 15)}Q", data, at + _EXCEPTION_HEAD.size)
        exception = DumpException(thread, code, address, values)
    return Minidump(exception, threads, modules, memory)


def _entries(data: bytes, stream: tuple[int, int] | None, layout: struct.Struct) -> list[tuple[int, ...]]:
    if stream is None:
        return []
    (count,) = struct.unpack_from("<I", data, stream[0])
    return [layout.unpack_from(data, stream[0] + 4 + layout.size * number) for number in range(count)]


def _registers(data: bytes, at: int, size: int) -> dict[str, int]:
    if size < _REGISTERS_AT + 8 * len(REGISTERS):
        return {}
    values = struct.unpack_from(f"<{len(REGISTERS)}Q", data, at + _REGISTERS_AT)
    return dict(zip(REGISTERS, values, strict=True))


def _text(data: bytes, at: int) -> str:
    (size,) = struct.unpack_from("<I", data, at)
    return data[at + 4 : at + 4 + size].decode("utf-16-le")


def _pdb_guid(data: bytes, at: int, size: int) -> UUID | None:
    record = data[at : at + size]
    return UUID(bytes_le=record[4:20]) if len(record) >= 24 and record[:4] == b"RSDS" else None
