"""What the time stamps say about order, and looking for neighbours by key.

Two events are in order when their ticks differ, or when both were written on one CPU. At equal ticks on different CPUs
neither was first: nothing fails by an order that the clock does not show.
"""

from __future__ import annotations

from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]
BEGINNING = int(np.iinfo(np.int64).min)
END_OF_TIME = int(np.iinfo(np.int64).max)


class Order:
    """Of the rows of one table, which are sorted by tick, then CPU, then place in the file.

    `tick_start`, `tick_end`: for each row the rows of its tick. `cell_start`, `cell_end`: those also of its CPU.
    """

    def __init__(self, tick: Ints, cpu: Ints) -> None:
        self.tick = tick
        self.cpu = cpu
        same = tick[1:] == tick[:-1]
        self._same_tick = same
        self._same_cell = same & (cpu[1:] == cpu[:-1])
        self.tied = bool((same & ~self._same_cell).any())
        """Whether there are equal ticks on different CPUs at all."""

    def __len__(self) -> int:
        return len(self.tick)

    @cached_property
    def _ticks(self) -> tuple[Ints, Ints]:
        return _runs(self._same_tick, len(self))

    @cached_property
    def _cells(self) -> tuple[Ints, Ints]:
        return _runs(self._same_cell, len(self))

    @property
    def tick_start(self) -> Ints:
        """The first row of the tick."""
        return self._ticks[0]

    @property
    def tick_end(self) -> Ints:
        """Behind the last row of the tick."""
        return self._ticks[1]

    @property
    def cell_start(self) -> Ints:
        """The first row of the tick and CPU."""
        return self._cells[0]

    @property
    def cell_end(self) -> Ints:
        """Behind the last row of the tick and CPU."""
        return self._cells[1]

    def before(self, one: Ints, other: Ints) -> Mask:
        """Whether rows surely come before others, pair by pair."""
        earlier = self.tick[one] < self.tick[other]
        if not self.tied:
            return np.asarray(earlier | ((self.tick[one] == self.tick[other]) & (one < other)), np.bool_)
        same = (self.tick[one] == self.tick[other]) & (self.cpu[one] == self.cpu[other]) & (one < other)
        return np.asarray(earlier | same, np.bool_)


def distinct(values: Ints) -> Ints:
    """Each value once, in order. On long arrays numpy's own is many times slower: it hashes."""
    ordered = np.sort(values)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


def _runs(same: Mask, count: int) -> tuple[Ints, Ints]:
    """For each row, where the run of equal rows that it is in begins and ends."""
    starts = np.flatnonzero(np.append(True, ~same)) if count else np.zeros(0, np.int64)
    run = np.cumsum(np.append(0, ~same)) if count else np.zeros(0, np.int64)
    return starts[run], np.append(starts[1:], count)[run]


class Lanes:
    """Events by key, and in each key by row. Positions are places in that order, `events[position]` the event's index.

    Keys are numbers from 0, so small that key and row fit into one of 64 bits.
    """

    def __init__(self, key: Ints, rows: Ints, order: Order) -> None:
        self._order = order
        self._size = len(order) + 1
        self.events: Ints = np.arange(len(rows)) if _sorted(key) else _stable(key)
        self.key = key[self.events]
        self.row = rows[self.events]
        self._place = self.key * self._size + self.row

    def __len__(self) -> int:
        return len(self.row)

    def at(self, key: Ints, row: Ints) -> Ints:
        """The first position of each key that has this row or a later one; maybe one of another key."""
        return np.searchsorted(self._place, key * self._size + row)

    def has(self, position: Ints, key: Ints) -> Mask:
        """Whether there is an event of this key at each position."""
        inside = (position >= 0) & (position < len(self))
        if not len(self):
            return inside
        return np.asarray(inside & (self.key[np.clip(position, 0, len(self) - 1)] == key), np.bool_)

    def first_after(self, key: Ints, row: Ints) -> Ints:
        """The first event of each key that may have come after a row; -1: there is none. As a position."""
        after = self.at(key, row + 1)
        found = np.where(self.has(after, key), after, -1)
        if self._order.tied and len(row):
            early = self.at(key, self._order.tick_start[row])
            among = self.has(early, key) & (self._rows(early) < self._order.cell_start[row])
            found = np.where(among, early, found)
        return found

    def last_before(self, key: Ints, row: Ints) -> Ints:
        """The last event of each key that may have come before a row; -1: there is none. As a position."""
        before = self.at(key, row) - 1
        found = np.where(self.has(before, key), before, -1)
        if self._order.tied and len(row):
            late = self.at(key, self._order.tick_end[row]) - 1
            among = self.has(late, key) & (self._rows(late) >= self._order.cell_end[row])
            found = np.where(among, late, found)
        return found

    def next_of_key(self) -> Ints:
        """For each position, the next one, or -1 where its key ends."""
        following = np.arange(1, len(self) + 1)
        if len(self):
            following[np.append(self.key[1:] != self.key[:-1], True)] = -1
        return following

    @cached_property
    def first_of_key(self) -> Mask:
        """For each position, whether its key begins there."""
        return np.append(True, self.key[1:] != self.key[:-1]) if len(self) else np.zeros(0, np.bool_)

    @cached_property
    def starts(self) -> Ints:
        """The positions at which keys begin."""
        return np.flatnonzero(self.first_of_key)

    @cached_property
    def ends(self) -> Ints:
        """Behind the last position of each key."""
        return np.append(self.starts[1:], len(self)) if len(self) else np.zeros(0, np.int64)

    def _rows(self, position: Ints) -> Ints:
        return self.row[np.clip(position, 0, len(self) - 1)] if len(self) else np.full(len(position), -1)


def _sorted(key: Ints) -> bool:
    return bool((key[1:] >= key[:-1]).all())


def _stable(key: Ints) -> Ints:
    """Positions by key, those of one key in their order. Short keys are sorted by radix."""
    if len(key) and int(key.max()) < 1 << 16 and int(key.min()) >= 0:
        return np.argsort(key.astype(np.uint16), kind="stable")
    return np.argsort(key, kind="stable")
