"""`hotswap trace export`: the events for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hotswap.cli.complete import choices
from hotswap.cli.output import Terminal
from hotswap.cli.trace_select import Chosen, File, Quiet, open_chosen, progress_of, say_what_is_missing, selects
from hotswap.errors import UsageError

_FORMATS = ("parquet", "arrow", "csv", "jsonl", "perfetto", "chrome")


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
    pair: Annotated[
        list[str] | None,
        typer.Option(metavar="A:B", help="For perfetto and chrome: draw spans from A to B, of one key with A:B:FIELD."),
    ] = None,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Write events for other programs: as a table (Parquet, Arrow IPC, CSV, JSON lines) or as a timeline.

    Timelines are for ui.perfetto.dev (perfetto, also .pftrace) and chrome://tracing (chrome, .json): what starts and
    stops becomes a span on its thread, context switches fill the CPUs, related activities are joined by flows.

    \b
    hotswap trace export trace.etl events.parquet
    hotswap trace export trace.etl swaps.csv -e 'Swap*'
    hotswap trace export trace.etl out.perfetto-trace --pair SignalBegin:IterationBegin:Worker
    """
    from hotswap.trace.export import TIMELINES, check_target, export_tables, export_timeline, format_of
    from hotswap.trace.losses import losses_of
    from hotswap.trace.span_kinds import Pair

    kind = format_of(target, format_)
    if pair and kind not in TIMELINES:
        raise UsageError(f"--pair {pair[0]}: it is for {' and '.join(TIMELINES)}, not for {kind}")
    pairs = [Pair.parse(text) for text in pair or ()]
    if target.exists() and file.exists() and target.samefile(file):
        raise UsageError(f"{target} is the trace itself and would be written over; give another file")
    check_target(target)
    progress = progress_of(quiet)
    with progress.live():
        source = open_chosen(file, chosen, progress, traced=kind in TIMELINES)
        progress(f"writing {target.name}")
        if kind in TIMELINES:
            unix_ns, losses = source.etl.header.clock.unix_ns, losses_of(source.etl)
            count = export_timeline(source.tables, target, kind, unix_ns=unix_ns, pairs=pairs, losses=losses)
        else:
            count = export_tables(source.numbered, target, kind)
    # What is no file may be standard output itself.
    Terminal(stderr=not target.is_file()).print(f"{count} events in {target}", markup=False)
    say_what_is_missing(source.etl)
