"""Scanning buffers and putting their events in order, with the native kernel or its twins in numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.clock import SessionClock
from hotswap.trace.heads import NO_ID, Scanner
from hotswap.trace.native import kernel
from hotswap.trace.native.scan import NativeScanner, native_columns, native_order
from hotswap.trace.scan_numpy import NumpyScanner

Columns = Mapping[str, NDArray[np.generic]]
ALWAYS = (-(1 << 63), (1 << 63) - 1)
"""The window of all ticks: the first and the last one."""


def scanner() -> Scanner:
    """A new one of the kernel in use."""
    native = kernel()
    return NumpyScanner() if native is None else NativeScanner(native.scans)


@dataclass(frozen=True, slots=True)
class Buffers:
    """The buffers that were scanned, arrays of one length: processor, rank among those of the processor, and facts."""

    cpu: NDArray[np.int64]
    rank: NDArray[np.int64]
    facts: NDArray[np.void]


def ordered_columns(
    heads: NDArray[np.void], buffers: Buffers, clock: SessionClock, window: tuple[int, int] = ALWAYS
) -> Columns:
    """The columns of the table (EventTable) of the events with a tick in the window, of which both ends are in it: all
    heads of the buffers, by tick, then processor, then rank of the buffer, then place."""
    native = kernel()
    by_stream = np.lexsort((buffers.rank, buffers.cpu))
    if native is None or not _in_order(buffers, by_stream):
        order = _order(heads, buffers, window)
    else:
        ends = np.cumsum(buffers.facts["count"])
        segments = np.stack([ends - buffers.facts["count"], ends], axis=1)[by_stream]
        cpus = buffers.cpu[by_stream]
        streams = np.flatnonzero(np.concatenate([[True], cpus[1:] != cpus[:-1], [True]])) if len(cpus) else np.zeros(1)
        order = native_order(
            native.scans, heads, np.ascontiguousarray(segments, np.uint64), streams.astype(np.uint64), window
        )
    if native is None:
        # `take` copies a head as one item, which indexing with an array does field by field.
        return _columns(heads.take(order), buffers.cpu, clock)
    return native_columns(native.scans, heads, order, buffers.cpu, clock)


def _in_order(buffers: Buffers, by_stream: NDArray[np.int64]) -> bool:
    """Whether time runs backwards nowhere on a processor, as is so in whole files."""
    facts, cpus = buffers.facts[by_stream], buffers.cpu[by_stream]
    if facts["inversions"].any():
        return False
    full = facts["count"] > 0
    facts, cpus = facts[full], cpus[full]
    return not ((facts["first"][1:] < facts["last"][:-1]) & (cpus[1:] == cpus[:-1])).any()


def _order(heads: NDArray[np.void], buffers: Buffers, window: tuple[int, int]) -> NDArray[np.uint32]:
    """The twin of native_order, which also takes what is not in order."""
    tick: NDArray[np.int64] = np.ascontiguousarray(heads["tick"])
    rank = np.empty(len(buffers.cpu), np.int64)
    rank[np.lexsort((buffers.rank, buffers.cpu))] = np.arange(len(rank))
    # The heads by stream, then a stable sort by time: nearly sorted data, which is what that is fast on.
    counts = buffers.facts["count"].astype(np.int64)
    starts = np.cumsum(counts) - counts
    by_rank = np.argsort(rank)
    sizes = counts[by_rank]
    in_streams = np.repeat(starts[by_rank] - (np.cumsum(sizes) - sizes), sizes) + np.arange(int(sizes.sum()))
    if window != ALWAYS:
        chosen = tick[in_streams]
        in_streams = in_streams[(chosen >= window[0]) & (chosen <= window[1])]
    return in_streams[np.argsort(tick[in_streams], kind="stable")].astype(np.uint32)


def _columns(heads: NDArray[np.void], cpus: NDArray[np.int64], clock: SessionClock) -> Columns:
    """The twin of native_columns."""
    tick: NDArray[np.int64] = np.ascontiguousarray(heads["tick"])
    size, payload = heads["size"].astype(np.int64), heads["payload"].astype(np.int64)
    offset: NDArray[np.int64] = np.ascontiguousarray(heads["offset"])
    ids = {}
    for name in ("pid", "tid"):
        ids[name] = heads[name].astype(np.int64)
        ids[name][ids[name] == NO_ID] = -1
    return {
        "kind": np.ascontiguousarray(heads["kind"]),
        "tick": tick,
        "ns": clock.nanoseconds(tick),
        "filetime": clock.filetimes(tick),
        "cpu": cpus.astype(np.int64)[heads["buffer"]],
        **ids,
        "level": np.ascontiguousarray(heads["level"]),
        "opcode": np.ascontiguousarray(heads["opcode"]),
        "keyword": np.ascontiguousarray(heads["keyword"]),
        "payload_offset": offset + payload,
        "payload_length": size - payload,
        "offset": offset,
        "size": size,
    }
