"""What tells the lanes of a trace apart: a thread, a process, a CPU, or the values of fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hotswap.errors import UsageError
from hotswap.trace.schema import Field, unique_names
from hotswap.trace.select import unknown
from hotswap.trace.table import EventTable
from hotswap.trace.text import value_text
from hotswap.trace.threads import distinct_threads

Rows = NDArray[np.int64]

PLACES = ("thread", "process", "cpu")
"""Keys that every event has."""


@dataclass
class Keys:
    """Numbers for the keys that were seen, over any number of tables; their names are for people."""

    per: tuple[str, ...]
    """Of PLACES, or fields, without regard to case."""
    names: list[str] = field(default_factory=list)
    _known: dict[tuple[str, ...], int] = field(default_factory=dict)

    @classmethod
    def parse(cls, texts: Sequence[str]) -> Keys:
        """From `Worker,Iteration` or several such. Raises UsageError for one that names nothing."""
        names = [name.strip() for text in texts for name in text.split(",")]
        if not all(names):
            raise UsageError(
                f"{','.join(texts)!r} is no key: give a field, several with commas, or {', '.join(PLACES)}"
            )
        return cls(tuple(names))

    def check(self, table: EventTable, kinds: Sequence[int], option: str = "--per") -> None:
        """Raise UsageError for a key that no event of these kinds has. `option` is what asked for it."""
        known = {name for index in kinds for name in _names(table, index)}
        folded = {name.lower() for name in known}
        for name in self.per:
            if name not in PLACES and name.lower() not in folded:
                raise UsageError(f"{option}: {unknown('field', name, sorted({*known, *PLACES}))}")

    def of(self, table: EventTable, rows: Rows) -> Rows:
        """The number of each row's key; -1 where the event has not all of the fields. `rows` are in order."""
        parts = [self._part(table, rows, name) for name in self.per]
        if not parts:
            return np.zeros(len(rows), np.int64)
        codes = np.stack([code for code, _ in parts])
        distinct, inverse = np.unique(codes, axis=1, return_inverse=True)
        numbers = np.empty(distinct.shape[1], np.int64)
        for column, values in enumerate(distinct.T.tolist()):
            whole = all(value >= 0 for value in values)
            texts = tuple(texts[value] for (_, texts), value in zip(parts, values, strict=True)) if whole else ()
            numbers[column] = self._number(texts) if whole else -1
        return numbers[inverse.reshape(-1)]

    def _number(self, texts: tuple[str, ...]) -> int:
        if texts not in self._known:
            self._known[texts] = len(self._known)
            self.names.append(", ".join(f"{name} {text}" for name, text in zip(self.per, texts, strict=True)))
        return self._known[texts]

    @staticmethod
    def _part(table: EventTable, rows: Rows, name: str) -> tuple[Rows, list[str]]:
        """Codes of one key, and the text of each code."""
        if name == "thread":
            pairs, number = distinct_threads(table.owner_pid[rows], table.owner_tid[rows])
            return number, [f"{pid}/{tid}" for pid, tid in pairs]
        if name in PLACES:
            values, inverse = np.unique(
                (table.owner_pid if name == "process" else table.cpu)[rows], return_inverse=True
            )
            return inverse.reshape(-1), [str(value) for value in values.tolist()]
        return _field(table, rows, name)


def _field(table: EventTable, rows: Rows, name: str) -> tuple[Rows, list[str]]:
    place = np.full(len(table), -1, np.int64)
    place[rows] = np.arange(len(rows))
    codes, known = np.full(len(rows), -1, np.int64), dict[str, int]()
    for index in np.unique(table.kind[rows]).tolist():
        own = next((field for field in _names(table, index) if field.lower() == name.lower()), None)
        if own is None:
            continue
        events = table.kind_events(index)
        if own not in events.fields:
            continue
        at = place[events.rows]
        values, described = events.fields[own][at >= 0], events.schema[own]
        codes[at[at >= 0]] = _codes(values, described, known)
    return codes, list(known)


def _codes(values: NDArray[np.generic], described: Field, known: dict[str, int]) -> Rows:
    """Each value's number, by its text."""
    if values.dtype.kind not in "iufb":
        texts = [value_text(described, value) for value in values.tolist()]
        return np.array([known.setdefault(text, len(known)) for text in texts], np.int64)
    distinct, inverse = np.unique(values, return_inverse=True)
    numbers = [known.setdefault(value_text(described, value), len(known)) for value in distinct.tolist()]
    result: Rows = np.array(numbers, np.int64)[inverse.reshape(-1)]
    return result


def _names(table: EventTable, index: int) -> list[str]:
    schema = table.kinds[index].schema
    return unique_names(schema.fields) if schema else []
