"""The three inflaters: what Microsoft's examples say, what an independent decoder reads, and any damage."""

from __future__ import annotations

import random
import struct
import tracemalloc
from collections import Counter
from collections.abc import Callable

import pytest
from dissect.util.compression import lznt1 as dissect_lznt1
from dissect.util.compression import lzxpress as dissect_lzxpress
from dissect.util.compression import lzxpress_huffman as dissect_huffman
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hotswap.trace.compression import Compression, Inflated, compress, inflate
from hotswap.trace.compression.huffman import code_lengths

LZNT1, XPRESS, HUFFMAN = Compression.LZNT1, Compression.XPRESS, Compression.XPRESS_HUFFMAN
INDEPENDENT: dict[Compression, Callable[[bytes], bytes]] = {
    LZNT1: dissect_lznt1.decompress,
    XPRESS: dissect_lzxpress.decompress,
    HUFFMAN: dissect_huffman.decompress,
}
ALPHABET = b"abcdefghijklmnopqrstuvwxyz"
every = pytest.mark.parametrize("kind", list(Compression))


def huffman_table(lengths: dict[int, int]) -> bytes:
    """The 256 bytes of code lengths that a block begins with."""
    return bytes(lengths.get(i, 0) | lengths.get(i + 1, 0) << 4 for i in range(0, 512, 2))


# MS-XCA, section 3, and for LZNT1 the tune in MS-XCA 3.3.
TUNE = (
    b"F# F# G A A G F# E D D E F# F# E E F# F# G A A G F# E D D E F# E D D E E F# D E F# G F# D E F# G F# E D E A "
    b"F# F# G A A G F# E D D E F# E D D\0"
)
EXAMPLES = [
    (XPRESS, bytes.fromhex("3f000000") + ALPHABET, ALPHABET),
    (XPRESS, bytes.fromhex("ffffff1f616263170 00fff2601".replace(" ", "")), b"abc" * 100),
    (
        HUFFMAN,
        huffman_table({**dict.fromkeys(range(97, 119), 5), **dict.fromkeys([*range(119, 123), 256], 4)})
        + bytes.fromhex("d8523ed794115be9195ff9d67cdf8d0400000000"),
        ALPHABET,
    ),
    (
        HUFFMAN,
        huffman_table({97: 3, 98: 3, 99: 2, 256: 2, 287: 2}) + bytes.fromhex("a8dc0000ff2601"),
        b"abc" * 100,
    ),
    (
        LZNT1,
        bytes.fromhex(
            "38b08846232000204720410010a24701a045204400084501507900c045200524138805b4024a44ef0358028c09160148"
            "4500be009e000401189000"
        ),
        TUNE,
    ),
]


@pytest.mark.parametrize(("kind", "stream", "content"), EXAMPLES)
def test_the_examples_of_the_specification_inflate(kind: Compression, stream: bytes, content: bytes) -> None:
    assert inflate(kind, stream, len(content)) == Inflated(content)


def texts() -> st.SearchStrategy[bytes]:
    """Bytes with repetitions of all kinds: runs, words, copies from far back."""
    word = st.binary(min_size=1, max_size=6)
    run = st.builds(lambda part, times: part * times, word, st.integers(1, 900))
    return st.lists(st.one_of(word, run, st.binary(max_size=40)), max_size=30).map(b"".join)


@every
@given(data=texts())
@example(data=b"")
@example(data=b"a")
@example(data=b"ab" * 200)
@example(data=bytes(70_000))
@example(data=b"".join(i.to_bytes(3, "big") for i in range(30_000)))
@example(data=random.Random(1).randbytes(9000) * 9)
@example(data=random.Random(2).randbytes(65_536))
@settings(max_examples=120, deadline=None)
def test_what_is_compressed_inflates_here_and_elsewhere(kind: Compression, data: bytes) -> None:
    stream = compress(kind, data)
    assert inflate(kind, stream, len(data)) == Inflated(data)
    # dissect stops when a Huffman stream has been read, not when it has been decoded: the last bytes are for that.
    rest = bytes(range(64)) if kind is HUFFMAN else b""
    assert INDEPENDENT[kind](compress(kind, data + rest))[: len(data)] == data


@every
def test_repetitions_are_used(kind: Compression) -> None:
    data = b"".join(b"event %d of worker %d;" % (i, i % 7) for i in range(2000))
    assert len(compress(kind, data)) < len(data) * 0.6


@every
@given(data=texts().filter(len), cut=st.integers(1, 400))
@settings(max_examples=100, deadline=None)
def test_a_cut_stream_gives_its_beginning_and_an_error(kind: Compression, data: bytes, cut: int) -> None:
    stream = compress(kind, data)
    result = inflate(kind, stream[:-cut], len(data))
    assert data.startswith(result.data)
    assert bool(result.error) or result.data == data
    assert (result.broken_at >= 0) == bool(result.error)


