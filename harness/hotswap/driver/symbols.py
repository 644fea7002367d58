"""Turns an address in a driver into function, file and line, through its .pdb and llvm-symbolizer."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PROGRAMS = ("llvm-symbolizer", *(f"llvm-symbolizer-{version}" for version in range(25, 13, -1)))
_SECONDS = 30.0
MISSING = "llvm-symbolizer was not found: install the Debian package llvm, or run ci/setup"


@dataclass(frozen=True, slots=True)
class Symbol:
    """One function, the innermost of an address first: inlined ones come before those they were inlined into."""

    function: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.function} {self.file}:{self.line}" if self.file else self.function


@dataclass(frozen=True, slots=True)
class Symbols:
    """`of[i]` are the functions at the i-th address, empty where nothing is known; `problem` says why that is."""

    of: tuple[tuple[Symbol, ...], ...]
    problem: str = ""


def find_symbolizer() -> str | None:
    """The program's path; None where there is none."""
    return next(filter(None, map(shutil.which, _PROGRAMS)), None)


def symbolize(image: Path, rvas: Sequence[int]) -> Symbols:
    """Functions at these RVAs of an image whose .pdb lies beside it. Never raises: see `Symbols.problem`."""
    nothing = tuple(() for _ in rvas)
    program = find_symbolizer()
    if program is None:
        return Symbols(nothing, MISSING)
    if not image.with_suffix(".pdb").is_file():
        return Symbols(nothing, f"{image.name} has no .pdb beside it in {image.parent}")
    command = [program, f"--obj={image}", "--relative-address", "--inlines", "--output-style=JSON"]
    try:
        done = subprocess.run(
            [*command, *(hex(rva) for rva in rvas)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS, check=True,
        )  # fmt: skip
        answers = json.loads(done.stdout)
        found = tuple(tuple(map(_symbol, answer.get("Symbol", ()))) for answer in answers)
    except (OSError, subprocess.SubprocessError, ValueError, AttributeError, KeyError) as error:
        return Symbols(nothing, f"{program} on {image.name}: {error}")
    if len(found) != len(rvas):
        return Symbols(nothing, f"{program} on {image.name}: {len(found)} answers to {len(rvas)} addresses")
    return Symbols(tuple(tuple(symbol for symbol in symbols if symbol.function) for symbols in found))


def _symbol(answer: dict[str, object]) -> Symbol:
    # The build's own folder stands before the path below driver/.
    path = str(answer["FileName"]).rpartition("/tree/")[2].removeprefix("./")
    line = answer["Line"]
    return Symbol(str(answer["FunctionName"]), path, line if isinstance(line, int) else 0)
