"""One swap test: run it, show its result, answer with its exit code."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from hotswap.cli.output import VERDICT_EXITS, VERDICT_STYLES, Exit, JsonTarget, Terminal, shorten
from hotswap.cli.progress import Progress
from hotswap.swap.plan import SwapPlan
from hotswap.swap.result import SwapResult
from hotswap.swap.runner import Interrupted, run_swap
from hotswap.trace.expect import Verdict


def swap_once(plan: SwapPlan, progress: Progress, target: JsonTarget, arguments: Sequence[str]) -> Exit:
    """Run one test; `arguments` are those that repeat it."""
    try:
        with progress.live():
            result = run_swap(plan, progress=progress, command=shlex.join(["hotswap", *arguments]))
    except Interrupted as interrupted:
        _show(interrupted.result, target)
        return Exit.INTERRUPTED
    _show(result, target)
    return VERDICT_EXITS[result.verdict]


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
        console.print(_swap_line(phase), markup=False)
    console.print(f"{result.events:,} events, {result.signals:,} signals, {result.iterations:,} iterations")
    console.print(f"verdict: {result.verdict} ({result.reason})", style=VERDICT_STYLES[result.verdict], markup=False)
    console.print(f"run folder: {shorten(result.run_folder)}", markup=False)
    console.print(f"report: {shorten(result.report)}", markup=False)


def _swap_line(phase: Mapping[str, Any]) -> str:
    hold, drain = phase["microseconds"]["hold"], phase["microseconds"]["drain"]
    held = "no call was held" if hold is None else f"held {hold:,.0f} µs"
    drained = "" if drain is None else f", drained in {drain:,.0f} µs"
    if int(phase["status"], 16):
        stays = f"version {phase['to']} in force"
        return f"update from {phase['from']}: {phase['status_name']}, {stays}, {held}{drained}"
    return f"swap {phase['from']} → {phase['to']}: {held}{drained}"
