"""The scanner in numpy: the twin of the native one (native/scan.c, native/kinds.c), equal to the bit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.headers import Headers, read_headers
from hotswap.trace.heads import FACTS_DTYPE, SAMPLES, HeadFlag, Keep, Scanned
from hotswap.trace.items import Places
from hotswap.trace.kind_keys import teaches
from hotswap.trace.walk import Walked, walk

_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_ROWS = 1 << 16
"""As many keys are compared at a time."""
_FEW = 64
"""As many kinds are told apart one by one; for more, hashes are sorted."""


class NumpyScanner:
    """A Scanner without anything compiled."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._counts: list[int] = []
        self._empty: list[int] = []
        self._firsts: list[int] = []
        self._teaches: list[bool] = []

    @property
    def keys(self) -> Sequence[bytes]:
        """See Scanner."""
        return list(self._numbers)

    @property
    def counts(self) -> NDArray[np.int64]:
        """See Scanner."""
        return np.array(self._counts, np.int64)

    @property
    def empty(self) -> NDArray[np.int64]:
        """See Scanner."""
        return np.array(self._empty, np.int64)

    @property
    def firsts(self) -> NDArray[np.int64]:
        """See Scanner."""
        return np.array(self._firsts, np.int64)

    def scan(
        self,
        raw: NDArray[np.uint8],
        begin: NDArray[np.int64],
        end: NDArray[np.int64],
        *,
        fallback: int,
        keep: Keep,
        counting: bool = True,
    ) -> Scanned:
        """See Scanner."""
        walked = walk(raw, begin, np.minimum(end, len(raw)))
        headers = read_headers(raw, walked)
        heads = headers.heads
        heads["buffer"] = np.repeat(np.arange(len(begin), dtype=np.uint32), walked.counts)
        for start in range(0, len(heads), _ROWS):
            rows = slice(start, start + _ROWS)
            heads["kind"][rows] = self._number(raw, headers, rows)
        own = _carry_times(heads, fallback)
        facts = _facts(walked, heads, own)
        kept = self._kept(heads["kind"], keep)
        if counting:
            empty = heads["payload"] == heads["size"]
            self._counts = _added(self._counts, heads["kind"])
            self._empty = _added(self._empty, heads["kind"][empty])
        return Scanned(facts, heads if kept is None else heads[kept])

    def _number(self, raw: NDArray[np.uint8], headers: Headers, rows: slice) -> NDArray[np.int32]:
        """The kind of each event."""
        keys, offset = headers.keys[rows], headers.heads["offset"][rows]
        found: list[tuple[int, bytes, NDArray[np.int64]]] = []
        for shape in np.unique(keys[:, 0]).tolist():
            mine = np.flatnonzero(keys[:, 0] == shape)
            parts = [keys[mine, 1:]]
            for place, size in ((headers.schema, shape >> 16 & 0xFFFF), (headers.traits, shape >> 32 & 0xFFFF)):
                if size:
                    parts.append(_gather_words(raw, place.offset[rows][mine], size))
            for first, same in _distinct(np.concatenate(parts, axis=1)):
                row = int(mine[first])
                key = [keys[row].tobytes(), *(_bytes_at(raw, place, rows.start + row) for place in
                                              (headers.schema, headers.traits))]  # fmt: skip
                found.append((row, b"".join(key), mine[same]))
        kind = np.empty(len(keys), np.int32)
        for row, key_bytes, same in sorted(found, key=lambda item: item[0]):
            if key_bytes not in self._numbers:
                self._numbers[key_bytes] = len(self._numbers)
                self._counts.append(0)
                self._empty.append(0)
                self._firsts.append(int(offset[row]))
                self._teaches.append(teaches(key_bytes))
            kind[same] = self._numbers[key_bytes]
        return kind

    def _kept(self, kind: NDArray[np.int32], keep: Keep) -> NDArray[np.int64] | None:
        """Which heads to keep; None: all."""
        if keep == Keep.ALL:
            return None
        if keep == Keep.NONE or not len(kind):
            return np.zeros(0, np.int64)
        return sample_rows(kind, np.array(self._counts, np.int64), np.array(self._teaches, np.bool_))


def _added(before: list[int], kind: NDArray[np.int32]) -> list[int]:
    more = np.bincount(kind, minlength=len(before)).tolist()
    return [count + events for count, events in zip(before, more, strict=True)]


