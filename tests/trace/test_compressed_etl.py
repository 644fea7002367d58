"""Compressed files that the writer made: exact values back, and damage that costs only the buffer it is in."""

from __future__ import annotations

import dataclasses
import random
import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hotswap.errors import UsageError
from hotswap.trace import compressed as reading
from hotswap.trace.compression import Compression, compress
from hotswap.trace.etl import EtlFile, parse_etl
from hotswap.trace.framing import BUFFER_HEADER_SIZE, BufferFlag
from hotswap.trace.schema import EventSchema, Field, InType
from hotswap.trace.tracelogging import Provider
from hotswap.trace.writer import EventRow, Session, build_etl, write_etl
from support.dissect_multiset import dissect_multiset, our_multiset

PROVIDER = Provider.named("HotSwap.Tests")
NUMBER = EventSchema("Number", (Field("Value", InType.UINT64), Field("Text", InType.COUNTEDSTRING)))
PLAIN = Session(buffer_size=2048, processors=2)
SESSIONS = {kind: dataclasses.replace(PLAIN, compression=kind) for kind in Compression}
every = pytest.mark.parametrize("kind", list(Compression))


def rows(count: int) -> list[EventRow]:
    chance = random.Random(count)
    return [
        EventRow(1000 + i, i % 2, 7, 8, PROVIDER, NUMBER, {"Value": i, "Text": f"{chance.getrandbits(50):x}"})
        for i in range(count)
    ]


WHOLE_DATA = {kind: build_etl(rows(150), session) for kind, session in SESSIONS.items()}
WHOLE = {kind: parse_etl(data) for kind, data in WHOLE_DATA.items()}


def codes(etl: EtlFile) -> set[str]:
    return {problem.code for problem in etl.problems}


def values(etl: EtlFile) -> list[int]:
    events = etl.events.events("Number")
    return [int(value) for value in events["Value"]] if len(events) else []


def content(etl: EtlFile) -> dict[int, list[bytes]]:
    """The events of every buffer, by the buffer's offset in the file."""
    found: dict[int, list[bytes]] = {int(offset): [] for offset in etl.buffers["offset"]}
    at = etl.buffers["offset"][etl.frames.buffer].tolist()
    for buffer, offset, size in zip(at, etl.frames.offset.tolist(), etl.frames.size.tolist(), strict=True):
        found[buffer].append(etl.events.data[offset : offset + size])
    return found


def touched(kind: Compression, first: int, last: int) -> set[int]:
    """Offsets of the buffers that have a byte in first...last."""
    starts = WHOLE[kind].buffers["offset"].tolist()
    ends = [*starts[1:], len(WHOLE_DATA[kind])]
    return {start for start, end in zip(starts, ends, strict=True) if start <= last and first < end}


def assert_others_are_whole(kind: Compression, etl: EtlFile, damaged: set[int]) -> None:
    now = content(etl)
    for offset, events in content(WHOLE[kind]).items():
        if offset not in damaged:
            assert now.get(offset) == events, f"the buffer at {offset}, with damage in {damaged}"


@every
def test_what_is_written_is_read(kind: Compression) -> None:
    etl = WHOLE[kind]
    assert values(etl) == list(range(150))
    assert etl.problems == ()
    assert etl.closed
    assert not etl.loss.any
    assert len(etl.buffers) > 6
    assert etl.buffers["inflated"].tolist() == [False] + [True] * (len(etl.buffers) - 1)
    assert len(WHOLE_DATA[kind]) < len(build_etl(rows(150), PLAIN))


@every
def test_the_rest_of_the_session_is_as_in_a_plain_file(kind: Compression) -> None:
    """Header, buffers, loss and order do not depend on the compression."""
    session = dataclasses.replace(PLAIN, events_lost=3, lost_flag=BufferFlag.BUFFER_LOST, gap_before=2, closed=False)
    plain = parse_etl(build_etl(rows(150), session))
    etl = parse_etl(build_etl(rows(150), dataclasses.replace(session, compression=kind)))
    assert etl.loss == plain.loss
    assert (etl.ticks == plain.ticks).all()
    assert (etl.buffers["sequence"] == plain.buffers["sequence"]).all()
    assert etl.file_order_inversions == plain.file_order_inversions
    assert codes(etl) == codes(plain) == {"unclosed"}


def test_dissect_reads_the_same_events(tmp_path: Path) -> None:
    path = tmp_path / "trace.etl"
    write_etl(path, rows(300), SESSIONS[Compression.XPRESS])
    ours = our_multiset(path)
    assert sum(ours.values()) == 300
    assert ours == dissect_multiset(path)


def test_an_empty_compressed_trace_is_whole() -> None:
    etl = parse_etl(build_etl([], SESSIONS[Compression.XPRESS]))
    assert (etl.recorded, etl.problems) == (0, ())


