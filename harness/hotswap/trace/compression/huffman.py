"""XPRESS-Huffman: LZ77 with Huffman codes (MS-XCA 2.1 to compress, 2.2 to decompress)."""

from __future__ import annotations

import heapq
import struct
from collections import Counter

import numpy as np

from hotswap.trace.compression.matches import find_matches
from hotswap.trace.compression.stream import BrokenStreamError, Inflated, check_match, copy_match, finish, goes_on

_SYMBOLS = 512
_TABLE_BYTES = _SYMBOLS // 2
_LONGEST_CODE = 15
_BLOCK = 65536
_WINDOW = 65535
_END = 256
"""The symbol behind the last one; elsewhere the match of 3 bytes from 1 byte back."""


def inflate(stream: bytes, size: int) -> Inflated:
    """The `size` bytes of a stream (MS-XCA 2.2.4)."""
    out = bytearray()
    at, ended = 0, True
    try:
        while len(out) < size or (stream and at == 0):
            table = _decoding_table(stream, at)
            bits, full = _Bits(stream, at + _TABLE_BYTES), len(out) + _BLOCK
            _inflate_block(bits, table, out, size)
            at, ended = bits.at, bits.at == len(stream) and len(out) >= full
            if not ended:  # behind a block that is full there need be no end symbol
                entry = table[bits.word >> 17]
                ended = entry >> 4 == _END and bits.reach(entry & 15) == len(stream)
        if not ended:
            raise goes_on(size, at)
    except BrokenStreamError as error:
        return finish(out, error)
    return finish(out)


class _Bits:
    """The bits of a block, 16 at a time; what lies between them is read as bytes (MS-XCA 2.1.4.3).

    `word` holds the next bits, the first in the highest of 32. `extra` counts those beyond the next 16.
    """

    def __init__(self, stream: bytes, at: int) -> None:
        if at + 4 > len(stream):
            raise BrokenStreamError("the stream ends where a block should begin", at)
        first, second = struct.unpack_from("<HH", stream, at)
        self.stream, self.at = stream, at + 4
        self.word, self.extra = first << 16 | second, 16

    def take(self, count: int) -> int:
        """Consume bits. Those behind the end are 0 and must not be needed."""
        value: int = self.word >> (32 - count)
        self.word = self.word << count & 0xFFFFFFFF
        self.extra -= count
        if self.extra < 0:
            if self.at + 2 <= len(self.stream):
                self.word |= int.from_bytes(self.stream[self.at : self.at + 2], "little") << -self.extra
                self.at += 2
                self.extra += 16
            elif self.extra < -16:
                raise BrokenStreamError("the stream ends inside a block", self.at)
        return value

    def reach(self, count: int) -> int:
        """How far the stream is read once these bits are consumed."""
        return self.at + (2 if count > self.extra else 0)

    def number(self, size: int) -> int:
        """A number of `size` bytes that lies between the bits."""
        # Less than nothing extra: a word of bits is missing that should be here, and what is left of the stream is its.
        if self.extra < 0 or self.at + size > len(self.stream):
            raise BrokenStreamError("the stream ends inside the length of a match", self.at)
        self.at += size
        return int.from_bytes(self.stream[self.at - size : self.at], "little")


def _decoding_table(stream: bytes, at: int) -> list[int]:
    """By the next 15 bits: symbol << 4 | length of its code (MS-XCA 2.2.4, first part)."""
    packed = np.frombuffer(stream[at : at + _TABLE_BYTES], np.uint8)
    if len(packed) < _TABLE_BYTES:
        raise BrokenStreamError("the stream ends inside a table of code lengths", at)
    lengths = np.stack([packed & 15, packed >> 4], axis=1).reshape(-1).astype(np.int64)
    # Codes go by length, then by symbol, and fill the table from the front.
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]
    room = 1 << (_LONGEST_CODE - lengths[order])
    if int(room.sum()) != 1 << _LONGEST_CODE:
        raise BrokenStreamError("code lengths that make no complete code", at)
    table: list[int] = np.repeat(order << 4 | lengths[order], room).tolist()
    return table


def _inflate_block(bits: _Bits, table: list[int], out: bytearray, size: int) -> None:
    """Append a block: 64 KiB, and what the last match has beyond; or all that is to come."""
    end = min(size, len(out) + _BLOCK)
    take = bits.take
    while len(out) < end:
        begun = bits.at
        entry = table[bits.word >> 17]
        take(entry & 15)
        symbol = entry >> 4
        if symbol < 256:
            out.append(symbol)
            continue
        length, offset_bits = symbol & 15, symbol - 256 >> 4
        if length == 15:
            length = _long_length(bits, begun)
        offset = (1 << offset_bits) + take(offset_bits)
        check_match(out, offset, length + 3, 0, size, begun)
        copy_match(out, offset, length + 3)


