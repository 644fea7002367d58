"""Which event ends what which other began: within a key, last in first out, or first in first out. All in columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def match_nested(key: Ints, begins: NDArray[np.bool_]) -> Ints:
    """For each of these events in their order, the position of its partner; -1: it has none.

    An end closes the last begin of its key that is still open, as calls return.
    """
    order, level, closed, group = _levels(key, begins)
    partner = np.full(len(key), -1, np.int64)
    chosen = np.flatnonzero(closed | begins[order])
    # Those of one key and level take turns: begin, end, begin, end.
    turn = chosen[np.lexsort((level[chosen], group[chosen]))]
    first, second = turn[:-1], turn[1:]
    follows = (group[first] == group[second]) & (level[first] == level[second])
    pairs = follows & begins[order[first]] & ~begins[order[second]]
    return _paired(partner, order[first[pairs]], order[second[pairs]])


def match_queued(key: Ints, begins: NDArray[np.bool_]) -> Ints:
    """The same, but an end closes the first begin of its key that is still open, as a queue is served."""
    order, _, closed, group = _levels(key, begins)
    partner = np.full(len(key), -1, np.int64)
    opening, ending = np.flatnonzero(begins[order]), np.flatnonzero(closed)
    # The n-th end that found one open ends the n-th begin of its key.
    number = _numbers(group[ending])
    starts = np.searchsorted(group[opening], group[ending], "left")
    return _paired(partner, order[opening[starts + number]], order[ending])


def _paired(partner: Ints, begin: Ints, end: Ints) -> Ints:
    partner[begin], partner[end] = end, begin
    return partner


def _levels(key: Ints, begins: NDArray[np.bool_]) -> tuple[Ints, Ints, NDArray[np.bool_], Ints]:
    """The events in order of key and position: their order, how deep each begin or end lies, which ends found a begin
    open, and the number of each one's key."""
    order = np.argsort(key, kind="stable").astype(np.int64)
    sorted_key, opens = key[order], begins[order]
    new = np.ones(len(key), np.bool_)
    new[1:] = sorted_key[1:] != sorted_key[:-1]
    group = np.cumsum(new) - 1
    step = np.where(opens, 1, -1)
    total = np.cumsum(step)
    first = np.flatnonzero(new)
    depth = total - (total[first] - step[first])[group]
    # An end with nothing open goes below the lowest depth so far, which is the ground from then on. A step down from
    # key to key makes one running minimum do for all of them.
    shift = group * (2 * len(key) + 2)
    ground = np.minimum.accumulate(np.minimum(depth, 0) - shift) + shift
    before = np.where(new, 0, np.concatenate([ground[:1] * 0, ground[:-1]]))
    closed = ~opens & (ground == before)
    level = depth - ground + np.where(opens, 0, 1)
    return order, level, closed, group


def _numbers(group: Ints) -> Ints:
    """The place of each within its group; `group` is sorted."""
    place = np.arange(len(group), dtype=np.int64)
    new = np.ones(len(group), np.bool_)
    new[1:] = group[1:] != group[:-1]
    return place - np.maximum.accumulate(np.where(new, place, 0))
