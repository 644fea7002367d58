"""`hotswap trace show`: events as lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hotswap.cli.output import JsonTarget, Terminal
from hotswap.cli.trace_follow import Follow, For, check_follow, followed, say_how_it_ended
from hotswap.cli.trace_parts import Part, Rest, parts_of
from hotswap.cli.trace_select import (
    Chosen,
    Colour,
    File,
    Quiet,
    open_chosen,
    progress_of,
    say_what_is_missing,
    selects,
)
from hotswap.errors import DeadlineExpired, UsageError

if TYPE_CHECKING:
    from hotswap.trace.lines import LineFormat, Piece
    from hotswap.trace.select import Rows
    from hotswap.trace.table import EventTable

_MOST = 1000
_BATCH = 20_000
# SGR codes: times and places step back, names stand out, and what is wrong is yellow.
_ROLES = {"time": "", "place": "2", "name": "1", "field": "36", "value": "", "problem": "33"}


@selects
def show(
    file: File,
    chosen: Chosen,
    fields: Annotated[
        list[str] | None,
        typer.Option("--fields", "-f", metavar="A,B", help="Only these fields, each in a column of its own."),
    ] = None,
    head: Annotated[
        int | None, typer.Option(metavar="N", help=f"The first N events, 0: all.  [default: {_MOST}]")
    ] = None,
    tail: Annotated[int | None, typer.Option(metavar="N", help="The last N events.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Do not cut long values.")] = False,
    json_: Annotated[
        str | None,
        typer.Option("--json", metavar="[PATH]", help="Write JSON lines to this file, or to standard output."),
    ] = None,
    colour: Colour = None,
    limit: Annotated[int | None, typer.Option(metavar="N", help="The same as --head.", show_default=False)] = None,
    follow: Follow = False,
    seconds: For = None,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """List events in the order in which they happened, one a line. Times are microseconds since the session started.

    \b
    hotswap trace show trace.etl -e 'Swap*' --color | less -R
    hotswap trace show trace.etl -e 'Swap*' --follow
    hotswap trace show trace.etl -w Worker=2 -w 'Iteration>=100' --fields Iteration,WaitStatus --tail 20
    """
    head = head if head is not None else limit
    for name, number in (("--head" if limit is None else "--limit", head), ("--tail", tail)):
        if number is not None and number < 0:
            raise UsageError(f"{name} is {number}; it must not be negative")
    if head is not None and tail is not None:
        raise UsageError("--head and --tail: give one of them")
    target = JsonTarget(json_)
    check_follow(follow, seconds, [("--tail", tail is not None)])
    wanted = tuple(name for given in fields or () for name in given.split(",") if name)
    if follow:
        _show_followed(file, chosen, wanted, full, head or 0, target, colour, seconds)
        return
    progress = progress_of(quiet)
    with progress.live():
        source = open_chosen(file, chosen, progress)
        from hotswap.trace.lines import LineFormat, check_fields

        check_fields(source.etl.kinds, wanted)
        parts, rest = parts_of(source, _MOST if head is None else head, tail)
    if target.target is not None:
        with target.stream() as stream:
            for first, table, rows in parts:
                stream.writelines(_json_lines(first, table, rows, wanted))
    if not target.is_standard_output:
        _print(Terminal(colour=colour), parts, LineFormat(wanted, full), rest, first=tail is None)
    say_what_is_missing(source.etl)


def _show_followed(
    file: Path,
    chosen: Chosen,
    fields: tuple[str, ...],
    full: bool,
    most: int,
    target: JsonTarget,
    colour: bool | None,
    seconds: float | None,
) -> None:
    """Events as they come, at most `most` of them where that is not 0."""
    from hotswap.trace.lines import EventLines, LineFormat

    terminal, selection, left = Terminal(colour=colour), chosen.selection(), most
    with (
        followed(file, seconds, chosen.schemas()) as follower,
        target.stream() if target.target is not None else nullcontext() as stream,
    ):
        with suppress(DeadlineExpired):
            for table in follower:
                rows = selection.rows(table)
                rows = rows[:left] if most else rows
                if stream is not None:
                    stream.writelines(_json_lines(follower.events - len(table), table, rows, fields))
                    stream.flush()
                if not target.is_standard_output and len(rows):
                    lines = EventLines(table, rows, LineFormat(fields, full))
                    if follower.events == len(table):
                        terminal.write_lines([[(lines.head(), "2")]])
                    terminal.write_lines(_coloured(lines.lines()))
                left -= len(rows)
                if terminal.quiet or (most and left <= 0):
                    break
        say_how_it_ended(follower)


def _json_lines(first: int, table: EventTable, rows: Rows, fields: tuple[str, ...]) -> Iterator[str]:
    from hotswap.trace.table import jsonable

    for row in rows.tolist():
        told = table.row(row)
        told["row"] = first + row
        values = told["fields"]
        if fields and isinstance(values, dict):
            told["fields"] = {name: value for name, value in values.items() if name in fields}
        yield json.dumps(told, default=jsonable) + "\n"


def _print(terminal: Terminal, parts: Iterable[Part], how: LineFormat, rest: Rest, *, first: bool) -> None:
    from hotswap.trace.lines import EventLines

    headed = False
    for _, table, rows in parts:
        for at in range(0, len(rows), _BATCH):
            lines = EventLines(table, rows[at : at + _BATCH], how)
            if not headed:
                terminal.write_lines([[(lines.head(), "2")]])
            headed = True
            terminal.write_lines(_coloured(lines.lines()))
            if terminal.quiet:
                return
    if rest.count or rest.count is None:
        number = "" if rest.count is None else f"{rest.count} "
        terminal.write_lines([[(f"… and {number}{'more' if first else 'before'}; --head 0 shows all", "2")]])


def _coloured(lines: Iterable[list[Piece]]) -> Iterator[Iterator[tuple[str, str]]]:
    for line in lines:
        yield ((piece.text, _ROLES[piece.role]) for piece in line)
