"""Integer columns as bytes: differences, zigzag, LEB128. Small, and decoded by a few lines of JavaScript."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.perfetto.wire import varints as leb128

# Zigzag doubles a difference, and JavaScript's numbers are exact up to 2^53.
EXACT = 1 << 50

Encoding = str
"""How a column is written: `d` differences, `v` values, `r` raw 64-bit little-endian (for what numbers cannot hold)."""


def encode(values: NDArray[np.generic]) -> tuple[Encoding, bytes]:
    """An integer column in the shorter of its encodings. Values are int64 or uint64."""
    if values.dtype.kind == "u" and values.dtype.itemsize == 8:
        fits = bool(len(values) == 0 or int(values.max()) < EXACT)
    else:
        fits = bool(len(values) == 0 or max(abs(int(values.min())), abs(int(values.max()))) < EXACT)
    if not fits:
        return "r", values.astype("<u8").tobytes()
    whole = values.astype(np.int64)
    plain, differences = varints(whole), varints(np.diff(whole, prepend=np.int64(0)))
    return ("d", differences) if len(differences) < len(plain) else ("v", plain)


def varints(values: NDArray[np.int64]) -> bytes:
    """Each value zigzag coded (sign in the lowest bit), then seven bits a byte, the lowest first."""
    return leb128(((values << 1) ^ (values >> 63)).astype(np.uint64)).data.tobytes()
