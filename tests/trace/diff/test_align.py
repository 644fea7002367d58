"""The alignment of two sequences: it is right, short, and ends in time."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotswap.trace.diff.align import Block, _edits, align

TOKENS = st.lists(st.integers(0, 5), max_size=40)


def edits(blocks: list[Block]) -> int:
    return sum(block.a1 - block.a0 + block.b1 - block.b0 for block in blocks)


def check(a: list[int], b: list[int]) -> list[Block]:
    """What lies between the blocks is equal, and they are in order and not empty."""
    blocks = align(np.array(a, np.int64), np.array(b, np.int64))
    at_a = at_b = 0
    for block in blocks:
        assert a[at_a : block.a0] == b[at_b : block.b0]
        assert block.a1 - block.a0 + block.b1 - block.b0 > 0
        at_a, at_b = block.a1, block.b1
    assert a[at_a:] == b[at_b:]
    return blocks


def fewest(a: list[int], b: list[int]) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], before if x == y else min(row[j], row[j - 1]) + 1
    return row[-1]


@given(TOKENS, TOKENS)
def test_what_lies_between_the_blocks_is_equal(a: list[int], b: list[int]) -> None:
    check(a, b)


@given(TOKENS, TOKENS)
def test_where_nothing_is_unique_the_edits_are_the_fewest(a: list[int], b: list[int]) -> None:
    arrays = np.array(a, np.int64), np.array(b, np.int64)
    assert edits(_edits(*arrays, Block(0, len(a), 0, len(b)))) == fewest(a, b)


@pytest.mark.parametrize("mutation", ["drop", "insert", "change", "swap"])
def test_one_change_in_a_million_tokens_is_found_as_such(mutation: str) -> None:
    draw = random.Random(3)
    # Half of them are unique, the rest as repetitive as an idle loop.
    a = np.array([i if i % 2 else draw.randint(-5, -1) for i in range(1_000_000)], np.int64)
    at = 654_321
    b = {
        "drop": np.delete(a, at),
        "insert": np.insert(a, at, -99),
        "change": np.where(np.arange(len(a)) == at, -99, a),
        "swap": np.concatenate([a[:at], a[at : at + 2][::-1], a[at + 2 :]]),
    }[mutation]
    blocks = align(a, b)
    assert edits(blocks) == {"drop": 1, "insert": 1, "change": 2, "swap": 2}[mutation]
    assert all(abs(block.a0 - at) <= 2 for block in blocks)


def test_many_changes_far_apart_are_found_one_by_one() -> None:
    a = np.arange(200_000, dtype=np.int64) // 2
    places = np.arange(100, 200_000, 1000)
    blocks = align(a, np.delete(a, places))
    # Of two equal tokens it cannot be told which one is gone.
    assert [(block.a0 // 2, block.a1 - block.a0, block.b1 - block.b0) for block in blocks] == [
        (at // 2, 1, 0) for at in places.tolist()
    ]


def test_sequences_with_nothing_in_common_are_one_block() -> None:
    a, b = np.zeros(300_000, np.int64), np.ones(200_000, np.int64)
    assert align(a, b) == [Block(0, 300_000, 0, 200_000)]


def test_stretches_that_differ_too_much_end_in_time() -> None:
    draw = np.random.default_rng(5)
    a, b = draw.integers(0, 3, 50_000), draw.integers(0, 3, 50_000)
    check(a.tolist(), b.tolist())
