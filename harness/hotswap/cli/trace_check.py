"""`hotswap trace check`: statements about a trace, from a file of rules."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hotswap.cli.output import VERDICT_EXITS, VERDICT_STYLES, Exit, JsonTarget, Terminal
from hotswap.cli.trace_follow import Follow, For, check_follow, followed
from hotswap.cli.trace_select import (
    Colour,
    Formats,
    JsonOption,
    Manifests,
    Quiet,
    given_schemas,
    progress_of,
    say_what_is_missing,
)
from hotswap.errors import DeadlineExpired, UsageError
from hotswap.trace.printable import printable

if TYPE_CHECKING:
    from hotswap.cli.progress import Progress
    from hotswap.trace.rules.answer import Answer
    from hotswap.trace.rules.load import RulesFile
    from hotswap.trace.rules.rule import Rule
    from hotswap.trace.schemas.files import GivenSchemas

Rules = Annotated[
    Path,
    typer.Argument(
        metavar="RULES", help="A file of rules (Python), or swap: those that come along.", show_default=False
    ),
]
File = Annotated[Path | None, typer.Argument(metavar="FILE", help="An .etl.", show_default=False)]


def check(
    rules: Rules,
    file: File = None,
    only: Annotated[list[str] | None, typer.Option(metavar="ID", help="Ask only this rule.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Tell which rules there are, and ask none.")] = False,
    svg: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Write a picture of each proof here.")] = None,
    json_: JsonOption = None,
    colour: Colour = None,
    follow: Follow = False,
    seconds: For = None,
    manifest: Manifests = None,
    tmf: Formats = None,
    quiet: Quiet = False,
) -> None:
    """Ask rules about a trace. Exit code 0: all hold, 1: one fails, 3: one cannot be told.

    A file of rules is a Python module; each name in it that stands for a rule is one:

    \b
    from hotswap.trace.rules import each, never, sequence
    way = sequence("IterationBegin", "EndpointWork", "IterationEnd", per="Worker")
    in_time = each("SwapStalled").followed_by("SwapReleased", per="Swap", within="50 ms")
    held = never("IterationBegin").between("SwapDrained", "SwapReleased", match="Swap")

    With --follow the trace may still be written: what fails and cannot be mended by anything to come ends it at once.
    """
    from hotswap.trace.rules.load import load_rules

    target = JsonTarget(json_)
    known = load_rules(rules)
    chosen = known.chosen(only or ())
    if list_:
        _list(known, only, target, colour)
        return
    if file is None:
        raise UsageError("FILE is missing; give the .etl to ask about, or --list")
    check_follow(follow, seconds, [])
    if svg is not None and svg.exists() and not svg.is_dir():
        raise UsageError(f"--svg {svg} is a file; give a folder for the pictures")
    progress = progress_of(quiet)
    given = given_schemas(manifest, tmf)
    if follow and (failures := _first_failures(file, known, chosen, seconds, given, progress)):
        _tell_live(file, known, failures, svg, target, colour)
        raise typer.Exit(Exit.FAIL)
    with progress.live():
        progress(f"reading {file.name}")
        from hotswap.trace.rules.check import answers_json, check_rules, write_pictures
        from hotswap.trace.rules.trace_file import open_trace

        trace = open_trace(file, given=given)
        progress("asking")
        answers = list(check_rules(known, chosen, trace))
        if svg is not None:
            write_pictures(svg, answers)
    content = answers_json(known, trace, answers)
    target.write(content)
    if not target.is_standard_output:
        _print(Terminal(colour=colour), answers)
    say_what_is_missing(trace.etl)
    raise typer.Exit(VERDICT_EXITS[str(content["verdict"])])


def _first_failures(
    file: Path,
    known: RulesFile,
    chosen: Sequence[Rule],
    seconds: float | None,
    given: GivenSchemas,
    progress: Progress,
) -> list[Answer]:
    """What fails while the trace is written; empty when it ends, or the time is over, before anything does."""
    from hotswap.trace.rules.check import ask_rules
    from hotswap.trace.rules.live import watch

    with progress.live(), followed(file, seconds, given) as follower:
        progress(f"following {file.name}")
        try:
            return watch(follower, lambda view: list(ask_rules(known, chosen, view)))
        except DeadlineExpired:
            return []


def _tell_live(
    file: Path, known: RulesFile, failures: list[Answer], svg: Path | None, target: JsonTarget, colour: bool | None
) -> None:
    from hotswap.trace.rules.check import failures_json, write_pictures

    if svg is not None:
        write_pictures(svg, failures)
    target.write(failures_json(known, file, failures))
    if not target.is_standard_output:
        _print(Terminal(colour=colour), failures)


def _list(known: RulesFile, only: Sequence[str] | None, target: JsonTarget, colour: bool | None) -> None:
    rows = [
        {"id": rule.id, "statement": rule.statement, "line": known.lines[rule.id]} for rule in known.chosen(only or ())
    ]
    target.write({"schema": 1, "rules": rows})
    if not target.is_standard_output:
        terminal = Terminal(colour=colour)
        width = max(len(str(row["id"])) for row in rows)
        for row in rows:
            terminal.print(printable(f"{row['id']!s:<{width}}  {row['statement']}"), markup=False)
    raise typer.Exit(Exit.PASS)


def _print(terminal: Terminal, answers: Sequence[Answer]) -> None:
    from hotswap.trace.expect import combine, format_slice
    from hotswap.trace.rules.check import why

    width = max(len(answer.id) for answer in answers)
    for answer in answers:
        text = f"{answer.verdict:<12}  {answer.id:<{width}}  {answer.message}"
        terminal.print(printable(text), style=VERDICT_STYLES[str(answer.verdict)], markup=False)
        if answer.rows:
            for line in format_slice(answer.table, answer.rows).splitlines():
                terminal.print(printable(f"  {line}"), markup=False)
    verdict = str(combine(answer.result for answer in answers))
    terminal.print(printable(f"{verdict}: {why(answers)}"), style=VERDICT_STYLES[verdict], markup=False)
