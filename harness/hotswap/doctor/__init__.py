"""`hotswap doctor`: what this computer can run, what is missing, and the line that mends it. Starts no guest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from hotswap.doctor import environment, machines, places, tools
from hotswap.doctor.check import Check, Diagnosis, State

_AT_ONCE = 8

_CHECKS: tuple[Callable[[], Iterator[Check]], ...] = (
    environment.checks,
    machines.wine,
    *tools.build_tools(),
    *tools.optional_tools(),
    machines.template,
    machines.leases,
    machines.qemu,
    machines.planned,
    places.checks,
)


def diagnose() -> Diagnosis:
    """Make all checks, at once; programs are asked for their versions, and that is what takes time (under a second)."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return Diagnosis(tuple(check for checks in pool.map(_guarded, _CHECKS) for check in checks))


def _guarded(checks: Callable[[], Iterator[Check]]) -> list[Check]:
    found: list[Check] = []
    try:
        found.extend(checks())
    except Exception as error:
        # A doctor that falls ill on a strange computer says so and goes on: that is where it is needed.
        name = checks.__module__.rpartition(".")[2]
        found.append(
            Check(name, State.DEGRADED, f"could not be checked: {type(error).__name__}: {error}", "this report")
        )
    return found
