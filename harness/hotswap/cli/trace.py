"""`hotswap trace`: what is in an `.etl`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hotswap.cli.output import JsonTarget, Terminal
from hotswap.cli.progress import Progress
from hotswap.cli.trace_select import Formats, Manifests, Share, given_schemas
from hotswap.errors import UsageError
from hotswap.trace.printable import printable

if TYPE_CHECKING:
    from hotswap.trace.etl import EtlFile
    from hotswap.trace.kinds import KindCount

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look into event traces (.etl).")

_DEFAULT_LIMIT = 20
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_CLOCKS = {0: "raw clock", 1: "performance counter", 2: "system time", 3: "CPU cycles"}
_LOST = "bold yellow"
_BROKEN = "bold red"

FileArgument = Annotated[
    Path | None,
    typer.Argument(metavar="FILE", help="An .etl, compressed or not, also a damaged one.", show_default=False),
]
JsonOption = Annotated[
    str | None, typer.Option("--json", metavar="[PATH]", help="Write JSON to this file, or to standard output.")
]


@app.command()
def info(
    file: FileArgument = None,
    json_: JsonOption = None,
    limit: Annotated[
        int, typer.Option(help="At most this many kinds and problems, 0: all.", show_default=True)
    ] = _DEFAULT_LIMIT,
    manifest: Manifests = None,
    tmf: Formats = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Tell what a trace is: its session and clock, what got lost, what is damaged, and its events by kind."""
    if limit < 0:
        raise UsageError(f"--limit is {limit}; it must not be negative")
    file, target = _trace_and_target(file, json_)
    progress = Progress(Terminal(stderr=True), quiet=quiet, steps=False)
    with progress.live():
        progress(f"reading {file.name}")
        from hotswap.trace.etl import open_etl
        from hotswap.trace.info import trace_info
        from hotswap.trace.kinds import name_counts

        etl = open_etl(file, given_schemas(manifest, tmf), Share(progress, f"reading {file.name}"))
        kinds = name_counts(etl.kinds, etl.counts)
        content = trace_info(etl, kinds)
    target.write(content)
    if not target.is_standard_output:
        _print(Terminal(), etl, kinds, limit)
    etl.need_events()


def _trace_and_target(file: Path | None, json_: str | None) -> tuple[Path, JsonTarget]:
    """In `--json FILE` the only name is that of the trace. What is written is never the trace itself."""
    if file is None:
        if json_ in (None, "-"):
            raise UsageError("FILE is missing; give the .etl to look into")
        file, json_ = Path(json_ or ""), "-"
    if json_ not in (None, "-") and Path(json_ or "").resolve() == file.resolve():
        raise UsageError(f"--json {json_} is the trace itself and would be written over; give another file")
    return file, JsonTarget(json_)


def _print(console: Terminal, etl: EtlFile, kinds: list[KindCount], limit: int) -> None:
    for name, value in _facts(etl):
        console.print(f"{name:<8} {printable(value)}", markup=False)
    lost = etl.loss.describe()
    console.print(f"{'lost':<8} {lost or 'nothing'}", style=_LOST if lost else None, markup=False)
    _print_problems(console, etl, limit)
    console.print("\n   events  header      kind", style="dim", markup=False)
    from hotswap.trace.kinds import names_of

    shown, names = kinds[:limit] if limit else kinds, names_of(etl.kinds)
    for kind in shown:
        named = printable(names.get((kind.header, kind.provider, kind.key), kind.provider))
        # A TraceLogging event is known by its name alone.
        key = "" if kind.key.startswith("TL:") else f"  {kind.key}"
        console.print(f"{kind.n:>9}  {kind.header:<10}  {named}{key}".rstrip(), markup=False)
    if len(kinds) > len(shown):
        rest = sum(kind.n for kind in kinds[len(shown) :])
        text = f"… and {rest} events of {len(kinds) - len(shown)} more kinds; --limit 0 shows all"
        console.print(text, style="dim", markup=False)


def _facts(etl: EtlFile) -> list[tuple[str, str]]:
    header, clock = etl.header, etl.header.clock
    inflated = int(etl.buffers["inflated"].sum())
    how = f", {inflated} of them compressed" if inflated else ""
    span = (etl.last_tick - header.first_tick) / clock.frequency
    return [
        ("file", str(etl.path)),
        ("session", f"{header.logger_name}, {'closed' if etl.closed else 'not closed'}, mode 0x{header.mode:08x}"),
        ("system", f"Windows build {header.os_build}, {header.processors} CPUs, {8 * header.pointer_size}-bit"),
        ("begun", f"{_when(clock.start_time)}, last event {span:.3f} s later"),
        ("clock", f"{_CLOCKS.get(header.clock_type, f'clock {header.clock_type}')}, {clock.frequency} ticks a second"),
        ("buffers", f"{len(etl.buffers)}{how}, of {header.buffer_size} bytes"),
        ("events", f"{etl.index.events} on {len(etl.events_per_cpu())} CPUs; {_types(etl)}"),
        ("layouts", _layouts(etl)),
    ]


def _layouts(etl: EtlFile) -> str:
    from hotswap.trace.info import described_events

    sources = described_events(etl)
    known = sum(count for source, count in sources.items() if source)
    names = ", ".join(f"{count} {source}" for source, count in sources.items() if source)
    return f"{known} of {sum(sources.values())} events are described: {names or 'none'}"


def _types(etl: EtlFile) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(etl.header_types().items(), key=lambda kv: -kv[1]))


def _when(filetime: int) -> str:
    try:
        when = _EPOCH + timedelta(microseconds=filetime // 10)
    except OverflowError:
        return f"at the impossible time {filetime}"
    return f"{when:%Y-%m-%d %H:%M:%S} UTC"


def _print_problems(console: Terminal, etl: EtlFile, limit: int) -> None:
    problems = etl.problems[:limit] if limit else etl.problems
    for problem in problems:
        text = f"{'problem':<8} {problem.code} at byte {problem.offset}: {problem.message}"
        console.print(printable(text), style=_BROKEN, markup=False)
    if len(etl.problems) > len(problems):
        console.print(f"{'':<8} … and {len(etl.problems) - len(problems)} more", style="dim", markup=False)
