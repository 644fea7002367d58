"""The extended items of EVENT_HEADER events (reference: etl.md, section 2.4)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.framing import EVENT_HEADER_SIZE, gather, gather_words

_ITEM = 8
"""Bytes in front of an item's data, as one word: its size, type, linkage and length of data, 16 bits each."""
_LINKAGE = 1 << 32
_FLAGS = np.dtype({"names": ["flags"], "formats": ["<u2"], "offsets": [4], "itemsize": 8})
_EXTENDED_INFO = 1


class ItemType(IntEnum):
    """ExtType: EVENT_HEADER_EXT_TYPE_*."""

    RELATED_ACTIVITYID = 1
    SID = 2
    TS_ID = 3
    INSTANCE_INFO = 4
    STACK_TRACE32 = 5
    STACK_TRACE64 = 6
    PEBS_INDEX = 7
    PMC_COUNTERS = 8
    PSM_KEY = 9
    EVENT_KEY = 10
    EVENT_SCHEMA_TL = 11
    PROV_TRAITS = 12
    PROCESS_START_KEY = 13
    CONTROL_GUID = 14
    QPC_DELTA = 15
    CONTAINER_ID = 16
    STACK_KEY32 = 17
    STACK_KEY64 = 18


@dataclass(frozen=True, slots=True)
class Places:
    """Where something lies for each event: offset and length in bytes, both 0 where it is not there."""

    offset: NDArray[np.int64]
    length: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Items:
    """The items of events; arrays of one length. Of several items of one type the last counts."""

    places: Mapping[int, Places]
    """By item type; those that were asked for."""
    end: NDArray[np.int64]
    """Where the payload begins."""
    bad: NDArray[np.bool_]
    """Events with an item that is not whole; what follows it is taken for the payload."""


def find_items(
    raw: NDArray[np.uint8],
    offset: NDArray[np.int64],
    size: NDArray[np.int64],
    wanted: Collection[int],
    flags: NDArray[np.uint16] | None = None,
) -> Items:
    """Follow the items of EVENT_HEADER events in lockstep, one item of each event per step. `flags` are those of the
    headers, if they are known."""
    count = len(offset)
    places = {kind: Places(np.zeros(count, np.int64), np.zeros(count, np.int64)) for kind in wanted}
    ends, bad = offset + EVENT_HEADER_SIZE, np.zeros(count, np.bool_)
    flags = gather(raw, offset, _FLAGS)["flags"] if flags is None else flags
    live = np.flatnonzero(flags & _EXTENDED_INFO)
    at, end = ends[live], offset[live] + size[live]
    while len(live):
        fit = at + _ITEM <= end
        head = gather_words(raw, at if fit.all() else np.where(fit, at, offset[live]), 1)[:, 0].view(np.int64)
        total, length = head & 0xFFFF, (head >> 48) & 0xFFFF
        whole = fit & (total >= _ITEM + length) & (at + total <= end)
        if not whole.all():
            ends[live[~whole]], bad[live[~whole]] = at[~whole], True
            live, at, end, head, total, length = (part[whole] for part in (live, at, end, head, total, length))
        found = (head >> 16) & 0xFFFF
        for kind, place in places.items():
            hit = found == kind
            if hit.all():
                place.offset[live], place.length[live] = at + _ITEM, length
            elif hit.any():
                place.offset[live[hit]], place.length[live[hit]] = at[hit] + _ITEM, length[hit]
        at = at + total
        more = head & _LINKAGE != 0
        if not more.all():
            ends[live[~more]] = at[~more]
            live, at, end = live[more], at[more], end[more]
    return Items(places, ends, bad)
