"""The registry of checks. A check is a function that shows one clause on a guest, through the conformance driver.

    @check("W2", "a NULL routine is refused and makes no thread")
    def null_routine(c: ConformanceDriver) -> None:
        ...

Its id is the clause and the function's name: `W2-null-routine`. It returns when the clause holds, and raises
CheckFailed, best through `expect`, when it does not. What it makes in the guest is released afterwards by `reset`; what
cannot be is its failure, as is memory of the runtime that did not come back.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING, Any, TypeVar

from hotswap.conformance.clauses import clauses
from hotswap.deadline import Deadline
from hotswap.errors import DeadlineExpired, GuestFault, HotswapError

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver

T = TypeVar("T")

RUNTIMES: Mapping[str, str] = {
    "compat": "driverproxy.sys",
    "native": "the kernel's own",
    "stub": "a kernel that exports the functions and implements none, as retail Windows",
    "absent": "a kernel without the exports",
}
"""What can be under test."""

_WORKING = ("compat", "native")
_WAIT_SECONDS = 10.0
_LARGEST_DECIMAL = 99_999_999
_MODULES = "checks_"


class CheckFailed(GuestFault):
    """The clause does not hold here: what was expected, and what was seen."""


class Inconclusive(HotswapError):
    """The check could neither show the clause nor refute it, and why."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check of one clause."""

    id: str
    clause: str
    statement: str
    """What is shown, one line."""
    run: Callable[[ConformanceDriver], None] = field(repr=False, compare=False)
    on: tuple[str, ...] = _WORKING
    """Kinds of runtime (`RUNTIMES`) that it can be made on."""
    spends: bool = False
    """Leaves what cannot be released: not held against it, but the guest serves no other check."""


_registry: dict[str, Check] = {}


def check(
    clause: str,
    statement: str,
    *,
    on: Iterable[str] = _WORKING,
    each: Iterable[Any] | None = None,
    spends: bool = False,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function as a check; may be repeated, for a function that shows several clauses.

    `on`: kinds of runtime; `("compat",)` for what needs its switches. `each`: one check for each of these values, which
    the function gets as second argument and its id ends in: `W50-events-63`. `spends`: as in Check.
    """
    assert clause in clauses(), clause
    assert set(on) <= RUNTIMES.keys(), on

    def register(function: Callable[..., None]) -> Callable[..., None]:
        name = f"{clause}-{function.__name__.strip('_').replace('_', '-')}"
        if each is None:
            _add(Check(name, clause, statement, function, tuple(on), spends))
        else:
            for value in each:
                run = _with(function, value)
                label = _label(value)
                _add(Check(f"{name}-{label}", clause, f"{statement} ({label})", run, tuple(on), spends))
        return function

    return register


def _with(function: Callable[..., None], value: object) -> Callable[[ConformanceDriver], None]:
    return partial(_call, function, value)


def _call(function: Callable[..., None], value: object, c: ConformanceDriver) -> None:
    function(c, value)


def _label(value: object) -> str:
    """`64`, `minus-1`, `0xffff8000`, `proxy-stalled`."""
    if isinstance(value, int) and not isinstance(value, bool):
        number = f"{abs(value):#x}" if abs(value) > _LARGEST_DECIMAL else str(abs(value))
        return f"minus-{number}" if value < 0 else number
    return "".join(letter if letter.isalnum() else "-" for letter in str(value)).lower()


def _add(new: Check) -> None:
    assert new.id not in _registry, f"two checks {new.id}"
    _registry[new.id] = new


@cache
def all_checks() -> tuple[Check, ...]:
    """Every check of every `checks_*` module of this package, by clause."""
    import hotswap.conformance as package

    for module in pkgutil.iter_modules(package.__path__):
        if module.name.startswith(_MODULES):
            importlib.import_module(f"{package.__name__}.{module.name}")
    return tuple(sorted(_registry.values(), key=lambda one: (clauses()[one.clause].order, one.id)))


def expect(holds: object, message: str) -> None:
    """CheckFailed unless `holds`."""
    if not holds:
        raise CheckFailed(message)


def expect_equal(seen: T, wanted: T, what: str) -> None:
    """CheckFailed with both values unless they are equal."""
    if seen != wanted:
        raise CheckFailed(f"{what}: expected {wanted!r}, saw {seen!r}")


def wait_until(condition: Callable[[], T | None], what: str, *, seconds: float = _WAIT_SECONDS) -> T:
    """The first value of `condition` that is true; CheckFailed when it does not come in time.

    The time is a guard against a hang, long enough for any loaded host, and never what is tested.
    """
    try:
        return Deadline.after(seconds).wait_for(condition, what, interval=0.002)
    except DeadlineExpired as error:
        raise CheckFailed(f"{what} did not come within {seconds:g} s") from error
