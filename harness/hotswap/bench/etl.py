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
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from hotswap.bench.etl_made_up import write_made_up
from hotswap.bench.table import Row
from hotswap.errors import LabFault
from hotswap.trace import native
from hotswap.trace.compression import Compression, compress, inflate
from hotswap.trace.etl import read_etl

EVENTS = 2_000_000
_OTHERS_EVENTS = 20_000
_ROUNDS = 3
_FULL_AIM = {"native": 3.0, "python": 1.2}
_HEADERS_AIM = 8.0
_INFLATE_AIM = 250.0
_DISSECT_AIM, _ETL_PARSER_AIM = 100.0, 1000.0


def run(wanted: int = EVENTS, others: int = _OTHERS_EVENTS) -> tuple[list[Row], dict[str, Any]]:
    """The rows, and which kernels were measured. `wanted` events are read by ours, `others` by the other readers."""
    with tempfile.TemporaryDirectory() as folder:
        large, small = Path(folder) / "large.etl", Path(folder) / "small.etl"
        events, few = write_made_up(large, wanted), write_made_up(small, others)
        dissect = _other("dissect", small, few)
        # No wheel of it exists, so it is not among the locked packages: pip install etl-parser, to have it beside.
        parser = _other("etl-parser", small, few) if find_spec("etl") is not None else None
        rows: list[Row] = []
        kernels = ["native", "python"] if native.kernel() is not None else ["python"]
        for name in kernels:
            with _chosen(name):
                headers = _rate(events, lambda: _headers(large, events))
                full = _rate(events, lambda: _full(large, events))
            rows.append(_row(f"header columns, {name} kernel", headers, _HEADERS_AIM))
            rows.append(_ratio(f"header columns, {name} kernel, against dissect.etl", headers, dissect, _DISSECT_AIM))
            rows.append(_row(f"full typed decode, {name} kernel", full, _FULL_AIM[name]))
            if parser is not None:
                what = f"full typed decode, {name} kernel, against etl-parser"
                rows.append(_ratio(what, full, parser, _ETL_PARSER_AIM))
        rows += [_inflating(kernels[0]), *_limits(large, events)]
        return rows, {"kernel": native.describe(), "events": events, "bytes": large.stat().st_size}


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


def _rate(amount: float, action: Callable[[], None]) -> float:
    """Millions a second: the median of some rounds."""
    seconds = []
    for _ in range(_ROUNDS):
        begun = perf_counter()
        action()
        seconds.append(perf_counter() - begun)
    return amount / median(seconds) / 1e6


def _headers(path: Path, events: int) -> None:
    if read_etl(path).recorded != events:
        raise LabFault(f"the reader lost events of {path}")


def _full(path: Path, events: int) -> None:
    table = read_etl(path).events
    decoded = [table.kind_events(index) for index, kind in enumerate(table.kinds) if kind.self_describing]
    if sum(map(len, decoded)) != events:
        raise LabFault(f"the reader lost payloads of {path}")


def _other(reader: str, path: Path, events: int) -> float:
    """Millions of events a second."""
    command = [sys.executable, "-m", "hotswap.bench.etl_others", reader, str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise LabFault(f"{reader} could not be measured: {said} (it is a development dependency: ci/setup)")
    answer = json.loads(done.stdout)
    if answer["events"] < events:
        raise LabFault(f"{reader} read {answer['events']} of {events} events")
    return float(answer["events"]) / float(answer["seconds"]) / 1e6


def _row(what: str, ours: float, aim: float) -> Row:
    return Row(what, round(ours, 3), None, "M events/s", None, f">= {aim:g}", ours >= aim)


def _ratio(what: str, ours: float, other: float, aim: float) -> Row:
    ratio = ours / other
    return Row(what, round(ours, 3), round(other, 4), "M events/s", round(ratio, 1), f"{aim:g}x", ratio >= aim)


def _inflating(name: str) -> Row:
    """XPRESS, on what trace buffers look like; the other is the twin in Python."""
    block = b"".join(b"event %d of worker %d, status 0;" % (i * 7919 % 1000, i % 64) for i in range(2000))
    stream = compress(Compression.XPRESS, block)
    rates = {}
    for kernel in (name, "python"):
        with _chosen(kernel):
            turns = 200 if kernel == "native" else 3
            rates[kernel] = _rate(turns * len(block), lambda: _inflate(stream, block, turns))  # noqa: B023
    ours, other = rates[name], rates["python"]
    what = f"XPRESS inflated, {name} kernel (twin in Python)"
    return Row(what, round(ours, 1), round(other, 1), "MB/s", round(ours / other, 1), f">= {_INFLATE_AIM:g}",
               ours >= _INFLATE_AIM)  # fmt: skip


def _inflate(stream: bytes, block: bytes, turns: int) -> None:
    for _ in range(turns):
        if inflate(Compression.XPRESS, stream, len(block)).data != block:
            raise LabFault("the inflater made something else")


def _limits(path: Path, events: int) -> list[Row]:
    """What no reader can be faster than: touching every byte, and sorting the time column."""

    def touch() -> None:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            np.frombuffer(mapped, np.uint64).sum()

    ticks = np.random.default_rng(1).permutation(np.arange(events))
    touched = _rate(path.stat().st_size, touch)
    ordered = _rate(events, lambda: np.argsort(ticks, kind="stable"))  # type: ignore[arg-type]
    return [
        Row("limit: sequential read of the mapped file", round(touched, 0), None, "MB/s", None, "", None),
        Row("limit: sort of the time column", round(ordered, 1), None, "M events/s", None, "", None),
    ]
