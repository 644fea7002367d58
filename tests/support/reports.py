"""Reports of synthetic runs: their results as the runner would make them, and the runs that show each verdict."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hotswap.report.html import write_report
from hotswap.swap.result import SwapResult
from hotswap.swap.swap_trace import SwapTrace
from hotswap.swap.swaps import Outcome, Swap
from hotswap.swap.witnesses import UpdateReply
from hotswap.trace.etl import EtlFile
from hotswap.trace.expect import ExpectationResult, Verdict, combine, format_slice, reason
from support.swap_trace import Run, Simulation, good_run

_TICKS = {
    "pre_process": "PreProcess", "stalled": "Stalled", "first_held": "FirstHeld", "drained": "Drained",
    "switched": "Switched", "released": "Released", "post_process": "PostProcess",
}  # fmt: skip
ENVIRONMENT = {
    "machine": "wine",
    "runtime": "auto",
    "guest": {"os": [10, 0, 26100], "wine": "8.0"},
    "drivers": {"hotswap.sys": "a0" * 32, "hotswap_v1.sys": "b1" * 32},
    "plan": {"updates": ["v1", "v2", "v1"], "workers": 6, "seed": 1},
    "command": "hotswap swap --seed 1",
    "runtime_in_use": "compat",
}

HOSTILE = "</script></script ><!--<script>document.title='owned'</script><img src=x onerror=alert(1)>\"'&"
"""Ends a script and begins another, in every way that a browser knows."""


def result_of(run: Run, etl: EtlFile, *, environment: Mapping[str, Any] = ENVIRONMENT) -> SwapResult:
    results = tuple(run.evaluate().values())
    table = etl.events
    return SwapResult(
        verdict=combine(results),
        reason=reason(results),
        run_folder=Path("/runs/20260101T000000Z-0a1b2c"),
        report=Path("/runs/20260101T000000Z-0a1b2c/report.html"),
        events=len(table),
        signals=len(table.events("SignalEnd")),
        iterations=len(table.events("IterationBegin")),
        updates=run.witnesses.updates or (),
        tick_frequency=10_000_000,
        steps={"build drivers": 0.02, "start machine": 0.9, "run load": 1.5},
        expectations=results,
        refusals=(),
        slices={item.id: format_slice(table, item.slice) for item in results if item.slice},
        environment=environment,
    )


def report_of(run: Run, **more: Any) -> str:
    timed(run)
    etl = run.etl()
    return write_report(result_of(run, etl, **more), etl, run.witnesses)


def timed(run: Run) -> None:
    """Give the replies to the updates the ticks of their swaps, as the driver does."""
    swaps = SwapTrace(run.etl(), run.witnesses).swaps
    updates = run.witnesses.updates or ()
    run.witness(updates=tuple(_timed(update, swap) for update, swap in zip(updates, swaps, strict=False)))


def _timed(update: UpdateReply, swap: Swap) -> UpdateReply:
    begin, end = swap.tick("Begin") or 0, swap.tick("End") or 0
    ticks = {name: swap.tick(step) or 0 for name, step in _TICKS.items()}
    return dataclasses.replace(update, ticks={"begin": begin, "loaded": begin, **ticks, "unloaded": end, "end": end})


def passed() -> Run:
    return good_run(rounds=100)


def failed() -> Run:
    """A wake-up is lost in the middle of version 2."""
    run = good_run(rounds=100)
    candidates = [event for event in run.find("IterationBegin", Worker=1, Version=2) if event["WaitStatus"] == 0]
    run.remove_iteration(candidates[len(candidates) // 2])
    run.recount()
    return run


def open_question() -> Run:
    """The session lost events."""
    run = failed()
    run.session = dataclasses.replace(run.session, events_lost=3)
    return run


def refused(outcome: Outcome = Outcome.POST_PROCESS) -> Run:
    """An update is refused and rolled back, the next one succeeds."""
    simulation = Simulation()
    simulation.start()
    simulation.load(100)
    simulation.refused_swap(2, outcome)
    simulation.load(100)
    simulation.swap(2)
    simulation.load(100)
    simulation.stop()
    return simulation.finish((1, 2))


def hostile_report() -> str:
    """Every text that comes from outside is `HOSTILE`."""
    environment: dict[str, Any] = {
        **ENVIRONMENT,
        "command": f"hotswap swap --to '{HOSTILE}'",
        "drivers": {HOSTILE: HOSTILE},
        "guest": {"os": [HOSTILE], "wine": HOSTILE},
        HOSTILE: {HOSTILE: HOSTILE},
    }
    run = failed()
    timed(run)
    etl = run.etl()
    result = result_of(run, etl, environment=environment)
    bad = ExpectationResult(HOSTILE, Verdict.FAIL, HOSTILE, (1, 2))
    result = dataclasses.replace(
        result, reason=HOSTILE, expectations=(bad,), slices={HOSTILE: HOSTILE}, steps={HOSTILE: 1.0}
    )
    return write_report(result, etl, run.witnesses)
