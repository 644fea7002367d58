"""Damage to a trace file, all decided by a seed: flipped bits, cuts, buffers in the wrong place, sizes that lie."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_INTERESTING = (
    0,
    1,
    7,
    8,
    9,
    0x47,
    0x48,
    0x50,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFE,
    0xFFFF,
    0x7FFFFFFF,
    0xFFFFFFFF,
)
_BUFFER_FIELDS = (
    *((0x00, "I"), (0x04, "I"), (0x08, "I"), (0x18, "Q"), (0x28, "H"), (0x2C, "I")),
    *((0x30, "I"), (0x34, "H"), (0x36, "H")),
)
_HEADER_FIELDS = (
    *((0x00, "I"), (0x0C, "I"), (0x10, "Q"), (0x1C, "I"), (0x20, "I"), (0x24, "I")),
    *((0x2C, "I"), (0x34, "I"), (0x100, "Q"), (0x108, "Q"), (0x110, "I")),
)
"""Of TRACE_LOGFILE_HEADER, which begins at byte 104 of a file."""
_HEADER_AT = 104
_MOST_DAMAGES = 6


@dataclass(frozen=True, slots=True)
class Sample:
    """A file that is whole, and what damage needs to know of it: where its buffers and its events begin."""

    name: str
    data: bytes
    buffers: Sequence[int]
    events: Sequence[int]


def damage(sample: Sample, seed: int) -> bytes:
    """The file with one or some damages. The same seed gives the same bytes."""
    chance = random.Random(f"{sample.name} {seed}")
    data = bytearray(sample.data)
    for _ in range(chance.choice((1, 1, 1, 2, 3, _MOST_DAMAGES))):
        if data:
            chance.choice(_DAMAGES)(data, sample, chance)
    return bytes(data)


def _flip_bits(data: bytearray, sample: Sample, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 2, 8, 64, 1024))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _write_noise(data: bytearray, sample: Sample, chance: random.Random) -> None:
    at, size = chance.randrange(len(data)), chance.choice((1, 8, 80, 1000, 70_000))
    size = min(size, len(data) - at)
    data[at : at + size] = chance.choice((bytes(size), b"\xff" * size, chance.randbytes(size)))


def _cut(data: bytearray, sample: Sample, chance: random.Random) -> None:
    del data[chance.randrange(len(data)) :]


def _take_out(data: bytearray, sample: Sample, chance: random.Random) -> None:
    at = chance.randrange(len(data))
    del data[at : at + chance.choice((1, 4, 8, 72, 512, 65_536))]


def _put_in(data: bytearray, sample: Sample, chance: random.Random) -> None:
    at, size = chance.randrange(len(data) + 1), chance.choice((1, 4, 8, 72, 512))
    data[at:at] = chance.randbytes(size)


def _swap_buffers(data: bytearray, sample: Sample, chance: random.Random) -> None:
    begin, other = sorted((_near(data, sample.buffers, chance), _near(data, sample.buffers, chance)))
    size = min(other - begin, len(data) - other, 65_536)
    data[begin : begin + size], data[other : other + size] = data[other : other + size], data[begin : begin + size]


def _repeat_buffer(data: bytearray, sample: Sample, chance: random.Random) -> None:
    begin = _near(data, sample.buffers, chance)
    data += data[begin : begin + 65_536]


def _lie_in_buffer(data: bytearray, sample: Sample, chance: random.Random) -> None:
    _lie(data, _near(data, sample.buffers, chance), _BUFFER_FIELDS, chance)


def _lie_in_header(data: bytearray, sample: Sample, chance: random.Random) -> None:
    _lie(data, _HEADER_AT, _HEADER_FIELDS, chance)


def _lie_in_event(data: bytearray, sample: Sample, chance: random.Random) -> None:
    """Sizes and types of events, of extended items, of schemas and traits, and counts in payloads."""
    for _ in range(chance.choice((1, 4, 100))):
        at = _near(data, sample.events, chance) if sample.events else chance.randrange(len(data))
        inside = chance.choice((0, 0, 2, 4, 4, 6, 0x50, 0x52, 0x54, 0x56, 0x58, 0x5A, 2 * chance.randrange(100)))
        _lie(data, at + inside, ((0, "H"), (0, "B"), (0, "I")), chance)


def _lie(data: bytearray, base: int, fields: Sequence[tuple[int, str]], chance: random.Random) -> None:
    offset, code = chance.choice(fields)
    at, size = base + offset, struct.calcsize("<" + code)
    if at + size > len(data):
        return
    most = (1 << 8 * size) - 1
    now = int.from_bytes(data[at : at + size], "little")
    value = chance.choice((now + 1, now - 1, now + 8, now - 8, 2 * now, now // 2, chance.choice(_INTERESTING),
                           chance.getrandbits(8 * size)))  # fmt: skip
    data[at : at + size] = (value & most).to_bytes(size, "little")


def _near(data: bytearray, places: Sequence[int], chance: random.Random) -> int:
    place = chance.choice(places)
    return place if place < len(data) else chance.randrange(len(data))


_DAMAGES: tuple[Callable[[bytearray, Sample, random.Random], None], ...] = (
    _flip_bits, _write_noise, _cut, _take_out, _put_in, _swap_buffers, _repeat_buffer, _lie_in_buffer, _lie_in_buffer,
    _lie_in_header, _lie_in_event, _lie_in_event, _lie_in_event,
)  # fmt: skip