def sample_rows(kind: NDArray[np.int32], before: NDArray[np.int64], teaches: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Of events with these kinds, those that teach, and the first SAMPLES of every kind; `before` came before them."""
    order = np.argsort(kind, kind="stable")
    ordered = kind[order]
    starts = np.searchsorted(ordered, np.arange(len(before)))
    rank = np.arange(len(kind)) - starts[ordered] + before[ordered]
    return np.sort(order[(rank < SAMPLES) | teaches[ordered]])


def _bytes_at(raw: NDArray[np.uint8], places: Places, row: int) -> bytes:
    at = int(places.offset[row])
    return raw[at : at + int(places.length[row])].tobytes()


def _gather_words(raw: NDArray[np.uint8], offset: NDArray[np.int64], size: int) -> NDArray[np.uint64]:
    """`size` bytes from each offset, as words of which the last one ends with zeros."""
    count = -(-size // 8)
    whole = raw[: len(raw) & ~7]
    if not (offset & 7).any() and raw.ctypes.data % 8 == 0 and int(offset.max()) + 8 * count <= len(whole):
        words: NDArray[np.uint64] = np.lib.stride_tricks.sliding_window_view(whole.view(np.uint64), count)[offset >> 3]
        if size % 8:
            words[:, -1] &= np.uint64((1 << 8 * (size % 8)) - 1)
        return words
    padded = np.zeros((len(offset), 8 * count), np.uint8)
    padded[:, :size] = np.lib.stride_tricks.sliding_window_view(raw, size)[offset]
    return padded.view(np.uint64)


def _distinct(keys: NDArray[np.uint64]) -> list[tuple[int, NDArray[np.int64]]]:
    """Rows that are equal: the first of each kind, and all. They are compared whole, not by a hash."""
    hashed = np.zeros(len(keys), np.uint64)
    for column in keys.T:
        hashed = (hashed ^ column) * _FACTOR
        hashed ^= hashed >> np.uint64(32)
    found: list[tuple[int, NDArray[np.int64]]] = []
    left = np.arange(len(keys))
    while len(left) and len(found) < _FEW:
        mine = hashed[left] == hashed[left[0]]
        same = left if mine.all() else left[mine]
        if not (keys[same] == keys[same[0]]).all():
            break  # different keys with one hash: damage can be made so, chance does not make it
        found.append((int(same[0]), same))
        left = left[~mine]
    if len(left):
        _, inverse = np.unique(keys[left], axis=0, return_inverse=True)
        order = np.argsort(inverse.reshape(-1), kind="stable")
        for same in np.split(order, np.flatnonzero(np.diff(inverse.reshape(-1)[order])) + 1):
            found.append((int(left[same[0]]), left[same]))
    return found


def _carry_times(heads: NDArray[np.void], fallback: int) -> NDArray[np.int64]:
    """Give events without a time that of the event before them in their buffer, else of the first after them that has
    one, else `fallback`. Returns the times that events have themselves; 0 for none."""
    untimed = heads["flags"] & HeadFlag.UNTIMED != 0
    own: NDArray[np.int64] = heads["tick"].copy()
    if not untimed.any():
        return own
    count, rows, buffer = len(heads), np.arange(len(heads)), heads["buffer"]
    before = np.maximum.accumulate(np.where(untimed, -1, rows))
    after = np.minimum.accumulate(np.where(untimed, count, rows)[::-1])[::-1]
    heads["tick"][untimed] = fallback
    for near in (np.minimum(after, count - 1), np.maximum(before, 0)):
        chosen = untimed & ~untimed[near] & (buffer[near] == buffer)
        heads["tick"][chosen] = own[near[chosen]]
    return own


def _facts(walked: Walked, heads: NDArray[np.void], own: NDArray[np.int64]) -> NDArray[np.void]:
    facts = np.zeros(len(walked.counts), FACTS_DTYPE)
    facts["count"] = walked.counts
    for name in ("stop", "stop_at", "stop_type", "stop_size"):
        facts[name] = getattr(walked, name)
    full = np.flatnonzero(walked.counts)
    if not len(full):
        return facts
    ends = np.cumsum(walked.counts)[full]
    starts = ends - walked.counts[full]
    tick: NDArray[np.int64] = np.ascontiguousarray(heads["tick"])
    facts["first"][full], facts["last"][full] = tick[starts], tick[ends - 1]
    facts["least"][full], facts["most"][full] = np.minimum.reduceat(tick, starts), np.maximum.reduceat(tick, starts)
    facts["sum"][full] = np.add.reduceat(own.view(np.uint64), starts)
    back = np.zeros(len(tick), np.uint64)
    back[1:] = tick[1:] < tick[:-1]
    back[starts] = 0
    facts["inversions"][full] = np.add.reduceat(back, starts)
    bad = np.flatnonzero(heads["flags"] & HeadFlag.BAD)
    if len(bad):
        buffer = heads["buffer"][bad]
        hit, first = np.unique(buffer, return_index=True)
        facts["bad"] = np.bincount(buffer, minlength=len(facts))
        facts["bad_at"][hit] = heads["offset"][bad[first]]
        facts["bad_type"][hit] = heads["type"][bad[first]]
    return facts
