"""`hotswap swap`: one swap test, or the list of updates there are."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from hotswap.cli.output import VERDICT_EXITS, VERDICT_STYLES, Exit, JsonTarget, Progress, Terminal
from hotswap.driver.build import build_drivers
from hotswap.driver.package import known_updates
from hotswap.swap.plan import SwapPlan
from hotswap.swap.result import SwapResult
from hotswap.swap.runner import Interrupted, run_swap
from hotswap.swap.updates import CAUGHT_BY
from hotswap.trace.expect import Verdict


def swap(
    machine: Annotated[str, typer.Option(help="Machine to run in.")] = "wine",
    from_: Annotated[str, typer.Option("--from", help="Endpoint driver to start with: a name, or a .sys file.")] = "v1",
    to: Annotated[str, typer.Option(help="Endpoint driver to swap in: a name, or a .sys file.")] = "v2",
    workers: Annotated[int, typer.Option(help="Worker threads, of mixed wait types.")] = 8,
    rate: Annotated[int, typer.Option(help="Signals per second over all workers; 0: as fast as it goes.")] = 2000,
    seconds: Annotated[float, typer.Option(help="Seconds of load on each version.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Seed of the load and of the workers' time-outs.")] = 1,
    work_us: Annotated[int, typer.Option(help="Microseconds that one iteration works.")] = 20,
    load_threads: Annotated[int, typer.Option(help="Driver threads that signal.")] = 2,
    runtime: Annotated[str, typer.Option(help="DriverProxy runtime: auto, native, compat, or plain.")] = "auto",
    ring_slots: Annotated[int, typer.Option(help="Size of the trace ring in events; 0: default.")] = 0,
    drain_timeout_ms: Annotated[int, typer.Option(help="Drain limit of a swap; 0: default.")] = 0,
    disable: Annotated[list[str] | None, typer.Option(help="Expectation not to ask; may be repeated.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the updates and end.")] = False,
    json_: Annotated[
        str | None, typer.Option("--json", help="Write the result as JSON to this file, or to - (standard output).")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Hot-swap the real driver binary under load, there and back, and judge it by its trace."""
    progress = Progress(Terminal(stderr=True), quiet=quiet)
    target = JsonTarget(json_)
    if list_:
        _list(progress, target)
        return
    plan = SwapPlan(
        machine=machine,
        updates=(from_, to, from_),
        workers=workers,
        rate=rate,
        seconds=seconds,
        seed=seed,
        work_us=work_us,
        load_threads=load_threads,
        runtime=runtime,
        ring_slots=ring_slots,
        drain_timeout_ms=drain_timeout_ms,
        disabled=frozenset(disable or ()),
    )
    try:
        with progress.live():
            result = run_swap(plan, progress=progress, command=shlex.join(["hotswap", *sys.argv[1:]]))
    except Interrupted as interrupted:
        _show(interrupted.result, target)
        raise typer.Exit(Exit.INTERRUPTED) from None
    _show(result, target)
    raise typer.Exit(VERDICT_EXITS[result.verdict])


def _show(result: SwapResult, target: JsonTarget) -> None:
    target.write(result.to_json())
    if target.is_standard_output:
        return
    console = Terminal()
    for item in result.expectations:
        if item.verdict is not Verdict.PASS:
            console.print(
                f"{item.verdict}  {item.id}: {item.message}", style=VERDICT_STYLES[item.verdict], markup=False
            )
    failed = [item.id for item in result.expectations if item.verdict is not Verdict.PASS and item.id in result.slices]
    if failed:
        console.print(result.slices[failed[0]], markup=False)
    for phase in result.phases():
        hold, drain = phase["microseconds"]["hold"], phase["microseconds"]["drain"]
        held = "no call was held" if hold is None else f"held {hold:,.0f} µs"
        drained = "" if drain is None else f", drained in {drain:,.0f} µs"
        console.print(f"swap {phase['from']} → {phase['to']}: {phase['status']}, {held}{drained}", markup=False)
    console.print(f"{result.events:,} events, {result.signals:,} signals, {result.iterations:,} iterations")
    console.print(f"verdict: {result.verdict} ({result.reason})", style=VERDICT_STYLES[result.verdict], markup=False)
    console.print(f"run folder: {_shorten(result.run_folder)}", markup=False)
    console.print(f"report: {_shorten(result.report)}", markup=False)


def _shorten(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _list(progress: Progress, target: JsonTarget) -> None:
    with progress.live():
        updates = known_updates(build_drivers(progress))
    rows = [
        {"name": item.name, "breaks": item.breaks, "caught_by": list(CAUGHT_BY.get(item.name, ()))} for item in updates
    ]
    target.write({"schema": 1, "updates": rows})
    if not target.is_standard_output:
        console = Terminal()
        for item in updates:
            caught = f" (caught by {', '.join(CAUGHT_BY[item.name])})" if item.name in CAUGHT_BY else ""
            console.print(f"{item.name:<14} {item.breaks or 'good'}{caught}", markup=False)
