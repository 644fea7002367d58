"""A made-up swap run of any size, for measuring what a report of it costs: the events that a driver would write."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from hotswap.swap.result import SwapResult
from hotswap.swap.swap_trace import FIELDS, PROVIDER_GUID, PROVIDER_NAME
from hotswap.swap.witnesses import UpdateReply
from hotswap.trace.etl import EtlFile, parse_etl
from hotswap.trace.expect import ExpectationResult, Verdict, format_slice
from hotswap.trace.schema import EventSchema, Field, InType, OutType
from hotswap.trace.tracelogging import Provider
from hotswap.trace.writer import EventRow, Session, build_etl

FREQUENCY = 10_000_000
_EVENTS_A_ROUND = 5
_TIMEOUT = 0x102
_STEPS = ("Begin", "PreProcess", "Stalled", "Drained", "ProxyStalled", "Switched", "Released", "PostProcess", "End")


def made_up_trace(events: int, *, workers: int = 8, swaps: int = 4, seed: int = 1) -> EtlFile:
    """About this many events: signals, the iterations they wake, and swaps between version 1 and 2."""
    schemas = {name: EventSchema(name, tuple(map(_field, fields))) for name, fields in FIELDS.items()}
    provider = Provider(PROVIDER_NAME, PROVIDER_GUID)
    rows = [
        EventRow(tick, tid % 2, 1234, tid, provider, schemas[name], values)
        for tick, tid, name, values in _events(events, workers, swaps, random.Random(seed))
    ]
    return parse_etl(build_etl(rows, Session(processors=2)))


def made_up_result(etl: EtlFile, folder: Path) -> SwapResult:
    """A failed result for such a trace, with one proof."""
    table = etl.events
    begins = table.events("SwapBegin")
    middle = table.events("IterationBegin").rows[len(table) // (4 * _EVENTS_A_ROUND)]
    proof = tuple(range(int(middle), int(middle) + 6))
    ticks = ("begin", "loaded", "pre_process", "stalled", "drained", "switched", "released", "post_process", "end")
    return SwapResult(
        verdict=Verdict.FAIL,
        reason="signals-accounted: made up",
        run_folder=folder,
        report=folder / "report.html",
        events=len(table),
        signals=len(table.events("SignalEnd")),
        iterations=len(table.events("IterationBegin")),
        updates=tuple(
            UpdateReply(0, 1 + i % 2, 2 - i % 2, ticks={name: int(tick) + 400 * n for n, name in enumerate(ticks)})
            for i, tick in enumerate(begins.tick.tolist())
        ),
        tick_frequency=FREQUENCY,
        steps={"run load": 1.0},
        expectations=(ExpectationResult("signals-accounted", Verdict.FAIL, "made up", proof),),
        refusals=(),
        slices={"signals-accounted": format_slice(table, proof)},
        environment={"command": "ci/bench report"},
    )


def _field(name: str) -> Field:
    if name.endswith("Status"):
        return Field(name, InType.HEXINT32, int(OutType.NTSTATUS))
    return Field(name, InType.INT64 if name == "Timeout" else InType.UINT64)


def _events(
    wanted: int, workers: int, swaps: int, draw: random.Random
) -> Iterator[tuple[int, int, str, dict[str, int]]]:
    tick, version, control = 1000, 1, 100
    yield tick, control, "HostStart", {}
    for worker in range(1, workers + 1):
        names = dict.fromkeys(FIELDS["WorkerCreate"], 0)
        values = {"Worker": worker, "WorkerThreadId": 300 + worker, "WaitType": 1, "EventCount": 4}
        yield tick + worker, control, "WorkerCreate", names | values
    tick += 2000
    yield tick, control, "LoadStart", {"Load": 1}
    iterations, signals = {w: count(1) for w in range(1, workers + 1)}, count(1)
    rounds = max(1, wanted // _EVENTS_A_ROUND)
    swap_at = {rounds * n // (swaps + 1): n for n in range(1, swaps + 1)}
    for number in range(rounds):
        if number in swap_at:
            for step in _STEPS:
                tick += 400
                values = {"Swap": swap_at[number], "FromVersion": version, "ToVersion": 3 - version, "Status": 0}
                yield tick, control, f"Swap{step}", values
            version = 3 - version
        worker, event = draw.randint(1, workers), draw.randint(0, 3)
        tick += draw.randint(200, 2500)
        values = {"Worker": worker, "EventIndex": event, "Signal": next(signals), "Source": 1}
        yield tick, 200 + number % 2, "SignalBegin", values
        yield tick + 20, 200 + number % 2, "SignalEnd", values | {"PreviousState": 0}
        status = _TIMEOUT if draw.random() < 0.03 else event
        values = {"Worker": worker, "Iteration": next(iterations[worker]), "Version": version, "WaitStatus": status}
        tick += draw.randint(60, 400)
        yield tick, 300 + worker, "IterationBegin", values
        yield tick + 30, 300 + worker, "EndpointWork", values | {"Result": number}
        tick += draw.randint(80, 900)
        yield tick, 300 + worker, "IterationEnd", values | {"Continue": 1}
    yield tick + 2000, control, "LoadStop", {"Load": 1, "Signals": rounds, "Accepted": rounds}
    yield tick + 3000, control, "HostStop", dict.fromkeys(FIELDS["HostStop"], 0)
