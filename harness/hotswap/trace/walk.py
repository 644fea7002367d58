"""Finding the events of buffers in numpy: all step from event to event together (reference: etl.md, section 6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.framing import HEADER_SIZES, HeaderType
from hotswap.trace.heads import Stop

_MARKER, _MESSAGE_BITS = 0xC0, 0x90
_NO_HEADER = 1 << 20
"""As the least size of an event: larger than any is."""
_END_MARK = 0xFFFFFFFF
_HIGH_SIZE = (
    *(HeaderType.SYSTEM32, HeaderType.SYSTEM64, HeaderType.COMPACT32, HeaderType.COMPACT64),
    *(HeaderType.PERFINFO32, HeaderType.PERFINFO64),
)
"""Types whose size is in the second word, not in the first."""


def _by_code() -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """By bytes 2 and 3 of an event: its type, the bit at which its size begins, and its least size."""
    types, shifts = np.zeros(1 << 16, np.uint8), np.zeros(1 << 16, np.int64)
    least = np.full(1 << 16, _NO_HEADER, np.int64)
    for marker in range(256):
        codes = slice(marker << 8, (marker << 8) + 256)
        if marker == _MARKER:
            types[codes] = np.arange(256)
            shifts[codes] = [32 if kind in _HIGH_SIZE else 0 for kind in range(256)]
            least[codes] = [HEADER_SIZES.get(kind, 8) for kind in range(256)]  # type: ignore[call-overload]
        elif marker & _MESSAGE_BITS == _MESSAGE_BITS:
            types[codes], least[codes] = HeaderType.MESSAGE, 8
    return types, shifts, least


_TYPES, _SHIFTS, _LEAST = _by_code()


@dataclass(frozen=True, slots=True)
class Walked:
    """The events, buffer by buffer, and of each buffer how many they are, and where and why the walk stopped (Stop)."""

    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    type: NDArray[np.uint8]
    counts: NDArray[np.int64]
    stop: NDArray[np.uint8]
    stop_at: NDArray[np.int64]
    stop_type: NDArray[np.uint8]
    stop_size: NDArray[np.int64]


def walk(raw: NDArray[np.uint8], begin: NDArray[np.int64], end: NDArray[np.int64]) -> Walked:
    """Walk the buffers raw[begin:end]."""
    return _Walk(raw, begin, end).walk()


class _Walk:
    def __init__(self, raw: NDArray[np.uint8], begin: NDArray[np.int64], end: NDArray[np.int64]) -> None:
        count = len(begin)
        self._cursor, self._end, self._buffer = begin.copy(), end, np.arange(count)
        self._found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = []
        self._stop, self._stop_type = np.zeros(count, np.uint8), np.zeros(count, np.uint8)
        self._stop_at, self._stop_size = begin.copy(), np.zeros(count, np.int64)
        # Buffers begin on 8 bytes, and events in them: then the first words of events are words of the whole.
        self._aligned = not (begin & 7).any() and raw.ctypes.data % 8 == 0
        if self._aligned:
            self._words = raw[: len(raw) & ~7].view("<i8")
        elif len(raw) >= 8:
            self._words = np.lib.stride_tricks.sliding_window_view(raw, 8)
        else:
            self._words = np.zeros(0, np.int64)

    def _word(self, at: NDArray[np.int64]) -> NDArray[np.int64]:
        if self._aligned:
            found: NDArray[np.int64] = self._words[at >> 3]
            return found
        return np.ascontiguousarray(self._words[at]).view("<i8").reshape(-1)

    def walk(self) -> Walked:
        self._leave(self._cursor + 8 > self._end)
        while len(self._buffer):
            word = self._word(self._cursor)
            code = (word >> 16) & 0xFFFF
            size = (word >> _SHIFTS[code]) & 0xFFFF
            ends = (word & _END_MARK) == _END_MARK
            broken = (size < _LEAST[code]) | (size > self._end - self._cursor)
            if (stopped := ends | broken).any():
                self._why(stopped, ends, code, size)
                kept = ~stopped
                code, size = code[kept], size[kept]
            self._found.append((self._buffer, self._cursor, size, code))
            self._cursor = self._cursor + ((size + 7) & ~7)
            self._leave(self._cursor + 8 > self._end)
        return self._in_order()

    def _leave(self, done: NDArray[np.bool_]) -> None:
        """These are at their end, or stop."""
        if not done.any():
            return
        at = self._buffer[done]
        self._stop_at[at] = self._cursor[done]
        self._buffer, self._cursor, self._end = self._buffer[~done], self._cursor[~done], self._end[~done]

    def _why(
        self, stopped: NDArray[np.bool_], ends: NDArray[np.bool_], code: NDArray[np.int64], size: NDArray[np.int64]
    ) -> None:
        at = self._buffer[stopped]
        ends, code, size = ends[stopped], code[stopped], size[stopped]
        nothing = _LEAST[code] == _NO_HEADER
        self._stop[at] = np.select(
            [ends, nothing, size < _LEAST[code]], [Stop.END, Stop.NO_HEADER, Stop.TOO_SMALL], Stop.PASSES_END
        )
        self._stop_type[at] = np.where(ends | nothing, 0, _TYPES[code])
        self._stop_size[at] = np.select([ends, nothing], [0, code >> 8], size)
        self._leave(stopped)

    def _in_order(self) -> Walked:
        """What was found in steps, buffer by buffer."""
        counts = np.zeros(len(self._stop), np.int64)
        for buffer, *_ in self._found:
            counts[buffer] += 1
        starts = np.cumsum(counts) - counts
        total = int(counts.sum())
        offset, size, code = (np.empty(total, np.int64) for _ in range(3))
        for step, (buffer, *found) in enumerate(self._found):
            at = starts[buffer] + step
            for column, values in zip((offset, size, code), found, strict=True):
                column[at] = values
        return Walked(offset, size, _TYPES[code], counts, self._stop, self._stop_at, self._stop_type, self._stop_size)
