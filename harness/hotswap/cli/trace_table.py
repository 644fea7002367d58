"""`hotswap trace show|stats|export|sql`: events as lines, as counts, as files for others, and as a table to ask."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hotswap.cli.output import JsonTarget, Terminal
from hotswap.cli.progress import Progress
from hotswap.cli.trace import app, one_line
from hotswap.errors import UsageError

if TYPE_CHECKING:
    from hotswap.trace.etl import EtlFile
    from hotswap.trace.select import Rows

_DEFAULT_ROWS = 1000
_BY = ("event", "provider", "cpu", "process", "thread")

File = Annotated[Path, typer.Argument(metavar="FILE", help="An .etl.", show_default=False)]
Events = Annotated[
    list[str] | None, typer.Option("--event", "-e", metavar="NAME", help="Only events of this name (* and ? allowed).")
]
Providers = Annotated[
    list[str] | None, typer.Option("--provider", "-p", metavar="NAME", help="Only of this provider, by name or GUID.")
]
Threads = Annotated[list[int] | None, typer.Option("--tid", metavar="N", help="Only of this thread.")]
Processes = Annotated[list[int] | None, typer.Option("--pid", metavar="N", help="Only of this process.")]
Cpus = Annotated[list[int] | None, typer.Option("--cpu", metavar="N", help="Only of this processor.")]
After = Annotated[
    float | None, typer.Option(metavar="SECONDS", help="Only from this time on, since the session started.")
]
Before = Annotated[float | None, typer.Option(metavar="SECONDS", help="Only before this time.")]
Where = Annotated[
    list[str] | None,
    typer.Option("--where", "-w", metavar="FIELD=VALUE", help="Only where a field holds this; also != < > <= >=."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
JsonOption = Annotated[
    str | None, typer.Option("--json", metavar="[PATH]", help="Write JSON to this file, or to standard output.")
]


@app.command()
def show(
    file: File,
    event: Events = None,
    provider: Providers = None,
    pid: Processes = None,
    tid: Threads = None,
    cpu: Cpus = None,
    after: After = None,
    before: Before = None,
    where: Where = None,
    limit: Annotated[int, typer.Option(help="At most this many events, 0: all.", show_default=True)] = _DEFAULT_ROWS,
    quiet: Quiet = False,
) -> None:
    """List events in the order in which they happened, one a line."""
    if limit < 0:
        raise UsageError(f"--limit is {limit}; it must not be negative")
    etl, rows = _select(file, quiet, event, provider, pid, tid, cpu, after, before, where)
    from hotswap.trace.expect import slice_lines

    terminal = Terminal()
    shown = rows[:limit] if limit else rows
    lines = slice_lines(etl.events, shown.tolist())
    terminal.print(next(lines), style="dim", markup=False)
    for line in lines:
        terminal.print(one_line(line), markup=False)
    if len(rows) > len(shown):
        terminal.print(f"… and {len(rows) - len(shown)} more; --limit 0 shows all", style="dim", markup=False)
    _say_what_is_not_here(etl)


@app.command()
def stats(
    file: File,
    by: Annotated[str, typer.Option(help=f"Count by {', '.join(_BY)}.", show_default=True)] = "event",
    event: Events = None,
    provider: Providers = None,
    pid: Processes = None,
    tid: Threads = None,
    cpu: Cpus = None,
    after: After = None,
    before: Before = None,
    where: Where = None,
    json_: JsonOption = None,
    quiet: Quiet = False,
) -> None:
    """Count events: how many, how many a second, from when to when, and how many bytes of payload."""
    if by not in _BY:
        raise UsageError(f"--by {by}: it is one of {', '.join(_BY)}")
    target = JsonTarget(json_)
    etl, rows = _select(file, quiet, event, provider, pid, tid, cpu, after, before, where)
    from hotswap.trace.stats import count_events

    counted = count_events(etl.events, rows, by)
    target.write({"schema": 1, "file": str(file), "by": by, "rows": [item.to_json() for item in counted]})
    if target.is_standard_output:
        return
    terminal = Terminal()
    head = f"{'events':>9} {'a second':>10} {'first s':>10} {'last s':>10} {'payload':>11}  {by}"
    terminal.print(head, style="dim", markup=False)
    for item in counted:
        numbers = f"{item.events:>9} {item.per_second:>10.1f} {item.first:>10.3f} {item.last:>10.3f}"
        terminal.print(f"{numbers} {item.payload_bytes:>11}  {one_line(item.key)}", markup=False)
    _say_what_is_not_here(etl)


@app.command()
def export(
    file: File,
    target: Annotated[Path, typer.Argument(metavar="OUT", help="What to write.", show_default=False)],
    format_: Annotated[
        str | None, typer.Option("--format", help="parquet, arrow, csv or jsonl; else as the ending of OUT says.")
    ] = None,
    event: Events = None,
    provider: Providers = None,
    pid: Processes = None,
    tid: Threads = None,
    cpu: Cpus = None,
    after: After = None,
    before: Before = None,
    where: Where = None,
    quiet: Quiet = False,
) -> None:
    """Write events for other programs: Parquet, Arrow IPC, CSV, or JSON lines."""
    from hotswap.trace.export import export as write
    from hotswap.trace.export import format_of

    kind = format_of(target, format_)
    if target.exists() and file.exists() and target.samefile(file):
        raise UsageError(f"{target} is the trace itself and would be written over; give another file")
    etl, rows = _select(file, quiet, event, provider, pid, tid, cpu, after, before, where)
    progress = Progress(Terminal(stderr=True), quiet=quiet, steps=False)
    with progress.live():
        progress(f"writing {target.name}")
        write(etl.events, target, kind, rows)
    Terminal().print(f"{len(rows)} events in {target}", markup=False)
    _say_what_is_not_here(etl)


@app.command()
def sql(
    file: File,
    query: Annotated[
        str, typer.Argument(metavar="QUERY", help="DuckDB SQL over the table `events`.", show_default=False)
    ],
    json_: JsonOption = None,
    quiet: Quiet = False,
) -> None:
    """Ask the events with SQL: `select event, count(*) from events group by event`. The table is `events`.

    Its columns: row, tick, ns, time, cpu, pid, tid, provider, provider_guid, event, level, opcode, keyword,
    payload_bytes, and one for each payload field.
    """
    target = JsonTarget(json_)
    progress = Progress(Terminal(stderr=True), quiet=quiet, steps=False)
    with progress.live():
        progress(f"reading {file.name}")
        from hotswap.trace.etl import read_etl
        from hotswap.trace.query import run_query

        etl = read_etl(file)
        progress("asking")
        answer = run_query(etl.events, query)
    target.write({"schema": 1, "columns": answer.columns, "rows": [list(row) for row in answer.rows]})
    if not target.is_standard_output:
        terminal = Terminal()
        for line in _aligned(answer.columns, answer.rows):
            terminal.print(line, markup=False)
    _say_what_is_not_here(etl)


def _select(
    file: Path,
    quiet: bool,
    events: Sequence[str] | None,
    providers: Sequence[str] | None,
    pids: Sequence[int] | None,
    tids: Sequence[int] | None,
    cpus: Sequence[int] | None,
    after: float | None,
    before: float | None,
    where: Sequence[str] | None,
) -> tuple[EtlFile, Rows]:
    progress = Progress(Terminal(stderr=True), quiet=quiet, steps=False)
    with progress.live():
        progress(f"reading {file.name}")
        from hotswap.trace.etl import read_etl
        from hotswap.trace.select import Condition, Selection

        selection = Selection(
            events or (),
            providers or (),
            pids or (),
            tids or (),
            cpus or (),
            None if after is None else round(after * 1e9),
            None if before is None else round(before * 1e9),
            [Condition.parse(text) for text in where or ()],
        )
        etl = read_etl(file)
        progress("choosing events")
        return etl, selection.rows(etl.events)


def _say_what_is_not_here(etl: EtlFile) -> None:
    """Loss and damage are said, not left to be found out."""
    said = []
    if etl.loss.any:
        said.append(f"lost: {etl.loss.describe()}")
    if etl.problems:
        said.append(f"{len(etl.problems)} problems with the file, first: {etl.problems[0].message}")
    for line in said:
        Terminal(stderr=True).print(one_line(line), style="yellow", markup=False)


def _aligned(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """A table of texts; numbers to the right."""
    texts = [[one_line("" if value is None else str(value)) for value in row] for row in rows]
    widths = [max(len(line[index]) for line in [list(columns), *texts]) for index in range(len(columns))]
    right = [all(isinstance(row[index], (int, float, type(None))) for row in rows) for index in range(len(columns))]

    def line(cells: Sequence[str]) -> str:
        placed = zip(cells, widths, right, strict=True)
        return "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width) for cell, width, to_right in placed
        ).rstrip()

    return [line(columns), *(line(text) for text in texts)]
