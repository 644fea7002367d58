"""`hotswap conformance`: check the DriverProxy contract clause by clause on a guest, and show the table.

What that needs is imported when it is asked for: options, help and completion answer without it.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from hotswap.cli import complete
from hotswap.cli.output import VERDICT_EXITS, VERDICT_STYLES, Exit, JsonTarget, Terminal
from hotswap.cli.progress import Progress
from hotswap.errors import UsageError

if TYPE_CHECKING:
    from hotswap.conformance.clauses import Clause
    from hotswap.conformance.result import Report

RUNTIMES = ("auto", "compat", "native")


def conformance(
    machine: Annotated[str, typer.Option(help="Machine to run in.", autocompletion=complete.machines)] = "wine",
    runtime: Annotated[
        str,
        typer.Option(
            help="DriverProxy runtime under test: auto, compat, native.", autocompletion=complete.choices(*RUNTIMES)
        ),
    ] = "auto",
    clause: Annotated[
        list[str] | None,
        typer.Option(
            help="Clause to check, W2, or a range, W24-W30; may be repeated.",
            metavar="ID",
            autocompletion=complete.clauses,
            show_default="all",
        ),
    ] = None,
    replay: Annotated[
        Path | None,
        typer.Option(
            "--replay", metavar="FILE", help="Make the steps of a script that was kept, and say what differs."
        ),
    ] = None,
    json_: Annotated[
        str | None,
        typer.Option("--json", metavar="[PATH]", help="Write the result as JSON to this file, or to standard output."),
    ] = None,
    markdown_: Annotated[
        str | None,
        typer.Option(
            "--markdown", metavar="[PATH]", help="Write the table as Markdown to this file, or to standard output."
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Check the DriverProxy runtime against its contract, clause by clause, and print the conformance table.

    Exit code 0 when every clause passes or is known not to be shown on this machine, 1 when one fails, 3 when a check
    could not tell or nothing was shown.
    """
    from hotswap.conformance.clauses import select

    target, page = JsonTarget(json_), JsonTarget(markdown_, "--markdown")
    progress = Progress(Terminal(stderr=True), quiet=quiet)
    if replay is not None:
        if clause or markdown_ is not None:
            raise UsageError("--replay makes one script; --clause and --markdown are for checks")
        raise typer.Exit(_replay(machine, replay, progress, target))
    if target.is_standard_output and page.is_standard_output:
        raise UsageError("--json and --markdown cannot both go to standard output; give one of them a file")
    if runtime not in RUNTIMES:
        raise UsageError(f"--runtime is {runtime!r}; it must be one of {', '.join(RUNTIMES)}")
    chosen = select(clause or ())
    with progress.live():
        report = _make(machine, runtime, chosen, progress)
    _show(report, target, page)
    raise typer.Exit(VERDICT_EXITS[report.verdict])


def _replay(machine: str, script: Path, progress: Progress, target: JsonTarget) -> Exit:
    from hotswap.conformance.replay import replay_file

    with progress.live():
        result = replay_file(machine, script, progress)
    target.write(result.to_json())
    if not target.is_standard_output:
        Terminal().print(result.message, style=VERDICT_STYLES[result.verdict], markup=False)
    return VERDICT_EXITS[result.verdict]


def _make(machine: str, runtime: str, chosen: list[Clause], progress: Progress) -> Report:
    from hotswap.conformance.check import all_checks
    from hotswap.conformance.result import judge
    from hotswap.conformance.run import CheckRunner
    from hotswap.machine.profile import load_profile
    from hotswap.testing.guest import GuestMachine

    kind = load_profile(machine).kind
    with TemporaryDirectory(prefix="hotswap-conformance-") as folder:
        guest = GuestMachine(machine, Path(folder), progress)
        try:
            with CheckRunner(guest, runtime) as runner:
                done = runner.run_clauses(chosen, all_checks(), kind, progress)
                return judge(chosen, all_checks(), done, runtime=runner.runtime, machine=kind)
        finally:
            guest.close()


def _show(report: Report, target: JsonTarget, page: JsonTarget) -> None:
    from hotswap.conformance.table import markdown, terminal_table

    target.write(report.to_json())
    page.write_text(markdown(report))
    if target.is_standard_output or page.is_standard_output:
        return
    console = Terminal()
    console.width = console.columns
    console.print(terminal_table(report))
    console.print(f"{report.verdict}: {report.summary}", style=VERDICT_STYLES[report.verdict], markup=False)
