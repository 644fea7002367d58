"""`ci/bench etl`: reading traces, beside the other readers and beside the limits of this computer."""

from __future__ import annotations

import json
import mmap
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from hotswap.bench.etl_made_up import write_compressed, write_made_up
from hotswap.bench.table import Row
from hotswap.errors import LabFault
from hotswap.trace import native
from hotswap.trace.compression import Compression, compress, inflate
from hotswap.trace.etl import EtlFile, open_etl, read_etl
from hotswap.trace.table import EventTable

EVENTS = 2_000_000
_COMPRESSED_EVENTS = 400_000
_OTHERS_EVENTS = 20_000
_ROUNDS = 3
_FULL_AIM = {"native": 3.0, "python": 1.2}
_HEADERS_AIM = {"native": 8.0, "python": None}
_INFLATED_AIM = {"native": 250.0, "python": None}
_DISSECT_AIM, _ETL_PARSER_AIM = 100.0, 1000.0
_SAMPLES = "HOTSWAP_ETL_SAMPLES"
_LEAST_SAMPLE = 3 << 20
"""Bytes of a real file: of a smaller one, opening it is what would be measured."""


def run(
    wanted: int = EVENTS, others: int = _OTHERS_EVENTS, compressed: int = _COMPRESSED_EVENTS
) -> tuple[list[Row], dict[str, Any]]:
    """The rows, and which kernels were measured. `wanted` events are read by ours, `others` by the other readers.

    Rates are of elapsed time, with one thread.
    """
    kernels = ["native", "python"] if native.kernel() is not None else ["python"]
    with tempfile.TemporaryDirectory() as folder:
        large, small, packed = (Path(folder) / f"{name}.etl" for name in ("large", "small", "packed"))
        few = write_made_up(small, others)
        dissect, parser = _dissect(small, few), _other("etl-parser", small, few)
        events = write_made_up(large, compressed)
        inflated = write_compressed(large, packed)
        rows = [row for name in kernels for row in _compressed(packed, inflated, events, name)]
        events = write_made_up(large, wanted)
        for name in kernels:
            rows += _made_up(large, events, name, dissect, parser)
        for name in kernels:
            rows += [row for path in _samples() for row in _sample(path, name)]
        rows += [_inflating(kernels[0]), *_limits(large)]
        facts = {"events": events, "bytes": large.stat().st_size}
        return rows, facts


def _made_up(path: Path, events: int, name: str, dissect: float, parser: float) -> Iterator[Row]:
    """Of the large file, read at once and part by part."""
    with _chosen(name):
        rates = {
            what: _rate(events, lambda read=read: _same(read(path), events))  # type: ignore[misc]
            for what, read in (
                ("header columns", _headers),
                ("header columns, part by part", _headers_in_parts),
                ("full typed decode", _full),
                ("full typed decode, part by part", _full_in_parts),
            )
        }
    for what, rate in rates.items():
        aim = (_HEADERS_AIM if what.startswith("header") else _FULL_AIM)[name]
        # In numpy, parts are scanned twice: the aim is for reading at once.
        yield _row(f"{what}, {name} kernel", rate, aim if name == "native" or "part" not in what else None)
    yield _ratio(f"header columns, {name} kernel, against dissect.etl", rates["header columns"], dissect, _DISSECT_AIM)
    full = rates["full typed decode"]
    yield _ratio(f"full typed decode, {name} kernel, against etl-parser", full, parser, _ETL_PARSER_AIM)


def _headers(path: Path) -> int:
    """What the header of each event says, the provider by number; returns how many events."""
    return sum(map(_header_columns, [read_etl(path).events]))


def _headers_in_parts(path: Path) -> int:
    return sum(map(_header_columns, open_etl(path).chunks()))


def _header_columns(table: EventTable) -> int:
    """The columns that are there, and those that are of the kinds."""
    ids = np.array([kind.event_id for kind in table.kinds], np.uint16)[table.kind]
    versions = np.array([kind.version for kind in table.kinds], np.uint8)[table.kind]
    if not len(ids) == len(versions) == len(table.filetime) == len(table.keyword):
        raise LabFault("columns of different lengths")
    return int(np.count_nonzero(table.recorded))


def _full(path: Path) -> int:
    return _decoded(read_etl(path).events)


def _full_in_parts(path: Path) -> int:
    return sum(map(_decoded, open_etl(path).chunks()))


def _decoded(table: EventTable) -> int:
    """Decode all fields of all events; returns how many have some."""
    counts = [len(table.kind_events(index)) for index, kind in enumerate(table.kinds) if kind.hook and kind.schema]
    return sum(counts)


def _same(found: int, events: int) -> None:
    if found != events:
        raise LabFault(f"the reader found {found} of {events} events")


def _compressed(path: Path, inflated: int, events: int, name: str) -> Iterator[Row]:
    with _chosen(name):
        for what, read in (("header columns", _headers), ("full typed decode", _full)):
            rate = _rate(inflated, lambda read=read: _same(read(path), events))  # type: ignore[misc]
            aim = _INFLATED_AIM[name] if what == "header columns" else None
            yield _row(f"compressed file to {what}, {name} kernel", rate, aim, "MB/s inflated")


