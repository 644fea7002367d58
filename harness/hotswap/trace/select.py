"""Choosing events of a table: by name, provider, thread, time, and by what their fields hold."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hotswap.errors import UsageError
from hotswap.trace.event_kind import EventKind
from hotswap.trace.schema import EventSchema, Field, InType, OutType, Shape, unique_names
from hotswap.trace.table import EventTable
from hotswap.trace.text import status_code, value_text

Rows = NDArray[np.int64]
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    "=": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
_NUMBERS = frozenset(
    {
        *(InType.INT8, InType.UINT8, InType.INT16, InType.UINT16, InType.INT32, InType.UINT32, InType.INT64),
        *(InType.UINT64, InType.HEXINT32, InType.HEXINT64, InType.FLOAT, InType.DOUBLE, InType.POINTER, InType.SIZET),
    }
)
_PLAIN = frozenset({OutType.DEFAULT, OutType.HEX, OutType.PID, OutType.TID, OutType.SIGNED, OutType.UNSIGNED})
"""Numbers that are shown as such are shown by no name."""
_CONDITION = re.compile(r"(?P<field>[^=!<>]+)(?P<operator>!=|>=|<=|=|>|<)(?P<value>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Condition:
    """A field of the payload compared with a value: `Worker=2`, `Status!=0`, `Name=lxss`, `Status=STATUS_CANCELLED`."""

    field: str
    operator: str
    value: int | float | str

    @classmethod
    def parse(cls, text: str) -> Condition:
        """From its text form; numbers may be hexadecimal (0x..). Raises UsageError."""
        found = _CONDITION.fullmatch(text)
        if found is None:
            known = ", ".join(_OPERATORS)
            raise UsageError(f"the condition {text!r} is not FIELD OPERATOR VALUE; operators are {known}")
        return cls(found["field"].strip(), found["operator"], _value(found["value"].strip()))

    def holds(self, values: NDArray[np.generic], described: Field) -> NDArray[np.bool_]:
        """For which rows of a field's column. A text is compared with the value and with how it is shown.

        What cannot be compared is not equal, and neither less nor more.
        """
        if values.dtype.kind in "iuf" and not isinstance(self.value, str):
            wanted = _as_signed(self.value, values.dtype)
            return np.asarray(_OPERATORS[self.operator](values, wanted), np.bool_)
        if self.operator not in ("=", "!="):
            return np.zeros(len(values), np.bool_)
        if values.dtype.kind in "iuf":
            distinct, index = np.unique(values, return_inverse=True)
            equal = np.array([self._equals(value, described) for value in distinct.tolist()], np.bool_)[index]
        else:
            equal = np.array([self._equals(value, described) for value in values.tolist()], np.bool_)
        return equal if self.operator == "=" else ~equal

    def __str__(self) -> str:
        return f"{self.field}{self.operator}{self.value}"

    def why_never(self, described: Field) -> str | None:
        """Why no value of a field can be equal to this text; None when one may be."""
        if not isinstance(self.value, str) or self.operator not in ("=", "!=") or described.shape != Shape.SCALAR:
            return None
        number = described.in_type in _NUMBERS and described.map is None
        if number and described.out_type == OutType.NTSTATUS:
            return None if status_code(self.value) is not None else f"{self.value!r} is no NTSTATUS known by this name"
        return f"it is a number, and {self.value!r} is none" if number and described.out_type in _PLAIN else None

    def _equals(self, value: object, described: Field) -> bool:
        text = str(self.value)
        return value == text if isinstance(value, str) else text in (str(value), value_text(described, value))


def _as_signed(value: int | float, dtype: np.dtype[np.generic]) -> int | float:
    """What a signed number of this width is called that was written as an unsigned one: HRESULTs are."""
    bits = 8 * dtype.itemsize
    return value - (1 << bits) if dtype.kind == "i" and 1 << bits - 1 <= value < 1 << bits else value


def _value(text: str) -> int | float | str:
    try:
        number = int(text, 0)
        # No field holds more, and numpy compares no more with floating-point numbers.
        return number if abs(number) < 1 << 65 else math.inf if number > 0 else -math.inf
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


@dataclass(frozen=True, slots=True)
class Selection:
    """What is wanted; empty: all. Names may have `*` and `?` and are compared without case. Times are ns."""

    events: Sequence[str] = ()
    providers: Sequence[str] = ()
    """By name or GUID."""
    pids: Sequence[int] = ()
    tids: Sequence[int] = ()
    cpus: Sequence[int] = ()
    after: int | None = None
    before: int | None = None
    conditions: Sequence[Condition] = ()

    def rows(self, table: EventTable) -> Rows:
        """The rows that fit. Raises UsageError for an event, provider or field that the trace does not have."""
        chosen = np.isin(table.kind, self._kinds(table))
        for column, wanted in (("pid", self.pids), ("tid", self.tids)):
            if wanted:
                # Events of the kernel tell in their payload, or by what ran on the processor, whose they are.
                columns = getattr(table, column), getattr(table, f"owner_{column}")
                chosen &= np.isin(columns, list(wanted)).any(axis=0)
        if self.cpus:
            chosen &= np.isin(table.cpu, list(self.cpus))
        if self.after is not None:
            chosen &= table.ns >= self.after
        if self.before is not None:
            chosen &= table.ns < self.before
        if self.conditions:
            chosen &= self._conditions(table, chosen)
        return np.flatnonzero(chosen)

    def _kinds(self, table: EventTable) -> list[int]:
        names = [kind.name for kind in table.kinds]
        givers = [(kind.giver, str(kind.provider)) for kind in table.kinds]
        _check_known("event", self.events, [[name] for name in names])
        _check_known("provider", self.providers, givers)
        return [
            index
            for index, name in enumerate(names)
            if (not self.events or _fits(self.events, [name]))
            and (not self.providers or _fits(self.providers, givers[index]))
        ]

    def _conditions(self, table: EventTable, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """An event fits when it has all of the fields and they hold these values."""
        fits = np.zeros(len(table), np.bool_)
        wanted = {condition.field for condition in self.conditions}
        known = {index: field_names(table.kinds[index]) for index in self._kinds(table)}
        everything = {name for names in known.values() for name in names}
        if wanted - everything:
            raise UsageError(unknown("field", sorted(wanted - everything)[0], sorted(everything)))
        self._check_values(table, [index for index, names in known.items() if wanted <= set(names)])
        for index in np.unique(table.kind[chosen]).tolist():
            if not wanted <= set(known[index]):
                continue
            events = table.kind_events(index)
            holds = np.ones(len(events), np.bool_)
            for condition in self.conditions:
                holds &= condition.holds(events.fields[condition.field], events.schema[condition.field])
            fits[events.rows[holds]] = True
        return fits

    def _check_values(self, table: EventTable, kinds: Sequence[int]) -> None:
        """Raise UsageError for a condition that no value of the field can fulfil: a name that is misspelt."""
        for condition in self.conditions:
            schemas = [table.kinds[index].schema for index in kinds]
            fields = [_described(schema, condition.field) for schema in schemas if schema is not None]
            reasons = [condition.why_never(described) for described in fields]
            if reasons and all(reasons):
                raise UsageError(f"the condition {condition}: {reasons[0]}")


def _described(schema: EventSchema, name: str) -> Field:
    return schema.fields[unique_names(schema.fields).index(name)]


def field_names(kind: EventKind) -> list[str]:
    """The fields of the events of a kind; none where nothing describes them."""
    return unique_names(kind.schema.fields) if kind.schema else []


def kinds_named(table: EventTable, name: str) -> list[int]:
    """The kinds of this name (with `*` and `?`, without regard to case). Raises UsageError when there is none."""
    _check_known("event", [name], [[kind.name] for kind in table.kinds])
    return [index for index, kind in enumerate(table.kinds) if _fits([name], [kind.name])]


def _fits(patterns: Sequence[str], names: Sequence[str]) -> bool:
    return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns for name in names if name)


def _check_known(what: str, patterns: Sequence[str], known: Sequence[Sequence[str]]) -> None:
    for pattern in patterns:
        if not any(_fits([pattern], names) for names in known):
            raise UsageError(unknown(what, pattern, sorted({name for names in known for name in names if name})))


def unknown(what: str, name: str, known: Sequence[str]) -> str:
    """The sentence that says that the trace has no such thing, and what it has."""
    close = get_close_matches(name, known, 1, 0.5)
    meant = f" (did you mean {close[0]}?)" if close else ""
    listed = ", ".join(known[:12]) + (f" and {len(known) - 12} more" if len(known) > 12 else "")
    return f"the trace has no {what} {name!r}{meant}; it has: {listed or 'none'}"
