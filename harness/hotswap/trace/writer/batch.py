"""Many events to write, as arrays: what rows, tables and Arrow columns all become before they go into buffers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.writer.rows import Row


@dataclass(frozen=True, slots=True)
class Batch:
    """Events in the order in which they are to be written; arrays of one length but for `words`.

    `words` holds the events one after the other, each padded to 8 bytes; `size` is in bytes and without the padding.
    """

    words: NDArray[np.uint64]
    size: NDArray[np.int64]
    cpu: NDArray[np.int64]
    tick: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.size)

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Batch:
        """Encode rows. Raises UsageError for an impossible one."""
        parts, sizes, cpus, ticks = [], list[int](), list[int](), list[int]()
        for row in rows:
            event = row.encode()
            parts.append(event if len(event) % 8 == 0 else event + bytes(-len(event) % 8))
            sizes.append(len(event))
            cpus.append(row.cpu)
            ticks.append(row.tick)
        words = np.frombuffer(b"".join(parts), "<u8")
        return cls(words, np.array(sizes, np.int64), np.array(cpus, np.int64), np.array(ticks, np.int64))

    @property
    def length(self) -> NDArray[np.int64]:
        """Words of each event."""
        return (self.size + 7) >> 3

    def take(self, rows: NDArray[np.int64]) -> Batch:
        """Some of the events, in any order."""
        length = self.length
        start = np.cumsum(length) - length
        return Batch(
            gather_words(self.words, start[rows], length[rows]), self.size[rows], self.cpu[rows], self.tick[rows]
        )


def gather_words(words: NDArray[np.uint64], start: NDArray[np.int64], length: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The words of many places one after the other: `length` of them from `start` on."""
    if not len(start):
        return np.empty(0, np.uint64)
    ends = np.cumsum(length)
    if np.array_equal(start[1:], start[0] + ends[:-1]):
        return words[start[0] : start[0] + ends[-1]]
    places: NDArray[np.int64] = np.repeat(start - (ends - length), length) + np.arange(ends[-1])
    return words[places]
