"""All schedules of a scenario, one for each order that differs, or a sample of them by a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import TypeVar

from hotswap.errors import UsageError
from hotswap.schedule.model import SCENARIOS, Model, Scenario

T = TypeVar("T")

Schedule = tuple[str, ...]
"""The threads in the order in which they are stepped: `("G1", "S", "W1", ...)`."""


def independent(one: str, other: str) -> bool:
    """Whether the order of a step of `one` and a step of `other` makes no difference.

    Where each step lies between those of the swap is what is explored, so that nothing commutes with S. What belongs to
    one worker does not touch what belongs to another: the count of calls is all that they share, and adding commutes.
    """
    return one[0] != "S" and other[0] != "S" and one[1:] != other[1:]


def explore(scenario: Scenario, make: Callable[[Scenario], Model] = Model) -> Iterator[Schedule]:
    """Each reachable order once: depth first, pruned by sleep sets (Godefroid 1996), without stored states.

    A schedule ends where no thread can be stepped any more.
    """
    yield from _from(scenario, make, make(scenario), (), frozenset())


def _from(
    scenario: Scenario, make: Callable[[Scenario], Model], model: Model | None, prefix: Schedule, sleep: frozenset[str]
) -> Iterator[Schedule]:
    # A model cannot be copied: the first of a state's successors is made of it, for others it is made again.
    model = model or replay(scenario, prefix, make)
    enabled = sorted(model.paused)
    if not enabled:
        yield prefix
        return
    for thread in enabled:
        if thread in sleep:
            continue
        if model is not None:
            model.step(thread)
        awake = frozenset(other for other in sleep if independent(other, thread))
        yield from _from(scenario, make, model, (*prefix, thread), awake)
        model = None
        sleep |= {thread}


def replay(scenario: Scenario, schedule: Sequence[str], make: Callable[[Scenario], Model] = Model) -> Model:
    """The model after these steps."""
    model = make(scenario)
    for thread in schedule:
        model.step(thread)
    return model


@cache
def everything() -> tuple[tuple[Scenario, Schedule], ...]:
    """Each reachable order of each scenario, in a fixed order."""
    return tuple((scenario, schedule) for scenario in SCENARIOS.values() for schedule in explore(scenario))


def sample(schedules: Sequence[T], count: int, seed: int) -> list[T]:
    """So many different ones, each as likely as any other; the same for the same seed. All when there are no more."""
    if count >= len(schedules):
        return list(schedules)
    return random.Random(seed).sample(schedules, count)


def named(scenario: Scenario, schedule: Schedule) -> str:
    """How a schedule is called, for `ci/soak schedules --replay`: `swap:G1,S,W1`."""
    return f"{scenario.name}:{','.join(schedule)}"


def parse(name: str) -> tuple[Scenario, Schedule]:
    """The schedule of this name. UsageError: no such scenario, or steps that cannot be taken."""
    head, _, tail = name.partition(":")
    if head not in SCENARIOS:
        raise UsageError(f"there is no scenario {head!r}; there are: {', '.join(SCENARIOS)}")
    scenario, schedule = SCENARIOS[head], tuple(tail.split(","))
    model = Model(scenario)
    for at, thread in enumerate(schedule, 1):
        if thread not in model.paused:
            raise UsageError(
                f"step {at} of {name!r}: {thread!r} stands at no point; {', '.join(sorted(model.paused))} do"
            )
        model.step(thread)
    if model.paused:
        raise UsageError(f"{name!r} is not all: {', '.join(model.paused)} could go on")
    return scenario, schedule