@every
def test_a_preallocated_tail_is_no_problem(kind: Compression) -> None:
    etl = parse_etl(WHOLE_DATA[kind] + bytes(5000))
    assert values(etl) == list(range(150))
    assert etl.problems == ()


@every
def test_a_buffer_that_did_not_shrink_may_be_plain(kind: Compression) -> None:
    data, etl = WHOLE_DATA[kind], WHOLE[kind]
    start, end = etl.buffers["offset"][2:4].tolist()
    place = int(etl.buffers["place"][2])
    filled = int(etl.buffers["filled"][2])
    head = bytearray(data[start : start + BUFFER_HEADER_SIZE])
    struct.pack_into("<I", head, 0, filled)
    head[0x34] &= ~BufferFlag.COMPRESSED
    plain = bytes(head) + etl.events.data[place + BUFFER_HEADER_SIZE : place + filled]
    again = parse_etl(data[:start] + plain + data[end:])
    assert values(again) == list(range(150))
    assert again.problems == ()


@every
@given(cut=st.integers(1, 20_000))
@example(cut=92)
@settings(max_examples=80, deadline=None)
def test_a_cut_file_keeps_every_whole_buffer(kind: Compression, cut: int) -> None:
    whole = WHOLE_DATA[kind]
    length = max(len(whole) - cut, 1024)
    etl = parse_etl(whole[:length])
    assert not etl.closed
    last = touched(kind, length, len(whole))
    assert_others_are_whole(kind, etl, last)
    # Of the buffer that is cut, what was inflated until then.
    now, before = content(etl), content(WHOLE[kind])
    for offset in last & set(now):
        assert now[offset] == before[offset][: len(now[offset])]


@every
@given(at=st.integers(0, 2**30), damage=st.binary(min_size=1, max_size=12))
@settings(max_examples=200, deadline=None)
def test_damage_costs_only_its_buffer(kind: Compression, at: int, damage: bytes) -> None:
    first = int(WHOLE[kind].buffers["offset"][1])
    data = bytearray(WHOLE_DATA[kind])
    at = first + at % (len(data) - first - len(damage))
    data[at : at + len(damage)] = damage
    etl = parse_etl(bytes(data))
    hit = touched(kind, at, at + len(damage) - 1)
    assert_others_are_whole(kind, etl, hit)
    # What is missing is told. (Bytes of an event can be others, which nothing tells.)
    if len(etl.frames) < len(WHOLE[kind].frames):
        assert codes(etl) & {"bad-buffer", "bad-event", "cut"}
    etl.events.to_arrow()


@every
@pytest.mark.parametrize("count", [1, 2, 3])
def test_overwritten_headers_cost_only_their_buffers(kind: Compression, count: int) -> None:
    """Also when a buffer between two of them is whole."""
    starts = WHOLE[kind].buffers["offset"].tolist()
    for fill in (b"\0", b"\xff", b"\x5a"):
        data, hit = bytearray(WHOLE_DATA[kind]), set(starts[2 : 2 + 2 * count : 2])
        for start in hit:
            data[start : start + BUFFER_HEADER_SIZE] = fill * BUFFER_HEADER_SIZE
        etl = parse_etl(bytes(data))
        assert_others_are_whole(kind, etl, hit)
        assert sum("no buffer header" in problem.message for problem in etl.problems) == count
        assert etl.loss.missing_sequence_numbers == count


@every
@pytest.mark.parametrize("change", [-200, -1, 1, 100, 700, 10**6, 2**31])
def test_a_wrong_size_costs_at_most_its_buffer(kind: Compression, change: int) -> None:
    start, after = WHOLE[kind].buffers["offset"][3:5].tolist()
    data = bytearray(WHOLE_DATA[kind])
    struct.pack_into("<I", data, start, after - start + change)
    etl = parse_etl(bytes(data))
    assert_others_are_whole(kind, etl, {start})
    assert "bad-buffer" in codes(etl)
    if 0 < change < reading._MOST_INFLATED:
        assert_others_are_whole(kind, etl, set())  # the next header tells where it ends


@every
@pytest.mark.parametrize("change", [-800, -144, -8, 8, 1000, 10**6, 2**31])
def test_a_wrong_fill_level_is_noticed(kind: Compression, change: int) -> None:
    start = int(WHOLE[kind].buffers["offset"][3])
    data = bytearray(WHOLE_DATA[kind])
    filled = int(WHOLE[kind].buffers["filled"][3])
    struct.pack_into("<I", data, start + 0x30, filled + change)
    etl = parse_etl(bytes(data))
    assert_others_are_whole(kind, etl, {start})
    assert "bad-buffer" in codes(etl)
    if 0 < change < reading._MOST_INFLATED - filled and kind is not Compression.XPRESS_HUFFMAN:
        assert_others_are_whole(kind, etl, set())


