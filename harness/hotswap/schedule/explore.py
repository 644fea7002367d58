"""All schedules of a scenario, one for each order that differs, or a sample of them by a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

from hotswap.schedule.model import Model, Scenario

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


def sample(schedules: Sequence[Schedule], count: int, seed: int) -> list[Schedule]:
    """So many different ones, each as likely as any other; the same for the same seed. All when there are no more."""
    if count >= len(schedules):
        return list(schedules)
    return random.Random(seed).sample(schedules, count)
