"""Fewest steps that still show a finding: halves are left out, then quarters, and so on (delta debugging)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic

from hotswap.fuzz.oracle import Finding
from hotswap.fuzz.script import CLOSE, OPEN, Step

Trial = Finding


def reduce_steps(
    steps: Sequence[Step],
    kind: str,
    attempt: Callable[[Sequence[Step]], Finding | None],
    *,
    seconds: float,
    say: Callable[[str], None] = lambda _line: None,
) -> list[Step] | None:
    """The steps left when nothing more could be taken away in that time; None when all of them do not show it."""
    end = monotonic() + seconds
    kept = list(steps)
    first = attempt(kept)
    if first is None or first.kind != kind:
        return None
    if first.at >= 0:
        # What comes behind the step that shows it is not needed for it.
        kept = _shorter(kept, first, attempt, kind)
    part = max(1, len(kept) // 2)
    while part and monotonic() < end:
        at = 0
        while at < len(kept) and monotonic() < end:
            fewer = kept[:at] + [step for step in kept[at : at + part] if _needed(step)] + kept[at + part :]
            if len(fewer) < len(kept) and (found := attempt(fewer)) is not None and found.kind == kind:
                kept = fewer
                say(f"reduced to {len(kept)} steps")
            else:
                at += part
        part //= 2
    return kept


def _shorter(
    steps: list[Step], found: Finding, attempt: Callable[[Sequence[Step]], Finding | None], kind: str
) -> list[Step]:
    cut = steps[: found.at + 1]
    again = attempt(cut)
    return cut if again is not None and again.kind == kind else steps


def _needed(step: Step) -> bool:
    """Without its handles nothing of a script is left."""
    return step.item.action == OPEN and step.item.handle < 3 and step.item.action != CLOSE