@every
def test_a_buffer_that_lost_its_flag_is_noticed(kind: Compression) -> None:
    """Its compressed bytes are then taken for events, or for what follows them."""
    start = int(WHOLE[kind].buffers["offset"][3])
    for filled in (int(WHOLE[kind].buffers["filled"][3]), BUFFER_HEADER_SIZE + 4):
        data = bytearray(WHOLE_DATA[kind])
        struct.pack_into("<IH", data, start + 0x30, filled, BufferFlag.PROC_INDEX)
        etl = parse_etl(bytes(data))
        assert_others_are_whole(kind, etl, {start})
        assert codes(etl) & {"bad-buffer", "bad-event"}


def test_a_broken_stream_keeps_what_is_before_it() -> None:
    etl = WHOLE[Compression.XPRESS]
    start, end = etl.buffers["offset"][3:5].tolist()
    data = bytearray(WHOLE_DATA[Compression.XPRESS])
    data[(start + end) // 2 : end] = b"\xff" * (end - (start + end) // 2)
    cut = parse_etl(bytes(data))
    kept, all_of_it = content(cut)[start], content(etl)[start]
    assert 0 < len(kept) < len(all_of_it)
    assert kept == all_of_it[: len(kept)]
    (problem,) = cut.problems
    assert problem.code == "bad-buffer"
    assert start < problem.offset < end
    assert "bytes are inflated" in problem.message


@every
def test_an_unknown_compression_is_found_out(kind: Compression) -> None:
    data = bytearray(WHOLE_DATA[kind])
    struct.pack_into("<H", data, 0x2C, 0)
    etl = parse_etl(bytes(data))
    assert values(etl) == list(range(150))
    assert [problem.code for problem in etl.problems] == ["compression"]
    assert f"{kind.name} is assumed" in etl.problems[0].message


def test_compressed_buffers_of_a_file_that_does_not_say_so_are_read() -> None:
    data = bytearray(WHOLE_DATA[Compression.XPRESS])
    mode_at = BUFFER_HEADER_SIZE + 32 + 0x20
    struct.pack_into("<I", data, mode_at, 1)
    assert values(parse_etl(bytes(data))) == list(range(150))


def test_what_all_buffers_inflate_to_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few bytes can claim to be 16 MiB, as often as there is room for a header."""
    monkeypatch.setattr(reading, "_IMAGE_FLOOR", 1 << 20)
    data = bytearray(WHOLE_DATA[Compression.XPRESS])
    claim = 300_000
    stream = compress(Compression.XPRESS, bytes(claim))
    head = bytearray(data[int(WHOLE[Compression.XPRESS].buffers["offset"][1]) :][:BUFFER_HEADER_SIZE])
    struct.pack_into("<I", head, 0x00, BUFFER_HEADER_SIZE + len(stream))
    struct.pack_into("<I", head, 0x30, BUFFER_HEADER_SIZE + claim)
    etl = parse_etl(bytes(data) + (bytes(head) + stream) * 50)
    assert values(etl) == list(range(150))
    assert len(etl.events.data) < (1 << 20) + len(data) + 60 * 100
    refused = [problem for problem in etl.problems if problem.code == "too-large"]
    assert len(refused) >= 46


@every
def test_nothing_readable_in_a_file_with_content_is_a_problem(kind: Compression) -> None:
    data = bytearray(WHOLE_DATA[kind])
    starts = [*WHOLE[kind].buffers["offset"].tolist(), len(data)]
    for start, end in pairwise(starts[1:]):
        data[start + BUFFER_HEADER_SIZE : end] = b"\xff" * (end - start - BUFFER_HEADER_SIZE)
    etl = parse_etl(bytes(data))
    assert etl.recorded == 0
    assert codes(etl) >= {"bad-buffer", "no-events"}


@given(st.binary(max_size=3000))
@settings(max_examples=150, deadline=None)
def test_any_bytes_behind_the_header_are_read_or_reported(noise: bytes) -> None:
    first = int(WHOLE[Compression.XPRESS].buffers["offset"][1])
    etl = parse_etl(WHOLE_DATA[Compression.XPRESS][:first] + noise)
    assert len(etl.frames) >= 1
    assert etl.problems or not any(noise)


@every
@given(noise=st.binary(min_size=1, max_size=300), at=st.integers(0, 700))
@settings(max_examples=100, deadline=None)
def test_any_first_buffer_is_read_or_refused(kind: Compression, noise: bytes, at: int) -> None:
    data = bytearray(WHOLE_DATA[kind])
    data[at : at + len(noise)] = noise
    try:
        etl = parse_etl(bytes(data))
    except UsageError:
        assert at < BUFFER_HEADER_SIZE + 32 + 0x118
        return
    assert np.all(etl.frames.offset + etl.frames.size <= len(etl.events.data))
    etl.events.to_arrow()
