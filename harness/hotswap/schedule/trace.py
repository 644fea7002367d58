"""The trace of a session, cut into its schedules, in the words of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hotswap.schedule.model import Scenario, Written
from hotswap.trace.table import EventTable

_EVENTS = (
    "SignalEnd", "IterationBegin", "EndpointWork", "IterationEnd", "SwapDrained", "SwapSwitched", "SwapRolledBack",
    "SwapReleased", "EndpointUnloaded", "SwapEnd", "ProxyStallSet",
)  # fmt: skip
_FIRST = "LoadStart"


def logs(
    table: EventTable, scenario: Scenario, workers: Sequence[int], threads: Mapping[int, str]
) -> list[list[Written]]:
    """One list for each schedule. `workers`: ids, in the model's order; `threads`: names by thread id.

    A schedule begins with the start of its signallers, one for each worker. The stop of the workers ends the last one.
    """
    stops = table.events("WorkerStop").rows
    end = int(stops[0]) if len(stops) else len(table)
    begins = [int(row) for row in table.events(_FIRST).rows][:: len(scenario.signals)]
    found: list[list[Written]] = [[] for _ in begins]
    number = {worker: at for at, worker in enumerate(workers, 1)}
    rows: list[tuple[int, str, int, dict[str, int]]] = []
    for name in _EVENTS:
        events = table.events(name)
        fields = {field: values.tolist() for field, values in events.fields.items()}
        for at, (row, tid) in enumerate(zip(events.rows.tolist(), events.tid.tolist(), strict=True)):
            rows.append((row, name, tid, {field: int(values[at]) for field, values in fields.items()}))
    rows.sort(key=lambda item: item[0])
    schedule = -1
    for row, name, tid, fields in rows:
        while schedule + 1 < len(begins) and begins[schedule + 1] < row:
            schedule += 1
        if schedule >= 0 and row < end:
            found[schedule].append(_written(name, threads.get(tid, ""), number, fields))
    return [_by_the_model(log) for log in found]


def _written(name: str, thread: str, workers: Mapping[int, int], fields: Mapping[str, int]) -> Written:
    said: dict[str, int] = {}
    if "Worker" in fields and name != "ProxyStallSet":
        said["worker"] = workers.get(fields["Worker"], 0)
    if name == "SignalEnd":
        said["accepted"] = int(fields["PreviousState"] == 0)
    if "Iteration" in fields:
        said["iteration"] = fields["Iteration"]
    if "Version" in fields:
        said["version"] = fields["Version"]
    if name == "SwapEnd":
        said |= {"version": fields["ToVersion"], "from": fields["FromVersion"]}
    return Written(thread, name.removeprefix("Proxy"), said)


def _by_the_model(log: list[Written]) -> list[Written]:
    """Versions as the model calls them: 1 was in force when the schedule began, 2 is the other."""
    old = next((entry.fields.pop("from") for entry in log if entry.event == "SwapEnd"), 1)
    for entry in log:
        if "version" in entry.fields:
            entry.fields["version"] = 1 if entry.fields["version"] == old else 2
    return log
