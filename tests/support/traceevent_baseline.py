"""The text that Microsoft's TraceEvent library wrote of a trace, on Windows: its event lines, taken apart."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_LINE = re.compile(
    r"EVENT (?P<ms>[\d,]+)\.(?P<us>\d{3}): (?P<name>.+?) PID=(?P<pid>-?\d+); TID=(?P<tid>-?\d+); PName=(?P<pname>.*?); "
    r"ProceNum=(?P<cpu>\d+); DataLen=(?P<length>[\d,]+); (?P<fields>.*)"
)


@dataclass(frozen=True)
class BaselineEvent:
    """One `EVENT` line. `us` since the session started; values as they are printed, long ones end in `...`."""

    line: int
    us: int
    name: str
    """`Provider/Task/Opcode`."""
    pid: int
    tid: int
    cpu: int
    length: int
    fields: dict[str, str]


def read_baseline(path: Path) -> list[BaselineEvent]:
    """All `EVENT` lines of a `*.traceevent-baseline.txt`."""
    return [
        _event(number, line)
        for number, line in enumerate(path.read_text("utf-8-sig").splitlines(), 1)
        if line.startswith("EVENT ")
    ]


def _event(number: int, line: str) -> BaselineEvent:
    found = _LINE.fullmatch(line.rstrip() + " ") or _LINE.fullmatch(line)
    assert found, f"line {number} of the baseline is no event: {line[:200]}"
    fields = dict(part.split("=", 1) for part in found["fields"].split("; ") if "=" in part)
    return BaselineEvent(
        number,
        int(found["ms"].replace(",", "") + found["us"]),
        found["name"].strip(),
        int(found["pid"]),
        int(found["tid"]),
        int(found["cpu"]),
        int(found["length"].replace(",", "")),
        fields,
    )
