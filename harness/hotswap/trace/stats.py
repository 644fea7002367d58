"""Counting events by what they have in common."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.table import EventTable


@dataclass(frozen=True, slots=True)
class Counted:
    """Events of one key: `first` and `last` in seconds since the session started, the rate between these two."""

    key: str
    events: int
    per_second: float
    first: float
    last: float
    payload_bytes: int

    def to_json(self) -> dict[str, str | int | float]:
        """For JSON output."""
        return asdict(self)


def count_events(table: EventTable, rows: NDArray[np.int64], by: str) -> list[Counted]:
    """The chosen rows by `event`, `provider`, `cpu`, `process` or `thread`, the most frequent first."""
    names = _names(table, rows, by)
    keys, index = np.unique(names, return_inverse=True)
    counted = []
    for number, key in enumerate(keys.tolist()):
        mine = rows[index == number]
        first, last = int(table.ns[mine].min()), int(table.ns[mine].max())
        rate = (len(mine) - 1) / ((last - first) / 1e9) if last > first else 0.0
        size = int(table.payload_length[mine].sum())
        counted.append(Counted(str(key), len(mine), rate, first / 1e9, last / 1e9, size))
    return sorted(counted, key=lambda item: (-item.events, item.key))


def _names(table: EventTable, rows: NDArray[np.int64], by: str) -> NDArray[np.generic]:
    if by == "cpu":
        return table.cpu[rows]
    if by == "process":
        return table.pid[rows]
    if by == "thread":
        return np.array([f"{pid}/{tid}" for pid, tid in zip(table.pid[rows], table.tid[rows], strict=True)], object)
    given = [kind.giver for kind in table.kinds]
    if by == "event":
        given = [f"{name}/{kind.name}" for name, kind in zip(given, table.kinds, strict=True)]
    return np.array(given, object)[table.kind[rows]] if given else np.empty(0, object)
