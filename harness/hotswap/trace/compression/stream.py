"""What the inflaters share: their result, and how they say what is wrong with a stream.

Every inflater is a function `inflate(stream, size)` of bytes and the exact number of bytes to come: less is an error,
and so is a stream that goes on, since its size is then not the true one. It never raises for what is in the stream,
needs memory for `size` bytes only and time in proportion to the stream and `size`. The native kernel's
give the same.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Inflated:
    """The bytes of a stream; with an error, those of all elements before the broken one."""

    data: bytes
    error: str = ""
    """Empty when `data` is all that was to come."""
    broken_at: int = -1
    """Offset in the stream of the element that is broken; -1 when none is."""


class BrokenStreamError(Exception):
    """Inside an inflater only: the element that begins at `at` cannot be."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.at = at


def goes_on(size: int, at: int) -> BrokenStreamError:
    """The error of a stream that has more than it should."""
    return BrokenStreamError(f"the stream goes on after {size} bytes", at)


def finish(out: bytearray, error: BrokenStreamError | None = None) -> Inflated:
    """The result of an inflater that got so far."""
    return Inflated(bytes(out)) if error is None else Inflated(bytes(out), str(error), error.at)


def check_match(out: bytearray, offset: int, length: int, begin: int, size: int, at: int) -> None:
    """Refuse a match that reaches back before `begin` or makes `out` longer than `size`."""
    if offset > len(out) - begin:
        raise BrokenStreamError(f"a match reaches {offset} bytes back where there are {len(out) - begin}", at)
    if length > size - len(out):
        raise BrokenStreamError(f"a match of {length} bytes where {size - len(out)} are to come", at)


def copy_match(out: bytearray, offset: int, length: int) -> None:
    """Append `length` bytes from `offset` bytes back; what a match appends may be part of what it copies."""
    begin = len(out) - offset
    if offset >= length:
        out += out[begin : begin + length]
    else:
        out += (out[begin:] * (length // offset + 1))[:length]
