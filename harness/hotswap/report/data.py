"""The trace as the page carries it: every event with all its fields, as compressed columns, and what to draw of it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import numpy as np

from hotswap.report.model import TraceModel, swap_parts, worker_text
from hotswap.report.packing import Packed, PageData, pack_fields
from hotswap.swap.swap_trace import BEGINNING
from hotswap.swap.swaps import Outcome
from hotswap.trace.expect import ExpectationResult
from hotswap.trace.table import EventTable
from hotswap.trace.threads import distinct_threads

SIGNAL_SOURCES = ("IOCTL", "load", "stop", "restart")
"""HOTSWAP_SIGNAL_SOURCE."""


def page_data(model: TraceModel, results: tuple[ExpectationResult, ...]) -> PageData:
    """What the page's script needs to draw the trace, and to show any event of it."""
    table, packed = model.table, Packed()
    first = int(table.tick[0]) if len(table) else 0
    packed.add("tick", table.tick - first)
    packed.add("cpu", table.cpu)
    threads, thread = distinct_threads(table.pid, table.tid)
    packed.add("thread", thread)
    kinds = _pack_kinds(table, packed)
    _pack_lanes(model, packed, first)
    force_ticks, force_versions = model.trace.force
    meta = {
        "events": len(table),
        "recorded": model.trace.etl.recorded,
        "nothing": "There is no trace of this run, so there is nothing to draw.",
        "frequency": table.frequency,
        "firstTick": str(first),
        "firstNs": int(table.ns[0]) if len(table) else 0,
        "threads": threads,
        "kinds": kinds,
        "sources": SIGNAL_SOURCES,
        "versions": model.versions,
        "workers": [
            {"id": worker, "wait": worker_text(model.definition(worker)), "threads": _threads(model, worker)}
            for worker in model.workers
        ],
        "force": [
            [None if tick == BEGINNING else int(tick) - first, int(version)]
            for tick, version in zip(force_ticks.tolist(), force_versions.tolist(), strict=True)
        ],
        "swaps": _swaps(model, first),
        "loads": _loads(model, first),
        "proofs": {item.id: [str(item.verdict), *item.slice] for item in results if item.slice},
        "columns": packed.columns,
    }
    return PageData(meta, packed.base64())


def _threads(model: TraceModel, worker: int) -> list[int]:
    return sorted(tid for tid, owner in model.threads.items() if owner == worker)


def _pack_kinds(table: EventTable, packed: Packed) -> list[dict[str, Any]]:
    """One kind per provider and event name; the fields of its events as columns `kind.field`."""
    names: dict[tuple[UUID, str], int] = {}
    index = np.array([names.setdefault((kind.provider, kind.name), len(names)) for kind in table.kinds], np.int64)
    kind_of = index[table.kind] if len(index) else np.zeros(0, np.int64)
    packed.add("kind", kind_of)
    described: list[dict[str, Any]] = []
    for number, (provider, name) in enumerate(names):
        events = table.events(name, provider)
        if len(events) != int(np.count_nonzero(kind_of == number)):
            packed.add(f"{number}.rows", events.rows)
        label = next((kind.provider_name for kind in table.kinds if kind.provider == provider), "") or str(provider)
        described.append({"name": name, "provider": label, "fields": pack_fields(packed, number, events)})
    return described


def _pack_lanes(model: TraceModel, packed: Packed, first: int) -> None:
    """Iterations in order of worker and begin, signals in order of worker and begin: by the rows of their events."""
    runs, signals = model.trace.iterations, model.trace.signals
    packed.add("iteration.begin", runs.row)
    packed.add("iteration.end", np.where(runs.end_row >= 0, runs.end_row - runs.row, -1))
    order = np.lexsort((signals.begin, signals.worker))
    packed.add("signal.begin", signals.begin_row[order])
    packed.add("signal.end", signals.end_row[order] - signals.begin_row[order])
    packed.add("signal.pending", signals.pending.row)
    position = np.empty(len(order), np.int64)
    position[order] = np.arange(len(order))
    woken_by = np.full(len(runs.row), -1, np.int64)
    woken_by[model.wakes.iteration] = position[model.wakes.signal]
    packed.add("iteration.signal", woken_by)


def _swaps(model: TraceModel, first: int) -> list[dict[str, Any]]:
    return [
        {
            "number": swap.number,
            "from": swap.from_version,
            "to": swap.to_version,
            "refused": "" if swap.outcome is Outcome.SUCCEEDED else swap.why_refused(),
            "parts": [
                [part.name, part.first - first, None if part.last is None else part.last - first]
                for part in swap_parts(swap)
            ],
            "rows": sorted(swap.rows),
        }
        for swap in model.trace.swaps
    ]


def _loads(model: TraceModel, first: int) -> list[list[int | None]]:
    """Load by load: number, begin, end (None: it was not stopped within the trace), in ticks since the first event."""
    begun, ended = model.trace.events["LoadStart"], model.trace.events["LoadStop"]
    ends = dict(zip(ended["Load"].tolist(), ended.tick.tolist(), strict=True))
    return [
        [load, tick - first, ends[load] - first if load in ends else None]
        for load, tick in zip(begun["Load"].tolist(), begun.tick.tolist(), strict=True)
    ]
