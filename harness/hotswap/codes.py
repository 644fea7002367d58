"""Names of Windows error codes, as the headers that the drivers were built with define them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hotswap.errors import LabFault


@dataclass(frozen=True, slots=True)
class CodeTable:
    """NTSTATUS and Win32 codes (unsigned 32 bit) to names; where a code has several, the header's first."""

    ntstatus_names: Mapping[int, str] = field(default_factory=dict)
    win32_names: Mapping[int, str] = field(default_factory=dict)
    values: Mapping[str, int] = field(default_factory=dict, repr=False)
    bug_checks: Mapping[int, str] = field(default_factory=dict, repr=False)
    """Names of bug checks, without their parameters."""

    @classmethod
    def of(
        cls,
        ntstatus: Iterable[tuple[str, int]],
        win32: Iterable[tuple[str, int]],
        bug_checks: Iterable[tuple[str, int]] = (),
    ) -> CodeTable:
        """Build a table from (name, code) pairs in the order of the headers."""
        ntstatus_names: dict[int, str] = {}
        win32_names: dict[int, str] = {}
        values: dict[str, int] = {}
        for names, pairs in ((ntstatus_names, ntstatus), (win32_names, win32)):
            for name, code in pairs:
                names.setdefault(code & 0xFFFFFFFF, name)
                values[name] = code & 0xFFFFFFFF
        return cls(ntstatus_names, win32_names, values, {code: name for name, code in bug_checks})

    @classmethod
    def load(cls, path: Path) -> CodeTable:
        """Read codes.json of a driver build: {"ntstatus": {name: code}, "win32": {name: code}, "bugcheck": ...}."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls.of(content["ntstatus"].items(), content["win32"].items(), content.get("bugcheck", {}).items())
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise LabFault(f"reading the error codes in {path}: {error}; remove that build and build again") from error

    def ntstatus(self, code: int) -> str:
        """`STATUS_TIMEOUT (0x00000102)`; a code without a name is `NTSTATUS 0x........`. Takes signed codes too."""
        return _ntstatus(self.ntstatus_names.get(code & 0xFFFFFFFF), code)

    def win32(self, code: int) -> str:
        """`ERROR_ACCESS_DENIED (5)`; a code without a name is `Win32 error 1234567`."""
        name = self.win32_names.get(code & 0xFFFFFFFF)
        number = str(code & 0xFFFFFFFF) if 0 <= code < 0x80000000 else f"0x{code & 0xFFFFFFFF:08X}"
        return f"{name} ({number})" if name else f"Win32 error {number}"

    def value(self, name: str) -> int:
        """The unsigned code of a name, e.g. `STATUS_TIMEOUT`; KeyError when no header defines it."""
        return self.values[name]


def ntstatus_name(code: int, table: CodeTable | None = None) -> str:
    """`STATUS_TIMEOUT (0x00000102)`, or `NTSTATUS 0x00000102` where the table is not at hand."""
    return table.ntstatus(code) if table else _ntstatus(None, code)


def win32_name(code: int, table: CodeTable | None = None) -> str:
    """`ERROR_ACCESS_DENIED (5)`, or `Win32 error 5` where the table is not at hand."""
    return (table or CodeTable()).win32(code)


def _ntstatus(name: str | None, code: int) -> str:
    number = f"0x{code & 0xFFFFFFFF:08X}"
    return f"{name} ({number})" if name else f"NTSTATUS {number}"
