"""Frames are found in whatever surrounds them, and nothing else is taken for one."""

from __future__ import annotations

import itertools
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.transport.protocol import (
    AgentContract,
    AgentProtocolError,
    Frame,
    FrameDecoder,
    PayloadReader,
    PayloadWriter,
    encode_frame,
)

frames = st.builds(
    Frame,
    op=st.integers(0, 0xFFFF),
    flags=st.integers(0, 0xFFFF),
    nonce=st.integers(0, (1 << 64) - 1),
    id=st.integers(0, (1 << 64) - 1),
    payload=st.binary(max_size=200),
)
garbage = st.one_of(st.binary(max_size=100), st.sampled_from([b"HSA1", b"HSA", b"HHSA1H", b"HSA1" * 30]))


def decode(contract: AgentContract, data: bytes, cuts: list[int]) -> tuple[list[Frame], FrameDecoder]:
    """Feed the data in pieces that end at these places."""
    decoder = FrameDecoder(contract)
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    found: list[Frame] = []
    for start, end in itertools.pairwise(places):
        found += decoder.feed(data[start:end])
    return found, decoder


@given(sent=st.lists(frames, max_size=5), cuts=st.lists(st.integers(0, 1500), max_size=10))
def test_frames_come_out_as_they_went_in(agent_contract: AgentContract, sent: list[Frame], cuts: list[int]) -> None:
    data = b"".join(encode_frame(agent_contract, frame) for frame in sent)
    found, decoder = decode(agent_contract, data, cuts)
    assert found == sent
    assert decoder.skipped == decoder.damaged == 0


@given(parts=st.lists(st.tuples(garbage, frames), min_size=1, max_size=4), cuts=st.lists(st.integers(0, 1500)))
def test_garbage_between_frames_is_stepped_over_and_counted(
    agent_contract: AgentContract, parts: list[tuple[bytes, Frame]], cuts: list[int]
) -> None:
    data = b"".join(noise + encode_frame(agent_contract, frame) for noise, frame in parts)
    found, decoder = decode(agent_contract, data, cuts)
    assert found == [frame for _, frame in parts]
    assert decoder.skipped == sum(len(noise) for noise, _ in parts)


@given(first=frames, second=frames, at=st.integers(0), change=st.integers(1, 255))
def test_a_changed_byte_costs_that_frame_and_no_other(
    agent_contract: AgentContract, first: Frame, second: Frame, at: int, change: int
) -> None:
    damaged = bytearray(encode_frame(agent_contract, first))
    damaged[at % len(damaged)] ^= change
    found, _ = decode(agent_contract, bytes(damaged) + encode_frame(agent_contract, second), [])
    assert found == [second]


@given(first=frames, second=frames, third=frames, keep=st.integers(0))
@settings(max_examples=200)
def test_a_cut_frame_does_not_swallow_the_ones_behind_it_for_good(
    agent_contract: AgentContract, first: Frame, second: Frame, third: Frame, keep: int
) -> None:
    whole = encode_frame(agent_contract, first)
    cut = whole[: keep % len(whole)]
    behind = encode_frame(agent_contract, second) + encode_frame(agent_contract, third)
    # What follows makes up for the missing bytes; then the CRC tells, and the search goes on behind the header.
    found, _ = decode(agent_contract, cut + behind + bytes(len(whole)), [])
    assert found == [second, third]


@given(noise=st.binary(max_size=500))
def test_noise_is_no_frame(agent_contract: AgentContract, noise: bytes) -> None:
    found, decoder = decode(agent_contract, noise, [100, 200])
    assert found == []
    assert len(noise) - decoder.skipped < agent_contract.header.size


def test_a_sound_header_with_too_large_a_length_does_not_make_the_reader_wait(agent_contract: AgentContract) -> None:
    rest = struct.pack("<IIQQHHI", agent_contract.frame_limit + 1, 0, 1, 1, 2, 0, 0)
    header = agent_contract.magic + struct.pack("<I", zlib.crc32(rest)) + rest
    after = Frame(2, 0, 1, 2, b"")
    found, _ = decode(agent_contract, header + encode_frame(agent_contract, after), [])
    assert found == [after]


def test_a_payload_over_the_limit_is_refused_before_it_is_sent(agent_contract: AgentContract) -> None:
    payload = bytes(agent_contract.frame_limit + 1)
    with pytest.raises(AgentProtocolError, match="FileWrite request of 4194305 bytes is over"):
        encode_frame(agent_contract, Frame(agent_contract["HsAgentOpFileWrite"], 0, 1, 1, payload))


@given(number=st.integers(0, (1 << 32) - 1), large=st.integers(0, (1 << 64) - 1), text=st.text(), data=st.binary())
def test_payloads_come_out_as_they_went_in(number: int, large: int, text: str, data: bytes) -> None:
    reader = PayloadReader(PayloadWriter().u32(number).u64(large).text(text).data(data).finish(), "test")
    assert (reader.u32(), reader.u64(), reader.text(), reader.data()) == (number, large, text, data)
    reader.finish()


def test_a_reply_of_another_length_is_an_error_that_says_so() -> None:
    with pytest.raises(AgentProtocolError, match="reply to ping is too short"):
        PayloadReader(bytes(3), "ping").u32()
    with pytest.raises(AgentProtocolError, match="5 bytes more"):
        PayloadReader(bytes(5), "ping").finish()


def test_a_contract_without_a_value_says_which() -> None:
    with pytest.raises(AgentProtocolError, match="constants"):
        AgentContract.of({"enums": {}, "structs": {}})
