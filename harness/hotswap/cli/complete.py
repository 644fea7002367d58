"""What the shell offers for an option's value. Fast, and silent whatever goes wrong: a key was pressed, no more."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

Offer = str | tuple[str, str]
"""A value, or a value with its help."""
Completer = Callable[[str], list[Offer]]


def _completer(values: Callable[[str], Iterable[Offer]]) -> Completer:
    """Of all values those that go on from what was typed; nothing when they cannot be had."""

    def complete(incomplete: str) -> list[Offer]:
        try:
            offers = list(values(incomplete))
        except Exception:
            return []
        return [offer for offer in offers if (offer if isinstance(offer, str) else offer[0]).startswith(incomplete)]

    # typer looks at the annotations to know what to pass.
    complete.__annotations__ = {"incomplete": str}
    return complete


def choices(*values: str) -> Completer:
    """Fixed values."""
    return _completer(lambda _incomplete: values)


@_completer
def machines(_incomplete: str) -> Iterable[Offer]:
    """Machine profiles."""
    from hotswap.machine.profile import profile_names

    return profile_names()


@_completer
def kept_machines(_incomplete: str) -> Iterable[Offer]:
    """Machines that live on."""
    from hotswap.machine.qemu_live import kept_machines as kept

    return ["last", *kept()]


@_completer
def updates(incomplete: str) -> Iterable[Offer]:
    """Update names, without building; and `.sys` files once a path is begun."""
    if "/" in incomplete or incomplete.startswith("."):
        return _driver_files(incomplete)
    from hotswap.driver.package import update_names

    return update_names()


def _driver_files(incomplete: str) -> list[str]:
    folder = incomplete.rpartition("/")[0]
    here = Path(folder or ("/" if incomplete.startswith("/") else "."))
    start = incomplete[: incomplete.rfind("/") + 1]
    found = [path for path in sorted(here.expanduser().iterdir()) if path.is_dir() or path.suffix.lower() == ".sys"]
    return [f"{start}{path.name}{'/' if path.is_dir() else ''}" for path in found]


@_completer
def runs(_incomplete: str) -> Iterable[Offer]:
    """Run ids, and `last`."""
    from hotswap.runs import LAST, run_ids

    return [(LAST, "the newest run"), *run_ids()]


@_completer
def expectations(_incomplete: str) -> Iterable[Offer]:
    """Expectation ids with what they state."""
    from hotswap.swap.expectations import SWAP_EXPECTATIONS

    return [(expectation.id, expectation.statement) for expectation in SWAP_EXPECTATIONS]


@_completer
def runtimes(_incomplete: str) -> Iterable[Offer]:
    """DriverProxy runtimes."""
    from hotswap.swap.drive import RUNTIMES

    return list(RUNTIMES)


@_completer
def clauses(_incomplete: str) -> Iterable[Offer]:
    """Clauses of the contract with what they say."""
    from hotswap.conformance.clauses import clauses as known

    return [(clause.id, clause.statement) for clause in known().values()]