@every
@given(data=texts().filter(lambda data: len(data) > 1), less=st.integers(1, 50))
@settings(max_examples=100, deadline=None)
def test_a_wrong_size_is_noticed(kind: Compression, data: bytes, less: int) -> None:
    """Smaller: the stream goes on, or an element would pass the end. Larger: it ends too soon."""
    stream = compress(kind, data)
    for size in (max(len(data) - less, 0), len(data) + less):
        result = inflate(kind, stream, size)
        assert len(result.data) <= size
        # The end symbol of Huffman streams is also the match of 3 bytes with the byte before.
        run = set(data[max(size - 1, 0) :])
        if kind is HUFFMAN and len(run) < 2:
            continue
        assert result.error
        assert data.startswith(result.data)


@every
@given(data=texts().filter(len), seed=st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_damage_never_raises_and_never_gives_more(kind: Compression, data: bytes, seed: int) -> None:
    chance = random.Random(seed)
    stream = bytearray(compress(kind, data))
    first = len(stream)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(stream))
        stream[at] = chance.randrange(256)
        first = min(first, at)
    result = inflate(kind, bytes(stream), len(data))
    assert len(result.data) <= len(data)
    assert (result.data == data) or len(result.data) == len(data) or result.error
    assert not result.error or 0 <= result.broken_at <= len(stream)


@every
@given(stream=st.binary(max_size=400), size=st.integers(0, 100_000))
@settings(max_examples=200, deadline=None)
def test_any_bytes_inflate_to_something_or_an_error(kind: Compression, stream: bytes, size: int) -> None:
    result = inflate(kind, stream, size)
    assert len(result.data) <= size
    assert result.error or len(result.data) == size


@pytest.mark.parametrize(
    ("kind", "stream"),
    [
        # A literal, then a match of 2^32 - 1 bytes.
        (XPRESS, struct.pack("<I", 0x7FFFFFFF) + b"a" + b"\x07\x00\x0f\xff\x00\x00\xff\xff\xff\xff"),
        (HUFFMAN, huffman_table({97: 1, 271: 1}) + b"\x00\x40\x00\x00\xff\x00\x00\xff\xff\xff\xff"),
    ],
)
def test_a_huge_match_costs_no_memory(kind: Compression, stream: bytes) -> None:
    tracemalloc.start()
    try:
        result = inflate(kind, stream, 1000)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert "a match of 429496729" in result.error
    assert result.data == b"a"


@pytest.mark.parametrize(
    ("kind", "stream", "error"),
    [
        (XPRESS, b"", "ends where flags"),
        (XPRESS, bytes(4) + b"ab", "ends where a literal"),
        (XPRESS, struct.pack("<I", 1 << 31) + b"\x00\x00", "reaches 1 bytes back where there are 0"),
        (XPRESS, struct.pack("<I", 1 << 30) + b"a\x07\x00", "inside the length"),
        (XPRESS, struct.pack("<I", 1 << 30) + b"a\x07\x00\x0f\xff\x01\x00", "length of 1 in the form for long ones"),
        (LZNT1, b"", "the stream ends with 9 bytes to come"),
        (LZNT1, bytes(2), "says it ends"),
        (LZNT1, b"\x05\x10abcdef", "no chunk header"),
        (LZNT1, b"\x08\x30abc", "inside a chunk"),
        (LZNT1, b"\x02\xb0\x02a\x00", "inside a match"),
        (LZNT1, b"\x03\xb0\x02a\x00\x10", "reaches 2 bytes back where there are 1"),
        (LZNT1, b"\x0f\x30" + bytes(16), "16 stored bytes where 9"),
        (HUFFMAN, bytes(100), "inside a table"),
        (HUFFMAN, bytes(300), "no complete code"),
        (HUFFMAN, huffman_table({97: 1, 256: 1}), "where a block should begin"),
        (HUFFMAN, huffman_table({97: 1, 256: 1}) + b"\xff\xff\x00\x00", "reaches 1 bytes back where there are 0"),
        (HUFFMAN, huffman_table({97: 15, 256: 15, 98: 1}) + bytes(4), "no complete code"),
    ],
)
def test_each_error_says_what_it_is(kind: Compression, stream: bytes, error: str) -> None:
    assert error in inflate(kind, stream, 9).error


def test_code_lengths_are_complete_and_at_most_15() -> None:
    fibonacci = [1, 1]
    while len(fibonacci) < 40:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    for counts in ([5], [1, 1], list(range(1, 500)), fibonacci):
        lengths = code_lengths(Counter(dict(enumerate(counts, 3))))
        assert max(lengths) <= 15
        assert sum(2 ** (15 - length) for length in lengths if length) == 2**15
