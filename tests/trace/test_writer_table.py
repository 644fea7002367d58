"""Event tables written again: the file gives an equal table, whatever was in the first one and whatever was changed."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.trace.compression import Compression
from hotswap.trace.etl import parse_etl
from hotswap.trace.writer import Row, build_etl, table_batch
from support.equal_tables import again, assert_equal
from support.etl_rows import SESSION, every_header, row_lists


@given(row_lists(timed=True), st.sampled_from([None, *Compression]))
@settings(max_examples=25, deadline=None)
def test_a_table_comes_back_equal(rows: list[Row], compression: Compression | None) -> None:
    session = replace(SESSION, compression=compression)
    first = parse_etl(build_etl(rows, session)).events
    assert_equal(first, again(first, replace(SESSION, buffer_size=4096)))


@given(row_lists(timed=True), st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_changed_columns_are_written(rows: list[Row], chance: random.Random) -> None:
    """Times, processors and threads of what has them; only what the table says, whatever the bytes say."""
    table = parse_etl(build_etl(rows, SESSION)).events
    family = np.array([kind.family for kind in table.kinds], object)[table.kind]
    timed = np.isin(family, ["event", "classic", "kernel"]) & table.recorded
    table = table.take(np.flatnonzero(timed))
    count = len(table)
    tick = table.tick + np.sort([chance.randint(0, 9) for _ in range(count)]).astype(np.int64)
    cpu = np.array([chance.randint(0, 2) for _ in range(count)], np.int64)
    order = np.lexsort((cpu, tick))
    has_thread = table.tid >= 0
    changed = replace(table.take(order), tick=tick[order], cpu=cpu[order], ns=SESSION.clock.nanoseconds(tick[order]),
                      tid=np.where(has_thread, 77, -1)[order], pid=np.where(has_thread, 66, -1)[order])  # fmt: skip
    written = again(changed)
    for name in ("tick", "cpu", "tid", "pid", "size"):
        left, right = getattr(changed, name), getattr(written, name)[written.recorded]
        known = np.ones(count, np.bool_) if name not in ("tid", "pid") else left >= 0
        assert (left[known] == right[known]).all(), name


def test_some_rows_are_left_out() -> None:
    table = parse_etl(build_etl(every_header(1000), SESSION)).events
    batch = table_batch(table, np.arange(3, 9))
    assert len(batch) == 6
    assert len(table_batch(table, np.arange(0, 3))) == 2, "the file's header event is none to write"


def test_events_of_a_cut_file_are_written_too() -> None:
    """The last event of such a file may not be padded, and behind damage events may lie at any byte."""
    data = build_etl(every_header(1000), SESSION)
    for length in range(2048 + 100, 2048 + 700, 37):
        table = parse_etl(data[:length]).events
        assert_equal(table, again(table))
    compressed = bytearray(
        build_etl([*every_header(1000), *every_header(2000, 1)], replace(SESSION, compression=Compression.XPRESS))
    )
    table = parse_etl(bytes(compressed[:-9])).events
    assert_equal(table, again(table))
