"""`hotswap swap --list`: the updates there are, what each breaks, and what must catch it."""

from __future__ import annotations

from hotswap.cli.output import JsonTarget, Terminal
from hotswap.cli.progress import Progress
from hotswap.driver.build import build_drivers
from hotswap.driver.package import known_updates
from hotswap.swap.updates import CAUGHT_BY, REFUSED


def list_updates(progress: Progress, target: JsonTarget) -> None:
    """Print or write the list."""
    with progress.live():
        updates = known_updates(build_drivers(progress))
    rows = [
        {
            "name": item.name,
            "breaks": item.breaks,
            "caught_by": list(CAUGHT_BY.get(item.name, ())),
            "refused": REFUSED.get(item.name),
        }
        for item in updates
    ]
    target.write({"schema": 1, "updates": rows})
    if not target.is_standard_output:
        console = Terminal()
        width = max((len(item.name) for item in updates), default=0)
        for item in updates:
            console.print(f"{item.name:<{width}}  {item.breaks or 'good'}{_what_happens(item.name)}", markup=False)


def _what_happens(name: str) -> str:
    if name in REFUSED:
        return f" (refused with {REFUSED[name]})"
    return f" (caught by {', '.join(CAUGHT_BY[name])})" if name in CAUGHT_BY else ""


def list_faults(target: JsonTarget) -> None:
    """Print or write the faults that can be made on purpose."""
    from hotswap.faults.catalog import FAULTS

    target.write({"schema": 1, "faults": [{"name": fault.name, "does": fault.told} for fault in FAULTS.values()]})
    if not target.is_standard_output:
        console = Terminal()
        width = max(len(name) for name in FAULTS)
        for fault in FAULTS.values():
            console.print(f"{fault.name:<{width}}  {fault.told}", markup=False)
        console.print("moments: a trace event (@SwapStalled, @IterationBegin:100), @seed:N, or a point of the test")
