"""Verdicts on a trace: what an expectation answers, and how the events that prove it are shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hotswap.trace.table import EventTable
from hotswap.trace.text import fields_text
from hotswap.trace.text import status_text as status_text


class Verdict(StrEnum):
    """Holds, does not hold, or cannot be told from the evidence."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class ExpectationResult:
    """The answer of one expectation. `slice` holds the row numbers of the fewest events that show a failure."""

    id: str
    verdict: Verdict
    message: str
    slice: tuple[int, ...] = ()


def combine(results: Iterable[ExpectationResult]) -> Verdict:
    """One failure fails all, one open question leaves all open, and no results at all prove nothing."""
    verdicts = {result.verdict for result in results}
    for verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS):
        if verdict in verdicts:
            return verdict
    return Verdict.INCONCLUSIVE


def reason(results: Sequence[ExpectationResult]) -> str:
    """Why `combine` says what it says, in one sentence: the first result of the deciding verdict."""
    verdict = combine(results)
    if not results:
        return "nothing was checked"
    if verdict == Verdict.PASS:
        return f"all {len(results)} expectations hold"
    first = next(result for result in results if result.verdict == verdict)
    return f"{first.id}: {first.message}"


def slice_records(table: EventTable, rows: Iterable[int]) -> list[dict[str, object]]:
    """The events of a slice as plain data, in time order: `EventTable.row`, and `us` since the session started."""
    return [{**table.row(row), "us": int(table.ns[row]) / 1000} for row in sorted(set(rows))]


def format_slice(table: EventTable, rows: Iterable[int]) -> str:
    """The events of a slice as lines of text.

    Columns: time since the session started and since the line before (microseconds), thread, CPU, event, fields.
    """
    return "\n".join(slice_lines(table, rows))


def slice_lines(table: EventTable, rows: Iterable[int]) -> Iterator[str]:
    """The lines of `format_slice`, its head first."""
    yield f"{'us':>16} {'+us':>12} {'tid':>6} {'cpu':>3}  event"
    before: int | None = None
    for row in sorted(set(rows)):
        ns = int(table.ns[row])
        delta = "" if before is None else f"+{(ns - before) / 1000:.1f}"
        before = ns
        who = f"{int(table.tid[row]):>6} {int(table.cpu[row]):>3}"
        name = table.kinds[int(table.kind[row])].name
        yield f"{ns / 1000:>16.1f} {delta:>12} {who}  {name:<17} {fields_text(table, row)}"
