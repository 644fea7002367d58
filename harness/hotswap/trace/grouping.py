"""Numbering rows by the bytes that they hold at several places: equal rows get equal numbers, by first appearance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.native import kernel

Part = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Offset and length in bytes, of every row."""
Numbers = tuple[NDArray[np.int32], NDArray[np.int64]]
"""The number of every row, and the first row of every number."""
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_ROWS = 1 << 16
"""As many are gathered at a time."""


def group_rows(data: bytes, parts: Sequence[Part]) -> Numbers:
    """Number the rows. They are compared whole, not by a hash."""
    native = kernel()
    return group_in_numpy(data, parts) if native is None else native.group(data, parts)


def group_in_numpy(data: bytes, parts: Sequence[Part]) -> Numbers:
    """The twin of the native kernel's."""
    count = len(parts[0][0])
    if not count:
        return np.empty(0, np.int32), np.empty(0, np.int64)
    raw = np.frombuffer(data, np.uint8)
    seen: dict[tuple[int, bytes], int] = {}
    code = np.empty(count, np.int64)
    shapes, shape = np.unique(np.stack([length for _, length in parts], axis=1), axis=0, return_inverse=True)
    for number, sizes in enumerate(shapes.tolist()):
        rows = np.flatnonzero(shape.reshape(-1) == number)
        for begin in range(0, len(rows), _ROWS):
            chunk = rows[begin : begin + _ROWS]
            places = [(offset[chunk], size) for (offset, _), size in zip(parts, sizes, strict=True) if size]
            keys = _gather(raw, places, len(chunk))
            first, inverse = _distinct(keys)
            numbers = [seen.setdefault((number, keys[row].tobytes()), len(seen)) for row in first.tolist()]
            code[chunk] = np.array(numbers, np.int64)[inverse]
    return _by_appearance(code, len(seen))


def _gather(raw: NDArray[np.uint8], places: Sequence[tuple[NDArray[np.int64], int]], rows: int) -> NDArray[np.uint64]:
    """The bytes of each row as words; a row has one word at least."""
    total = sum(size for _, size in places)
    keys = np.zeros((rows, max(-(-total // 8), 1) * 8), np.uint8)
    at = 0
    for offset, size in places:
        windows = np.lib.stride_tricks.sliding_window_view(raw, size)
        keys[:, at : at + size] = windows[offset]
        at += size
    return keys.view(np.uint64)


def _distinct(keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One row of each kind, and which of these each row is like."""
    hashed = np.zeros(len(keys), np.uint64)
    for column in keys.T:
        hashed = (hashed ^ column) * _FACTOR
        hashed ^= hashed >> np.uint64(29)
    _, first, inverse = np.unique(hashed, return_index=True, return_inverse=True)
    if not np.array_equal(keys[first][inverse], keys):
        # Different rows with one hash: damage can be made so, chance does not make it.
        _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    return first.astype(np.int64), inverse.reshape(-1).astype(np.int64)


def _by_appearance(code: NDArray[np.int64], groups: int) -> Numbers:
    first = np.full(groups, len(code), np.int64)
    np.minimum.at(first, code, np.arange(len(code)))
    order = np.argsort(first)
    rank = np.empty(groups, np.int32)
    rank[order] = np.arange(groups, dtype=np.int32)
    return rank[code], first[order]
