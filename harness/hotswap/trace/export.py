"""Events of a trace for other programs: Parquet, Arrow IPC, CSV, JSON lines, Perfetto, Chrome's JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hotswap.errors import LabFault, UsageError
from hotswap.trace.chrome_json import write_chrome_json
from hotswap.trace.perfetto.export import write_perfetto
from hotswap.trace.shape import Loss, Shape, Tables
from hotswap.trace.span_kinds import Pair
from hotswap.trace.table import EventTable, jsonable

Rows = NDArray[np.int64]


def _parquet(table: EventTable, rows: Rows, stream: BinaryIO) -> None:
    pq.write_table(_arrow(table, rows), stream, compression="zstd")


def _ipc(table: EventTable, rows: Rows, stream: BinaryIO) -> None:
    chosen = _arrow(table, rows)
    with pa.ipc.new_file(stream, chosen.schema) as writer:
        writer.write_table(chosen)


def _csv(table: EventTable, rows: Rows, stream: BinaryIO) -> None:
    """Binary data as hexadecimal digits, times as ISO 8601."""
    chosen = _arrow(table, rows)
    for index, field in enumerate(chosen.schema):
        column = chosen.column(index)
        if pa.types.is_binary(field.type):
            texts = [None if value is None else value.hex() for value in column.to_pylist()]
            chosen = chosen.set_column(index, field.name, pa.array(texts, pa.string()))
        elif pa.types.is_dictionary(field.type):
            chosen = chosen.set_column(index, field.name, column.cast(pa.string()))
        elif pa.types.is_timestamp(field.type):
            chosen = chosen.set_column(index, field.name, pc.strftime(column, "%Y-%m-%dT%H:%M:%SZ"))
    pyarrow.csv.write_csv(chosen, stream)


def _json_lines(table: EventTable, rows: Rows, stream: BinaryIO) -> None:
    """One object a line: common columns, and `fields` with the decoded payload (null: it could not be)."""
    for row in rows.tolist():
        stream.write(json.dumps(table.row(row), default=jsonable).encode() + b"\n")


def _arrow(table: EventTable, rows: Rows) -> pa.Table:
    whole = table.to_arrow()
    return whole if len(rows) == len(table) else whole.take(pa.array(rows))


TABLES: dict[str, Callable[[EventTable, Rows, BinaryIO], None]] = {
    "parquet": _parquet,
    "arrow": _ipc,
    "csv": _csv,
    "jsonl": _json_lines,
}
"""Formats with a row an event."""
TIMELINES = ("perfetto", "chrome")
"""Formats with spans on tracks."""
FORMATS = (*TABLES, *TIMELINES)
_ENDINGS = {
    ".parquet": "parquet", ".arrow": "arrow", ".csv": "csv", ".jsonl": "jsonl",
    ".perfetto-trace": "perfetto", ".pftrace": "perfetto", ".json": "chrome",
}  # fmt: skip


def format_of(path: Path, asked: str | None) -> str:
    """The format asked for, or the one that the file's ending says. Raises UsageError."""
    if asked is not None and asked not in FORMATS:
        raise UsageError(f"--format {asked}: it is one of {', '.join(FORMATS)}")
    name = asked or _ENDINGS.get(path.suffix.lower())
    if name is None:
        raise UsageError(
            f"{path} does not say in which format; give a name that ends in {', '.join(_ENDINGS)}, or --format"
        )
    return name


def export(table: EventTable, path: Path, kind: str, rows: Rows | None = None) -> None:
    """Write all rows, or these, in a format of TABLES. The file appears whole or not at all. Raises LabFault."""
    rows = np.arange(len(table)) if rows is None else rows
    with _replacing(path) as stream:
        TABLES[kind](table, rows, stream)


def export_timeline(
    tables: Tables, path: Path, kind: str, *, unix_ns: int, pairs: Sequence[Pair] = (), losses: Sequence[Loss] = ()
) -> int:
    """Write a format of TIMELINES and return the number of events. The file appears whole or not at all.

    `unix_ns` is when the session started. Raises LabFault, and UsageError for a pair that there is not.
    """
    shape = Shape.of(tables, pairs, losses)
    with _replacing(path) as stream:
        if kind == "perfetto":
            return write_perfetto(tables, shape, stream, unix_ns=unix_ns)
        text = TextIOWrapper(stream, "utf-8")
        written = write_chrome_json(tables, shape, text)
        text.detach()
        return written


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that gets its name when it is whole."""
    temporary = path.with_name(f".{path.name}.{token_hex(4)}")
    try:
        with temporary.open("xb") as stream:
            yield stream
        temporary.replace(path)
    except OSError as error:
        raise LabFault(f"writing {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
