"""Pairs of begin and end, against a stack and a queue for each key."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hotswap.trace.pairs import match_nested, match_queued

EVENTS = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), max_size=60)


def naive(events: list[tuple[int, bool]], take: int) -> list[int]:
    """`take` -1: the last that is open; 0: the first."""
    opened, partner = defaultdict[int, list[int]](list), [-1] * len(events)
    for at, (key, begins) in enumerate(events):
        if begins:
            opened[key].append(at)
        elif opened[key]:
            begin = opened[key].pop(take)
            partner[begin], partner[at] = at, begin
    return partner


@given(EVENTS)
def test_ends_close_the_last_begin_of_their_key(events: list[tuple[int, bool]]) -> None:
    key = np.array([key for key, _ in events], np.int64)
    begins = np.array([begins for _, begins in events], np.bool_)
    assert match_nested(key, begins).tolist() == naive(events, -1)


@given(EVENTS)
def test_ends_serve_the_first_begin_of_their_key(events: list[tuple[int, bool]]) -> None:
    key = np.array([key for key, _ in events], np.int64)
    begins = np.array([begins for _, begins in events], np.bool_)
    assert match_queued(key, begins).tolist() == naive(events, 0)


def test_begins_and_ends_of_a_million_events_are_matched_as_they_nest() -> None:
    depth = np.tile([True, True, False, False], 250_000)
    partner = match_nested(np.zeros(1_000_000, np.int64), depth)
    assert partner[:8].tolist() == [3, 2, 1, 0, 7, 6, 5, 4]
    assert (partner[partner] == np.arange(1_000_000)).all()
