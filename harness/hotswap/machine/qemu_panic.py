"""What QEMU tells of a guest's panic: by pvpanic that there was one, by Hyper-V's crash registers what Windows gave.

The members of GUEST_PANICKED are those of QEMU's qapi/run-state.json (GuestPanicInformation). Windows writes the number
of its bug check and four parameters into HV_X64_MSR_CRASH_P0 to P4 (TLFS 6.0, section 7.6): `arg1` to `arg5` here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Panic:
    """One panic. `kind`: hyper-v (`code` is the bug check, `parameters` its four), s390, tdx; pvpanic tells nothing."""

    kind: str
    code: int | None = None
    parameters: tuple[int, ...] = ()

    @property
    def told(self) -> str:
        """`: bug check 0x0000009F (0x3, ...)`, or nothing: fits behind `panicked`."""
        if self.code is None:
            return ""
        return f": bug check 0x{self.code:08X} ({', '.join(f'0x{value:X}' for value in self.parameters)})"

    def to_json(self, names: Mapping[int, str] | None = None) -> dict[str, object]:
        """For evidence; `names` are those of bug checks."""
        content: dict[str, object] = {"kind": self.kind}
        if self.code is not None:
            content["bug_check"] = f"0x{self.code:08X}"
            content["name"] = (names or {}).get(self.code)
            content["parameters"] = [f"0x{value:016X}" for value in self.parameters]
        return content


def panic_of(data: Mapping[str, Any]) -> Panic:
    """Of the data of a GUEST_PANICKED event."""
    info = data.get("info")
    if not isinstance(info, Mapping):
        return Panic("pvpanic")
    kind = str(info.get("type", "unknown"))
    values = [info.get(f"arg{number}") for number in range(1, 6)]
    if kind == "hyper-v" and all(isinstance(value, int) for value in values):
        code, *parameters = (int(value) & (1 << 64) - 1 for value in values if value is not None)
        return Panic(kind, code & 0xFFFFFFFF, tuple(parameters))
    return Panic(kind)
