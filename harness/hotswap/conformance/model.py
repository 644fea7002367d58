"""The model of the DriverProxy contract: what each call must return, and which state follows.

It is pure: no driver, no clock, no chance. Where the outcome may be one of several (which of two signalled events is
taken first, which of two waiting registrations goes first, coalesced sets (W29)), it keeps every world that agrees with
all that was seen so far. A step that leaves no such world shows that driver and contract disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hotswap.conformance.model_move import Unmodelled
from hotswap.conformance.model_moves import MAX_ITERATIONS, moves
from hotswap.conformance.model_records import TESTER, Actor, View
from hotswap.conformance.model_steps import begin
from hotswap.conformance.model_world import World
from hotswap.conformance.script import Register, Step

__all__ = ["Difference", "Model", "Unmodelled", "View", "differences"]

MAX_WORLDS = 64
MAX_EXPLORED = 1000


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it must be."""

    what: str
    expected: str
    seen: str

    def __str__(self) -> str:
        return f"{self.what}: expected {self.expected}, saw {self.seen}"


class Model:
    """The worlds that may be. `predict` a step, make it, then `observe` what is seen at rest."""

    def __init__(self) -> None:
        self.worlds: tuple[World, ...] = (World(),)
        self._next: tuple[World, ...] | None = None

    @property
    def world(self) -> World:
        """One of them, for choosing a next step."""
        return self.worlds[0]

    def predict(self, step: Step) -> Sequence[View]:
        """Every view of which one must be seen when all rests. Raises Unmodelled: do not make this step."""
        after = rest([started for world in self.worlds for started in begin(world, step)], self.worlds)
        if isinstance(step, Register) and step.fail and any(world.lanes[step.lane].frames for world in after):
            raise Unmodelled("an allocation would fail in a later step")
        if len(after) > MAX_WORLDS:
            raise Unmodelled("too many outcomes")
        self._next = after
        return [world.view() for world in after]

    def observe(self, seen: View) -> frozenset[str]:
        """Keep the worlds that agree with what was seen; the marks of what happened in the step.

        Raises ValueError when none agrees: use `differences` before.
        """
        assert self._next is not None
        kept = tuple(world for world in self._next if agrees(world.view(), seen))
        if not kept:
            raise ValueError("no world agrees")
        self.worlds, self._next = kept, None
        return kept[0].marks


def rest(worlds: Sequence[World], before: Sequence[World], *, every_order: bool = False) -> tuple[World, ...]:
    """Every world at rest that can follow, each once. Raises Unmodelled when one never comes to rest.

    `every_order`: also those orders that can make no difference, to show that they do not.
    """
    limits = {
        number: worker.iterations + MAX_ITERATIONS for world in before for number, worker in world.workers.items()
    }
    found: dict[tuple[object, ...], World] = {}
    seen: set[tuple[object, ...]] = set()
    todo = list(worlds)
    while todo:
        world = todo.pop()
        following = _following(world, limits, every_order)
        if following is None:
            found.setdefault(world.key(), world)
        elif len(following) == 1:
            todo += following
        else:
            for each in following:
                key = each.key()
                if key not in seen:
                    seen.add(key)
                    todo.append(each)
        if len(seen) > MAX_EXPLORED:
            raise Unmodelled("too many orders")
    return tuple(found.values())


def _following(world: World, limits: dict[int, int], every_order: bool) -> Sequence[World] | None:
    """The next worlds in every order that matters; None at rest."""
    actors = [Actor("lane", number) for number, lane in world.lanes.items() if lane.frames]
    for number, worker in world.workers.items():
        if worker.alive:
            if worker.iterations > limits.get(number, MAX_ITERATIONS):
                raise Unmodelled("a worker that never rests")
            actors.append(Actor("worker", number))
    if world.tester:
        actors.append(TESTER)
    following: list[World] = []
    for actor in actors:
        found = moves(world, actor)
        if found.free and not every_order:
            return found.worlds
        following += found.worlds
    if following and world.marks:
        for each in following:
            each.marks |= world.marks
    return following or None


def agrees(expected: View, seen: View) -> bool:
    """Whether a view is one that is expected. What the expected one does not name does not matter."""
    return all(_right(value, seen.get(key)) for key, value in expected.items())


def _right(expected: Any, seen: Any) -> bool:
    return seen in expected if isinstance(expected, frozenset) else bool(expected == seen)


def differences(allowed: Sequence[View], seen: View) -> list[Difference]:
    """Of the allowed view that is nearest to what was seen; empty when one agrees."""
    best: list[Difference] | None = None
    for expected in allowed:
        found = [
            Difference(_name(key), _value(value), _value(seen.get(key)))
            for key, value in expected.items()
            if not _right(value, seen.get(key))
        ]
        if best is None or len(found) < len(best):
            best = found
    return best or []


def _name(key: tuple[Any, ...]) -> str:
    return " ".join(f"v{part[0]}.{part[1]}" if isinstance(part, tuple) else str(part) for part in key)


def _value(value: Any) -> str:
    if isinstance(value, frozenset):
        return " or ".join(sorted(map(_value, value)))
    if isinstance(value, tuple):
        return f"({', '.join(map(_value, value))})"
    return (
        f"0x{value:08X}" if isinstance(value, int) and not isinstance(value, bool) and value > 0xFFFF else repr(value)
    )
