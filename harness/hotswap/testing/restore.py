"""By how much a guest is restored between two tests: no less than what the first one dirtied, at the least cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hotswap.machine.restore import RestoreLevel


@dataclass(frozen=True, slots=True)
class Dirt:
    """What a test left behind, one sentence each: on the guest's disk, and what makes all that runs there suspect."""

    disk: tuple[str, ...] = ()
    memory: tuple[str, ...] = ()

    @property
    def needs(self) -> RestoreLevel:
        """The least that undoes it."""
        return RestoreLevel.MEMORY if self.memory else RestoreLevel.DISK if self.disk else RestoreLevel.DRIVER

    def __str__(self) -> str:
        return (*self.memory, *self.disk, "nothing but what the driver did")[0]


class RestorePolicy:
    """Chooses among the levels that a machine offers, each with what it costs there in seconds."""

    def __init__(self, costs: Mapping[RestoreLevel, float]) -> None:
        self._costs = costs

    def choose(self, dirt: Dirt) -> RestoreLevel:
        """The cheapest that suffices: more is restored where less would take longer. MEMORY is always to be had."""
        enough = {level: cost for level, cost in self._costs.items() if level >= dirt.needs}
        return min(enough, key=lambda level: (enough[level], level), default=RestoreLevel.MEMORY)
