"""Swaps as the host's events tell them: which phases were gone through, and how it ended.

A swap that does not succeed must leave the old version in force (R10). Where it fails decides what has to follow:
nothing before the stall (R9, R23), the release of the calls held after it (R12, R24), a second drain once the new
version has run (R25).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from hotswap.trace.expect import status_text

STEPS = (
    "Begin", "PreProcess", "Stalled", "FirstHeld", "Drained", "ProxyStalled", "Switched", "Released", "PostProcess",
    "RolledBack", "End",
)  # fmt: skip
"""The host's Swap* events."""


class Outcome(StrEnum):
    """How a swap ended, by the step that decided it. The values are for messages."""

    SUCCEEDED = "succeeded"
    NOT_BEGUN = "the new image could not be loaded"
    ENDPOINTS = "its endpoints were refused"
    PRE_PROCESS = "its PreProcess callback refused"
    NOT_DRAINED = "calls did not leave within the drain limit"
    PROXY_STALLED = "its ProxyStalled callback refused"
    POST_PROCESS = "its PostProcess callback refused"


_DRAINED = ("PreProcess", "Stalled", "Drained")
_SUCCEEDED = (*_DRAINED, "ProxyStalled", "Switched", "Released", "PostProcess")
_PHASES: dict[Outcome, tuple[str, ...]] = {
    Outcome.SUCCEEDED: _SUCCEEDED,
    Outcome.ENDPOINTS: (),
    Outcome.PRE_PROCESS: ("PreProcess",),
    Outcome.NOT_DRAINED: (*_DRAINED, "RolledBack", "Released"),
    Outcome.PROXY_STALLED: (*_DRAINED, "ProxyStalled", "RolledBack", "Released"),
    Outcome.POST_PROCESS: (*_SUCCEEDED, "Stalled", "Drained", "RolledBack", "Released"),
}
_DECIDES = {
    "PreProcess": Outcome.PRE_PROCESS,
    "Drained": Outcome.NOT_DRAINED,
    "ProxyStalled": Outcome.PROXY_STALLED,
    "PostProcess": Outcome.POST_PROCESS,
}


@dataclass(frozen=True, slots=True)
class Step:
    """One event of a swap; `status` is an NTSTATUS without its sign."""

    name: str
    row: int
    tick: int
    status: int


@dataclass(frozen=True, slots=True)
class Stall:
    """From the moment on which new calls were held. None: the event is not there."""

    stalled: Step
    drained: Step | None
    released: Step | None

    @property
    def drained_in_time(self) -> bool:
        """Whether the last call left within the limit."""
        return self.drained is not None and not self.drained.status


@dataclass(frozen=True, slots=True)
class Swap:
    """The events of one swap, in time order; any may be missing or doubled."""

    number: int
    from_version: int
    to_version: int
    steps: tuple[Step, ...]

    @property
    def name(self) -> str:
        """For messages."""
        return f"swap {self.number} ({self.from_version}->{self.to_version})"

    def all(self, name: str) -> list[Step]:
        """The events of one name."""
        return [step for step in self.steps if step.name == name]

    def first(self, name: str) -> Step | None:
        """When a step was first reached; None: never."""
        return next((step for step in self.steps if step.name == name), None)

    def tick(self, name: str) -> int | None:
        """When a step was first reached."""
        step = self.first(name)
        return None if step is None else step.tick

    @property
    def deciding(self) -> Step | None:
        """The step that made it fail; None where no phase did."""
        return next((step for step in self.steps if step.name in _DECIDES and step.status), None)

    @property
    def outcome(self) -> Outcome:
        """How it ended, or would have to end after what is there of it."""
        deciding = self.deciding
        if deciding is not None:
            return _DECIDES[deciding.name]
        end = self.first("End")
        if end is None or not end.status or self.first("PreProcess"):
            return Outcome.SUCCEEDED
        return Outcome.ENDPOINTS if self.first("Begin") else Outcome.NOT_BEGUN

    @property
    def switched(self) -> bool:
        """Whether the new version came into force and stayed."""
        return self.first("Switched") is not None and self.first("RolledBack") is None

    @property
    def stalls(self) -> Iterator[Stall]:
        """The times in which calls were held: one, and a second one for going back after PostProcess."""
        for stalled in self.all("Stalled"):
            later = [step for step in self.steps if step.tick >= stalled.tick]
            drained = next((step for step in later if step.name == "Drained"), None)
            released = next((step for step in later if step.name == "Released"), None)
            yield Stall(stalled, drained, released)

    @property
    def rows(self) -> list[int]:
        """All its events."""
        return [step.row for step in self.steps]

    def why_refused(self) -> str:
        """Why it did not come into force, with the status."""
        step = self.deciding or self.first("End")
        status = "" if step is None else f" ({status_text(step.status, wait=False)})"
        return f"{self.outcome}{status}"


