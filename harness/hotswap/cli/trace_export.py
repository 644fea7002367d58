"""`hotswap trace export`: the events for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hotswap.cli.complete import choices
from hotswap.cli.output import Terminal
from hotswap.cli.trace_select import Chosen, File, Quiet, progress_of, read_chosen, say_what_is_missing, selects
from hotswap.errors import UsageError

_FORMATS = ("parquet", "arrow", "csv", "jsonl")


@selects
def export(
    file: File,
    target: Annotated[Path, typer.Argument(metavar="OUT", help="What to write.", show_default=False)],
    chosen: Chosen,
    format_: Annotated[
        str | None,
        typer.Option("--format", help=f"{', '.join(_FORMATS)}; else as the ending of OUT says.",
                     autocompletion=choices(*_FORMATS)),
    ] = None,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Write events for other programs: Parquet, Arrow IPC, CSV, or JSON lines.

    \b
    hotswap trace export trace.etl events.parquet
    hotswap trace export trace.etl swaps.csv -e 'Swap*'
    """
    from hotswap.trace.export import export as write
    from hotswap.trace.export import format_of

    kind = format_of(target, format_)
    if target.exists() and file.exists() and target.samefile(file):
        raise UsageError(f"{target} is the trace itself and would be written over; give another file")
    progress = progress_of(quiet)
    with progress.live():
        etl, rows = read_chosen(file, chosen, progress)
        progress(f"writing {target.name}")
        write(etl.events, target, kind, rows)
    Terminal().print(f"{len(rows)} events in {target}", markup=False)
    say_what_is_missing(etl)
