"""What it costs to write a trace for other programs, and to compare two: beside Perfetto's own builder and json."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from io import BytesIO, StringIO
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hotswap.bench.etl_made_up import write_made_up
from hotswap.bench.table import Row, compare, single
from hotswap.trace.chrome_json import write_chrome_json
from hotswap.trace.diff.compare import compare as compare_traces
from hotswap.trace.diff.meaning import Meaning, Side
from hotswap.trace.etl import read_etl
from hotswap.trace.perfetto.export import write_perfetto
from hotswap.trace.shape import Shape
from hotswap.trace.table import EventTable

EVENTS = 200_000
TURNS = 3
_AIM_PERFETTO, _AIM_CHROME = 3.0, 1.0

Plain = tuple[int, int, int, str, dict[str, Any]]
"""Nanoseconds, process, thread, name, fields: what the others are given, decoded already."""


def run(events: int = EVENTS, turns: int = TURNS) -> tuple[list[Row], dict[str, Any]]:
    """Milliseconds of processor time. Ours begin with a table that is not decoded, the others with decoded events."""
    with tempfile.TemporaryDirectory(prefix="hotswap-bench-") as name:
        path = Path(name) / "made up.etl"
        write_made_up(path, events)
        table = read_etl(path).events
        rows = np.flatnonzero(table.recorded)

        def tables() -> list[tuple[EventTable, NDArray[np.int64]]]:
            return [(table, rows)]

        plain = list(_plain(table))
        what = f"{len(rows):,} events"
        perfetto = _times(lambda: write_perfetto(tables, Shape.of(tables), BytesIO(), unix_ns=0), turns)
        chrome = _times(lambda: write_chrome_json(tables, Shape.of(tables), StringIO()), turns)
        side = Side(table, rows)
        equal = _times(lambda: compare_traces(side, side, Meaning()), turns)
        builder, text = _times(lambda: _builder(plain), 1), _times(lambda: _json(plain), 1)
        found = [
            compare(f"{what} to Perfetto, by its builder", perfetto, builder, "ms", _AIM_PERFETTO),
            compare(f"{what} to Chrome's JSON, by json", chrome, text, "ms", _AIM_CHROME),
            single(f"{what} compared with themselves", equal, "ms"),
        ]
        return found, {"turns": turns}


def _times(work: Callable[[], object], turns: int) -> list[float]:
    found = []
    for _ in range(turns):
        begun = process_time()
        work()
        found.append((process_time() - begun) * 1000)
    return found


def _plain(table: EventTable) -> Iterator[Plain]:
    for index, kind in enumerate(table.kinds):
        if kind.schema is None:
            continue
        events = table.kind_events(index)
        columns = [(name, values.tolist()) for name, values in events.fields.items()]
        places = zip(table.ns[events.rows].tolist(), events.pid.tolist(), events.tid.tolist(), strict=True)
        for at, (ns, pid, tid) in enumerate(places):
            yield ns, pid, tid, kind.name, {name: values[at] for name, values in columns}


def _builder(events: list[Plain]) -> int:
    from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import TracePacket, TrackEvent
    from perfetto.trace_builder.proto_builder import StreamingTraceProtoBuilder

    stream = BytesIO()
    builder = StreamingTraceProtoBuilder(stream)
    names: dict[str, int] = {}
    for ns, _, tid, name, fields in events:
        packet = builder.create_packet()
        packet.timestamp = ns
        packet.trusted_packet_sequence_id = 1
        packet.sequence_flags = TracePacket.SEQ_NEEDS_INCREMENTAL_STATE
        packet.track_event.type = TrackEvent.TYPE_INSTANT
        packet.track_event.track_uuid = tid
        packet.track_event.name_iid = names.setdefault(name, len(names) + 1)
        for field, value in fields.items():
            annotation = packet.track_event.debug_annotations.add()
            annotation.name_iid = names.setdefault(field, len(names) + 1)
            if isinstance(value, int):
                annotation.int_value = value
            elif isinstance(value, float):
                annotation.double_value = value
            else:
                annotation.string_value = str(value)
        builder.write_packet(packet)
    return stream.tell()


def _json(events: list[Plain]) -> int:
    stream = StringIO()
    for ns, pid, tid, name, fields in events:
        told = {"name": name, "ph": "i", "s": "t", "ts": ns / 1000, "pid": pid, "tid": tid, "args": fields}
        stream.write(json.dumps(told) + ",\n")
    return stream.tell()
