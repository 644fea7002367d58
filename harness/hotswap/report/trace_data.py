"""Any trace as its page carries it: the chosen events with all their fields, spans, flows, and what got lost."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hotswap.report.packing import Packed, PageData, pack_fields
from hotswap.trace.shape import Shape
from hotswap.trace.table import NO_SCHEMA, EventTable
from hotswap.trace.threads import distinct_threads

Ints = NDArray[np.int64]

_SHOWN_BYTES = 48
"""Of a payload that was not decoded."""


def trace_page(table: EventTable, rows: Ints, shape: Shape) -> PageData:
    """What the page's script needs. `rows` are in order; `shape` is that of these rows of this table."""
    packed = Packed()
    first = int(table.tick[rows[0]]) if len(rows) else 0
    packed.add("tick", table.tick[rows] - first)
    packed.add("cpu", table.cpu[rows])
    contiguous = len(rows) == 0 or int(rows[-1]) - int(rows[0]) == len(rows) - 1
    if not contiguous:
        packed.add("row", rows)
    threads, thread = distinct_threads(table.owner_pid[rows], table.owner_tid[rows])
    packed.add("thread", thread)
    names = shape.names
    pids = sorted({pid for pid, _ in threads})
    meta: dict[str, Any] = {
        "events": len(rows),
        "recorded": len(rows),
        "nothing": "There are no events in this trace, so there is nothing to draw.",
        "frequency": table.frequency,
        "firstTick": str(first),
        "firstNs": int(table.ns[rows[0]]) if len(rows) else 0,
        "firstRow": int(rows[0]) if len(rows) else 0,
        "threads": [[pid, tid, names.threads.get((pid, tid), "")] for pid, tid in threads],
        "processes": {str(pid): name for pid in pids if (name := names.process(pid))},
        "kinds": _pack_kinds(table, rows, packed),
        "tasks": [{"name": task.name, "asked": task.asked} for task in shape.spans.tasks],
        "losses": _losses(table, shape, first),
    }
    _pack_spans(rows, shape, packed)
    return PageData(meta | {"columns": packed.columns}, packed.base64())


def _pack_kinds(table: EventTable, rows: Ints, packed: Packed) -> list[dict[str, Any]]:
    """The kinds that are there, and their fields as columns `number.field`."""
    present = np.flatnonzero(np.bincount(table.kind[rows], minlength=len(table.kinds)))
    code = np.searchsorted(present, table.kind[rows])
    packed.add("kind", code)
    place = np.full(len(table), -1, np.int64)
    place[rows] = np.arange(len(rows))
    return [_pack_kind(table, index, number, place, code, packed) for number, index in enumerate(present.tolist())]


def _pack_kind(table: EventTable, index: int, number: int, place: Ints, code: Ints, packed: Packed) -> dict[str, Any]:
    kind, mine = table.kinds[index], np.flatnonzero(code == number)
    told: dict[str, Any] = {"name": kind.name, "provider": kind.giver, "fields": []}
    if kind.schema is None:
        decoded = np.flatnonzero((table.kind == index) & (table.payload_length == 0))
    else:
        events = table.kind_events(index)
        decoded = events.rows
        told["fields"] = pack_fields(packed, number, events, place[events.rows] >= 0)
    decoded = place[decoded]
    decoded = decoded[decoded >= 0]
    if len(decoded) < len(mine):
        packed.add(f"{number}.rows", decoded)
        others = np.setdiff1d(mine, decoded, assume_unique=True)
        table_rows = np.flatnonzero(place >= 0)[others]
        packed.add_texts(f"{number}.raw", [_raw(table, row) for row in table_rows.tolist()])
        told["problem"] = NO_SCHEMA if kind.schema is None else str(table.row(int(table_rows[0]))["problem"])
    return told


def _raw(table: EventTable, row: int) -> str:
    start, size = int(table.payload_offset[row]), int(table.payload_length[row])
    shown = table.data[start : start + min(size, _SHOWN_BYTES)].hex()
    return f"{shown}… ({size} bytes)" if size > _SHOWN_BYTES else shown


def _pack_spans(rows: Ints, shape: Shape, packed: Packed) -> None:
    """Spans and flows by the page's own rows."""
    spans, flows = shape.spans, shape.flows
    packed.add("span.begin", np.searchsorted(rows, spans.begin))
    packed.add("span.end", np.where(spans.end >= 0, np.searchsorted(rows, spans.end), -1))
    packed.add("span.task", spans.task)
    packed.add("flow.origin", np.searchsorted(rows, flows.origin))
    packed.add("flow.to", np.searchsorted(rows, flows.to))


def _losses(table: EventTable, shape: Shape, first: int) -> list[list[Any]]:
    """From, to (ticks since the first event; null: open), what, and the CPU where it is known."""
    first_ns = shape.first_ns

    def tick(ns: int | None) -> int | None:
        return None if ns is None else (ns - first_ns) * table.frequency // 1_000_000_000

    return [[tick(loss.start), tick(loss.end), loss.what, loss.cpu] for loss in shape.losses]
