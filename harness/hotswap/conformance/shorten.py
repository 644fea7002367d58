"""The shortest script that still fails: steps are left out, then parts of steps, as long as some failure remains.

Hypothesis shrinks what was drawn; what a later draw meant may hang on an earlier one, so that a step which is not
needed can stay. A step of which the model says nothing any more is left out by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from time import monotonic

from hotswap.conformance.script import Register, Script, Signal, Step
from hotswap.conformance.session import Disagreement, Subject, replay


def shorten(subject: Subject, found: Disagreement, seconds: float) -> Disagreement:
    """A shorter script that fails, or the same; tries for at most so many seconds."""
    until = monotonic() + seconds
    best = found
    improved = True
    while improved:
        improved = False
        for steps in _shorter(best.script.steps):
            if monotonic() > until:
                return best
            again = replay(subject, Script.of(steps, seed=found.script.seed))
            if again is not None and _size(again.script.steps) < _size(best.script.steps):
                best, improved = again, True
                break
    return best


def _size(steps: Sequence[Step]) -> tuple[int, int]:
    return len(steps), sum(map(_parts, steps))


def _parts(step: Step) -> int:
    if isinstance(step, Signal):
        return len(step.events)
    if isinstance(step, Register):
        return len(step.entries) + 2 * (step.callback is not None)
    return 0


def _shorter(steps: Sequence[Step]) -> Iterator[Sequence[Step]]:
    size = len(steps) // 2
    while size:
        for begin in range(0, len(steps), size):
            yield [*steps[:begin], *steps[begin + size :]]
        size //= 2
    for at, step in enumerate(steps):
        for smaller in _smaller(step):
            yield [*steps[:at], smaller, *steps[at + 1 :]]


def _smaller(step: Step) -> Iterable[Step]:
    if isinstance(step, Signal) and len(step.events) > 1:
        for at in range(len(step.events)):
            yield Signal(step.events[:at] + step.events[at + 1 :])
    if isinstance(step, Register):
        fields = {name: getattr(step, name) for name in step.__struct_fields__}
        if step.callback is not None:
            yield Register(**{**fields, "callback": None})
        if len(step.entries) > 1:
            for at in range(len(step.entries)):
                yield Register(**{**fields, "entries": step.entries[:at] + step.entries[at + 1 :]})
