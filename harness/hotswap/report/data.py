"""The trace as the page carries it: every event with all its fields, as compressed columns, and what to draw of it."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from hotswap.report.columns import encode
from hotswap.report.model import TraceModel, swap_parts, worker_text
from hotswap.swap.swap_trace import BEGINNING
from hotswap.swap.swaps import Outcome
from hotswap.trace.expect import ExpectationResult, status_text
from hotswap.trace.schema import Field, InType, OutType
from hotswap.trace.table import Events, EventTable

SIGNAL_SOURCES = ("IOCTL", "load", "stop", "restart")
"""HOTSWAP_SIGNAL_SOURCE."""
_MAX_NAMES = 200


@dataclass
class Packed:
    """Columns one after the other; `columns` says of each its name, encoding, count and length in bytes."""

    columns: dict[str, list[Any]] = field(default_factory=dict)
    chunks: list[bytes] = field(default_factory=list)

    def add(self, name: str, values: NDArray[np.generic]) -> None:
        """Append a column of integers."""
        encoding, data = encode(values)
        self.columns[name] = [encoding, len(values), len(data)]
        self.chunks.append(data)

    def base64(self) -> str:
        """All columns, deflated."""
        return base64.b64encode(zlib.compress(b"".join(self.chunks), 6)).decode("ascii")


@dataclass(frozen=True, slots=True)
class PageData:
    """`meta` is plain data for JSON, `columns` base64 of deflated columns."""

    meta: dict[str, Any]
    columns: str


def page_data(model: TraceModel, results: tuple[ExpectationResult, ...]) -> PageData:
    """What the page's script needs to draw the trace, and to show any event of it."""
    table, packed = model.table, Packed()
    first = int(table.tick[0]) if len(table) else 0
    packed.add("tick", table.tick - first)
    packed.add("cpu", table.cpu)
    tids, tid = np.unique(table.tid, return_inverse=True)
    packed.add("tid", tid)
    kinds = _pack_kinds(table, packed)
    _pack_lanes(model, packed, first)
    force_ticks, force_versions = model.trace.force
    meta = {
        "events": len(table),
        "recorded": model.trace.etl.recorded,
        "frequency": table.frequency,
        "firstTick": str(first),
        "firstNs": int(table.ns[0]) if len(table) else 0,
        "tids": [int(value) for value in tids],
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


def json_for_script(value: object) -> str:
    """JSON that cannot end or open a script element, whatever the strings in it hold."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


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
        described.append({"name": name, "provider": label, "fields": _pack_fields(number, events, packed)})
    return described


def _pack_fields(number: int, events: Events, packed: Packed) -> list[dict[str, Any]]:
    fields: list[dict[str, Any]] = []
    for name, values in events.fields.items():
        told: dict[str, Any] = {"name": name, "as": _format(events.schema[name])}
        if values.dtype.kind == "b":
            values = values.astype(np.int64)
        if values.dtype.kind not in "iu":
            texts, values = np.unique(np.array([_text(value) for value in values.tolist()]), return_inverse=True)
            told |= {"as": "text", "texts": [str(text) for text in texts]}
        elif values.dtype.kind == "i":
            told["signed"] = True
        if told["as"] in ("wait", "status"):
            told["names"] = _status_names(values, wait=told["as"] == "wait")
        packed.add(f"{number}.{name}", values if values.dtype.itemsize == 8 else values.astype(np.int64))
        fields.append(told)
    return fields


def _status_names(values: NDArray[np.generic], *, wait: bool) -> dict[str, str]:
    """The text of every NTSTATUS that is in the column; only here the page would need names of its own."""
    return {str(value): status_text(value, wait=wait) for value in np.unique(values).tolist()[:_MAX_NAMES]}


def _text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _format(described: Field) -> str:
    if described.out_type == OutType.NTSTATUS:
        return "wait" if described.name.startswith("Wait") else "status"
    if described.in_type in (InType.HEXINT32, InType.HEXINT64) or described.out_type == OutType.HEX:
        return "hex"
    return "number"


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
