"""LZNT1 (MS-XCA 2.5): chunks of at most 4096 bytes, each compressed on its own or stored."""

from __future__ import annotations

import struct

from hotswap.trace.compression.matches import find_matches
from hotswap.trace.compression.stream import BrokenStreamError, Inflated, check_match, copy_match, finish, goes_on

_CHUNK = 4096
_SIGNATURE = 3


def inflate(stream: bytes, size: int) -> Inflated:
    """The `size` bytes of a stream."""
    out = bytearray()
    at = 0
    try:
        while len(out) < size:
            if at + 2 > len(stream):
                raise BrokenStreamError(f"the stream ends with {size - len(out)} bytes to come", at)
            # Bits 0-11 size of the chunk less 3, 12-14 signature, 15 compressed; all 0: end of stream.
            header = int.from_bytes(stream[at : at + 2], "little")
            if header == 0:
                raise BrokenStreamError(f"the stream says it ends, with {size - len(out)} bytes to come", at)
            if header >> 12 & 7 != _SIGNATURE:
                raise BrokenStreamError(f"no chunk header (0x{header:04x})", at)
            end = at + (header & 0xFFF) + 3
            if header & 0x8000:
                _inflate_chunk(stream, at + 2, min(end, len(stream)), out, size)
            else:
                stored = stream[at + 2 : end]
                if len(stored) > size - len(out):
                    raise BrokenStreamError(f"{len(stored)} stored bytes where {size - len(out)} are to come", at)
                out += stored
            if end > len(stream) and len(out) < size:
                raise BrokenStreamError("the stream ends inside a chunk", len(stream))
            at = end
        if any(stream[at:]):
            raise goes_on(size, at)
    except BrokenStreamError as error:
        return finish(out, error)
    return finish(out)


def _inflate_chunk(stream: bytes, at: int, end: int, out: bytearray, size: int) -> None:
    """Append the content of the compressed chunk at stream[at:end].

    Groups of 8 elements with their flags in front, the first in the lowest bit: 0 a literal, 1 a match.
    """
    begin, size = len(out), min(size, len(out) + _CHUNK)
    while at < end:
        flags = stream[at]
        at += 1
        for _ in range(8):
            if at >= end:
                break
            if not flags & 1:
                if len(out) >= size:
                    raise BrokenStreamError("a chunk holds more than is to come", at)
                out.append(stream[at])
                at += 1
            else:
                if at + 2 > end:
                    raise BrokenStreamError("a chunk ends inside a match", at)
                word = int.from_bytes(stream[at : at + 2], "little")
                length_bits = 16 - _offset_bits(len(out) - begin)
                offset, length = (word >> length_bits) + 1, (word & (1 << length_bits) - 1) + 3
                check_match(out, offset, length, begin, size, at)
                copy_match(out, offset, length)
                at += 2
            flags >>= 1


def _offset_bits(position: int) -> int:
    """How many of a match's 16 bits are its offset: as many as reach the chunk's beginning, at least 4."""
    return max(4, (position - 1).bit_length())


def compress(data: bytes) -> bytes:
    """A stream that inflates to `data`; greedy, with the nearest earlier match."""
    return b"".join(_chunk(data[at : at + _CHUNK]) for at in range(0, len(data), _CHUNK))


def _chunk(data: bytes) -> bytes:
    out = bytearray()
    position, flags_at, turn = 0, 0, 0
    # The shortest length limit that can be in force at any place of the chunk is that of its end.
    longest = (1 << 16 - _offset_bits(len(data))) + 2
    for offset, length, literal in find_matches(data, window=_CHUNK, longest=longest):
        if turn % 8 == 0:
            flags_at = len(out)
            out.append(0)
        if offset:
            out[flags_at] |= 1 << turn % 8
            length_bits = 16 - _offset_bits(position)
            out += struct.pack("<H", (offset - 1) << length_bits | (length - 3))
        else:
            out.append(literal)
        turn, position = turn + 1, position + length
    if len(out) >= len(data):
        return struct.pack("<H", _SIGNATURE << 12 | (len(data) - 1)) + data
    return struct.pack("<H", 0x8000 | _SIGNATURE << 12 | (len(out) - 1)) + bytes(out)
