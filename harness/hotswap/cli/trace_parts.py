"""Which of the chosen events are shown: the first, or the last, of a trace that may be larger than memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from hotswap.trace.select import Rows
    from hotswap.trace.source import ChosenEvents
    from hotswap.trace.table import EventTable


@dataclass
class Rest:
    """How many events there are besides those that are shown; None: more, and nobody counted them."""

    count: int | None = 0


Part: TypeAlias = "tuple[int, EventTable, Rows]"
"""A table with the number of its first row in the whole trace, and the rows of it that are shown."""


def parts_of(source: ChosenEvents, head: int, tail: int | None) -> tuple[Iterable[Part], Rest]:
    """What is shown, table by table with the number of its first row, and what is not: known when all were taken."""
    from hotswap.trace.source import is_large

    rest = Rest()
    if tail is None and is_large(source.etl):
        return _First(source, head or None, rest), rest
    parts = list(source.numbered()) if tail is None else _last(source, tail, rest)
    if tail is None and head:
        ((first, table, rows),) = parts
        rest.count = max(0, len(rows) - head)
        parts = [(first, table, rows[:head])]
    return parts, rest


@dataclass(frozen=True)
class _First:
    """The first events of a large file, of which no more is read than is needed; again with each iteration."""

    source: ChosenEvents
    most: int | None
    rest: Rest

    def __iter__(self) -> Iterator[Part]:
        left = self.most
        for first, table, rows in self.source.numbered():
            if left is not None and len(rows) > left:
                self.rest.count = None
                yield first, table, rows[:left]
                return
            left = None if left is None else left - len(rows)
            yield first, table, rows


def _last(source: ChosenEvents, most: int, rest: Rest) -> list[Part]:
    parts: deque[Part] = deque()
    held = total = 0
    for first, table, rows in source.numbered():
        total += len(rows)
        parts.append((first, table, rows[max(0, len(rows) - most) :]))
        held += len(parts[-1][2])
        while parts and held - len(parts[0][2]) >= most:
            held -= len(parts.popleft()[2])
    if held > most:
        first, table, rows = parts[0]
        parts[0] = (first, table, rows[held - most :])
    rest.count = total - min(held, most)
    return list(parts)
