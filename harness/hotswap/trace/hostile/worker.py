"""Reads damaged files with the whole reader, in a process of its own: `python -m hotswap.trace.hostile.worker`.

Takes lines `SAMPLE SEED` (or `= FILE`) on standard input; answers each by `begin`, and then by one JSON line: the
outcome, and the process's peak of memory. A campaign that hears nothing more knows which input it was.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from hotswap.errors import UsageError
from hotswap.trace.etl import EtlFile, open_etl, read_etl
from hotswap.trace.expect import format_slice
from hotswap.trace.hostile.damage import Sample, damage
from hotswap.trace.hostile.samples import made_up_samples, real_samples
from hotswap.trace.info import trace_info
from hotswap.trace.kinds import count_kinds
from hotswap.trace.table import EventTable

_ROWS = 20
_VALUES = 200
"""Of a column of texts, lists or structs, so many go into the digest."""
_CHUNKS = (1, 7)
_ADDRESS_SPACE = 6 << 30
"""Beyond what the process has when it begins: more than any file may need, less than would hurt the computer."""


def main(folder: str | None) -> None:
    """Serve until standard input ends."""
    samples = {sample.name: sample for sample in all_samples(Path(folder) if folder else None)}
    _limit_memory()
    with tempfile.TemporaryDirectory(prefix="hotswap-hostile-") as scratch:
        path = Path(scratch) / "damaged.etl"
        for line in sys.stdin:
            name, _, rest = line.strip().partition(" ")
            path.write_bytes(Path(rest).read_bytes() if name == "=" else damage(samples[name], int(rest)))
            print("begin", flush=True)
            print(json.dumps(examine(path)), flush=True)


def all_samples(folder: Path | None) -> list[Sample]:
    """Made-up ones, and those of the folder if there is one."""
    return [*made_up_samples(), *(real_samples(folder) if folder else ())]


def examine(path: Path) -> dict[str, Any]:
    """Read a file in every way there is: `outcome` is read, refused, or error with a `traceback`.

    `digest` is of what was read: it must not depend on the kernel.
    """
    answer: dict[str, Any]
    try:
        answer = {"outcome": "read", "digest": _read(path)}
    except UsageError as error:
        answer = {"outcome": "refused", "digest": str(error).replace(str(path), "")}
    except Exception as error:
        answer = {"outcome": "error", "why": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
    return {**answer, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def _read(path: Path) -> str:
    etl = read_etl(path)
    info = json.dumps(trace_info(etl, count_kinds(etl.events)) | {"file": ""}, sort_keys=True)
    table = etl.events
    digest = hashlib.sha256(info.encode())
    for name in ("tick", "kind", "cpu", "pid", "tid", "offset", "size", "payload_offset", "payload_length"):
        digest.update(np.ascontiguousarray(getattr(table, name)).tobytes())
    for index in range(len(table.kinds)):
        decoded = table.kind_events(index)
        for name in decoded.fields:
            column, values = decoded.fields.column(name), decoded.fields[name]
            told = (
                values.tobytes()
                if isinstance(column, np.ndarray)
                else repr(column.slice(0, _VALUES).to_pylist()).encode()
            )
            digest.update(told)
        digest.update(f"{table.kinds[index]} {len(decoded)} {decoded.malformed}".encode())
    table.to_arrow()
    _by_rows(etl)
    _in_parts(path, table)
    return digest.hexdigest()


def _in_parts(path: Path, whole: EventTable) -> None:
    """A file read part by part holds what it holds at once."""
    for buffers in _CHUNKS:
        parts = list(open_etl(path).chunks(buffers))
        for name in ("tick", "cpu", "tid", "size"):
            columns = [np.zeros(0, np.int64), *(getattr(part, name) for part in parts)]
            if not np.array_equal(np.concatenate(columns), getattr(whole, name)):
                raise AssertionError(f"in chunks of {buffers} buffers the column {name} is another")


def _by_rows(etl: EtlFile) -> None:
    table = etl.events
    rows = np.unique(np.linspace(0, len(table) - 1, _ROWS).astype(np.int64)).tolist() if len(table) else []
    for row in rows:
        table.row(row)
        table.stack(row)
        for kind in range(20):
            table.item(row, kind)
    format_slice(table, rows)
    _ = table.activity, table.related_activity


def _limit_memory() -> None:
    now = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (now + _ADDRESS_SPACE, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
