"""An event table as events to write: its rows as they lie in their file, with the times, processors and threads of the
table, which somebody may have changed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.framing import HeaderType
from hotswap.trace.table import EventTable
from hotswap.trace.writer.batch import Batch, gather_words

Ints = NDArray[np.int64]
_PERFINFO = (HeaderType.PERFINFO32, HeaderType.PERFINFO64)
_LEVEL_AT = {"event": 0x2C, "classic": 5}
_OPCODE_AT = {"event": 0x2D, "classic": 4}
_KEYWORD_AT = 0x30


def table_batch(table: EventTable, rows: Ints | None = None) -> Batch:
    """Some rows of a table (all by default), the file's own header event left out: a file has one anyway.

    Bytes are those of the table's `data`; tick, pid, tid, level, opcode and keyword, and of course the processor, are
    the columns'. The order is that of `rows`, so of one processor they must be in time order to be written.
    """
    rows = np.flatnonzero(table.recorded) if rows is None else rows[table.recorded[rows]]
    size = table.size[rows]
    length = (size + 7) >> 3
    words = _words(table, rows, length)
    start = 8 * (np.cumsum(length) - length)
    into = words.view(np.uint8)
    padding = 8 * length - size
    for pad in range(1, 8):
        # What follows an event in its file is not always zero.
        short = padding >= pad
        into[(start + 8 * length - pad)[short]] = 0
    _put_headers(table, rows, into, start)
    return Batch(words, size, table.cpu[rows], table.tick[rows])


def _words(table: EventTable, rows: Ints, length: Ints) -> NDArray[np.uint64]:
    offset, data = table.offset[rows], np.frombuffer(table.data, np.uint8)
    if (offset % 8).any() or (len(offset) and int((offset + 8 * length).max()) > len(data)):
        # Behind damage, or at the end of a file that was cut: byte by byte.
        size = table.size[rows]
        into = np.zeros(8 * int(length.sum()), np.uint8)
        start = 8 * (np.cumsum(length) - length)
        within = np.arange(int(size.sum())) - np.repeat(np.cumsum(size) - size, size)
        into[np.repeat(start, size) + within] = data[np.repeat(offset, size) + within]
        return into.view(np.uint64)
    whole = data[: len(data) & ~7].view(np.uint64)
    words = gather_words(whole, offset >> 3, length)
    return words if words.flags.writeable and words.base is None else words.copy()


def _put_headers(table: EventTable, rows: Ints, into: NDArray[np.uint8], start: Ints) -> None:
    """Write the columns into the headers, kind by kind where a family has its own places."""
    kind = table.kind[rows]
    for index in np.unique(kind).tolist():
        of, mine = table.kinds[index], kind == index
        at, source = start[mine], rows[mine]
        if of.family in ("event", "classic", "kernel"):
            short = of.header in _PERFINFO
            _put(into, at + (8 if short else 16), table.tick[source].astype("<i8"))
            if not short:
                _put(into, at + 8, table.tid[source].astype("<u4"))
                _put(into, at + 12, table.pid[source].astype("<u4"))
        if of.family in _LEVEL_AT:
            _put(into, at + _LEVEL_AT[of.family], table.level[source])
            _put(into, at + _OPCODE_AT[of.family], table.opcode[source])
        if of.family == "event":
            _put(into, at + _KEYWORD_AT, table.keyword[source].astype("<u8"))


def _put(into: NDArray[np.uint8], at: Ints, values: NDArray[np.generic]) -> None:
    width = values.dtype.itemsize
    into[at[:, None] + np.arange(width)] = np.ascontiguousarray(values).view(np.uint8).reshape(len(at), width)
