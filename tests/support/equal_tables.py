"""Event tables that were written and read again, held against the first."""

from __future__ import annotations

import numpy as np

from hotswap.trace.etl import parse_etl
from hotswap.trace.table import EventTable
from hotswap.trace.writer import Session, build_etl, table_batch
from support.etl_rows import SESSION

_COLUMNS = ("tick", "cpu", "pid", "tid", "level", "opcode", "keyword", "size", "payload_length", "ns")


def again(table: EventTable, session: Session = SESSION) -> EventTable:
    etl = parse_etl(build_etl(table_batch(table), session))
    assert [problem for problem in etl.problems if problem.code != "bad-items"] == []
    return etl.events


def assert_equal(one: EventTable, other: EventTable) -> None:
    """All but where the bytes lie; the file's own header event is of each file."""
    rows = [np.flatnonzero(table.recorded) for table in (one, other)]
    assert len(rows[0]) == len(rows[1])
    for name in _COLUMNS:
        assert (getattr(one, name)[rows[0]] == getattr(other, name)[rows[1]]).all(), name
    kinds = [
        [table.kinds[index] for index in table.kind[chosen].tolist()]
        for table, chosen in zip((one, other), rows, strict=True)
    ]
    assert kinds[0] == kinds[1]
    for a, b in zip(rows[0].tolist(), rows[1].tolist(), strict=True):
        assert one.payload(a) == other.payload(b)
