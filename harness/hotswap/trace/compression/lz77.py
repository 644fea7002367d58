"""XPRESS as ETW uses it: plain LZ77 (MS-XCA 2.3 to compress, 2.4 to decompress)."""

from __future__ import annotations

import struct

from hotswap.trace.compression.matches import find_matches
from hotswap.trace.compression.stream import BrokenStreamError, Inflated, check_match, copy_match, finish, goes_on

_WINDOW = 8192
_read_u16 = struct.Struct("<H").unpack_from
_read_u32 = struct.Struct("<I").unpack_from


def inflate(stream: bytes, size: int) -> Inflated:
    """The `size` bytes of a stream (MS-XCA 2.4.4)."""
    out = bytearray()
    at, left, half_byte_at = 0, 0, -1
    try:
        while len(out) < size:
            if at + 4 > len(stream):
                raise BrokenStreamError("the stream ends where flags should come", at)
            # 32 flags, the first in the highest bit: 0 a literal, 1 a match. Literals are copied by the run.
            flags, left = _read_u32(stream, at)[0], 32
            at += 4
            while left and len(out) < size:
                run = left - flags.bit_length()
                if run:
                    run = min(run, size - len(out))
                    literals = stream[at : at + run]
                    out += literals
                    at += len(literals)
                    left -= run
                    if len(literals) < run:
                        raise BrokenStreamError("the stream ends where a literal should come", at)
                    continue
                left -= 1
                flags ^= 1 << left
                begun = at
                if at + 2 > len(stream):
                    raise BrokenStreamError(f"the stream ends with {size - len(out)} bytes to come", at)
                match = _read_u16(stream, at)[0]
                at += 2
                offset, length = (match >> 3) + 1, match & 7
                if length == 7:
                    length, at, half_byte_at = _long_length(stream, at, half_byte_at, begun)
                length += 3
                # check_match and copy_match, written out: this is where the time goes.
                begin = len(out) - offset
                if begin < 0 or length > size - len(out):
                    check_match(out, offset, length, 0, size, begun)
                if offset >= length:
                    out += out[begin : begin + length]
                else:
                    copy_match(out, offset, length)
        # The end is a match flag with nothing behind it; it has flags of its own if all others are used up.
        if at + (0 if left else 4) != len(stream) and (left or at != len(stream)):
            raise goes_on(size, at)
    except BrokenStreamError as error:
        return finish(out, error)
    return finish(out)


def _long_length(stream: bytes, at: int, half_byte_at: int, begun: int) -> tuple[int, int, int]:
    """A length of 7 or more (less 3), the offset after it, and where a half byte is left over (-1: nowhere)."""
    try:
        if half_byte_at < 0:
            half, half_byte_at = stream[at] & 15, at
            at += 1
        else:
            half, half_byte_at = stream[half_byte_at] >> 4, -1
        if half < 15:
            return half + 7, at, half_byte_at
        length = stream[at]
        at += 1
        if length < 255:
            return length + 15 + 7, at, half_byte_at
        length = _read_u16(stream, at)[0]
        at += 2
        if length == 0:
            length = _read_u32(stream, at)[0]
            at += 4
    except (IndexError, struct.error):
        raise BrokenStreamError("the stream ends inside the length of a match", begun) from None
    if length < 15 + 7:
        raise BrokenStreamError(f"a match length of {length} in the form for long ones", begun)
    return length, at, half_byte_at


def compress(data: bytes) -> bytes:
    """A stream that inflates to `data` (MS-XCA 2.3.4); greedy, with the nearest earlier match."""
    out = bytearray(4)
    flags, count, flags_at, half_byte_at = 0, 0, 0, -1
    for offset, length, literal in find_matches(data, window=_WINDOW):
        if offset:
            short = min(length - 3, 7)
            out += struct.pack("<H", (offset - 1) << 3 | short)
            if short == 7:
                half_byte_at = _append_long_length(out, length - 3, half_byte_at)
        else:
            out.append(literal)
        flags, count = flags << 1 | (offset > 0), count + 1
        if count == 32:
            struct.pack_into("<I", out, flags_at, flags)
            flags, count, flags_at = 0, 0, len(out)
            out += bytes(4)
    # The end is a match flag with nothing behind it.
    struct.pack_into("<I", out, flags_at, (flags << 32 - count) | (1 << 32 - count) - 1)
    return bytes(out)


def _append_long_length(out: bytearray, length: int, half_byte_at: int) -> int:
    half = min(length - 7, 15)
    if half_byte_at < 0:
        half_byte_at = len(out)
        out.append(half)
    else:
        out[half_byte_at] |= half << 4
        half_byte_at = -1
    if half == 15:
        if length - 22 < 255:
            out.append(length - 22)
        else:
            out += b"\xff" + (struct.pack("<H", length) if length < 1 << 16 else struct.pack("<HI", 0, length))
    return half_byte_at
