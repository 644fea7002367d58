"""The events of a table that fit a pattern, and their columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from functools import cached_property
from typing import Any
from uuid import UUID

import numpy as np

from hotswap.errors import UsageError
from hotswap.trace.rules.condition import Mask, Resolve, Values, as_mask, value_name
from hotswap.trace.rules.evidence import Evidence
from hotswap.trace.rules.order import Ints, Order, distinct
from hotswap.trace.rules.pattern import Alternative, Pattern
from hotswap.trace.rules.span import Span
from hotswap.trace.schema import Field
from hotswap.trace.table import Events, EventTable
from hotswap.trace.text import value_text

ACTIVITY = "activity"
COMMON = ("tid", "pid", "cpu", "level", "opcode", "keyword", "tick", "ns")
"""Columns that every event has. A field of the payload of the same name goes before."""


class View:
    """A table as rules look at it. What was looked for once is kept, so that many rules share it."""

    def __init__(self, table: EventTable, evidence: Evidence) -> None:
        self.table = table
        self.evidence = evidence
        self._events: dict[int, Events] = {}
        self._matched: dict[tuple[Pattern, bool], Matched] = {}

    @cached_property
    def order(self) -> Order:
        """What the ticks say about order."""
        return Order(self.table.tick, self.table.cpu)

    def events(self, kind: int) -> Events:
        """The decoded events of one kind."""
        if kind not in self._events:
            self._events[kind] = self.table.kind_events(kind)
        return self._events[kind]

    def match(self, pattern: Pattern, fields: Sequence[str] = ()) -> Matched:
        """The events that fit. `fields` will be asked of them: an event that cannot be decoded then does not count."""
        wanted = [name for name in fields if name not in (*COMMON, ACTIVITY)]
        key = (pattern, bool(wanted))
        if key not in self._matched:
            self._matched[key] = Matched(self, pattern, decode=bool(wanted))
        found = self._matched[key]
        found.require(fields)
        return found

    def us(self, row: int) -> float:
        """When it was, in microseconds since the session started."""
        return int(self.table.ns[row]) / 1000

    def span(self, ticks: int) -> Span:
        """So many ticks as a time."""
        return Span(ticks * 1_000_000_000 // self.table.frequency)

    def close_names(self, pattern: Pattern) -> list[str]:
        """Names in the trace that may have been meant by names that it does not have."""
        known = [kind.name for kind in self.table.kinds]
        return [
            name
            for wanted in pattern.names
            if wanted and wanted not in known
            for name in get_close_matches(wanted, known, 1, 0.85)
        ]


class Columns:
    """The columns of some events: `columns["Field"]` is an array with one value a row."""

    def __init__(self, view: View, kind: int, rows: Ints, fields: Events | None, one: Alternative) -> None:
        self._view = view
        self.kind = kind
        self.rows = rows
        self._fields = fields
        self._renamed = dict(one.renamed)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> Values:
        values = self.find(name)
        if values is None:
            raise self.unknown(name)
        return values

    def find(self, name: str) -> Values | None:
        """A column by its name in either spelling; None: there is none."""
        name = self._renamed.get(name, name)
        known = self._fields.fields if self._fields is not None else {}
        if name in known:
            return known[name]
        if name in COMMON:
            return np.asarray(getattr(self._view.table, name)[self.rows])
        if name == ACTIVITY:
            return self._view.table.activity[self.rows]
        loose = _loose(name)
        near = next((field for field in known if _loose(field) == loose), None)
        return None if near is None else known[near]

    def described(self, name: str) -> Field | None:
        """How a field of the payload is described; None: there is none of this name."""
        own = {} if self._fields is None else self._fields.schema
        name = self._renamed.get(name, name)
        return own.get(name) or next((own[field] for field in own if _loose(field) == _loose(name)), None)

    def unknown(self, name: str) -> UsageError:
        """The events have no such field."""
        event = self._view.table.kinds[self.kind].name
        known = [*(self._fields.fields if self._fields is not None else ()), *COMMON]
        close = get_close_matches(name, known, 1)
        meant = f" (did you mean {close[0]}?)" if close else ""
        return UsageError(f"{event} has no field {name!r}{meant}; it has: {', '.join(known)}")


class Matched:
    """The events that fit a pattern, in the order of their rows. Columns are arrays with one value for each.

    `unsure` are rows that could not be decoded, and may fit.
    """

    def __init__(self, view: View, pattern: Pattern, *, decode: bool) -> None:
        self.view = view
        self.pattern = pattern
        parts = [part for one in pattern.alternatives for part in self._parts(one, decode)]
        self.unsure: Ints = distinct(np.concatenate([np.zeros(0, np.int64), *(unsure for _, _, unsure in parts)]))
        self._columns = [columns for columns, _, _ in parts]
        self._chosen = [chosen for _, chosen, _ in parts]
        rows = np.concatenate([np.zeros(0, np.int64), *(columns.rows[chosen] for columns, chosen, _ in parts)])
        order = np.argsort(rows, kind="stable")
        rows = rows[order]
        # One event may fit several alternatives.
        once = np.append(True, rows[1:] != rows[:-1]) if len(rows) else np.zeros(0, np.bool_)
        self._order = order[once]
        self.rows: Ints = rows[once]
        self._made: dict[str, Values] = {}

    def _parts(self, one: Alternative, decode: bool) -> Iterator[tuple[Columns, Mask, Ints]]:
        """For each kind that is meant: its columns, which of its rows fit, and the rows that cannot be decoded."""
        table = self.view.table
        asks = decode or bool(one.predicates) or any(name not in COMMON for name, _ in one.conditions)
        for index, kind in enumerate(table.kinds):
            if not one.is_of(kind):
                continue
            rows = np.flatnonzero(table.kind == index)
            if not len(rows):
                continue
            events, unsure = None, np.zeros(0, np.int64)
            if asks and kind.schema is None:
                # What nothing describes cannot be asked.
                yield Columns(self.view, index, rows[:0], None, one), np.zeros(0, np.bool_), rows
                continue
            if asks:
                events = self.view.events(index)
                if len(events) != len(rows):
                    unsure = np.setdiff1d(rows, events.rows, assume_unique=True)
                rows = events.rows
            columns = Columns(self.view, index, rows, events, one)
            if one.any_name and any(columns.find(name) is None for name, _ in one.conditions):
                continue
            yield columns, _fitting(columns, one), unsure

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> Values:
        if name not in self._made:
            values = [columns[name][chosen] for columns, chosen in zip(self._columns, self._chosen, strict=True)]
            self._made[name] = (_joined(values) if values else np.zeros(0, np.int64))[self._order]
        return self._made[name]

    def text(self, name: str, event: int) -> str:
        """The value that a field of one event has, for people."""
        value = self[name][event]
        plain = value.item() if isinstance(value, np.generic) else value
        kind = int(self.view.table.kind[self.rows[event]])
        found = (columns.described(name) for columns in self._columns if columns.kind == kind)
        described = next((field for field in found if field is not None), None)
        if described is None and isinstance(plain, bytes) and len(plain) == 16:
            return str(UUID(bytes_le=plain))
        return value_name(plain) if described is None else value_text(described, plain)

    def require(self, names: Sequence[str]) -> None:
        """Raises UsageError when the events do not have these fields."""
        for columns, chosen in zip(self._columns, self._chosen, strict=True):
            for name in names:
                if chosen.any() and columns.find(name) is None:
                    raise columns.unknown(name)

    def has(self, names: Sequence[str]) -> bool:
        """Whether all of the events have these fields."""
        return all(columns.find(name) is not None for columns in self._columns for name in names)

    @cached_property
    def tick(self) -> Ints:
        """Raw ticks."""
        return self.view.table.tick[self.rows]

    def holds(self, events: Ints, resolve: Resolve) -> Mask:
        """For events (indices of these), whether the conditions hold that look at other events."""
        held = np.ones(len(events), np.bool_)
        if not self.pattern.references:
            return held
        if len(self.pattern.alternatives) == 1:
            for name, condition in self.pattern.alternatives[0].conditions:
                if condition.references:
                    held &= condition.test(self[name][events], resolve)
            return held
        raise UsageError(f"{self.pattern}: of several events, none can refer to a field of another; make two rules")


def _fitting(columns: Columns, one: Alternative) -> Mask:
    """The rows that fulfil the conditions which look at the event alone."""
    fits = np.ones(len(columns), np.bool_)
    if not len(columns):
        return fits
    for name, condition in one.conditions:
        values = columns[name]
        if not condition.references:
            fits &= condition.test(values)
    for predicate in one.predicates:
        fits &= as_mask(predicate(columns), len(columns), predicate)
    return fits


def _joined(parts: Sequence[Values]) -> Values:
    """Columns of one name below each other. Signed and unsigned numbers together keep their bits."""
    if len(parts) == 1:
        return parts[0]
    kinds = {part.dtype.kind for part in parts}
    if kinds == {"i", "u"}:
        return np.concatenate([part.astype(np.int64) for part in parts])
    if len(kinds) > 1 and not kinds <= {"i", "u", "f"}:
        objects: list[Any] = [value for part in parts for value in part.tolist()]
        column = np.empty(len(objects), object)
        column[:] = objects
        return column
    return np.concatenate(parts)


def _loose(name: str) -> str:
    return name.replace("_", "").lower()