def _samples() -> list[Path]:
    """The real files that are large enough to measure."""
    folder = os.environ.get(_SAMPLES)
    return sorted(path for path in Path(folder).glob("*.etl") if path.stat().st_size >= _LEAST_SAMPLE) if folder else []


def _sample(path: Path, name: str) -> Iterator[Row]:
    etl = read_etl(path)
    with _chosen(name):
        headers = _rate(etl.recorded, lambda: _same(_headers(path), etl.recorded))
        full = _rate(_described(etl), lambda: _same(_full(path), _described(etl)))
    yield _row(f"{path.name}: header columns, {name} kernel", headers, None)
    yield _row(f"{path.name}: full typed decode, {name} kernel", full, None)


def _described(etl: EtlFile) -> int:
    return _decoded(etl.events)


@contextmanager
def _chosen(name: str) -> Iterator[None]:
    before = os.environ.get(native.CHOICE)
    os.environ[native.CHOICE] = name
    try:
        yield
    finally:
        os.environ.pop(native.CHOICE)
        if before is not None:
            os.environ[native.CHOICE] = before


def _rate(amount: float, action: Callable[[], object]) -> float:
    """Millions a second: the median of some rounds."""
    seconds = []
    for _ in range(_ROUNDS):
        begun = perf_counter()
        action()
        seconds.append(perf_counter() - begun)
    return amount / median(seconds) / 1e6


def _dissect(path: Path, events: int) -> float:
    """Millions of events a second; what it read must be what we read."""
    answer = _ask("dissect", path, events)
    table = read_etl(path).events
    rows = np.flatnonzero(table.recorded)
    of_kind = [np.array([getattr(kind, name) for kind in table.kinds])[table.kind] for name in ("event_id", "version")]
    columns = (table.cpu, table.pid, table.tid, *of_kind, table.opcode, table.level, table.keyword)
    ours = [int(column[rows].astype(object).sum()) for column in columns]
    if answer["sums"] != ours:
        raise LabFault(f"dissect.etl and we read other headers: {answer['sums']} and {ours}")
    return float(answer["events"]) / float(answer["seconds"]) / 1e6


def _other(reader: str, path: Path, events: int) -> float:
    """Millions of events a second."""
    answer = _ask(reader, path, events)
    return float(answer["events"]) / float(answer["seconds"]) / 1e6


def _ask(reader: str, path: Path, events: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "hotswap.bench.etl_others", reader, str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise LabFault(f"{reader} could not be measured: {said} (it is a development dependency: ci/setup)")
    answer: dict[str, Any] = json.loads(done.stdout)
    if answer["events"] < events:
        raise LabFault(f"{reader} read {answer['events']} of {events} events")
    return answer


def _row(what: str, ours: float, aim: float | None, unit: str = "M events/s") -> Row:
    return Row(
        what,
        round(ours, 3),
        None,
        unit,
        None,
        "" if aim is None else f">= {aim:g}",
        None if aim is None else ours >= aim,
    )


def _ratio(what: str, ours: float, other: float, aim: float) -> Row:
    ratio = ours / other
    return Row(what, round(ours, 3), round(other, 4), "M events/s", round(ratio, 1), f"{aim:g}x", ratio >= aim)


def _inflating(name: str) -> Row:
    """XPRESS alone, on what trace buffers look like; the other is the twin in Python."""
    block = b"".join(b"event %d of worker %d, status 0;" % (i * 7919 % 1000, i % 64) for i in range(2000))
    stream = compress(Compression.XPRESS, block)
    rates = {}
    for kernel in (name, "python"):
        with _chosen(kernel):
            turns = 200 if kernel == "native" else 3
            rates[kernel] = _rate(turns * len(block), lambda: _inflate(stream, block, turns))  # noqa: B023
    ours, other = rates[name], rates["python"]
    what = f"XPRESS alone, {name} kernel (twin in Python)"
    return Row(what, round(ours, 1), round(other, 1), "MB/s", round(ours / other, 1), "", None)


def _inflate(stream: bytes, block: bytes, turns: int) -> None:
    for _ in range(turns):
        if inflate(Compression.XPRESS, stream, len(block)).data != block:
            raise LabFault("the inflater made something else")


def _limits(path: Path) -> list[Row]:
    """What no reader can be faster than: touching every byte, and sorting the times as they lie in the file."""

    def touch() -> None:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            np.frombuffer(mapped, np.uint64).sum()

    ticks = read_etl(path).ticks
    touched = _rate(path.stat().st_size, touch)
    ordered = _rate(len(ticks), lambda: np.argsort(ticks, kind="stable"))
    return [
        Row("limit: sequential read of the mapped file", round(touched, 0), None, "MB/s", None, "", None),
        Row("limit: sort of the times in file order", round(ordered, 1), None, "M events/s", None, "", None),
    ]
