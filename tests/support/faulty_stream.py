"""Streams with faults made on purpose: cut behind a chosen byte, or with bytes that are lost or damaged on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hotswap.deadline import Deadline
from hotswap.transport.base import Transport

Change = Callable[[bytes], bytes]


class CutAfter:
    """Lets so many bytes through; then the stream is cut. `done` once that has happened."""

    def __init__(self, count: int) -> None:
        self._left = count
        self.done = False

    def __call__(self, data: bytes) -> bytes:
        passed = data[: self._left]
        self._left -= len(passed)
        self.done = self._left == 0 and len(passed) < len(data)
        return passed


def unchanged(data: bytes) -> bytes:
    return data


@dataclass
class FaultyStream:
    """A stream whose bytes pass through `out` (to the agent) and `back`; a CutAfter there ends it."""

    inner: Transport
    out: Change = unchanged
    back: Change = unchanged
    cut: bool = field(default=False, init=False)

    @property
    def chunk_bytes(self) -> int:
        return self.inner.chunk_bytes

    def read(self, size: int, deadline: Deadline) -> bytes:
        while not self.cut and (data := self.inner.read(size, deadline)):
            passed = self.back(data)
            self._cut_by(self.back)
            if passed:
                return passed
        return b""

    def write(self, data: bytes, deadline: Deadline) -> None:
        self.inner.write(self.out(data), deadline)
        self._cut_by(self.out)
        if self.cut:
            raise BrokenPipeError("cut on purpose")

    def _cut_by(self, change: Change) -> None:
        if isinstance(change, CutAfter) and change.done:
            self.cut = True
            self.close()

    def close(self) -> None:
        self.inner.close()

    def alive(self) -> str | None:
        return "the stream was cut on purpose" if self.cut else self.inner.alive()
