"""`hotswap trace report`: a trace as a page to look at."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from hotswap.cli.output import JsonTarget, Terminal
from hotswap.cli.trace_select import Chosen, File, Quiet, open_chosen, progress_of, say_what_is_missing, selects
from hotswap.errors import UsageError


@selects
def report(
    file: File,
    chosen: Chosen,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="OUT", help="What to write; else FILE with .html.", show_default=False),
    ] = None,
    pair: Annotated[
        list[str] | None,
        typer.Option(metavar="A:B", help="Draw spans from event A to the next B, of one key with A:B:FIELD."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Make a page of a trace: one file, to be opened offline, with timeline, search, latencies and all events.

    \b
    hotswap trace report trace.etl
    hotswap trace report trace.etl -o swaps.html -p HotSwap.Host --pair SignalBegin:IterationBegin:Worker
    """
    from hotswap.trace.span_kinds import Pair

    pairs = [Pair.parse(text) for text in pair or ()]
    out = file.with_suffix(".html") if out is None else out
    if out.exists() and file.exists() and out.samefile(file):
        raise UsageError(f"{out} is the trace itself and would be written over; give another file")
    target = JsonTarget(str(out), "--out")
    progress = progress_of(quiet)
    with progress.live():
        source = open_chosen(file, chosen, progress, traced=True)
        from hotswap.report.trace_html import write_trace_report
        from hotswap.trace.losses import losses_of

        html = write_trace_report(source, pairs=pairs, losses=losses_of(source.etl), command=_command())
        progress(f"writing {out.name}")
        target.write_text(html)
    if not target.is_standard_output:
        Terminal().print(str(out), markup=False)
    say_what_is_missing(source.etl)


def _command() -> str:
    """How to make the page again; in it are no values but those of the command line."""
    return shlex.join(["hotswap", *sys.argv[1:]])
