"""What one check of the swap test found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from hotswap.trace.expect import Verdict

MAX_SLICE = 12


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict, one sentence, and the rows of the fewest events that show it."""

    verdict: Verdict
    message: str
    rows: tuple[int, ...] = ()


def holds(message: str) -> Finding:
    """The statement holds; the message says on what that rests."""
    return Finding(Verdict.PASS, message)


def fails(message: str, rows: Iterable[int] = ()) -> Finding:
    """The statement does not hold. Rows below zero (events that are missing) are left out."""
    kept = sorted({int(row) for row in rows if row >= 0})
    return Finding(Verdict.FAIL, message, tuple(kept[:MAX_SLICE]))


def unknown(message: str, rows: Iterable[int] = ()) -> Finding:
    """It cannot be told."""
    kept = sorted({int(row) for row in rows if row >= 0})
    return Finding(Verdict.INCONCLUSIVE, message, tuple(kept[:MAX_SLICE]))


def and_more(count: int) -> str:
    """How a message says that further cases were found; `count` includes the one described."""
    return f" (and {count - 1} more)" if count > 1 else ""


def versions_differ(seen: list[tuple[int, int]], expected: tuple[int, ...]) -> str | None:
    """Whether (from, to) pairs are the expected changes of version; None when they are, else what is wrong.

    Loading the first version (from 0) and taking off the last (to 0) may be among them.
    """
    wanted = list(pairwise(expected))
    rest = list(seen)
    if rest and expected and rest[0] == (0, expected[0]):
        rest = rest[1:]
    if rest and expected and rest[-1] == (expected[-1], 0):
        rest = rest[:-1]
    if rest == wanted:
        return None
    show = ", ".join(f"{a}->{b}" for a, b in seen) or "none"
    return f"seen {show}; expected {', '.join(f'{a}->{b}' for a, b in wanted)}"
