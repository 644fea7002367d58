"""Tables cut into pieces, as a chunked reader hands them out."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.table import EventTable


def part(table: EventTable, begin: int, end: int) -> EventTable:
    """Some rows of a table that follow each other; the kinds stay the same."""
    length = len(table)
    cut = {
        field.name: value[begin:end]
        for field in dataclasses.fields(table)
        if isinstance(value := getattr(table, field.name), np.ndarray) and len(value) == length
    }
    return dataclasses.replace(table, **cut, _decoded={})


def pieces(table: EventTable, count: int) -> list[tuple[EventTable, NDArray[np.int64]]]:
    """A table in so many parts, each with the rows of it that were traced."""
    edges = np.linspace(0, len(table), count + 1).astype(int).tolist()
    found = [part(table, begin, end) for begin, end in pairwise(edges)]
    return [(one, np.flatnonzero(one.recorded)) for one in found]
