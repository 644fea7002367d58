"""The headers of events in numpy, for every kind of header (reference: etl.md, sections 2.2 and 2.3).

The twin is read_event of native/scan.c.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.framing import HEADER_SIZES, Family, HeaderType, family_of, gather
from hotswap.trace.heads import HEAD_DTYPE, NO_ID, HeadFlag
from hotswap.trace.items import ItemType, Places, find_items
from hotswap.trace.walk import Walked

_FAMILIES: tuple[Family, ...] = ("unknown", "event", "classic", "kernel", "message")
_FAMILY = np.array([_FAMILIES.index(family_of(kind)) for kind in range(256)], np.uint8)
_SIZES = np.array([HEADER_SIZES.get(kind, 8) for kind in range(256)], np.int64)  # type: ignore[call-overload]
_SHORT = np.isin(np.arange(256), (HeaderType.PERFINFO32, HeaderType.PERFINFO64))


def _record(size: int, **fields: tuple[str, int]) -> np.dtype[np.void]:
    """A record type: by field its type and its offset."""
    names, types = [*fields], [code for code, _ in fields.values()]
    offsets = [at for _, at in fields.values()]
    return np.dtype({"names": names, "formats": types, "offsets": offsets, "itemsize": size})


_COMMON = {"tid": ("<u4", 0x08), "pid": ("<u4", 0x0C), "tick": ("<i8", 0x10)}
_EVENT = _record(
    0x38, **_COMMON, flags=("<u2", 4), low=("<u8", 0x18), high=("<u8", 0x20), descriptor=("<u8", 0x28),
    level=("u1", 0x2C), opcode=("u1", 0x2D), keyword=("<u8", 0x30),
)  # fmt: skip
_CLASSIC = _record(
    0x28, **_COMMON, descriptor=("<u4", 4), opcode=("u1", 4), level=("u1", 5), low=("<u8", 0x18), high=("<u8", 0x20)
)
_KERNEL = _record(8, version=("<u2", 0), opcode=("u1", 6), hook=("<u2", 6))
_SYSTEM, _PERFINFO = _record(0x18, **_COMMON), _record(0x10, tick=("<i8", 8))
_MESSAGE = _record(8, descriptor=("<u4", 4), options=("<u2", 6))
_TIME, _IDS = _record(8, tick=("<i8", 0)), _record(8, tid=("<u4", 0), pid=("<u4", 4))
_GUID, _COMPONENT = _record(16, low=("<u8", 0), high=("<u8", 8)), _record(4, low=("<u4", 0))
_PEBS_BIT, _COUNTERS_BIT, _COUNTERS = 15, 8, 7


@dataclass(frozen=True, slots=True)
class Headers:
    """Heads (HEAD_DTYPE without `kind` and `buffer`), what tells kinds apart: the four words of the key (kind_keys.py),
    and where schema item and traits item are."""

    heads: NDArray[np.void]
    keys: NDArray[np.uint64]
    schema: Places
    traits: Places


def read_headers(raw: NDArray[np.uint8], walked: Walked) -> Headers:
    """The headers of all events."""
    return _Reading(raw, walked).read()


class _Reading:
    def __init__(self, raw: NDArray[np.uint8], walked: Walked) -> None:
        count = len(walked.offset)
        self.raw, self.offset, self.size, self.type = raw, walked.offset, walked.size, walked.type
        self.heads = np.zeros(count, HEAD_DTYPE)
        for name in ("offset", "size", "type"):
            self.heads[name] = getattr(walked, name)
        self.heads["pid"] = self.heads["tid"] = NO_ID
        self.payload = _SIZES[self.type]
        self.keys = np.zeros((count, 4), np.uint64)
        self.keys[:, 0] = self.type
        self.schema, self.traits = (Places(np.zeros(count, np.int64), np.zeros(count, np.int64)) for _ in range(2))

    def read(self) -> Headers:
        family = _FAMILY[self.type]
        for number, read in enumerate((self._unknown, self._events, self._classic, self._kernel, self._messages)):
            rows = np.flatnonzero(family == number)
            if len(rows) == len(family):
                read(slice(None))
            elif len(rows):
                read(rows)
        self.heads["payload"] = np.minimum(self.payload, self.size)
        return Headers(self.heads, self.keys, self.schema, self.traits)

    def _take(self, rows: NDArray[np.int64] | slice, record: np.dtype[np.void], *names: str) -> NDArray[np.void]:
        """The records at the beginning of these events; fields of these names go to the heads."""
        found = gather(self.raw, self.offset[rows], record)
        for name in names:
            self.heads[name][rows] = found[name]
        return found

    def _unknown(self, rows: NDArray[np.int64] | slice) -> None:
        self.heads["flags"][rows] = HeadFlag.UNTIMED

    def _events(self, rows: NDArray[np.int64] | slice) -> None:
        head = self._take(rows, _EVENT, "tid", "pid", "tick", "level", "opcode", "keyword")
        for word, name in enumerate(("low", "high", "descriptor"), 1):
            self.keys[rows, word] = head[name]
        items = find_items(
            self.raw,
            self.offset[rows],
            self.size[rows],
            (ItemType.EVENT_SCHEMA_TL, ItemType.PROV_TRAITS),
            head["flags"],
        )
        for place, kind, shift in (
            (self.schema, ItemType.EVENT_SCHEMA_TL, 16),
            (self.traits, ItemType.PROV_TRAITS, 32),
        ):
            found = items.places[kind]
            place.offset[rows], place.length[rows] = found.offset, found.length
            self.keys[rows, 0] |= found.length.astype(np.uint64) << np.uint64(shift)
        self.payload[rows] = items.end - self.offset[rows]
        self.heads["flags"][rows] = np.where(items.bad, HeadFlag.BAD, 0)

    def _classic(self, rows: NDArray[np.int64] | slice) -> None:
        head = self._take(rows, _CLASSIC, "tid", "pid", "tick", "level", "opcode")
        for word, name in enumerate(("low", "high", "descriptor"), 1):
            self.keys[rows, word] = head[name]

    def _kernel(self, rows: NDArray[np.int64] | slice) -> None:
        head = self._take(rows, _KERNEL, "opcode")
        version = head["version"].astype(np.int64)
        self.keys[rows, 3] = (head["hook"].astype(np.uint64) << np.uint64(16)) | (head["version"] & 0xFF)
        # Performance counters and a PEBS index stand before the payload.
        self.payload[rows] += 8 * (((version >> _COUNTERS_BIT) & _COUNTERS) + (version >> _PEBS_BIT))
        numbers = np.arange(len(self.type))[rows]
        short = _SHORT[self.type[rows]]
        self._take(numbers[short], _PERFINFO, "tick")
        self._take(numbers[~short], _SYSTEM, "tid", "pid", "tick")

    def _messages(self, rows: NDArray[np.int64] | slice) -> None:
        head = self._take(rows, _MESSAGE)
        self.keys[rows, 3] = head["descriptor"]
        numbers, options = np.arange(len(self.type))[rows], head["options"].astype(np.int64)
        at, size = np.full(len(numbers), 8, np.int64), self.size[rows]
        bad = np.zeros(len(numbers), np.bool_)

        def option(chosen: NDArray[np.bool_], bytes_: int, record: np.dtype[np.void] | None = None) -> _Option:
            """Move over the values of an option; those of a message without room for them are not there."""
            nonlocal at
            chosen = chosen & ~bad
            bad[chosen & (at + bytes_ > size)] = True
            chosen &= ~bad
            places = self.offset[numbers[chosen]] + at[chosen]
            at = at + np.where(chosen, bytes_, 0)
            return numbers[chosen], gather(self.raw, places, record) if record is not None else np.zeros(0, _TIME)

        option(options & 0x01 != 0, 4)
        for chosen, record in ((options & 0x06 == 0x04, _COMPONENT), (options & 0x02 != 0, _GUID)):
            found, values = option(chosen, record.itemsize, record)
            for word, name in enumerate(record.names or (), 1):
                self.keys[found, word] = values[name]
            self.keys[found, 0] |= np.uint64(record.itemsize << 48)
        timed, times = option(options & 0x18 != 0, 8, _TIME)
        self.heads["flags"][rows] = HeadFlag.UNTIMED
        self.heads["tick"][timed], self.heads["flags"][timed] = times["tick"], 0
        known, ids = option(options & 0x20 != 0, 8, _IDS)
        self.heads["tid"][known], self.heads["pid"][known] = ids["tid"], ids["pid"]
        self.heads["flags"][rows] |= np.where(bad, HeadFlag.BAD, 0).astype(np.uint8)
        self.payload[rows] = at


_Option = tuple[NDArray[np.int64], NDArray[np.void]]
"""Which messages have an option, and its values where they were asked for."""
