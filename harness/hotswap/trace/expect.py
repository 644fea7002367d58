"""Verdicts on a trace: what an expectation answers, and how the events that prove it are shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hotswap.trace.schema import EventSchema, Field, InType, OutType
from hotswap.trace.table import EventTable


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


_STATUS_NAMES = {
    0x000000C0: "STATUS_USER_APC",
    0x00000101: "STATUS_ALERTED",
    0x00000102: "STATUS_TIMEOUT",
    0x00000103: "STATUS_PENDING",
    0xC0000001: "STATUS_UNSUCCESSFUL",
    0xC0000005: "STATUS_ACCESS_VIOLATION",
    0xC000000D: "STATUS_INVALID_PARAMETER",
    0xC0000034: "STATUS_OBJECT_NAME_NOT_FOUND",
    0xC0000059: "STATUS_REVISION_MISMATCH",
    0xC000009A: "STATUS_INSUFFICIENT_RESOURCES",
    0xC00000A3: "STATUS_DEVICE_NOT_READY",
    0xC00000BB: "STATUS_NOT_SUPPORTED",
    0xC00000F0: "STATUS_INVALID_PARAMETER_2",
    0xC00000F1: "STATUS_INVALID_PARAMETER_3",
    0xC000010E: "STATUS_IMAGE_ALREADY_LOADED",
    0xC0000120: "STATUS_CANCELLED",
    0xC0000225: "STATUS_NOT_FOUND",
}


def status_text(code: int, *, wait: bool) -> str:
    """An NTSTATUS as its name where it is one that a wait or an update returns, else as a number.

    `wait`: the value came from a wait, so that 0 to 63 are indices.
    """
    code &= 0xFFFFFFFF
    if wait and code < 64:
        return f"STATUS_WAIT_{code}"
    return "STATUS_SUCCESS" if code == 0 else _STATUS_NAMES.get(code, f"0x{code:08x}")


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
        yield f"{ns / 1000:>16.1f} {delta:>12} {who}  {name:<17} {_fields_text(table, row)}"


def _fields_text(table: EventTable, row: int) -> str:
    schema, fields = table.schema_of(row), table.row(row)["fields"]
    if not isinstance(fields, dict) or schema is None:
        return "(payload not decoded)"
    return " ".join(f"{name}={_value_text(schema, name, value)}" for name, value in fields.items())


def _value_text(schema: EventSchema, name: str, value: object) -> str:
    described = next((item for item in schema.fields if item.name == name), Field(name, InType.UINT32))
    if not isinstance(value, int):
        return value.hex() if isinstance(value, bytes) else str(value)
    if described.out_type == OutType.NTSTATUS:
        return status_text(value, wait=name.startswith("Wait"))
    hexadecimal = described.in_type in (InType.HEXINT32, InType.HEXINT64) or described.out_type == OutType.HEX
    return f"0x{value:x}" if hexadecimal else str(value)
