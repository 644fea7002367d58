"""`hotswap swap`: one swap test, a series of them, or the list of updates there are.

What a swap needs is imported when there is one to do: options, help and completion answer without it.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from hotswap.cli import complete
from hotswap.cli.output import Exit, JsonTarget, Terminal
from hotswap.cli.progress import Progress
from hotswap.errors import UsageError
from hotswap.swap.plan import LOADS, UPDATE_AT, WAITS, SwapPlan

KEEP = ("all", "failed", "last")


def swap(
    machine: Annotated[str, typer.Option(help="Machine to run in.", autocompletion=complete.machines)] = "wine",
    from_: Annotated[
        str,
        typer.Option(
            "--from", help="Endpoint driver to start with: a name, or a .sys file.", autocompletion=complete.updates
        ),
    ] = "v1",
    to: Annotated[
        list[str] | None,
        typer.Option(
            help="Endpoint driver to swap in: a name, or a .sys file; may be repeated, one swap each.",
            autocompletion=complete.updates,
            show_default="v2",
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="Worker threads.")] = 8,
    waits: Annotated[
        str, typer.Option(help=f"Kinds of wait: {', '.join(WAITS)}.", autocompletion=complete.choices(*WAITS))
    ] = "mixed",
    rate: Annotated[int, typer.Option(help="Signals per second over all workers; 0: as fast as it goes.")] = 2000,
    seconds: Annotated[float, typer.Option(help="Seconds of load on each version.")] = 1.0,
    load: Annotated[
        str,
        typer.Option(
            help="steady: signals all the time. stalled: after the first version only while a swap holds all calls.",
            autocompletion=complete.choices(*LOADS),
        ),
    ] = "steady",
    update_at: Annotated[
        str,
        typer.Option(
            help="When swaps come: under load, while workers start, while they stop, or all together.",
            autocompletion=complete.choices(*UPDATE_AT),
        ),
    ] = "load",
    seed: Annotated[int, typer.Option(help="Seed of the load and of the workers' time-outs.")] = 1,
    work_us: Annotated[int, typer.Option(help="Microseconds that one iteration works.")] = 20,
    load_threads: Annotated[int, typer.Option(help="Driver threads that signal.")] = 2,
    runtime: Annotated[
        str,
        typer.Option(help="DriverProxy runtime: auto, native, compat, or plain.", autocompletion=complete.runtimes),
    ] = "auto",
    ring_slots: Annotated[int, typer.Option(help="Size of the trace ring in events; 0: default.")] = 0,
    drain_timeout_ms: Annotated[int, typer.Option(help="Drain limit of a swap; 0: default.")] = 0,
    hold_budget_ms: Annotated[float, typer.Option(help="How long a swap may hold calls.")] = 1000.0,
    fault: Annotated[
        str,
        typer.Option(
            help="Break something on purpose: NAME, NAME@EVENT[:n], NAME@seed:N; `--fault list` tells what there is.",
            metavar="NAME[@MOMENT]",
            show_default=False,
        ),
    ] = "",
    disable: Annotated[
        list[str] | None,
        typer.Option(help="Expectation not to ask; may be repeated.", autocompletion=complete.expectations),
    ] = None,
    check_live: Annotated[
        bool, typer.Option("--check-live", help="Check the trace while it is written, and end at the first failure.")
    ] = False,
    repeat: Annotated[
        int | None, typer.Option(help="So many tests, with the seeds from --seed on.", metavar="N", show_default=False)
    ] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="With --repeat: go on after a verdict that is not pass.")
    ] = False,
    keep: Annotated[
        str | None,
        typer.Option(
            help="With --repeat: run folders to keep: all, failed (drop those of passes), last (and the last one).",
            metavar="WHICH",
            autocompletion=complete.choices(*KEEP),
            show_default="all",
        ),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the updates and end.")] = False,
    json_: Annotated[
        str | None,
        typer.Option("--json", metavar="[PATH]", help="Write the result as JSON to this file, or to standard output."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Hot-swap the real driver binary under load, there and back, and judge it by its trace."""
    target = JsonTarget(json_)
    console = Terminal(stderr=True)
    if list_:
        from hotswap.cli.swap_list import list_updates

        list_updates(Progress(console, quiet=quiet), target)
        return
    if fault == "list":
        from hotswap.cli.swap_list import list_faults

        list_faults(target)
        return
    plan = SwapPlan(
        machine=machine,
        updates=(from_, *(to or ["v2"]), from_),
        workers=workers,
        waits=waits,
        load=load,
        update_at=update_at,
        rate=rate,
        seconds=seconds,
        seed=seed,
        work_us=work_us,
        load_threads=load_threads,
        runtime=runtime,
        ring_slots=ring_slots,
        drain_timeout_ms=drain_timeout_ms,
        hold_budget_ms=hold_budget_ms,
        check_live=check_live,
        fault=fault,
        disabled=frozenset(disable or ()),
    )
    if repeat is None:
        if keep_going or keep is not None:
            raise UsageError(f"{'--keep-going' if keep_going else '--keep'} is for a series: add --repeat N")
        from hotswap.cli.swap_once import swap_once

        code = swap_once(plan, Progress(console, quiet=quiet), target, sys.argv[1:])
    else:
        if keep is not None and keep not in KEEP:
            raise UsageError(f"--keep is {keep!r}; it must be one of {', '.join(KEEP)}")
        from hotswap.cli.swap_series import swap_series

        progress = Progress(console, quiet=quiet, steps=False)
        code = swap_series(
            plan, repeat, progress, target, sys.argv[1:], keep_going=keep_going, keep=keep or "all", quiet=quiet
        )
    raise typer.Exit(Exit(code))
