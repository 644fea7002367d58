"""What a guest's modules export, and which of these exports only raise when they are called."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import pefile

from hotswap.errors import LabFault

_EXPORT_DIRECTORY = pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_EXPORT"]
_EXPORT_LIMIT = 0x4000
_FORWARD_LIMIT = 8
_NAME_LIMIT = 512

# What winebuild makes of a `@ stub` line for x86-64, give or take the prologue:
#   lea rcx, [module name] / lea rdx, [export name] / call __wine_spec_unimplemented_stub
_LEA_RCX = bytes.fromhex("488d0d")
_LEA_RDX = bytes.fromhex("488d15")
_OFFSET = struct.Struct("<i")
_LEA_SIZE = 7
_STUB_SIZE = 48
_KERNEL = "ntoskrnl.exe"
_WINE_MARK = b"Wine builtin DLL"
_WINE_MARK_OFFSET = 0x40


class Export(Enum):
    """What a guest has under an imported name."""

    PRESENT = "present"
    MISSING = "missing"
    RAISES = "raises"


@dataclass(frozen=True, slots=True)
class ModuleExports:
    """The exports of one module: all names, those that raise when called, and forwarders to (module, name)."""

    name: str
    names: frozenset[str]
    raising: frozenset[str]
    forwarded: Mapping[str, tuple[str, str]]

    @classmethod
    def read(cls, path: Path) -> ModuleExports:
        """Read a guest's own module. Raises LabFault: that such a file is broken is no driver's failure."""
        try:
            with pefile.PE(str(path), fast_load=True, max_symbol_exports=_EXPORT_LIMIT) as image:
                exports = cls.of(image, path.name)
                wine = image.get_data(_WINE_MARK_OFFSET, len(_WINE_MARK)) == _WINE_MARK
        except (OSError, pefile.PEFormatError) as error:
            raise LabFault(f"reading the exports of the guest's {path}: {error}") from error
        if wine and path.name.lower() == _KERNEL and not exports.raising:
            raise LabFault(
                f"no raising thunk was recognised in {path}: this Wine makes them in another way, and preflight would "
                "let missing functions pass; teach hotswap.driver.exports the new form"
            )
        return exports

    @classmethod
    def of(cls, image: pefile.PE, name: str) -> ModuleExports:
        """The exports of an opened image; none when it has no export directory."""
        image.parse_data_directories(directories=[_EXPORT_DIRECTORY])
        directory = getattr(image, "DIRECTORY_ENTRY_EXPORT", None)
        if directory is None:
            return cls(name, frozenset(), frozenset(), {})
        own_name = bytes(directory.name or b"").lower()
        names: set[str] = set()
        raising: set[str] = set()
        forwarded: dict[str, tuple[str, str]] = {}
        for symbol in directory.symbols:
            if not symbol.name:
                continue
            text = symbol.name.decode("ascii", "replace")
            names.add(text)
            if symbol.forwarder:
                module, _, target = symbol.forwarder.decode("ascii", "replace").rpartition(".")
                forwarded[text] = (module, target)
            elif _raises(image, int(symbol.address), own_name, symbol.name):
                raising.add(text)
        return cls(name, frozenset(names), frozenset(raising), forwarded)


def _raises(image: pefile.PE, address: int, module: bytes, name: bytes) -> bool:
    """Whether an export is Wine's thunk for a function that it does not have.

    Code that looks like one is not enough: what it hands over must be this module's name and this export's name.
    """
    code = bytes(image.get_data(address, _STUB_SIZE))
    first = code.find(_LEA_RCX)
    second = code.find(_LEA_RDX, first + _LEA_SIZE)
    if first < 0 or second < 0 or second + _LEA_SIZE > len(code):
        return False
    pointed = [address + at + _LEA_SIZE + _OFFSET.unpack_from(code, at + 3)[0] for at in (first, second)]
    return _string(image, pointed[0]).lower() == module and _string(image, pointed[1]) == name


def _string(image: pefile.PE, address: int) -> bytes:
    return bytes(image.get_data(address, _NAME_LIMIT)).split(b"\0", 1)[0] if address > 0 else b""


@dataclass(frozen=True, slots=True)
class GuestExports:
    """The modules that a guest's kernel links drivers against: ntoskrnl.exe and what lies beside it.

    Modules are read when first asked for, and kept in `read_already`. `siblings` are the export drivers that are
    deployed together with an image.
    """

    kernel: Path
    siblings: Mapping[str, ModuleExports] = field(default_factory=dict)
    read_already: dict[str, ModuleExports | None] = field(default_factory=dict, repr=False, compare=False)

    def module(self, name: str) -> ModuleExports | None:
        """The exports of a module by its file name in any case; None when the guest has no such module."""
        wanted = name.lower()
        if wanted in self.siblings:
            return self.siblings[wanted]
        if wanted not in self.read_already:
            path = next(self._candidates(wanted), None)
            self.read_already[wanted] = None if path is None else ModuleExports.read(path)
        return self.read_already[wanted]

    def find(self, module: str, name: str) -> Export:
        """What an import of `name` from `module` gets in this guest; forwarders are followed."""
        for _ in range(_FORWARD_LIMIT):
            exports = self.module(module)
            if exports is None or name not in exports.names:
                return Export.MISSING
            if name in exports.raising:
                return Export.RAISES
            if name not in exports.forwarded:
                return Export.PRESENT
            target, name = exports.forwarded[name]
            module = target if "." in target else f"{target}.dll"
            if name.startswith("#"):
                return Export.PRESENT if self.module(module) else Export.MISSING
        return Export.MISSING

    def _candidates(self, wanted: str) -> Iterator[Path]:
        if wanted == self.kernel.name.lower():
            yield self.kernel
        for folder in (self.kernel.parent, self.kernel.parent / "drivers"):
            if folder.is_dir():
                yield from (entry for entry in folder.iterdir() if entry.name.lower() == wanted)
