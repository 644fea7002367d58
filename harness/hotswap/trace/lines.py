"""Events as lines in columns, for terminals and pagers: time, distance, process, thread, CPU, event, fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hotswap.errors import UsageError
from hotswap.trace.event_kind import EventKind
from hotswap.trace.printable import printable
from hotswap.trace.schema import Field
from hotswap.trace.select import field_names, unknown
from hotswap.trace.source import subset
from hotswap.trace.table import EventTable
from hotswap.trace.text import field_texts, undecoded, value_text

Rows = NDArray[np.int64]

MOST = 60
"""Characters of one value, unless all are asked for."""
_FEW = 2000
"""So many events are decoded one by one; more of them in columns, which takes all of a kind."""
_WIDEST_NAME = 32


class Piece(NamedTuple):
    """A part of a line and what it is: `time`, `place`, `name`, `field`, `value` or `problem`."""

    text: str
    role: str


@dataclass(frozen=True, slots=True)
class LineFormat:
    """How events are written. `fields`: only these, each in a column of its own; empty: all that an event has."""

    fields: tuple[str, ...] = ()
    whole: bool = False
    """Long values are not cut."""

    def value(self, text: str) -> str:
        """A value on one line, and cut with a mark where it is long."""
        text = printable(text)
        return text if self.whole or len(text) <= MOST else text[: MOST - 1] + "…"


class EventLines:
    """The lines of some rows. Columns are as wide as what these rows have in them."""

    def __init__(self, table: EventTable, rows: Rows, how: LineFormat) -> None:
        if len(rows) > _FEW:
            table, rows = subset(table, rows), np.arange(len(rows))
        self._table, self._rows, self._how = table, rows, how
        kinds = np.unique(table.kind[rows]).tolist()
        self._names = {index: printable(table.kinds[index].name) for index in kinds}
        longest = max([len("event"), *(len(name) for name in self._names.values())])
        self._name = min(longest, _WIDEST_NAME)
        last = float(np.abs(table.ns[rows]).max(initial=0)) / 1000
        self._us = max(12, len(f"{last:.1f}") + 1)
        self._pid, self._tid = (_width(column[rows], 3) for column in (table.owner_pid, table.owner_tid))
        self._cpu = _width(table.cpu[rows], 3)
        self._texts = _texts(table, rows, how)
        self._columns = [max([len(name), *self._lengths(name)]) for name in how.fields]

    def _lengths(self, name: str) -> Iterator[int]:
        return (len(texts[name]) for texts in self._texts if texts and name in texts)

    def head(self) -> str:
        """The names of the columns."""
        place = f"{'pid':>{self._pid}} {'tid':>{self._tid}} {'cpu':>{self._cpu}}"
        named = zip(self._how.fields, self._columns, strict=True)
        tail = "  ".join(["event".ljust(self._name), *(name.ljust(width) for name, width in named)])
        return f"{'us':>{self._us}} {'+us':>11} {place}  {tail}".rstrip()

    def lines(self) -> Iterator[list[Piece]]:
        """One line an event."""
        table, before = self._table, None
        columns = (table.ns, table.owner_pid, table.owner_tid, table.cpu, table.kind)
        for at, (ns, pid, tid, cpu, kind) in enumerate(zip(*(c[self._rows].tolist() for c in columns), strict=True)):
            delta = "" if before is None else f"+{(ns - before) / 1000:.1f}"
            before = ns
            place = f"{_number(pid):>{self._pid}} {_number(tid):>{self._tid}} {cpu:>{self._cpu}}"
            line = [
                Piece(f"{ns / 1000:>{self._us}.1f}", "time"),
                Piece(f"{delta:>12} {place}  ", "place"),
                Piece(self._names[kind].ljust(self._name), "name"),
            ]
            yield [*line, *self._tail(at)]

    def _tail(self, at: int) -> Iterator[Piece]:
        texts = self._texts[at]
        if texts is None:
            yield Piece(f"  {printable(undecoded(self._table, int(self._rows[at])))}", "problem")
        elif self._how.fields:
            for name, width in zip(self._how.fields, self._columns, strict=True):
                yield Piece(f"  {texts.get(name, '-').ljust(width)}", "value")
        else:
            for at, (name, text) in enumerate(texts.items()):
                yield Piece(f"{' ' if at else '  '}{name}{'=' if name else ''}", "field")
                yield Piece(text, "value")


def _width(values: Rows, least: int) -> int:
    return max(least, len(str(int(values.max(initial=0)))))


def _number(value: int) -> str:
    return "-" if value < 0 else str(value)


def check_fields(kinds: Sequence[EventKind], wanted: Sequence[str]) -> None:
    """Raise UsageError for a field that no event of the trace has."""
    known = {name for kind in kinds for name in field_names(kind)}
    for name in wanted:
        if name not in known:
            raise UsageError(f"--fields: {unknown('field', name, sorted(known))}")


def _texts(table: EventTable, rows: Rows, how: LineFormat) -> list[dict[str, str] | None]:
    """The fields of each row, in their order, as they are to be written; None: the payload was not decoded.

    Of a message the text alone, under no name, unless fields are asked for.
    """
    if len(rows) <= _FEW:
        return [_one(table, row, how) for row in rows.tolist()]
    place = np.full(len(table), -1, np.int64)
    place[rows] = np.arange(len(rows))
    found: list[dict[str, str] | None] = [None] * len(rows)
    for index in np.unique(table.kind[rows]).tolist():
        kind = table.kinds[index]
        if kind.family == "message" and kind.schema is not None and not how.fields:
            for row in rows[table.kind[rows] == index].tolist():
                found[int(place[row])] = _one(table, row, how)
            continue
        if kind.schema is None:
            for at in place[(table.kind == index) & (table.payload_length == 0)].tolist():
                found[at] = {} if at >= 0 else found[at]
            continue
        events = table.kind_events(index)
        chosen = place[events.rows] >= 0
        names = [name for name in events.fields if not how.fields or name in how.fields]
        columns = []
        for name in names:
            described, known = events.schema[name], dict[object, str]()
            columns.append([_known(known, described, value, how) for value in events.fields[name][chosen].tolist()])
        shown = [printable(name) for name in names]
        rows_of = zip(*columns, strict=True) if columns else ((),) * int(np.count_nonzero(chosen))
        for at, texts in zip(place[events.rows[chosen]].tolist(), rows_of, strict=True):
            found[at] = dict(zip(shown, texts, strict=True))
    return found


def _one(table: EventTable, row: int, how: LineFormat) -> dict[str, str] | None:
    texts = field_texts(table, row)
    if texts is None:
        return None
    if not how.fields and isinstance(message := table.row(row).get("message"), str):
        return {"": printable(message)}
    return {printable(name): how.value(text) for name, text in texts.items() if not how.fields or name in how.fields}


def _known(known: dict[object, str], described: Field, value: object, how: LineFormat) -> str:
    """The text of a value; made once where the value comes again."""
    if not isinstance(value, int | str | float | bytes):
        return how.value(value_text(described, value))
    text = known.get(value)
    if text is None:
        text = known[value] = how.value(value_text(described, value))
    return text
