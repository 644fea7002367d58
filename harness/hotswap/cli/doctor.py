"""`hotswap doctor` and `hotswap sweep`: what this computer can run, and removing what killed runs left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hotswap.cli.output import Exit, JsonTarget, Terminal
from hotswap.cli.progress import Progress
from hotswap.errors import LabFault

if TYPE_CHECKING:
    from hotswap.doctor.check import Check

_STYLES = {"ok": "cyan", "degraded": "bold yellow", "missing": "bold red", "planned": "dim"}

JsonOption = Annotated[
    str | None, typer.Option("--json", metavar="[PATH]", help="Write JSON to this file, or to standard output.")
]


def doctor(json_: JsonOption = None) -> None:
    """Tell what this computer can run, what is missing, and the line that mends it.

    Exit code 0 when `hotswap swap` can run here, 4 when it cannot. Starts no guest.
    """
    from hotswap.doctor import diagnose

    target = JsonTarget(json_)
    diagnosis = diagnose()
    target.write(diagnosis.to_json())
    if not target.is_standard_output:
        console = Terminal()
        width = max(len(check.name) for check in diagnosis.checks)
        for check in diagnosis.checks:
            _print(console, check, width)
        style = _STYLES["missing" if diagnosis.missing else "ok"]
        console.print(f"\n{diagnosis.reason}", style=style, markup=False)
        if diagnosis.mend:
            console.print(f"mend it all: {diagnosis.mend}", markup=False)
    raise typer.Exit(Exit.LAB_FAULT if diagnosis.missing else Exit.PASS)


def _print(console: Terminal, check: Check, width: int) -> None:
    console.print(f"{check.state:<9}", end="", style=_STYLES[check.state], markup=False)
    console.print(f" {check.name:<{width}}  {' '.join(check.found.split())}", markup=False)
    if check.state == "ok":
        return
    indent = " " * (width + 12)
    console.print(f"{indent}for: {check.needed_for}", style="dim", markup=False)
    if check.mend:
        console.print(f"{indent}mend: {check.mend}", markup=False)


def sweep(
    json_: JsonOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Remove what killed runs left: guests, half-built templates, half-removed run folders. Harms no living run."""
    from hotswap.machine import sweep as machines
    from hotswap.run import mark_killed_runs
    from hotswap.runs import remove_leftovers

    target = JsonTarget(json_)
    progress = Progress(Terminal(stderr=True), quiet=quiet)
    with progress.live():
        progress("removing what killed runs left")
        report = machines.sweep()
        marked = mark_killed_runs()
        remove_leftovers()
    target.write(
        {
            "schema": 1,
            "removed": report.removed,
            "failed": report.failed,
            "marked_killed": [folder.name for folder in marked],
        }
    )
    if not target.is_standard_output:
        console = Terminal()
        for name in report.removed:
            console.print(f"removed {name}", markup=False)
        for folder in marked:
            console.print(f"marked as killed: run {folder.name}", markup=False)
        if not (report.removed or report.failed or marked):
            console.print("nothing was left", markup=False)
    if report.failed:
        name, why = next(iter(report.failed.items()))
        raise LabFault(f"{len(report.failed)} could not be removed, first {name}: {why}; try again once it has ended")
