"""The headers of events as columns, for every kind of header (reference: etl.md, sections 2.2 and 2.3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.framing import EVENT_HEADER_SIZE, HEADER_SIZES, Frames, HeaderType, family_of, gather
from hotswap.trace.grouping import Part
from hotswap.trace.items import ItemType, find_items

_NO_ID = 0xFFFFFFFF
_CLASS_OF = {"unknown": 0, "event": 1, "classic": 2, "kernel": 3, "message": 4}
_UNKNOWN, _EVENT, _CLASSIC, _KERNEL, _MESSAGE = range(5)
_CLASSES = np.array([_CLASS_OF[family_of(kind)] for kind in range(256)], np.uint8)
_PERFINFO = (HeaderType.PERFINFO32, HeaderType.PERFINFO64)
_SIZES = np.array([HEADER_SIZES.get(kind, 8) for kind in range(256)], np.int64)  # type: ignore[call-overload]


def _record(size: int, **fields: tuple[str, int]) -> np.dtype[np.void]:
    """A record type: by field its type and its offset."""
    return np.dtype(
        {
            "names": [*fields],
            "formats": [code for code, _ in fields.values()],
            "offsets": [at for _, at in fields.values()],
            "itemsize": size,
        }
    )


_COMMON = _record(24, tid=("<u4", 8), pid=("<u4", 12), tick=("<i8", 16))
_SHORT = _record(16, tick=("<i8", 8))
_EVENT_HEADER = _record(EVENT_HEADER_SIZE, level=("u1", 0x2C), opcode=("u1", 0x2D), keyword=("<u8", 0x30))
_CLASSIC_HEADER = _record(8, type=("u1", 4), level=("u1", 5))
_KERNEL_HEADER = _record(8, version=("<u2", 0), type=("u1", 6))
_MESSAGE_HEADER = _record(8, options=("<u2", 6))
_LONG, _WORDS = _record(8, value=("<i8", 0)), _record(8, tid=("<u4", 0), pid=("<u4", 4))
_PEBS, _COUNTERS = 0x8000, 0x0700


@dataclass(frozen=True, slots=True)
class Headers:
    """What the headers say; arrays of one length, in the order of the frames."""

    tick: NDArray[np.int64]
    """0 where the header has no time."""
    timed: NDArray[np.bool_]
    """Whether the header has a time."""
    pid: NDArray[np.int64]
    """-1: the header has none, or says that there is none."""
    tid: NDArray[np.int64]
    level: NDArray[np.uint8]
    opcode: NDArray[np.uint8]
    """Of classic and kernel events the type."""
    keyword: NDArray[np.uint64]
    payload_offset: NDArray[np.int64]
    payload_length: NDArray[np.int64]
    identity: tuple[Part, ...]
    """Where the bytes lie that tell kinds of events apart: family, descriptor or number, provider, schema, traits."""
    schema: Part
    traits: Part
    bad: NDArray[np.bool_]
    """Headers that are not whole: broken extended items, or message options for which there is no room."""


def read_headers(raw: NDArray[np.uint8], frames: Frames) -> Headers:
    """The headers of all frames."""
    return _Reading(raw, frames).read()


class _Reading:
    def __init__(self, raw: NDArray[np.uint8], frames: Frames) -> None:
        count = len(frames)
        self.raw, self.frames = raw, frames
        self.tick, self.timed = np.zeros(count, np.int64), np.zeros(count, np.bool_)
        self.pid, self.tid = np.full(count, -1, np.int64), np.full(count, -1, np.int64)
        self.level, self.opcode = np.zeros(count, np.uint8), np.zeros(count, np.uint8)
        self.keyword, self.bad = np.zeros(count, np.uint64), np.zeros(count, np.bool_)
        self.payload = frames.offset + _SIZES[frames.type]
        self.parts = [(np.zeros(count, np.int64), np.zeros(count, np.int64)) for _ in range(5)]

    def read(self) -> Headers:
        frames, of = self.frames, _CLASSES[self.frames.type]
        self._part(0, np.arange(len(frames)), 2, 2)
        for family, read in (
            (_EVENT, self._events),
            (_CLASSIC, self._classic),
            (_KERNEL, self._kernel),
            (_MESSAGE, self._messages),
        ):
            rows = np.flatnonzero(of == family)
            if len(rows):
                read(rows)
        # Damage can claim a header longer than its event.
        end = frames.offset + frames.size
        payload = np.minimum(self.payload, end)
        kinds = tuple(self.parts)
        return Headers(
            self.tick, self.timed, self.pid, self.tid, self.level, self.opcode, self.keyword,
            payload, end - payload, kinds, kinds[3], kinds[4], self.bad,
        )  # fmt: skip

    def _part(self, number: int, rows: NDArray[np.int64], at: int, length: int) -> None:
        offset, size = self.parts[number]
        offset[rows], size[rows] = self.frames.offset[rows] + at, length

    def _common(self, rows: NDArray[np.int64]) -> None:
        head = gather(self.raw, self.frames.offset[rows], _COMMON)
        self.tick[rows], self.timed[rows] = head["tick"], True
        self._ids(rows, head)

    def _ids(self, rows: NDArray[np.int64], head: NDArray[np.void]) -> None:
        for column, name in ((self.pid, "pid"), (self.tid, "tid")):
            values = head[name].astype(np.int64)
            column[rows] = np.where(values == _NO_ID, -1, values)

    def _events(self, rows: NDArray[np.int64]) -> None:
        self._common(rows)
        offset = self.frames.offset[rows]
        head = gather(self.raw, offset, _EVENT_HEADER)
        self.level[rows], self.opcode[rows], self.keyword[rows] = head["level"], head["opcode"], head["keyword"]
        self._part(1, rows, 0x18, 16)
        self._part(2, rows, 0x28, 8)
        wanted = (ItemType.EVENT_SCHEMA_TL, ItemType.PROV_TRAITS)
        items = find_items(self.raw, offset, self.frames.size[rows], wanted)
        for number, kind in zip((3, 4), wanted, strict=True):
            place = items.places[kind]
            self.parts[number][0][rows], self.parts[number][1][rows] = place.offset, place.length
        self.payload[rows], self.bad[rows] = items.end, items.bad

    def _classic(self, rows: NDArray[np.int64]) -> None:
        self._common(rows)
        head = gather(self.raw, self.frames.offset[rows], _CLASSIC_HEADER)
        self.level[rows], self.opcode[rows] = head["level"], head["type"]
        self._part(1, rows, 0x18, 16)
        self._part(2, rows, 4, 4)

    def _kernel(self, rows: NDArray[np.int64]) -> None:
        short = np.isin(self.frames.type[rows], _PERFINFO)
        self._common(rows[~short])
        times = gather(self.raw, self.frames.offset[rows[short]], _SHORT)
        self.tick[rows[short]], self.timed[rows[short]] = times["tick"], True
        head = gather(self.raw, self.frames.offset[rows], _KERNEL_HEADER)
        self.opcode[rows] = head["type"]
        # Only the low byte of Version is one; the other says what stands before the payload.
        prefix = head["version"].astype(np.int64)
        self.payload[rows] += 8 * (((prefix & _COUNTERS) >> 8) + (prefix & _PEBS != 0))
        self._part(1, rows, 0, 1)
        self._part(2, rows, 6, 2)

    def _messages(self, rows: NDArray[np.int64]) -> None:
        offset, end = self.frames.offset[rows], self.frames.offset[rows] + self.frames.size[rows]
        options = gather(self.raw, offset, _MESSAGE_HEADER)["options"].astype(np.int64)
        # Byte 2 is reserved and byte 3 has flags of the logger: neither tells messages apart.
        self.parts[0][1][rows] = 0
        self._part(2, rows, 4, 4)
        at = offset + 8

        def option(chosen: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
            """Those that have it; the rest of a message without room for it is no header."""
            nonlocal at
            fits = chosen & ~self.bad[rows] & (at + size <= end)
            self.bad[rows] |= chosen & ~fits
            at = at + np.where(fits, size, 0)
            return fits

        option(options & 0x01 != 0, 4)
        for mask, size in ((options & 0x06 == 0x04, 4), (options & 0x02 != 0, 16)):
            fits = option(mask, size)
            self.parts[1][0][rows[fits]], self.parts[1][1][rows[fits]] = at[fits] - size, size
        fits = option(options & 0x18 != 0, 8)
        self.tick[rows[fits]], self.timed[rows[fits]] = gather(self.raw, at[fits] - 8, _LONG)["value"], True
        fits = option(options & 0x20 != 0, 8)
        self._ids(rows[fits], gather(self.raw, at[fits] - 8, _WORDS))
        self.payload[rows] = at


def carry_times(headers: Headers, buffer: NDArray[np.int64], fallback: int) -> NDArray[np.int64]:
    """The time that each event is ordered by: its own; without one that of the event before it in its buffer, else of
    the next one in its buffer, else `fallback`."""
    if headers.timed.all():
        return headers.tick
    count = len(headers.tick)
    rows = np.arange(count)
    tick = np.where(headers.timed, headers.tick, fallback)
    before = np.maximum.accumulate(np.where(headers.timed, rows, -1))
    after = np.minimum.accumulate(np.where(headers.timed, rows, count)[::-1])[::-1]
    for near in (np.minimum(after, count - 1), np.maximum(before, 0)):
        chosen = ~headers.timed & headers.timed[near] & (buffer[near] == buffer)
        tick[chosen] = headers.tick[near[chosen]]
    return tick
