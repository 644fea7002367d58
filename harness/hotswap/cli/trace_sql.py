"""`hotswap trace sql`: the events as a table to ask."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from hotswap.cli.output import JsonTarget, Terminal
from hotswap.cli.trace_select import (
    Chosen,
    Colour,
    File,
    Formats,
    JsonOption,
    Manifests,
    Quiet,
    open_chosen,
    progress_of,
    say_what_is_missing,
)
from hotswap.errors import UsageError
from hotswap.trace.printable import printable

_WIDEST = 60


def sql(
    file: File,
    query: Annotated[
        str, typer.Argument(metavar="QUERY", help="DuckDB SQL over the table `events`.", show_default=False)
    ],
    limit: Annotated[int, typer.Option(metavar="N", help="Print at most so many rows, 0: all.")] = 1000,
    full: Annotated[bool, typer.Option("--full", help="Do not cut long values.")] = False,
    json_: JsonOption = None,
    csv_: Annotated[
        str | None, typer.Option("--csv", metavar="[PATH]", help="Write CSV to this file, or to standard output.")
    ] = None,
    manifest: Manifests = None,
    tmf: Formats = None,
    colour: Colour = None,
    quiet: Quiet = False,
) -> None:
    """Ask the events with DuckDB's SQL. The table is `events`; nothing but the trace can be read, nothing be written.

    Its columns: row, tick, ns, time, cpu, pid, tid, provider, provider_guid, event, level, opcode, keyword,
    payload_bytes, and one for each payload field.

    \b
    hotswap trace sql trace.etl "select event, count(*) as n from events group by event order by n desc"
    hotswap trace sql trace.etl "select Worker, max(Iteration) from events group by Worker" --csv iterations.csv
    """
    if limit < 0:
        raise UsageError(f"--limit is {limit}; it must not be negative")
    if json_ == csv_ == "-":
        raise UsageError("--json and --csv cannot both be written to standard output")
    targets = JsonTarget(json_), JsonTarget(csv_, "--csv")
    progress = progress_of(quiet)
    with progress.live():
        source = open_chosen(file, Chosen(manifest=manifest, tmf=tmf), progress)
        from hotswap.trace.query import run_query

        progress("asking")
        answer = run_query(source.numbered, query)
    rows = [[value.hex() if isinstance(value, bytes) else value for value in row] for row in answer.rows]
    targets[0].write({"schema": 1, "columns": answer.columns, "rows": rows})
    if csv_ is not None:
        with targets[1].stream() as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(answer.columns)
            writer.writerows([_text(value) for value in row] for row in rows)
    if not any(target.is_standard_output for target in targets):
        shown = rows[:limit] if limit else rows
        terminal = Terminal(colour=colour)
        terminal.write_lines(_aligned(answer.columns, shown, None if full else _WIDEST))
        if len(shown) < len(rows):
            terminal.write_lines([[(f"… and {len(rows) - len(shown)} more rows; --limit 0 shows all", "2")]])
    say_what_is_missing(source.etl)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return json.dumps(value, default=str) if isinstance(value, list | dict) else str(value)


def _aligned(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], widest: int | None
) -> Iterator[list[tuple[str, str]]]:
    """The head and the rows as columns; numbers to the right, and what is longer than `widest` cut with a mark."""

    def cell(text: str) -> str:
        text = printable(text)
        return text if widest is None or len(text) <= widest else text[: widest - 1] + "…"

    head = [cell(name) for name in columns]
    texts = [[cell(_text(value)) for value in row] for row in rows]
    widths = [max(len(line[index]) for line in [head, *texts]) for index in range(len(head))]
    right = [all(isinstance(row[index], (int, float, type(None))) for row in rows) for index in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        placed = zip(cells, widths, right, strict=True)
        return "  ".join(text.rjust(width) if number else text.ljust(width) for text, width, number in placed).rstrip()

    yield [(line(head), "2")]
    for text in texts:
        yield [(line(text), "")]
