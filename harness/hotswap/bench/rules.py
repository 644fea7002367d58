"""`ci/bench rules`: asking rules of a million events, beside loops over them that do the same."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from hotswap.bench.etl_made_up import write_made_up
from hotswap.bench.table import Row
from hotswap.errors import LabFault
from hotswap.trace.etl import read_etl
from hotswap.trace.expect import Verdict
from hotswap.trace.rules import Rule, at_most, each, event, gt, latency, ne, never, sequence
from hotswap.trace.rules.matched import View
from hotswap.trace.rules.rule import view_of
from hotswap.trace.table import EventTable

EVENTS = 1_000_000
_READ_EVENTS = 20_000
_ROUNDS = 3
_READ_AIM, _LISTS_AIM, _SECONDS_AIM = 50.0, 1.0, 0.5

Seen = Iterator[tuple[str, int, dict[str, Any]]]
"""Name, tick and fields of each event."""


@dataclass(frozen=True)
class _Case:
    """A rule that holds, and a loop that says whether it does."""

    what: str
    rule: Rule
    loop: Callable[[Seen, int], bool]


def _never(seen: Seen, frequency: int) -> bool:
    del frequency
    return all(name != "Work" or fields["Status"] == 0 for name, _, fields in seen)


def _between(seen: Seen, frequency: int) -> bool:
    del frequency
    inside = False
    for name, _, fields in seen:
        if name == "Step":
            inside = True
        elif name == "Tick":
            inside = False
        elif inside and fields["Worker"] > 63:
            return False
    return True


def _followed(seen: Seen, frequency: int) -> bool:
    due: dict[int, int] = {}
    limit = frequency // 10
    for name, tick, fields in seen:
        if name == "Work":
            worker = fields["Worker"]
            if worker in due and tick - due[worker] > limit:
                return False
            due[worker] = tick
    return True


def _sequence(seen: Seen, frequency: int) -> bool:
    del frequency
    at = 0
    for name, _, _ in seen:
        if name != ("Work", "Work", "Work", "Step", "Tick")[at]:
            return False
        at = (at + 1) % 5
    return True


def _percentile(seen: Seen, frequency: int) -> bool:
    waiting: list[int] = []
    took: list[int] = []
    for name, tick, _ in seen:
        if name == "Work":
            waiting.append(tick)
        elif name == "Tick":
            took += [tick - begun for begun in waiting]
            waiting.clear()
    took.sort()
    return took[-(-99 * len(took) // 100) - 1] <= frequency // 1000


def _rate(seen: Seen, frequency: int) -> bool:
    last: dict[int, list[int]] = {}
    for name, tick, fields in seen:
        if name == "Work":
            ticks = last.setdefault(fields["Worker"], [])
            ticks.append(tick)
            if len(ticks) > 10:
                if tick - ticks[-11] < frequency // 1000:
                    return False
                del ticks[0]
    return True


_CASES = (
    _Case("never, with a condition", never(event("Work", Status=ne(0))), _never),
    _Case("never between two events", never(event("Work", Worker=gt(63))).between("Step", "Tick"), _between),
    _Case(
        "followed by, per worker, in time",
        each("Work").followed_by("Work", per="Worker", within="100 ms").from_to("0 s", "1 min"),
        _followed,
    ),
    _Case("a sequence of five steps", sequence("Work", "Work", "Work", "Step", "Tick"), _sequence),
    _Case("99th percentile of a latency", latency("Work", "Tick").percentile(99).at_most("1 ms"), _percentile),
    _Case("a rate per worker", at_most(10, "Work", per="Worker", in_any="1 ms"), _rate),
)


def run(wanted: int = EVENTS, read: int = _READ_EVENTS) -> tuple[list[Row], dict[str, Any]]:
    """The rows. Loops over columns as lists have `wanted` events, those that read event by event `read`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.etl"
        events = write_made_up(path, wanted)
        table = read_etl(path).events
        few = table.take(table.recorded.nonzero()[0][:read])
        rows = [row for case in _CASES for row in _measured(case, table, few)]
        return rows, {"events": events, "events read one by one": len(few)}


def _measured(case: _Case, table: EventTable, few: EventTable) -> list[Row]:
    ours = []
    for _ in range(_ROUNDS):
        view = view_of(table)
        _decode(view)
        begun = perf_counter()
        answer = case.rule.answer(view)
        ours.append(perf_counter() - begun)
        if answer.verdict is Verdict.FAIL:
            raise LabFault(f"the rule {case.what!r} does not hold: {answer.message}")
    rate = len(table) / median(ours) / 1e6
    lists = _rate_of(case, table, _from_lists(table))
    reading = _rate_of(case, few, _one_by_one(few))
    seconds = Row(f"{case.what}: a million events", round(median(ours) * 1e6 / len(table), 3), None, "s", None,
                  f"<= {_SECONDS_AIM:g}", median(ours) * 1e6 / len(table) <= _SECONDS_AIM)  # fmt: skip
    return [
        seconds,
        _ratio(f"{case.what} (a loop over columns as lists)", rate, lists, _LISTS_AIM),
        _ratio(f"{case.what} (a loop that reads events)", rate, reading, _READ_AIM),
    ]


def _decode(view: View) -> None:
    """Reading payloads is the reader's business, and measured with it."""
    for kind in range(len(view.table.kinds)):
        view.events(kind)


def _rate_of(case: _Case, table: EventTable, seen: Seen) -> float:
    begun = perf_counter()
    if not case.loop(seen, table.frequency):
        raise LabFault(f"the loop for {case.what!r} says something else than the rule")
    return len(table) / (perf_counter() - begun) / 1e6


def _one_by_one(table: EventTable) -> Seen:
    for row in range(len(table)):
        content = table.row(row)
        yield str(content["event"]), int(table.tick[row]), content["fields"]  # type: ignore[misc]


def _from_lists(table: EventTable) -> Seen:
    """As fast as a loop can be: everything is made to Python's objects before it begins."""
    fields: list[dict[str, Any]] = [{}] * len(table)
    for kind in range(len(table.kinds)):
        events = table.kind_events(kind)
        names = [name for name in ("Worker", "Status") if name in events.fields]
        for row, *values in zip(events.rows.tolist(), *(events[name].tolist() for name in names), strict=True):
            fields[row] = dict(zip(names, values, strict=True))
    recorded = table.recorded.nonzero()[0].tolist()
    names_of, ticks = table.names.tolist(), table.tick.tolist()
    return iter([(names_of[row], ticks[row], fields[row]) for row in recorded])


def _ratio(what: str, ours: float, other: float, aim: float) -> Row:
    ratio = ours / other
    return Row(what, round(ours, 2), round(other, 3), "M events/s", round(ratio, 1), f"{aim:g}x", ratio >= aim)
