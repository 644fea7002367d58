"""Inflating and making the compressed buffers of an `.etl` (MS-XCA; etl.md, section 2.8)."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

from hotswap.trace.compression import huffman, lz77, lznt1
from hotswap.trace.compression.stream import Inflated

__all__ = ["Compression", "Inflated", "compress", "inflate"]


class Compression(IntEnum):
    """How buffers are compressed: the low half of State of buffer 0, as in RtlDecompressBuffer."""

    LZNT1 = 2
    XPRESS = 3
    XPRESS_HUFFMAN = 4


_INFLATERS: dict[Compression, Callable[[bytes, int], Inflated]] = {
    Compression.LZNT1: lznt1.inflate,
    Compression.XPRESS: lz77.inflate,
    Compression.XPRESS_HUFFMAN: huffman.inflate,
}
_COMPRESSORS: dict[Compression, Callable[[bytes], bytes]] = {
    Compression.LZNT1: lznt1.compress,
    Compression.XPRESS: lz77.compress,
    Compression.XPRESS_HUFFMAN: huffman.compress,
}


def inflate(compression: Compression, stream: bytes, size: int) -> Inflated:
    """The `size` bytes of a stream, or those before its first error."""
    return _INFLATERS[compression](stream, size)


def compress(compression: Compression, data: bytes) -> bytes:
    """A stream that inflates to `data`."""
    return _COMPRESSORS[compression](data)
