"""What a crash of the driver host was: from a minidump to status, place and call stack with file and line.

Only where the driver host is a process (Wine). A Windows kernel that a driver brings down leaves a bug check and a
kernel dump, which this does not read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from hotswap.codes import CodeTable
from hotswap.driver.minidump import DumpException, DumpModule, Minidump, parse_minidump
from hotswap.driver.symbols import MISSING, Symbol, symbolize
from hotswap.driver.unwind import Unwinder

_ACCESS_VIOLATION = 0xC0000005
_ACCESSES = {0: "reading", 1: "writing", 8: "executing"}
_SHOWN = 6

GuestImages = Callable[[str], Path | None]
"""Where a path of the guest lies on this computer; None when it cannot be seen."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: image and RVA (0 and the plain address outside any image), and the functions there where known."""

    module: str
    rva: int
    symbols: tuple[Symbol, ...] = ()

    def __str__(self) -> str:
        place = f"{self.module}+0x{self.rva:x}" if self.module else f"0x{self.rva:x}"
        return f"{place} {' < '.join(map(str, self.symbols))}" if self.symbols else place


@dataclass(frozen=True, slots=True)
class Crash:
    """A crash. `headline` is one line; `text` has the whole stack, innermost frame first."""

    status: str
    """Name and number: `STATUS_ACCESS_VIOLATION (0xC0000005)`."""
    detail: str
    """`writing to 0x8`; empty where there is nothing to add."""
    thread: int
    frames: tuple[Frame, ...]
    problems: tuple[str, ...] = field(default=())

    @property
    def where(self) -> str:
        """The fault, and the frames above it whose source is known, six at most; of unknown ones the first few."""
        known = [index for index, frame in enumerate(self.frames) if frame.symbols]
        shown = sorted({*range(min(1, len(self.frames))), *known}) if known else [*range(len(self.frames))]
        parts: list[str] = []
        for at, index in enumerate(shown[:_SHOWN]):
            if at and index != shown[at - 1] + 1:
                parts.append("...")
            parts.append(_short(self.frames[index]))
        return " <- ".join(parts) + (f" <- {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else "")

    @property
    def headline(self) -> str:
        """Status, what was attempted, and where."""
        said = f" {self.detail}" if self.detail else ""
        note = f" ({self.problems[0]})" if self.problems and not any(frame.symbols for frame in self.frames) else ""
        return f"{self.status}{said} in {self.where or 'an unknown place'}{note}"

    @property
    def text(self) -> str:
        """For evidence: everything."""
        lines = [f"{self.status} {self.detail}".rstrip(), f"thread 0x{self.thread:x}", ""]
        lines += [f"#{number:<2} {frame}" for number, frame in enumerate(self.frames)]
        lines += ["", *(f"note: {problem}" for problem in self.problems)] if self.problems else []
        return "\n".join(lines) + "\n"

    def to_json(self) -> Mapping[str, Any]:
        """The content of crash.json."""
        return {
            "schema": 1,
            "status": self.status,
            "detail": self.detail,
            "thread": self.thread,
            "frames": [
                {
                    "module": frame.module,
                    "rva": frame.rva,
                    "functions": [{"name": s.function, "file": s.file, "line": s.line} for s in frame.symbols],
                }
                for frame in self.frames
            ],
            "problems": list(self.problems),
        }


def _short(frame: Frame) -> str:
    if not frame.symbols:
        return str(frame)
    places = (f"{s.function} {s.file.rpartition('/')[2]}:{s.line}" if s.file else s.function for s in frame.symbols)
    return f"{frame.module}!{' < '.join(places)}"


def read_crash(dump: bytes, built: Iterable[Path], guest: GuestImages, codes: CodeTable) -> Crash:
    """Explain a dump. `built`: images whose .pdb may lie beside them. LabFault when it is no minidump."""
    parsed = parse_minidump(dump)
    images = _Images(tuple(built), guest)
    cause = parsed.exception
    thread = cause.thread if cause else next(iter(parsed.threads), 0)
    addresses = Unwinder(parsed, images.find).walk(thread)
    frames, problems = _frames(parsed, images, addresses)
    status = codes.ntstatus(cause.code) if cause else "no exception"
    return Crash(status, _detail(cause), thread, frames, tuple(problems))


def frames_of_threads(
    dump: bytes, built: Iterable[Path], guest: GuestImages
) -> tuple[Mapping[int, tuple[Frame, ...]], list[str]]:
    """The stack of every thread of a dump, by its id, and what was missing to tell them. LabFault: no minidump."""
    parsed = parse_minidump(dump)
    images = _Images(tuple(built), guest)
    unwinder = Unwinder(parsed, images.find)
    stacks: dict[int, tuple[Frame, ...]] = {}
    problems: list[str] = []
    for thread in parsed.threads:
        stacks[thread], found = _frames(parsed, images, unwinder.walk(thread))
        problems += [problem for problem in found if problem not in problems]
    return stacks, problems


def _detail(cause: DumpException | None) -> str:
    if cause is None or cause.code != _ACCESS_VIOLATION or len(cause.parameters) < 2:
        return ""
    return f"{_ACCESSES.get(cause.parameters[0], 'accessing')} address 0x{cause.parameters[1]:x}"


def _frames(dump: Minidump, images: _Images, addresses: list[int]) -> tuple[tuple[Frame, ...], list[str]]:
    frames: list[Frame] = []
    for address in addresses:
        module = dump.module_at(address)
        frames.append(Frame(module.name, address - module.base) if module else Frame("", address))
    problems: list[str] = []
    modules = {module.name: module for module in dump.modules}
    for name in dict.fromkeys(frame.module for frame in frames if frame.module):
        image = images.built(modules[name])
        if image is None:
            continue
        at = [index for index, frame in enumerate(frames) if frame.module == name]
        # A return address may be the first of the next line, or of the next function.
        found = symbolize(image, [frames[index].rva - (1 if index else 0) for index in at])
        if found.problem and found.problem not in problems:
            problems.append(found.problem)
        for index, symbols in zip(at, found.of, strict=True):
            frames[index] = Frame(name, frames[index].rva, symbols)
    return tuple(frames), problems


class _Images:
    """Finds the file of a module: among those built here by the GUID of its .pdb, else in the guest by its path."""

    def __init__(self, built: tuple[Path, ...], guest: GuestImages) -> None:
        self._built = built
        self._guest = guest
        self._guids: dict[UUID, Path] | None = None

    def built(self, module: DumpModule) -> Path | None:
        """The build's own copy, whose .pdb lies beside it."""
        if module.pdb_guid is None:
            return None
        if self._guids is None:
            self._guids = _guids(self._built)
        return self._guids.get(module.pdb_guid)

    def find(self, module: DumpModule) -> Path | None:
        return self.built(module) or self._guest(module.path)


def _guids(images: Iterable[Path]) -> dict[UUID, Path]:
    import pefile

    found: dict[UUID, Path] = {}
    for path in images:
        try:
            image = pefile.PE(str(path), fast_load=True)
            image.parse_data_directories([pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_DEBUG"]])
        except (OSError, pefile.PEFormatError):
            continue
        for entry in getattr(image, "DIRECTORY_ENTRY_DEBUG", ()):
            record = image.get_data(entry.struct.AddressOfRawData, entry.struct.SizeOfData)
            if record[:4] == b"RSDS":
                found[UUID(bytes_le=bytes(record[4:20]))] = path
    return found


__all__ = ["MISSING", "Crash", "Frame", "GuestImages", "frames_of_threads", "read_crash"]
