"""Events of a trace for other programs: Parquet, Arrow IPC, CSV, JSON lines, Perfetto, Chrome's JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from itertools import islice
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


Numbered = Callable[[], Iterable[tuple[int, EventTable, Rows]]]
"""Tables in their order with the number of their first row, and the rows that are meant; as often as asked for."""
Arrow = Iterator[pa.Table]


def _parquet(schema: pa.Schema, tables: Arrow, stream: BinaryIO) -> None:
    with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table)


def _ipc(schema: pa.Schema, tables: Arrow, stream: BinaryIO) -> None:
    with pa.ipc.new_file(stream, schema) as writer:
        for table in tables:
            writer.write_table(table)


def _csv(schema: pa.Schema, tables: Arrow, stream: BinaryIO) -> None:
    """Binary data as hexadecimal digits, times as ISO 8601."""
    writer: pyarrow.csv.CSVWriter | None = None
    for table in tables:
        for index, field in enumerate(table.schema):
            column = table.column(index)
            if pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
                texts = [None if value is None else value.hex() for value in column.to_pylist()]
                table = table.set_column(index, field.name, pa.array(texts, pa.string()))
            elif pa.types.is_dictionary(field.type):
                table = table.set_column(index, field.name, column.cast(pa.string()))
            elif pa.types.is_timestamp(field.type):
                table = table.set_column(index, field.name, pc.strftime(column, "%Y-%m-%dT%H:%M:%SZ"))
        if writer is None:
            writer = pyarrow.csv.CSVWriter(stream, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


TABLES: dict[str, Callable[[pa.Schema, Arrow, BinaryIO], None]] = {"parquet": _parquet, "arrow": _ipc, "csv": _csv}
"""Formats with a row an event, which Arrow writes."""
LINES = "jsonl"
"""One object a line: common columns, and `fields` with the decoded payload (null: it could not be)."""
TIMELINES = ("perfetto", "chrome")
"""Formats with spans on tracks."""
FORMATS = (*TABLES, LINES, *TIMELINES)
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
    """Write all rows of one table, or these, in a format of TABLES or LINES, as `export_tables` does."""
    rows = np.arange(len(table)) if rows is None else rows
    export_tables(lambda: [(0, table, rows)], path, kind)


def export_tables(tables: Numbered, path: Path, kind: str) -> int:
    """Write rows in a format of TABLES or LINES and return how many. The file appears whole or not at all.

    Raises LabFault.
    """
    with _replacing(path) as stream:
        if kind == LINES:
            return _json_lines(tables, stream)
        counted = 0

        def counting(parts: Arrow) -> Arrow:
            nonlocal counted
            for part in parts:
                counted += part.num_rows
                yield part

        schema, parts = arrow_tables(tables)
        TABLES[kind](schema, counting(parts), stream)
        return counted


def _json_lines(tables: Numbered, stream: BinaryIO) -> int:
    counted = 0
    for first, table, rows in tables():
        for row in rows.tolist():
            told = table.row(row) | {"row": first + row}
            stream.write(json.dumps(told, default=jsonable).encode() + b"\n")
        counted += len(rows)
    return counted


def _arrow(first: int, table: EventTable, rows: Rows) -> pa.Table:
    whole = table.to_arrow()
    chosen = whole if len(rows) == len(table) else whole.take(pa.array(rows))
    return chosen.set_column(0, "row", pa.array(rows + first)) if first else chosen


def _schema(tables: Numbered) -> pa.Schema:
    """One for all tables: each column with a type that holds all of its values."""
    schemas = [table.to_arrow().schema for _, table, _ in tables()]
    return pa.unify_schemas(list(dict.fromkeys(schemas)), promote_options="permissive")


def _shaped(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A table with all columns of a schema; those that it lacks are null."""
    if table.schema.equals(schema):
        return table

    def column(field: pa.Field) -> pa.ChunkedArray | pa.Array:
        # Where no event is about another than its header says, that is not said again.
        name = field.name if field.name in table.column_names else field.name.removeprefix("owner_")
        return table.column(name).cast(field.type) if name in table.column_names else pa.nulls(len(table), field.type)

    return pa.table([column(field) for field in schema], schema=schema)


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


def check_target(path: Path) -> None:
    """Raise UsageError where nothing can be written under this name, so that it is said before there is work."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give a file to write")
    if _in_place(path):
        return
    temporary = _temporary(_pointed_to(path))
    try:
        temporary.touch(exist_ok=False)
        temporary.unlink()
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from error


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that gets its name when it is whole. A pipe or a device is written to as it is, and never replaced.

    Raises LabFault; BrokenPipeError when whoever reads has read enough.
    """
    temporary: Path | None = None
    try:
        if _in_place(path):
            with path.open("wb") as stream:
                yield stream
            return
        target = _pointed_to(path)
        temporary = _temporary(target)
        with temporary.open("xb") as stream:
            yield stream
        temporary.replace(target)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise LabFault(f"writing {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _in_place(path: Path) -> bool:
    return path.exists() and not path.is_file()


def _pointed_to(path: Path) -> Path:
    """What a link points to is replaced, not the link."""
    return path.resolve() if path.is_symlink() else path


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{token_hex(4)}")


def arrow_tables(tables: Numbered) -> tuple[pa.Schema, Arrow]:
    """The rows that are meant as Arrow tables of one schema (EventTable.to_arrow).

    Of several tables the columns are those that any of them has, for which they are gone through twice.
    """
    several = list(islice(tables(), 2))
    if len(several) == 1:
        whole = _arrow(*several[0])
        return whole.schema, iter([whole])
    del several
    schema = _schema(tables)
    return schema, (_shaped(_arrow(*part), schema) for part in tables())
