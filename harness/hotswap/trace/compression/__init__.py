"""Inflating and making the compressed buffers of an `.etl` (MS-XCA; etl.md, section 2.8)."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.compression import huffman, lz77, lznt1
from hotswap.trace.compression.stream import Inflated
from hotswap.trace.native import kernel

__all__ = ["Compression", "Inflated", "compress", "inflate", "inflate_in_python", "inflate_into"]


class Compression(IntEnum):
    """How buffers are compressed: the low half of State of buffer 0, as in RtlDecompressBuffer."""

    LZNT1 = 2
    XPRESS = 3
    XPRESS_HUFFMAN = 4


_NATIVE = {Compression.LZNT1: "lznt1", Compression.XPRESS: "xpress", Compression.XPRESS_HUFFMAN: "huffman"}
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
    native = kernel()
    if native is not None:
        result = native.inflate(_NATIVE[compression], stream, size)
        if not result.error:
            return Inflated(result.data)
        # The twin comes to the same end, and has the words for it.
    return inflate_in_python(compression, stream, size)


def inflate_into(compression: Compression, stream: NDArray[np.uint8], out: NDArray[np.uint8]) -> Inflated:
    """As `inflate` with a size of `out`, which gets the bytes; `data` of the result is empty where they are whole."""
    native = kernel()
    if native is not None and not native.inflate_into(_NATIVE[compression], stream, out):
        return Inflated(b"")
    result = inflate_in_python(compression, stream.tobytes(), len(out))
    out[: len(result.data)] = np.frombuffer(result.data, np.uint8)
    return result if result.error else Inflated(b"")


def inflate_in_python(compression: Compression, stream: bytes, size: int) -> Inflated:
    """As `inflate`, by the twins of the native kernel."""
    return _INFLATERS[compression](stream, size)


def compress(compression: Compression, data: bytes) -> bytes:
    """A stream that inflates to `data`."""
    return _COMPRESSORS[compression](data)
