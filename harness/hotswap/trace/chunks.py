"""Events of a file in time order, part by part, in memory that does not grow with the file.

The ticks of a file are cut into windows, so that about as many buffers begin in each. All buffers with events in a
window are scanned for it; one that reaches over many windows (that of an idle processor) is scanned again for each. So
nothing is kept from one window to the next, and a window is exact whatever the others are.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.buffers import BufferFile, Image, Ints
from hotswap.trace.heads import Keep, Scanned
from hotswap.trace.index import TraceIndex, WholeImage
from hotswap.trace.log_header import LogFileHeader
from hotswap.trace.loss import has_wrapped
from hotswap.trace.modes import MODE_NO_PER_PROCESSOR
from hotswap.trace.scan import ALWAYS, Buffers, ordered_columns
from hotswap.trace.table import EventTable

CHUNK_BUFFERS = 512


def buffer_ranks(buffers: NDArray[np.void], header: LogFileHeader) -> Ints:
    """In which order the buffers of a processor come: that of the file; that of their numbers where it began again, or
    where processors share buffers."""
    rank = np.arange(len(buffers))
    wrapped = has_wrapped(header, buffers) or header.buffers_written > len(buffers)
    if not header.mode & MODE_NO_PER_PROCESSOR and not wrapped:
        return rank
    rank[np.argsort(buffers["sequence"], kind="stable")] = np.arange(len(buffers))
    return rank


def table_from(
    heads: NDArray[np.void], image: Image, chosen: Ints, file: BufferFile, index: TraceIndex, facts: NDArray[np.void],
    window: tuple[int, int] = ALWAYS,
) -> EventTable:  # fmt: skip
    """The events of some buffers with a tick in the window, from their heads."""
    clock = index.header.clock
    buffers = Buffers(file.buffers["cpu"][chosen], buffer_ranks(file.buffers, index.header)[chosen], facts)
    columns = ordered_columns(heads, buffers, clock, window)
    # The columns are those of the table.
    return EventTable(kinds=index.kinds, **columns, frequency=clock.frequency, data=image.data)  # type: ignore[arg-type]


def whole_table(file: BufferFile, index: TraceIndex, whole: WholeImage | None = None) -> EventTable:
    """All events of the file at once; `whole` is what the pass that made the index kept."""
    chosen = np.arange(len(file.buffers))
    if whole is not None:
        return table_from(whole.heads, whole.image, chosen, file, index, index.facts)
    image = file.whole([])
    scanned = _scan(image, index)
    return table_from(scanned.heads, image, chosen, file, index, scanned.facts)


def _scan(image: Image, index: TraceIndex) -> Scanned:
    fallback = index.header.first_tick
    return index.scanner.scan(image.raw, image.begin, image.end, fallback=fallback, keep=Keep.ALL, counting=False)


def read_chunks(file: BufferFile, index: TraceIndex, buffers: int) -> Iterator[EventTable]:
    """All events in time order, in tables of about so many buffers. A table without events is not given."""
    before = np.zeros(0, np.int64)
    for window, chosen in windows(index.facts, buffers):
        image = file.image(chosen)
        scanned = _scan(image, index)
        file.release(before)
        before = chosen
        table = table_from(scanned.heads, image, chosen, file, index, scanned.facts, window)
        if len(table):
            yield table


def windows(facts: NDArray[np.void], buffers: int) -> Iterator[tuple[tuple[int, int], Ints]]:
    """Windows of ticks (first and last), which follow each other and hold all events, and the buffers with events in
    each, in file order."""
    full = np.flatnonzero(facts["count"])
    least, most = facts["least"], facts["most"]
    full = full[np.argsort(least[full], kind="stable")]
    starts = least[full]
    begin, open_ = 0, np.zeros(0, np.int64)
    while begin < len(full):
        # Not between buffers that begin at one tick.
        end = int(np.searchsorted(starts, starts[min(begin + buffers, len(full)) - 1], "right"))
        last = int(starts[end]) - 1 if end < len(full) else ALWAYS[1]
        first = int(starts[begin]) if begin else ALWAYS[0]
        chosen = np.concatenate([open_, full[begin:end]])
        yield (first, last), np.sort(chosen)
        open_ = chosen[most[chosen] > last]
        begin = end
