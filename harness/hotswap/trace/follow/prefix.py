"""The beginning of a trace that is still being written: all that a follower has handed out, as one table."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np

from hotswap.trace.table import EventTable


class Prefix:
    """Tables of one follower, put together when they are asked for."""

    def __init__(self) -> None:
        self._parts: list[EventTable] = []

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def add(self, table: EventTable) -> None:
        """Append the next table; only the bytes of its events are kept."""
        self._parts.append(_without_the_rest(table))

    @property
    def table(self) -> EventTable | None:
        """All events so far; None: there were none."""
        if not self._parts:
            return None
        last = self._parts[-1]
        if len(self._parts) > 1:
            self._parts = [_joined(self._parts, last)]
        return self._parts[0]


def _without_the_rest(table: EventTable) -> EventTable:
    """The same rows over data that holds their events and nothing else, each on 8 bytes."""
    size = table.size
    padded = (size + 7) & ~7
    offset = np.cumsum(padded) - padded
    data = np.zeros(int(padded.sum()), np.uint8)
    within = np.arange(int(size.sum())) - np.repeat(np.cumsum(size) - size, size)
    data[np.repeat(offset, size) + within] = np.frombuffer(table.data, np.uint8)[np.repeat(table.offset, size) + within]
    moved = table.payload_offset - table.offset + offset
    return replace(table, offset=offset, payload_offset=moved, data=data.tobytes(), _decoded={})


def _joined(parts: list[EventTable], last: EventTable) -> EventTable:
    """Tables behind each other. Their kinds are numbered alike, so those of the last are those of all."""
    base = np.cumsum([0, *(len(part.data) for part in parts)])[:-1]
    columns: dict[str, Any] = {}
    for column in fields(last):
        if column.name in ("kinds", "frequency", "data", "_decoded"):
            continue
        values = [getattr(part, column.name) for part in parts]
        if column.name in ("offset", "payload_offset"):
            values = [value + begin for value, begin in zip(values, base.tolist(), strict=True)]
        columns[column.name] = np.concatenate(values)
    return replace(last, **columns, data=b"".join(part.data for part in parts), _decoded={})
