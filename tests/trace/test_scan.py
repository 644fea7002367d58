"""Scanning buffers in C and in numpy: equal to the bit, on whole, cut and damaged ones, and on any bytes."""

from __future__ import annotations

import random
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.trace import native, scan_numpy
from hotswap.trace.clock import SessionClock
from hotswap.trace.heads import SAMPLES, Keep, Scanned
from hotswap.trace.kind_keys import EventKey, kind_of, teaches
from hotswap.trace.native.scan import NativeScanner
from hotswap.trace.scan import ALWAYS, Buffers, ordered_columns
from hotswap.trace.scan_numpy import NumpyScanner
from support.raw_events import event, item, message, perfinfo
from support.raw_streams import any_events, streams

ITEM_SCHEMA, ITEM_TRAITS = 11, 12


@pytest.fixture(scope="module")
def library() -> native.Kernel:
    loaded, why_not = native._load()
    assert loaded is not None, why_not
    return loaded


def image(buffers: list[bytes], gap: int = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The buffers one after the other with something between, and where they begin and end."""
    data, begin, end = bytearray(b"\xaa" * gap), [], []
    for content in buffers:
        data += bytes(-len(data) % 8) if gap % 8 == 0 else b""
        begin.append(len(data))
        data += content
        end.append(len(data))
        data += b"\x55" * gap
    return np.frombuffer(bytes(data), np.uint8), np.array(begin, np.int64), np.array(end, np.int64)


def both(
    library: native.Kernel, buffers: list[bytes], keep: Keep = Keep.ALL, gap: int = 8, **sizes: int
) -> tuple[Scanned, NativeScanner]:
    raw, begin, end = image(buffers, gap)
    mine, twin = NativeScanner(library.scans, **sizes), NumpyScanner()
    for counting in (True, True, False):
        kept = keep if counting else Keep.ALL
        found = mine.scan(raw, begin, end, fallback=7, keep=kept, counting=counting)
        other = twin.scan(raw, begin, end, fallback=7, keep=kept, counting=counting)
        for name in found.facts.dtype.names or ():
            assert found.facts[name].tolist() == other.facts[name].tolist(), name
        for name in found.heads.dtype.names or ():
            assert found.heads[name].tolist() == other.heads[name].tolist(), name
    assert list(mine.keys) == list(twin.keys)
    assert mine.counts.tolist() == twin.counts.tolist()
    assert mine.empty.tolist() == twin.empty.tolist()
    assert mine.firsts.tolist() == twin.firsts.tolist()
    return found, mine


@given(buffers=st.lists(streams(), max_size=5), keep=st.sampled_from(Keep), gap=st.sampled_from([8, 8, 3]))
@settings(max_examples=300, deadline=None)
def test_scans_are_equal(library: native.Kernel, buffers: list[bytes], keep: Keep, gap: int) -> None:
    both(library, buffers, keep, gap)


@given(buffers=st.lists(streams(), min_size=1, max_size=3), seed=st.integers(0, 2**32), cut=st.integers(0, 200))
@settings(max_examples=300, deadline=None)
def test_scans_of_damaged_buffers_are_equal(library: native.Kernel, buffers: list[bytes], seed: int, cut: int) -> None:
    chance, damaged = random.Random(seed), []
    for content in buffers:
        changed = bytearray(content)
        for _ in range(chance.randint(0, 4) if changed else 0):
            changed[chance.randrange(len(changed))] = chance.choice([0, 1, 0xC0, 0x90, 0xFF, chance.randrange(256)])
        damaged.append(bytes(changed))
    damaged[-1] = damaged[-1][: max(len(damaged[-1]) - cut, 0)]
    both(library, damaged)


@given(buffers=st.lists(st.binary(max_size=400), max_size=3))
@settings(max_examples=200, deadline=None)
def test_scans_of_any_bytes_are_equal(library: native.Kernel, buffers: list[bytes]) -> None:
    both(library, buffers)


def schema_event(tick: int, name: bytes, traits: bytes = b"provider\0") -> bytes:
    """An event with both items of TraceLogging; what they hold is only compared here."""
    items = item(ITEM_TRAITS, traits, last=False) + item(ITEM_SCHEMA, name)
    return event(tick, GUID, 0, b"payload", items=items)


GUID = UUID("22fb2cd6-0e7b-422b-a0c7-2fad1fd0e716")


def test_kinds_differ_in_every_part_of_their_key(library: native.Kernel) -> None:
    events = [
        schema_event(1, b"schema of twenty bytes"),
        schema_event(2, b"schema of twenty bytes"),
        schema_event(3, b"schema of twenty bytez"),
        schema_event(4, b"schema of twenty byte"),
        schema_event(5, b"schema of twenty bytes", b"another\0\0"),
        schema_event(6, b"ending here", b"provider\0"),
    ]
    found, scanner = both(library, [b"".join(each + bytes(-len(each) % 8) for each in events)])
    assert found.heads["kind"].tolist() == [0, 0, 1, 2, 3, 4]
    assert scanner.counts.tolist() == [4, 2, 2, 2, 2]


@pytest.mark.parametrize("count", [100, 3000])
def test_many_kinds_are_numbered_whatever_room_there_was(library: native.Kernel, count: int) -> None:
    """The tables of the native scanner grow in the middle of a buffer."""
    events = [schema_event(i, b"%08d" % (i * 7919 % count) * 3) for i in range(2 * count)]
    content = [b"".join(each + bytes(-len(each) % 8) for each in events[i::2]) for i in range(2)]
    _, scanner = both(library, content, kinds=4, key_bytes=64)
    assert len(scanner.keys) == count


def test_events_with_one_hash_are_told_apart(library: native.Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_numpy, "_FACTORS", np.zeros(512, np.uint64))
    events = [schema_event(i, b"%02d" % (i % 9)) for i in range(40)]
    _, scanner = both(library, [b"".join(each + bytes(-len(each) % 8) for each in events)])
    assert len(scanner.keys) == 9


def test_samples_are_the_first_of_every_kind_and_all_that_teach(library: native.Kernel) -> None:
    teacher = event(5, GUID, 0xFFFE, b"manifest", opcode=0xFE)
    events = [perfinfo(i, 0x0F2E) for i in range(20)] + [teacher] * 12
    content = b"".join(each + bytes(-len(each) % 8) for each in events)
    raw, begin, end = image([content])
    for scanner in (NativeScanner(library.scans), NumpyScanner()):
        found = scanner.scan(raw, begin, end, fallback=0, keep=Keep.SAMPLES)
        assert found.heads["kind"].tolist() == [0] * SAMPLES + [1] * 12
        again = scanner.scan(raw, begin, end, fallback=0, keep=Keep.SAMPLES)
        assert again.heads["kind"].tolist() == [1] * 12
        assert [teaches(key) for key in scanner.keys] == [False, True]


@given(st.lists(any_events(), max_size=12))
@settings(max_examples=200, deadline=None)
def test_every_key_is_of_a_kind(events: list[bytes]) -> None:
    raw, begin, end = image([b"".join(each + bytes(-len(each) % 8) for each in events)])
    scanner = NumpyScanner()
    scanner.scan(raw, begin, end, fallback=0, keep=Keep.NONE)
    for key in scanner.keys:
        kind, _ = kind_of(EventKey.of(key))
        assert kind.name


def columns(
    monkeypatch: pytest.MonkeyPatch, choice: str, scanned: Scanned, cpus: list[int], ranks: list[int],
    window: tuple[int, int], clock: SessionClock,
) -> dict[str, list[int]]:  # fmt: skip
    monkeypatch.setenv(native.CHOICE, choice)
    buffers = Buffers(np.array(cpus, np.int64), np.array(ranks, np.int64), scanned.facts)
    found = ordered_columns(scanned.heads, buffers, clock, window)
    assert {name: str(column.dtype) for name, column in found.items()}["tick"] == "int64"
    return {name: [str(column.dtype), *column.tolist()] for name, column in found.items()}


@given(
    ticks=st.lists(st.lists(st.integers(0, 30), max_size=12), max_size=6),
    sort=st.booleans(),
    seed=st.integers(0, 2**32),
    low=st.integers(0, 30),
    frequency=st.sampled_from([10_000_000, 3, 2_109_960, 1_000_000_000]),
)
@settings(max_examples=300, deadline=None)
def test_the_order_is_that_of_tick_processor_rank_and_place(
    library: native.Kernel, ticks: list[list[int]], sort: bool, seed: int, low: int, frequency: int
) -> None:
    """As a sort of the whole says it, whether time runs backwards somewhere or not; and so for any window of it."""
    chance, count = random.Random(seed), len(ticks)
    cpus, ranks = [chance.randrange(3) for _ in range(count)], chance.sample(range(count), count)
    if sort:
        # Time that runs forward on every processor.
        for cpu in range(3):
            mine = sorted((index for index in range(count) if cpus[index] == cpu), key=lambda index: ranks[index])
            every = iter(sorted(tick for index in mine for tick in ticks[index]))
            for index in mine:
                ticks[index] = [next(every) for _ in ticks[index]]
    contents = [[perfinfo(tick, 1 + tick % 2, bytes(8)) for tick in each] for each in ticks]
    raw, begin, end = image([b"".join(each) for each in contents])
    scanned = NativeScanner(library.scans).scan(raw, begin, end, fallback=0, keep=Keep.ALL)
    heads, clock = scanned.heads, SessionClock(frequency, 5, 1000)
    keys = [(int(head["tick"]), cpus[head["buffer"]], ranks[head["buffer"]], int(head["offset"])) for head in heads]
    for window in (ALWAYS, (low, low + 5)):
        wanted = [key[3] for key in sorted(keys) if window[0] <= key[0] <= window[1]]
        with pytest.MonkeyPatch.context() as patch:
            found = [columns(patch, choice, scanned, cpus, ranks, window, clock) for choice in ("native", "python")]
        assert found[0] == found[1]
        assert found[0]["offset"][1:] == wanted


def test_extreme_ticks_are_ordered_and_scaled_alike(library: native.Kernel) -> None:
    edge = [-(2**63), -1, 0, 2**62, 2**63 - 1]
    raw, begin, end = image([b"".join(message(1, 8, tick.to_bytes(8, "little", signed=True)) for tick in edge)])
    scanned = NativeScanner(library.scans).scan(raw, begin, end, fallback=0, keep=Keep.ALL)
    for frequency in (10_000_000, 3, 8_999_999_999):
        clock = SessionClock(frequency, -5, 2**63)
        with pytest.MonkeyPatch.context() as patch:
            found = [columns(patch, choice, scanned, [0], [0], ALWAYS, clock) for choice in ("native", "python")]
        assert found[0] == found[1]
        assert found[0]["tick"][1:] == edge
