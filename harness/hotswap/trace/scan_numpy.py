"""The scanner in numpy: the twin of the native one (native/scan.c, native/kinds.c), equal to the bit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.framing import gather_words
from hotswap.trace.headers import Headers, read_headers
from hotswap.trace.heads import FACTS_DTYPE, SAMPLES, HeadFlag, Keep, Scanned
from hotswap.trace.items import Places
from hotswap.trace.kind_keys import teaches
from hotswap.trace.walk import Walked, walk

_FACTORS = np.random.default_rng(0).integers(1, 1 << 63, 512, np.uint64) * np.uint64(2) + np.uint64(1)
"""One for each word of a key."""
_ROWS = 1 << 16
"""As many keys are compared at a time."""
_BUFFERS = 512
"""As many are walked at a time: wide enough for a step to be worth it, and what is read of them stays in the caches."""
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
        parts = [
            self._scan(raw, begin[at : at + _BUFFERS], end[at : at + _BUFFERS], at, fallback, keep, counting)
            for at in range(0, max(len(begin), 1), _BUFFERS)
        ]
        if len(parts) == 1:
            return parts[0]
        return Scanned(np.concatenate([part.facts for part in parts]), np.concatenate([part.heads for part in parts]))

    def _scan(
        self,
        raw: NDArray[np.uint8],
        begin: NDArray[np.int64],
        end: NDArray[np.int64],
        before: int,
        fallback: int,
        keep: Keep,
        counting: bool,
    ) -> Scanned:
        """Some buffers; `before` come before them."""
        walked = walk(raw, begin, np.minimum(end, len(raw)))
        headers = read_headers(raw, walked)
        heads = headers.heads
        heads["buffer"] = np.repeat(np.arange(before, before + len(begin), dtype=np.uint32), walked.counts)
        for start in range(0, len(heads), _ROWS):
            rows = slice(start, start + _ROWS)
            heads["kind"][rows] = self._number(raw, headers, rows)
        own = _carry_times(heads, fallback)
        facts = _facts(walked, heads, own, before)
        kept = self._kept(heads["kind"], keep)
        if counting:
            empty = heads["payload"] == heads["size"]
            self._counts = _added(self._counts, heads["kind"])
            self._empty = _added(self._empty, heads["kind"][empty])
        return Scanned(facts, heads if kept is None else heads.take(kept))

    def _number(self, raw: NDArray[np.uint8], headers: Headers, rows: slice) -> NDArray[np.int32]:
        """The kind of each event."""
        keys, offset = headers.keys[rows], headers.heads["offset"][rows]
        found: list[tuple[int, bytes, NDArray[np.int64]]] = []
        for shape in np.unique(keys[:, 0]).tolist():
            mine = np.flatnonzero(keys[:, 0] == shape)
            parts = [keys[mine, 1:]]
            for place, size in ((headers.schema, shape >> 16 & 0xFFFF), (headers.traits, shape >> 32 & 0xFFFF)):
                if size:
                    parts.append(_gather_masked(raw, place.offset[rows][mine], size))
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


def _gather_masked(raw: NDArray[np.uint8], offset: NDArray[np.int64], size: int) -> NDArray[np.uint64]:
    """`size` bytes from each offset, as words of which the last one ends with zeros."""
    count = -(-size // 8)
    if int(offset.max()) + 8 * count <= len(raw):
        words = gather_words(raw, offset, count)
        if size % 8:
            words[:, -1] &= np.uint64((1 << 8 * (size % 8)) - 1)
        return words
    padded = np.zeros((len(offset), 8 * count), np.uint8)
    padded[:, :size] = np.lib.stride_tricks.sliding_window_view(raw, size)[offset]
    return padded.view(np.uint64)


def _distinct(keys: NDArray[np.uint64]) -> list[tuple[int, NDArray[np.int64]]]:
    """Rows that are equal: the first of each kind, and all. They are compared whole; a sum says which with which."""
    hashed = keys @ _FACTORS[: keys.shape[1]] if keys.shape[1] <= len(_FACTORS) else keys.sum(axis=1)
    found: list[tuple[int, NDArray[np.int64]]] = []
    left = np.arange(len(keys))
    while len(left) and len(found) < _FEW:
        mine = hashed[left] == hashed[left[0]]
        same = left if mine.all() else left[mine]
        rows = keys if len(same) == len(keys) else keys[same]
        if not (rows == keys[same[0]]).all():
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


def _facts(walked: Walked, heads: NDArray[np.void], own: NDArray[np.int64], before: int) -> NDArray[np.void]:
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
        buffer = heads["buffer"][bad] - before
        hit, first = np.unique(buffer, return_index=True)
        facts["bad"] = np.bincount(buffer, minlength=len(facts))
        facts["bad_at"][hit] = heads["offset"][bad[first]]
        facts["bad_type"][hit] = heads["type"][bad[first]]
    return facts
