"""Keys: what belongs together. A field, several fields, `thread`, `process`, `cpu` or `activity`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from hotswap.errors import UsageError
from hotswap.trace.rules.condition import Values
from hotswap.trace.rules.matched import ACTIVITY, Matched
from hotswap.trace.rules.order import Ints

thread = "thread"
process = "process"
cpu = "cpu"
activity = "activity"

Per: TypeAlias = str | Sequence[str]
"""A key as it is given."""
_BUILT_IN = {thread: ("pid", "tid"), process: ("pid",), cpu: ("cpu",), activity: (ACTIVITY,)}
_MOST = 1 << 62


@dataclass(frozen=True, slots=True)
class Key:
    """The parts of a key; none: all events belong together."""

    parts: tuple[str, ...] = ()

    @classmethod
    def of(cls, given: Per | Key | None) -> Key:
        """From what a rule was given."""
        if isinstance(given, Key):
            return given
        if given is None:
            return cls()
        parts = (given,) if isinstance(given, str) or not isinstance(given, Iterable) else tuple(given)
        if not all(isinstance(part, str) and part for part in parts):
            raise UsageError(f"per={given!r}: a key is a field, several fields, or thread, process, cpu, activity")
        return cls(parts)

    def __bool__(self) -> bool:
        return bool(self.parts)

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns that it is made of."""
        return tuple(field for part in self.parts for field in _BUILT_IN.get(part, (part,)))

    @property
    def cpu(self) -> bool:
        """Whether a key is on one CPU only."""
        return cpu in self.parts

    def plus(self, other: Key) -> Key:
        """Both keys together."""
        return Key((*self.parts, *(part for part in other.parts if part not in self.parts)))

    def of_same(self) -> str:
        """` of the same Worker`; empty without a key."""
        if not self.parts:
            return ""
        words = [part if part != cpu else "CPU" for part in self.parts]
        if self.parts == (thread,):
            return " on the same thread"
        return " on the same CPU" if self.parts == (cpu,) else f" of the same {' and '.join(words)}"

    def each(self) -> str:
        """`for each Worker, `; empty without a key."""
        words = ["CPU" if part == cpu else part for part in self.parts]
        return f"for each {' and '.join(words)}, " if words else ""

    def text(self, matched: Matched, event: int) -> str:
        """The key of one event: `Worker 2, Iteration 7`."""
        texts = []
        for part in self.parts:
            if part == thread:
                texts.append(f"thread {matched.text('tid', event)}")
            elif part in (process, cpu):
                named = "process" if part == process else "CPU"
                texts.append(f"{named} {matched.text(_BUILT_IN[part][0], event)}")
            else:
                texts.append(f"{part} {matched.text(part, event)}")
        return ", ".join(texts)


NO_KEY = Key()


def key_codes(key: Key, groups: Sequence[Matched], size: int) -> list[Ints]:
    """For the events of each group a number, equal where keys are, also of different groups.

    Numbers count from 0 and stay below 2^62 / `size`.
    """
    return codes_of([[group[name] for group in groups] for name in key.fields], [len(group) for group in groups], size)


def codes_of(parts: Sequence[Sequence[Values]], lengths: Sequence[int], size: int) -> list[Ints]:
    """As `key_codes`, of the columns themselves: for each part of the key, one column a group."""
    total = sum(lengths)
    code, span = np.zeros(total, np.int64), 1
    for columns in parts:
        values, distinct = _codes([column for column in columns if len(column)], total)
        if span * distinct > _MOST // max(size, 1):
            code, span = _dense(code)
        if span * distinct > _MOST // max(size, 1):
            values, distinct = _dense(values)
        code, span = code * distinct + values, span * distinct
    if span > _MOST // max(size, 1):
        code, _ = _dense(code)
    return np.split(code, np.cumsum(lengths)[:-1])


def _codes(columns: Sequence[Values], total: int) -> tuple[Ints, int]:
    """Numbers from 0 for values, and how many numbers there are at most."""
    if not total:
        return np.zeros(0, np.int64), 1
    kinds = {column.dtype.kind for column in columns}
    if kinds <= {"i", "u", "b"}:
        values = np.concatenate([_signed(column) for column in columns])
        low, high = int(values.min()), int(values.max())
        if high - low < _MOST:
            return values - low, high - low + 1
        return _dense(values)
    if kinds == {"f"}:
        return _dense(np.concatenate(columns))
    if kinds == {"V"}:
        return _encoded([value for column in columns for value in column.tolist()])
    if kinds == {"O"}:
        return _encoded([value for column in columns for value in column.tolist()])
    raise UsageError("a key has numbers in some events and other values in others")


def _signed(column: Values) -> Ints:
    return column.view(np.int64) if column.dtype == np.uint64 else column.astype(np.int64)


def _dense(values: Values) -> tuple[Ints, int]:
    distinct, code = np.unique(values, return_inverse=True)
    return code.reshape(-1).astype(np.int64), max(len(distinct), 1)


def _encoded(values: list[object]) -> tuple[Ints, int]:
    try:
        encoded = pa.array(values).dictionary_encode()
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        seen: dict[str, int] = {}
        return np.array([seen.setdefault(repr(value), len(seen)) for value in values], np.int64), max(len(seen), 1)
    return encoded.indices.fill_null(len(encoded.dictionary)).to_numpy().astype(np.int64), len(encoded.dictionary) + 1