@dataclass(frozen=True, slots=True)
class Irregularity:
    """What is wrong with the phases of a swap, and the rows that show it."""

    message: str
    rows: tuple[int, ...]


def irregular(swap: Swap) -> Irregularity | None:
    """What a swap's phases have against them: each once and in the order that its outcome demands (R17-R25)."""
    present = Counter(step.name for step in swap.steps)
    for name in ("Begin", "End"):
        if not present[name]:
            return Irregularity(f"{swap.name} has no {name}", tuple(swap.rows))
        if present[name] > 1:
            return _too_often(swap, name)
    outcome = swap.outcome
    wanted = _PHASES.get(outcome, ())
    # Putting the first endpoint driver in and taking the last one out are no swaps between two: phases may be absent.
    complete = bool(swap.from_version and swap.to_version) or outcome is not Outcome.SUCCEEDED
    return (
        _miscounted(swap, present, wanted, complete)
        or _out_of_order(swap, ("Begin", *wanted, "End"))
        or _held_too_early(swap)
        or _ends_otherwise(swap, outcome)
    )


def _too_often(swap: Swap, name: str) -> Irregularity:
    rows = [step.row for step in swap.all(name)]
    return Irregularity(f"{swap.name} has {name} {len(rows)} times", tuple(rows))


def _miscounted(swap: Swap, present: Counter[str], wanted: Sequence[str], complete: bool) -> Irregularity | None:
    demanded = Counter(wanted)
    because = "" if swap.deciding is None else f"; {swap.deciding.name} answered {_status(swap.deciding)}"
    for name in STEPS:
        count = present[name]
        if name in ("Begin", "End"):
            continue
        if name == "FirstHeld":
            # Told once in each stall, and only when a call was held.
            if count > max(1, demanded["Stalled"]):
                return _too_often(swap, name)
            continue
        if count < demanded[name] and complete:
            times = "" if demanded[name] == 1 else f" of {demanded[name]}"
            text = f"{swap.name} has no {name}" if not count else f"{swap.name} has {name} {count}{times} times"
            return Irregularity(text + because, tuple(swap.rows))
        if count > max(demanded[name], 0) and name == "RolledBack":
            return Irregularity(f"{swap.name} was rolled back{because}", tuple(swap.rows))
        if count > demanded[name]:
            found = _too_often(swap, name) if count > 1 else None
            return found or Irregularity(f"{swap.name} has {name}{because}", (swap.all(name)[0].row,))
    return None


def _out_of_order(swap: Swap, wanted: Sequence[str]) -> Irregularity | None:
    left = {name: swap.all(name) for name in set(wanted)}
    ordered = [left[name].pop(0) for name in wanted if left[name]]
    for before, after in pairwise(ordered):
        if after.tick < before.tick:
            return Irregularity(f"{swap.name}: {after.name} before {before.name}", (before.row, after.row))
    return None


def _held_too_early(swap: Swap) -> Irregularity | None:
    held, opened = swap.first("FirstHeld"), swap.first("PreProcess")
    # The thread that is held tells it itself, so it may be late; but nothing is held before PreProcess has returned.
    if held and opened and held.tick < opened.tick:
        return Irregularity(f"{swap.name}: FirstHeld before PreProcess", (opened.row, held.row))
    return None


def _ends_otherwise(swap: Swap, outcome: Outcome) -> Irregularity | None:
    for step in swap.steps:
        if step.status and step is not swap.deciding and step.name != "End":
            return Irregularity(f"{swap.name}: {step.name} with {_status(step)}", (step.row,))
    end = swap.all("End")[0]
    if (end.status == 0) is not (outcome is Outcome.SUCCEEDED):
        because = f" though {outcome}" if outcome is not Outcome.SUCCEEDED else ""
        return Irregularity(f"{swap.name} ended with {_status(end)}{because}", (end.row,))
    return None


def _status(step: Step) -> str:
    return status_text(step.status, wait=False)
