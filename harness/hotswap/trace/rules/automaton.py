"""Running a state machine over many keys at once.

The events of all keys stand in one row, key by key. That row is cut into pieces of equal length, which all take a step
at a time, from each state that they could be in; then each piece is told in which state it begins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.rules.order import Ints, Mask

_LANES = 4096


@dataclass(frozen=True)
class Automaton:
    """`table[symbol, state]` is the next state, or `dead`. States count from 0; `dead` is the number of states."""

    table: NDArray[np.int16]
    following: tuple[int, ...]
    """For each state those that any event leads to, as bits; also events that the trace does not have."""

    @property
    def dead(self) -> int:
        """The state of what was not allowed; there is no way back."""
        return int(self.table.shape[1])

    def run(self, symbol: Ints, start: Ints, fresh: Mask) -> Ints:
        """The state before each event, -1 where its key begins; `start` is in what state a key begins, by event.

        What comes after an event that was not allowed is `dead`.
        """
        count = len(symbol)
        if not count:
            return np.zeros(0, np.int64)
        states = self.dead + 1
        full = np.full((self.table.shape[0], states), self.dead, np.int16)
        full[:, : self.dead] = self.table
        width = max(1, min(_LANES, count // 8))
        length = -(-count // width)
        padded = length * width
        flat_symbols = np.zeros(padded, np.int64)
        flat_symbols[:count] = symbol
        flat_begins = np.full(padded, -1, np.int64)
        flat_begins[:count] = np.where(fresh, start, -1)
        # Column i is the piece from i * length on.
        symbols, begins = (one.reshape(width, length).T.copy() for one in (flat_symbols, flat_begins))
        flat = full.reshape(-1)
        reached = np.broadcast_to(np.arange(states), (width, states)).astype(np.int64)
        for step in range(length):
            reset = begins[step]
            begun = np.where(reset[:, None] >= 0, reset[:, None], reached)
            reached = flat[symbols[step][:, None] * states + begun].astype(np.int64)
        entry = np.zeros(width, np.int64)
        for piece in range(1, width):
            entry[piece] = reached[piece - 1, entry[piece - 1]]
        before = np.empty((length, width), np.int64)
        at = entry
        for step in range(length):
            at = np.where(begins[step] >= 0, begins[step], at)
            before[step] = at
            at = flat[symbols[step] * states + at].astype(np.int64)
        return before.T.reshape(-1)[:count]

    def step(self, symbol: Ints, state: Ints) -> Ints:
        """The state after each event."""
        after = self.table[symbol, np.minimum(state, self.dead - 1)].astype(np.int64)
        return np.where(state == self.dead, self.dead, after)

    def closure(self, states: int) -> int:
        """All states that any number of events can lead to from a set of states (as bits), these included."""
        while True:
            more = states
            for state in range(self.dead):
                if states >> state & 1:
                    more |= self.following[state]
            if more == states:
                return states
            states = more

    def after(self, symbol: int, states: int) -> int:
        """Where an event leads to from a set of states; 0: it is allowed in none of them."""
        reached = 0
        for state in range(self.dead):
            if states >> state & 1 and (following := int(self.table[symbol, state])) != self.dead:
                reached |= 1 << following
        return reached


def possible(
    automaton: Automaton, symbol: list[int], cell: list[tuple[int, int]], lost: list[bool], states: int, limit: int
) -> tuple[int | None, int]:
    """Run one key in every order that its ticks allow, over what may be missing.

    `cell` is (tick, CPU) of each event in the order of rows; `lost[i]`: something may be missing before event i.
    Returns the index from which on no order goes, or None, and the states (as bits) that can be reached in the end.
    `limit` is how many orders of one tick are looked at; beyond it anything counts as possible.
    """
    at = 0
    while at < len(symbol):
        tick = cell[at][0]
        end = at
        while end < len(symbol) and cell[end][0] == tick:
            end += 1
        if any(lost[at:end]):
            states = automaton.closure(states)
        chains: dict[int, list[int]] = {}
        for index in range(at, end):
            chains.setdefault(cell[index][1], []).append(symbol[index])
        reached = _interleaved(automaton, list(chains.values()), states, limit)
        if not reached:
            return _first_stuck(automaton, symbol, at, end, states), 0
        states = reached
        at = end
    return None, states


def _interleaved(automaton: Automaton, chains: list[list[int]], states: int, limit: int) -> int:
    """The states after all events of one tick, whose chains (one for each CPU) may lie to each other in any way."""
    level = {(0,) * len(chains): states}
    for _ in range(sum(map(len, chains))):
        following: dict[tuple[int, ...], int] = {}
        for done, reached in level.items():
            for number, chain in enumerate(chains):
                if done[number] < len(chain):
                    after = automaton.after(chain[done[number]], reached)
                    if after:
                        key = (*done[:number], done[number] + 1, *done[number + 1 :])
                        following[key] = following.get(key, 0) | after
        if len(following) > limit:
            return automaton.closure((1 << automaton.dead) - 1)
        level = following
    return next(iter(level.values()), 0)


def _first_stuck(automaton: Automaton, symbol: list[int], at: int, end: int, states: int) -> int:
    """In the order of rows, the event of a tick at which it does not go on."""
    for index in range(at, end):
        states = automaton.after(symbol[index], states)
        if not states:
            return index
    return end - 1