def _long_length(bits: _Bits, begun: int) -> int:
    length = bits.number(1)
    if length < 255:
        return length + 15
    length = bits.number(2) or bits.number(4)
    if length < 15:
        raise BrokenStreamError(f"a match length of {length} in the form for long ones", begun)
    return length


def compress(data: bytes) -> bytes:
    """A stream that inflates to `data` (MS-XCA 2.1.4); greedy, with the nearest earlier match."""
    return b"".join(
        _block(data, at, min(at + _BLOCK, len(data)), last=at + _BLOCK >= len(data))
        for at in range(0, len(data), _BLOCK)
    )


def _block(data: bytes, begin: int, end: int, *, last: bool) -> bytes:
    matches = list(find_matches(data, window=_WINDOW, begin=begin, end=end))
    symbols = [_symbol(offset, length) if offset else literal for offset, length, literal in matches]
    lengths = code_lengths(Counter([*symbols, _END]))
    codes = _codes(lengths)
    writer = _BitWriter(bytes(lengths[i] | lengths[i + 1] << 4 for i in range(0, _SYMBOLS, 2)))
    for symbol, (offset, length, _) in zip(symbols, matches, strict=True):
        writer.bits(codes[symbol], lengths[symbol])
        if not offset:
            continue
        if length - 3 >= 15:
            writer.number(_length_bytes(length - 3))
        offset_bits = offset.bit_length() - 1
        writer.bits(offset - (1 << offset_bits), offset_bits)
    if last:
        writer.bits(codes[_END], lengths[_END])
    return writer.finish()


def _symbol(offset: int, length: int) -> int:
    return 256 + (offset.bit_length() - 1 << 4) + min(length - 3, 15)


def _length_bytes(length: int) -> bytes:
    if length - 15 < 255:
        return bytes([length - 15])
    return b"\xff" + (struct.pack("<H", length) if length < 1 << 16 else struct.pack("<HI", 0, length))


def code_lengths(counts: Counter[int]) -> list[int]:
    """Lengths of a complete Huffman code by symbol (0: not used), at most 15 (MS-XCA 2.1.4.2)."""
    used = sorted(counts)
    used += [symbol for symbol in (0, 1) if symbol not in used][: max(0, 2 - len(used))]
    lengths = [0] * _SYMBOLS
    heap = [(counts[symbol], index, [symbol]) for index, symbol in enumerate(used)]
    heapq.heapify(heap)
    while len(heap) > 1:
        (few, index, some), (many, _, others) = heapq.heappop(heap), heapq.heappop(heap)
        for symbol in some + others:
            lengths[symbol] += 1
        heapq.heappush(heap, (few + many, index, some + others))
    if max(lengths) > _LONGEST_CODE:
        # Rare enough to do without the best code: all of about the same length.
        bits = (len(used) - 1).bit_length()
        short = (1 << bits) - len(used)
        for index, symbol in enumerate(used):
            lengths[symbol] = bits - 1 if index < short else bits
    return lengths


def _codes(lengths: list[int]) -> dict[int, int]:
    codes, code, before = {}, 0, 0
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(lengths) if length):
        code <<= length - before
        codes[symbol], before = code, length
        code += 1
    return codes


class _BitWriter:
    """Writes what _Bits reads: places for two words are taken ahead of the bytes between (MS-XCA 2.1.4.3)."""

    def __init__(self, table: bytes) -> None:
        self._out = bytearray(table) + bytes(4)
        self._first, self._second = len(table), len(table) + 2
        self._word, self._free = 0, 16

    def bits(self, value: int, count: int) -> None:
        if count <= self._free:
            self._word, self._free = self._word << count | value, self._free - count
            return
        rest = count - self._free
        struct.pack_into("<H", self._out, self._first, self._word << self._free | value >> rest)
        self._word, self._free = value & (1 << rest) - 1, 16 - rest
        self._first, self._second = self._second, len(self._out)
        self._out += bytes(2)

    def number(self, data: bytes) -> None:
        self._out += data

    def finish(self) -> bytes:
        struct.pack_into("<H", self._out, self._first, self._word << self._free & 0xFFFF)
        return bytes(self._out)
