"""The trace of a test: its events, statements about them, and the verdict of the swap expectations."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Protocol, overload

import numpy as np

from hotswap.codes import CodeTable
from hotswap.driver.host_events import host_events
from hotswap.driver.ioctl import NtStatus
from hotswap.errors import UsageError
from hotswap.swap.expectations import SWAP_EXPECTATIONS
from hotswap.testing.trace_event import Event, find_field, meant, spelled
from hotswap.testing.verdict import SwapVerdict
from hotswap.trace.etl import EtlFile
from hotswap.trace.expect import ExpectationResult, Verdict, format_slice
from hotswap.trace.match import COMMON, Ints, Pattern, Wanted, first_sequence, inside, rows_of, window_around
from hotswap.trace.rules.answer import Answer, Inconclusive
from hotswap.trace.rules.condition import Compare, OneOf
from hotswap.trace.rules.evidence import Evidence, Loss
from hotswap.trace.rules.matched import View
from hotswap.trace.rules.pattern import Pattern as EventPattern
from hotswap.trace.rules.rule import Rule
from hotswap.trace.schema import Field, OutType
from hotswap.trace.table import EventTable

Value = int | str | Collection[int]
"""What a field must be: a number, the name of a code (`STATUS_TIMEOUT`), or one of several numbers."""

_MAX_SLICE = 12


class TraceSource(Protocol):
    """Where a trace comes from."""

    @property
    def etl(self) -> EtlFile:
        """The decoded file. UsageError while it is not complete."""
        ...

    @property
    def verdict(self) -> SwapVerdict:
        """What the swap expectations say."""
        ...

    @property
    def missing(self) -> str:
        """What is missing from the trace; empty when it is whole."""
        ...


def plain(pattern: EventPattern | str) -> tuple[str, dict[str, Value]]:
    """Name and fields of an event that is given by values alone. UsageError for one with conditions."""
    if isinstance(pattern, str):
        return pattern, {}
    if len(pattern.alternatives) != 1 or pattern.alternatives[0].any_name or pattern.alternatives[0].predicates:
        raise UsageError(f"{pattern}: here an event has one name, and values for its fields; a rule takes more")
    fields: dict[str, Value] = {}
    for name, condition in pattern.alternatives[0].conditions:
        given = condition.operand if isinstance(condition, Compare) and condition.operator == "==" else None
        if isinstance(given, (int, str)):
            fields[name] = given
        elif isinstance(condition, OneOf) and all(isinstance(value, int) for value in condition.values):
            fields[name] = condition.values
        else:
            raise UsageError(f"{pattern}: here a field is a number, the name of a code, or several numbers")
    return pattern.alternatives[0].name, fields


class Events(Sequence[Event]):
    """Events of one name in time order. `rows` and `column` are numpy arrays, for statements about many."""

    def __init__(self, table: EventTable, name: str, rows: Ints, codes: CodeTable) -> None:
        self.name = name
        self.rows = rows
        self._table = table
        self._codes = codes

    def column(self, field: str) -> Ints:
        """The values of one field, as 64-bit integers."""
        events = self._table.events(self.name)
        name = spelled(self.name, field, (*events.fields, *COMMON, "tick"))
        values = getattr(events, name) if name in (*COMMON, "tick") else events.fields[name]
        return values[np.isin(events.rows, self.rows)].astype(np.int64)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, at: int) -> Event: ...
    @overload
    def __getitem__(self, at: slice) -> Events: ...
    def __getitem__(self, at: int | slice) -> Event | Events:
        if isinstance(at, slice):
            return Events(self._table, self.name, self.rows[at], self._codes)
        return _event(self._table, int(self.rows[at]), self._codes)

    def __iter__(self) -> Iterator[Event]:
        return (_event(self._table, row, self._codes) for row in self.rows.tolist())

    def __repr__(self) -> str:
        return f"<{len(self)} {self.name}>"


class Trace:
    """All events of one test. Complete after `driver.stop()`, and not to be read before: that is a UsageError.

    Event names are those of driver/include/hotswap_events.h; fields may be spelled as there or in Python's way
    (`WaitStatus`, `wait_status`), and `tid`, `pid` and `cpu` are fields of every event. What does not hold is an
    AssertionError: a sentence, and the fewest events that show it.
    """

    def __init__(self, source: TraceSource, codes: CodeTable) -> None:
        self._source = source
        self._codes = codes
        self._expected_to_fail: set[str] = set()
        """Expectations that the test expects to fail."""

    @property
    def etl(self) -> EtlFile:
        """The decoded file: header, loss, problems."""
        return self._source.etl

    @property
    def table(self) -> EventTable:
        """All events, as columns."""
        return self.etl.events

    def events(self, name: str, /, **fields: Value) -> Events:
        """The events of one name whose fields have these values, in time order."""
        return Events(self.table, name, self._rows(self._pattern(name, fields)), self._codes)

    def count(self, name: str, /, **fields: Value) -> int:
        """How many there are."""
        return len(self.events(name, **fields))

    def assert_order(self, *steps: str | EventPattern, **fields: Value) -> tuple[Event, ...]:
        """These events happened in this order; others may lie between. Returns the first that did.

        `fields` hold for every step that has them; `event("IterationBegin", version=2)` is a step with its own.
        """
        __tracebackhide__ = True
        if len(steps) < 2:
            raise UsageError("an order has at least two events")
        patterns = self._patterns(steps, fields)
        found = [self._rows(pattern) for pattern in patterns]
        rows = first_sequence(found)
        if len(rows) < len(steps):
            missing, candidates = patterns[len(rows)], found[len(rows)]
            self._fail(_order_sentence(patterns, rows, candidates, missing), [*rows, *candidates[-1:].tolist()])
        return tuple(_event(self.table, row, self._codes) for row in rows)

    def assert_count(
        self,
        name: str,
        count: int | None = None,
        /,
        *,
        at_least: int | None = None,
        at_most: int | None = None,
        **fields: Value,
    ) -> Events:
        """There are so many of these events, or at least or at most so many. Returns them."""
        __tracebackhide__ = True
        if count is not None:
            at_least = at_most = count
        if at_least is None and at_most is None:
            raise UsageError("assert_count needs a number, at_least= or at_most=")
        pattern = self._pattern(name, fields)
        rows = self._rows(pattern)
        if (at_least or 0) > len(rows) or (at_most is not None and at_most < len(rows)):
            surplus = rows if at_most is None else rows[max(at_most - 2, 0) :]
            self._fail(f"expected {_bounds(at_least, at_most)} {pattern}, the trace has {len(rows)}", surplus.tolist())
        if at_most is not None:
            self._need_whole(f"the trace has {len(rows)} {pattern}")
        return Events(self.table, name, rows, self._codes)

    def assert_never(
        self, name: str, /, *, between: tuple[str | EventPattern, str | EventPattern] | None = None, **fields: Value
    ) -> None:
        """There is no such event: in the whole trace, or after a `between[0]` before the next `between[1]`.

        `fields` are those of the event, not of the two ends. Nothing of `between[0]` in the trace is a failure too.
        """
        __tracebackhide__ = True
        pattern = self._pattern(name, fields)
        rows = self._rows(pattern)
        if between is None:
            if len(rows):
                self._fail(f"expected no {pattern}, the trace has {len(rows)}", rows[:3].tolist())
            return self._need_whole(f"no {pattern} in the trace")
        first, last = self._patterns(between, {})
        starts, ends = self._rows(first), self._rows(last)
        if not len(starts):
            self._fail(f"no {first} in the trace, so that nothing can lie between {first} and {last}", [])
        bad = inside(rows, starts, ends)
        if len(bad):
            start, end = window_around(int(bad[0]), starts, ends)
            more = f" ({len(bad)} times)" if len(bad) > 1 else ""
            shown = [start, int(bad[0]), *([] if end is None else [end])]
            self._fail(f"{pattern} between {first} and {last}{more}", shown)
        return self._need_whole(f"no {pattern} between {first} and {last}")

    def __rules_view__(self) -> View:
        return self._view

    @cached_property
    def _view(self) -> View:
        """The trace as the rules of `hotswap.trace.rules` look at it."""
        missing = [Loss.anywhere(self._source.missing)] if self._source.missing else []
        return View(self.table, Evidence.of(self.etl).plus(missing))

    def holds(self, rule: Rule) -> Answer:
        """What a rule of `hotswap.trace.rules` says: true when it holds. `assert trace.holds(rule)` explains itself."""
        return rule.on(self)

    def verdict(self) -> SwapVerdict:
        """What the swap expectations say of this test; of those only that it gave something to ask about."""
        return self._source.verdict

    def assert_passed(self) -> SwapVerdict:
        """Every swap expectation that applies holds; otherwise the AssertionError shows what does not."""
        __tracebackhide__ = True
        verdict = self.verdict()
        if not verdict.passed:
            kind = AssertionError if verdict.verdict is Verdict.FAIL else Inconclusive
            raise kind(verdict.explain())
        return verdict

    def expect_failure(self, *ids: str) -> tuple[ExpectationResult, ...]:
        """These swap expectations fail, and no other does. Returns their answers."""
        __tracebackhide__ = True
        if not ids:
            raise UsageError("expect_failure needs the id of an expectation")
        known = [expectation.id for expectation in SWAP_EXPECTATIONS]
        for id in ids:
            if id not in known:
                raise UsageError(f"there is no expectation {id!r}{meant(id, known)}; there are: {', '.join(known)}")
        verdict = self.verdict()
        results = []
        for id in ids:
            result = verdict.result(id)
            instead = f"\nwhat came instead: {verdict.explain()}" if verdict.failed else "; no other failed either"
            if result is None:
                raise AssertionError(
                    f"{id} was expected to fail, but the test did nothing that it could be asked about{instead}"
                )
            if result.verdict is Verdict.INCONCLUSIVE:
                raise Inconclusive(f"{id} was expected to fail, but is inconclusive: {result.message}")
            if result.verdict is Verdict.PASS:
                raise AssertionError(f"{id} was expected to fail, but it holds: {result.message}{instead}")
            results.append(result)
        if others := [id for id in verdict.failed if id not in ids]:
            raise AssertionError(f"besides {', '.join(ids)} also {', '.join(others)} failed\n{verdict.explain()}")
        self._expected_to_fail |= set(ids)
        return tuple(results)

    def __repr__(self) -> str:
        return "<trace>"

    # Below: patterns and failures

    def _rows(self, pattern: Pattern) -> Ints:
        return rows_of(self.table, pattern)

    def _patterns(self, steps: Sequence[str | EventPattern], shared: Mapping[str, Value]) -> list[Pattern]:
        """`shared` fields go to every step that has them; one that no step has is an error."""
        wanted = [plain(step) for step in steps]
        patterns = []
        used: set[str] = set()
        for event_name, own in wanted:
            known = self._fields_of(event_name)
            fitting = {name: value for name, value in shared.items() if find_field(name, known) is not None}
            used |= set(fitting)
            patterns.append(self._pattern(event_name, {**fitting, **own}))
        for name in shared:
            if name not in used:
                raise UsageError(f"none of {', '.join(event_name for event_name, _ in wanted)} has a field {name!r}")
        return patterns

    def _pattern(self, name: str, fields: Mapping[str, Value]) -> Pattern:
        known = self._fields_of(name)
        named = {spelled(name, key, known): value for key, value in fields.items()}
        return Pattern(name, {field: self._wanted(name, field, value) for field, value in named.items()})

    def _fields_of(self, name: str) -> tuple[str, ...]:
        present = self.table.events(name).fields
        fields = tuple(present) or tuple(host_events().get(name, ()))
        if not fields and name not in host_events():
            known = [*host_events(), *(kind.name for kind in self.table.kinds)]
            raise UsageError(f"there is no event {name!r}{meant(name, known)}; there are: {', '.join(host_events())}")
        return (*fields, *COMMON)

    def _wanted(self, name: str, field: str, value: Value) -> Wanted:
        if isinstance(value, str):
            try:
                value = self._codes.value(value)
            except KeyError:
                raise UsageError(f"{value!r} is no NTSTATUS that the drivers' headers define") from None
        described = self.table.events(name).schema.get(field)
        if host_events().get(name, {}).get(field) != "NTSTATUS" and (described is None or not _is_status(described)):
            return int(value) if isinstance(value, int) else frozenset(value)
        numbers = [value] if isinstance(value, int) else value
        statuses = [_status(field, number, self._codes) for number in numbers]
        return statuses[0] if isinstance(value, int) else frozenset(statuses)

    def _fail(self, sentence: str, rows: Sequence[int]) -> None:
        __tracebackhide__ = True
        missing = self._source.missing
        if missing:
            raise Inconclusive(f"{sentence}; with events missing this proves nothing: {missing}")
        shown = sorted(set(rows))[:_MAX_SLICE]
        raise AssertionError(f"{sentence}\n{format_slice(self.table, shown)}" if shown else sentence)

    def _need_whole(self, sentence: str) -> None:
        __tracebackhide__ = True
        if missing := self._source.missing:
            raise Inconclusive(f"{sentence}, but with events missing this proves nothing: {missing}")


def _event(table: EventTable, row: int, codes: CodeTable) -> Event:
    content = table.row(row)
    fields, schema = content["fields"], table.schema_of(row)
    statuses = {item.name for item in schema.fields if _is_status(item)} if schema else set()
    numbers = {
        name: _status(name, value, codes) if name in statuses else value
        for name, value in (fields.items() if isinstance(fields, dict) else ())
        if isinstance(value, int)
    }
    return Event(
        name=str(content["event"]),
        row=row,
        us=int(table.ns[row]) / 1000,
        tick=int(table.tick[row]),
        tid=int(table.tid[row]),
        cpu=int(table.cpu[row]),
        fields=numbers,
    )


def _is_status(field: Field) -> bool:
    return field.out_type == OutType.NTSTATUS


def _status(field: str, code: int, codes: CodeTable) -> NtStatus:
    return NtStatus(code, codes, wait=field.startswith("Wait"))


def _order_sentence(patterns: Sequence[Pattern], rows: Sequence[int], candidates: Ints, missing: Pattern) -> str:
    wanted = ", then ".join(map(str, patterns))
    if not len(candidates):
        return f"expected {wanted}: there is no {missing} in the trace"
    return f"expected {wanted}: no {missing} comes after the {' and the '.join(str(p) for p in patterns[: len(rows)])}"


def _bounds(at_least: int | None, at_most: int | None) -> str:
    if at_least == at_most:
        return f"exactly {at_least}"
    low = "" if at_least is None else f"at least {at_least}"
    high = "" if at_most is None else f"at most {at_most}"
    return " and ".join(filter(None, (low, high)))
