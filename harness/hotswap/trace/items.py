"""The extended items of EVENT_HEADER events (reference: etl.md, section 2.4)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.framing import EVENT_HEADER_SIZE, gather

_ITEM = np.dtype([("size", "<u2"), ("type", "<u2"), ("linkage", "<u2"), ("length", "<u2")])
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
    raw: NDArray[np.uint8], offset: NDArray[np.int64], size: NDArray[np.int64], wanted: Collection[int]
) -> Items:
    """Follow the items of EVENT_HEADER events in lockstep, one item of each event per step."""
    count = len(offset)
    places = {kind: Places(np.zeros(count, np.int64), np.zeros(count, np.int64)) for kind in wanted}
    cursor, end = offset + EVENT_HEADER_SIZE, offset + size
    bad = np.zeros(count, np.bool_)
    live = np.flatnonzero(gather(raw, offset, _FLAGS)["flags"] & _EXTENDED_INFO)
    while len(live):
        fits = cursor[live] + 8 <= end[live]
        bad[live[~fits]] = True
        live = live[fits]
        at = cursor[live]
        head = gather(raw, at, _ITEM)
        total, length = head["size"].astype(np.int64), head["length"].astype(np.int64)
        whole = (total >= 8 + length) & (at + total <= end[live])
        bad[live[~whole]] = True
        for kind, place in places.items():
            hit = whole & (head["type"] == kind)
            place.offset[live[hit]] = at[hit] + 8
            place.length[live[hit]] = length[hit]
        cursor[live[whole]] += total[whole]
        live = live[whole & (head["linkage"] & 1 == 1)]
    return Items(places, cursor, bad)
