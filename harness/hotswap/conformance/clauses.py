"""The catalogue: every clause of the contract, where it comes from, and where it cannot be shown.

Numbers W1-W61 and R1-R33 are those of the reference "driver-hot-swap", sections 4 and 5; S is what it says of the
endpoint table in the image (3.7), N what a kernel must answer that has the exports and no implementation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

from hotswap.errors import UsageError

SOURCES: Mapping[str, str] = {
    "D": "documentation of Microsoft",
    "H": "header, as published in bindings",
    "P": "layout from public symbols",
    "X": "inferred from a decompilation",
    "I": "our inference, stated nowhere",
    "K": "follows from the documented rules of waits and system threads",
    "PAT": "patent US 12,547,556",
    "?": "open: an implementer has to choose",
}
"""Source tags of the reference."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One statement of the contract."""

    id: str
    """`W2`."""
    source: str
    """Tags of `SOURCES`, joined by `/`."""
    statement: str
    """In our words, one line."""
    not_shown: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Machine kind (`*`: any) to the reason why it cannot be shown there. Such a clause needs no check there."""

    def reason(self, machine: str) -> str | None:
        """Why this machine kind cannot show it; None: it can."""
        return self.not_shown.get(machine, self.not_shown.get("*"))

    @property
    def order(self) -> tuple[int, int]:
        """W, R, S, N, by number."""
        return "WRSN".index(self.id[0]), int(self.id[1:])


@cache
def clauses() -> Mapping[str, Clause]:
    """All clauses by id, in order."""
    from hotswap.conformance.clauses_native import NATIVE
    from hotswap.conformance.clauses_registration import REGISTRATION
    from hotswap.conformance.clauses_section import SECTION
    from hotswap.conformance.clauses_worker import WORKER

    every = sorted((*WORKER, *REGISTRATION, *SECTION, *NATIVE), key=lambda clause: clause.order)
    return {clause.id: clause for clause in every}


def select(names: Iterable[str]) -> list[Clause]:
    """The clauses of these names: `W2`, `w2`, a range `W24-W30`; none named: all. UsageError: no such clause."""
    known = clauses()
    chosen = [clause for name in names for clause in _named(name, known)]
    return sorted(set(chosen), key=lambda clause: clause.order) if chosen else list(known.values())


def _named(name: str, known: Mapping[str, Clause]) -> list[Clause]:
    match = re.fullmatch(r"([A-Z])(\d+)(?:-\1?(\d+))?", name.strip().upper())
    if match is not None:
        letter, first = match[1], int(match[2])
        last = int(match[3] or first)
        found = [clause for id_, clause in known.items() if id_[0] == letter and first <= int(id_[1:]) <= last]
        if found and first <= last and f"{letter}{first}" in known and f"{letter}{last}" in known:
            return found
    raise UsageError(f"no clause {name!r}; there are {_ranges(known)}")


def _ranges(known: Mapping[str, Clause]) -> str:
    letters = dict.fromkeys(id_[0] for id_ in known)
    numbers = {letter: sorted(int(id_[1:]) for id_ in known if id_[0] == letter) for letter in letters}
    return ", ".join(f"{letter}{all_[0]}-{letter}{all_[-1]}" for letter, all_ in numbers.items())
