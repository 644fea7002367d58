"""The columns that a report carries: whatever integers a trace holds come back as they were."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotswap.report.columns import EXACT, encode


def decode(encoding: str, data: bytes, count: int) -> list[int]:
    """As codec.js does it."""
    if encoding == "r":
        return np.frombuffer(data, "<u8").tolist()
    values: list[int] = []
    at = last = 0
    for _ in range(count):
        coded = shift = 0
        while True:
            byte = data[at]
            at += 1
            coded |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        value = coded >> 1 if coded % 2 == 0 else -(coded + 1 >> 1)
        last = last + value if encoding == "d" else value
        values.append(last)
    assert at == len(data)
    return values


@given(st.lists(st.integers(-EXACT + 1, EXACT - 1)))
def test_integers_that_a_number_holds_come_back(values: list[int]) -> None:
    encoding, data = encode(np.array(values, np.int64))
    assert encoding in "dv"
    assert decode(encoding, data, len(values)) == values


@given(st.lists(st.integers(0, (1 << 64) - 1), min_size=1))
def test_unsigned_64_bits_come_back(values: list[int]) -> None:
    encoding, data = encode(np.array(values, np.uint64))
    assert decode(encoding, data, len(values)) == values


@pytest.mark.parametrize("value", [-(1 << 63), (1 << 63) - 1, -EXACT, EXACT])
def test_what_numbers_cannot_hold_is_kept_in_64_bits(value: int) -> None:
    encoding, data = encode(np.array([value, 0], np.int64))
    assert encoding == "r"
    assert decode(encoding, data, 2) == [value % (1 << 64), 0]


def test_times_that_go_on_evenly_take_a_byte_or_two_each() -> None:
    encoding, data = encode(np.arange(10_000, dtype=np.int64) * 50 + 10**12)
    assert encoding == "d"
    assert len(data) < 21_000
