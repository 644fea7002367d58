"""Walks the stack of an x64 thread out of a dump, by the unwind data (.pdata) of the images.

As Microsoft's "x64 exception handling" describes it. A thread in the middle of an epilogue is walked as if it were not:
a fault there is a damaged stack, which no walk can trust.
"""

from __future__ import annotations

import bisect
import struct
from collections.abc import Callable
from pathlib import Path

import pefile

from hotswap.driver.minidump import REGISTERS, DumpModule, Minidump

MAX_FRAMES = 64
_EXCEPTION_DIRECTORY = 3
_CHAINED = 4
# Slots of each unwind code, beside its own; large allocations have one or two.
_EXTRA_SLOTS = {4: 1, 5: 2, 6: 0, 7: 1, 8: 1, 9: 2}

ImageFinder = Callable[[DumpModule], Path | None]


class _Image:
    """The function table of one image."""

    def __init__(self, path: Path) -> None:
        self._pe = pefile.PE(str(path), fast_load=True)
        directory = self._pe.OPTIONAL_HEADER.DATA_DIRECTORY[_EXCEPTION_DIRECTORY]
        table = self._pe.get_data(directory.VirtualAddress, directory.Size) if directory.Size else b""
        self._functions = sorted(struct.iter_unpack("<III", table[: len(table) // 12 * 12]))

    def function(self, rva: int) -> tuple[int, int] | None:
        """(Begin, unwind data) of the function at an RVA; None for a leaf."""
        at = bisect.bisect_right(self._functions, (rva, 1 << 32, 0)) - 1
        if at < 0:
            return None
        begin, end, unwind = self._functions[at]
        return (begin, unwind) if begin <= rva < end else None

    def data(self, rva: int, size: int) -> bytes:
        """Bytes of the image as it is mapped."""
        return bytes(self._pe.get_data(rva, size))


class Unwinder:
    """`images` finds the file of a module; where it finds none the walk ends."""

    def __init__(self, dump: Minidump, images: ImageFinder) -> None:
        self._dump = dump
        self._find = images
        self._images: dict[int, _Image | None] = {}

    def walk(self, thread: int) -> list[int]:
        """Instruction pointers from the innermost frame out; behind the first they are return addresses."""
        registers = dict(self._dump.threads.get(thread, {}))
        frames: list[int] = []
        while registers and len(frames) < MAX_FRAMES:
            frames.append(registers["rip"])
            caller = self._caller(registers, first=len(frames) == 1)
            # The stack grows down: a caller's frame that is not above is no frame.
            if caller is None or caller["rip"] == 0 or caller["rsp"] <= registers["rsp"]:
                break
            registers = caller
        return frames

    def _caller(self, registers: dict[str, int], *, first: bool) -> dict[str, int] | None:
        module = self._dump.module_at(registers["rip"])
        if module is None:
            # A call to nowhere: its return address is on top of the stack.
            return self._return(dict(registers)) if first else None
        image = self._image(module)
        if image is None:
            return None
        rva = registers["rip"] - module.base
        function = image.function(rva if first else rva - 1)
        caller = dict(registers)
        if function is not None and not self._undo(image, function, rva, caller):
            return None
        return self._return(caller)

    def _return(self, registers: dict[str, int]) -> dict[str, int] | None:
        to = self._dump.read_u64(registers["rsp"])
        if to is None:
            return None
        registers["rip"] = to
        registers["rsp"] += 8
        return registers

    def _image(self, module: DumpModule) -> _Image | None:
        if module.base not in self._images:
            path = self._find(module)
            try:
                self._images[module.base] = _Image(path) if path else None
            except (OSError, pefile.PEFormatError):
                self._images[module.base] = None
        return self._images[module.base]

    def _undo(self, image: _Image, function: tuple[int, int], rva: int, registers: dict[str, int]) -> bool:
        """Take back what the prologue has done so far. False when the stack it needs was not dumped."""
        begin, unwind = function
        frame_set = True
        while True:
            flags, prologue, count, frame = image.data(unwind, 4)
            codes = image.data(unwind + 4, 2 * count)
            offset = rva - begin
            if frame & 15 and frame_set and (offset >= prologue or _frame_is_set(codes, offset)):
                registers["rsp"] = registers[REGISTERS[frame & 15]] - (frame >> 4) * 16
            if not self._undo_codes(codes, offset, registers):
                return False
            if not (flags >> 3) & _CHAINED:
                return True
            at = unwind + 4 + 2 * ((count + 1) & ~1)
            begin, _, unwind = struct.unpack("<III", image.data(at, 12))
            # Of the parent all has been done.
            rva, frame_set = begin + 256, False

    def _undo_codes(self, codes: bytes, offset: int, registers: dict[str, int]) -> bool:
        base = registers["rsp"]
        at = 0
        while at < len(codes):
            done_at, operation, info = codes[at], codes[at + 1] & 15, codes[at + 1] >> 4
            at += 2
            slots = (1 + info) if operation == 1 else _EXTRA_SLOTS.get(operation, 0)
            operand = int.from_bytes(codes[at : at + 2 * slots], "little")
            at += 2 * slots
            if done_at > offset:
                continue
            if operation == 0:
                value = self._dump.read_u64(registers["rsp"])
                if value is None:
                    return False
                registers[REGISTERS[info]] = value
                registers["rsp"] += 8
            elif operation == 1:
                registers["rsp"] += operand * 8 if info == 0 else operand
            elif operation == 2:
                registers["rsp"] += info * 8 + 8
            elif operation in (4, 5):
                value = self._dump.read_u64(base + (operand * 8 if operation == 4 else operand))
                if value is None:
                    return False
                registers[REGISTERS[info]] = value
        return True


def _frame_is_set(codes: bytes, offset: int) -> bool:
    at = 0
    while at < len(codes):
        operation, info = codes[at + 1] & 15, codes[at + 1] >> 4
        if operation == 3:
            return codes[at] <= offset
        at += 2 + 2 * ((1 + info) if operation == 1 else _EXTRA_SLOTS.get(operation, 0))
    return False
