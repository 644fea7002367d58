"""Differences as lines for people, and as plain data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from hotswap.trace.diff.compare import Change, Comparison, Difference
from hotswap.trace.diff.meaning import Side
from hotswap.trace.text import field_texts, fields_text

_MOST_ROWS = 12
"""Of one side of one difference, as lines; what is more is counted."""


class Line(NamedTuple):
    """`mark` is `-` (only in A), `+` (only in B), `~` (in both, at another time), blank (in both) or `?` (a remark)."""

    mark: str
    text: str


def difference_lines(a: Side, b: Side, difference: Difference) -> Iterator[Line]:
    """A difference with what is around it; times are microseconds since each session started."""
    for rows in difference.before:
        yield Line(" ", _both(a, b, *rows))
    if difference.change is Change.TIME:
        yield from _late(a, b, difference)
    else:
        yield from _some("-", a, difference.a, f"{'':>15}")
        yield from _some("+", b, difference.b, "")
        if len(difference.a) == len(difference.b) == 1:
            yield from _changes(a, b, difference.a[0], difference.b[0])
    for rows in difference.after:
        yield Line(" ", _both(a, b, *rows))


def head() -> str:
    """Over the lines of a difference."""
    return f"{'A us':>15} {'B us':>15}  event"


def _some(mark: str, side: Side, rows: tuple[int, ...], gap: str) -> Iterator[Line]:
    for row in rows[:_MOST_ROWS]:
        place = f"{_us(side, row)} {gap}" if mark == "-" else f"{'':>15} {_us(side, row)}"
        yield Line(mark, f"{place}  {_event(side, row)}")
    if len(rows) > _MOST_ROWS:
        yield Line(mark, f"{'':>31}  … and {len(rows) - _MOST_ROWS} more")


def _changes(a: Side, b: Side, row_a: int, row_b: int) -> Iterator[Line]:
    """Of two events of one kind, the fields that differ."""
    if _name(a, row_a) != _name(b, row_b):
        return
    old, new = field_texts(a.table, row_a) or {}, field_texts(b.table, row_b) or {}
    told = [f"{name} {old[name]} → {new[name]}" for name in old if name in new and old[name] != new[name]]
    told += [f"{name} is gone" for name in old if name not in new] + [
        f"{name} is new" for name in new if name not in old
    ]
    if told:
        yield Line("?", f"{'':>31}  {', '.join(told)}")


def _late(a: Side, b: Side, difference: Difference) -> Iterator[Line]:
    (row_a,), (row_b,) = difference.a, difference.b
    yield Line("~", _both(a, b, row_a, row_b))
    since = [
        _since(side, row, before) for side, row, before in zip((a, b), (row_a, row_b), _before(difference), strict=True)
    ]
    if None not in since:
        yield Line("?", f"{'':>31}  {since[0]} after the event before in A, {since[1]} in B")


def _before(difference: Difference) -> tuple[int | None, int | None]:
    return difference.before[-1] if difference.before else (None, None)


def _since(side: Side, row: int, before: int | None) -> str | None:
    return None if before is None else f"{(int(side.table.ns[row]) - int(side.table.ns[before])) / 1000:.1f} us"


def _both(a: Side, b: Side, row_a: int, row_b: int) -> str:
    return f"{_us(a, row_a)} {_us(b, row_b)}  {_event(a, row_a)}"


def _us(side: Side, row: int) -> str:
    return f"{int(side.table.ns[row]) / 1000:>15.1f}"


def _event(side: Side, row: int) -> str:
    return f"{_name(side, row):<17} {fields_text(side.table, row)}"


def _name(side: Side, row: int) -> str:
    return side.table.kinds[int(side.table.kind[row])].name


def comparison_json(a: Side, b: Side, comparison: Comparison, limit: int) -> dict[str, Any]:
    """For JSON output: all counts, and the differences up to a limit (0: all) with their events."""
    shown = comparison.differences[:limit] if limit else comparison.differences
    return {
        "equal": comparison.equal,
        "differences": len(comparison.differences),
        "shown": [
            {
                "change": str(difference.change),
                "lane": difference.lane,
                "a": [a.table.row(row) for row in difference.a],
                "b": [b.table.row(row) for row in difference.b],
                "before": difference.before,
                "after": difference.after,
            }
            for difference in shown
        ],
        "lanes": [
            {"name": lane.name, "a": lane.a, "b": lane.b, "removed": lane.removed, "added": lane.added,
             "times": lane.times}
            for lane in comparison.lanes
        ],
        "counts": [{"event": name, "a": in_a, "b": in_b} for name, in_a, in_b in comparison.counts],
        "not_compared": {reason: sorted(names) for reason, names in sorted(comparison.tokens.ignored.items())},
        "compared_by_bytes": comparison.tokens.undecoded,
    }  # fmt: skip
