"""Rows in sequence and rows in windows, compared with the plainest way to find them."""

from __future__ import annotations

import random
from itertools import product

import numpy as np
import pytest

from hotswap.errors import UsageError
from hotswap.trace.match import Pattern, first_sequence, inside, rows_of, window_around
from support.swap_trace import good_run

TABLE = good_run().etl().events


def draw(seed: int) -> tuple[list[int], list[int], list[int]]:
    """Three sorted lists of rows; any may be empty, and a row may be in several."""
    chosen = random.Random(seed)
    count = chosen.randint(0, 12)
    first, second, third = ([row for row in range(count) if chosen.random() < 0.4] for _ in range(3))
    return first, second, third


def rows(values: list[int]) -> np.ndarray:
    return np.array(values, np.int64)


@pytest.mark.parametrize("seed", range(200))
def test_rows_inside_are_those_after_a_start_and_before_the_next_end(seed: int) -> None:
    found, starts, ends = draw(seed)
    plain = [
        row for row in found if any(start < row and not any(start < end <= row for end in ends) for start in starts)
    ]
    assert inside(rows(found), rows(starts), rows(ends)).tolist() == plain
    for row in plain:
        start, end = window_around(row, rows(starts), rows(ends))
        assert start == max(at for at in starts if at < row)
        assert end == min((at for at in ends if at > row), default=None)


@pytest.mark.parametrize("seed", range(200))
def test_a_sequence_is_found_whenever_there_is_one_and_each_row_is_used_once(seed: int) -> None:
    steps = list(draw(seed))
    steps.append(steps[0])
    there_is = any(list(rows) == sorted(set(rows)) for rows in product(*steps))
    found = first_sequence([rows(step) for step in steps])
    assert (len(found) == len(steps)) == there_is
    assert found == sorted(set(found))
    assert all(row in step for row, step in zip(found, steps, strict=False))


def test_a_pattern_takes_all_of_its_fields() -> None:
    begins = TABLE.events("IterationBegin")
    wanted = begins.rows[(begins["Worker"] == 2) & (begins["Version"] == 1)]
    assert rows_of(TABLE, Pattern("IterationBegin", {"Worker": 2, "Version": 1})).tolist() == wanted.tolist()
    either = rows_of(TABLE, Pattern("IterationBegin", {"Worker": frozenset({1, 2})}))
    assert set(TABLE.events("IterationBegin")["Worker"][np.isin(begins.rows, either)].tolist()) == {1, 2}
    assert rows_of(TABLE, Pattern("IterationBegin", {"Worker": 1 << 70})).tolist() == []
    assert len(rows_of(TABLE, Pattern("NoSuchEvent", {"Worker": 1}))) == 0
    with pytest.raises(UsageError, match="IterationBegin has no field 'Wroker'; it has: Worker, "):
        rows_of(TABLE, Pattern("IterationBegin", {"Wroker": 1}))


def test_a_pattern_reads_like_prose() -> None:
    assert str(Pattern("SwapEnd")) == "SwapEnd"
    assert str(Pattern("SwapEnd", {"Swap": 2, "Status": frozenset({1, 0})})) == "SwapEnd (Swap=2, Status=0 or 1)"
