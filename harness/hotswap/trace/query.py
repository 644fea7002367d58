"""DuckDB SQL over the events of a trace."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from hotswap.errors import UsageError
from hotswap.trace.export import Numbered, arrow_tables


@dataclass(frozen=True, slots=True)
class Answer:
    """Column names, and rows of Python values."""

    columns: list[str]
    rows: Sequence[Sequence[Any]]


def run_query(tables: Numbered, query: str) -> Answer:
    """Ask the table `events` (EventTable.to_arrow). It reads no other file and writes none. Raises UsageError.

    Times come as text with all digits; `time` is UTC. Of several tables a copy is made on disk meanwhile.
    """
    connection = duckdb.connect(":memory:")
    try:
        with tempfile.TemporaryDirectory(prefix="hotswap-sql-") as folder:
            _offer(connection, tables, Path(folder) / "events.parquet")
            # What a query says must not reach beyond the trace.
            connection.execute("set enable_external_access=false; set lock_configuration=true")
            relation = connection.sql(query)
            if relation is None:
                raise UsageError(f"the query {query!r} asks for nothing; try: select * from events limit 10")
            answer: pa.Table = relation.to_arrow_table()
        columns = [_values(column) for column in answer.columns]
        return Answer(answer.column_names, list(zip(*columns, strict=True)))
    except duckdb.Error as error:
        raise UsageError(f"the query failed: {' '.join(str(error).split())}") from error
    finally:
        connection.close()


def _with_exact_times(events: pa.Table) -> pa.Table:
    """Without time zones: those of DuckDB have microseconds at best."""
    for index, field in enumerate(events.schema):
        if pa.types.is_timestamp(field.type):
            column = events.column(index).cast(pa.timestamp("ns"))
            events = events.set_column(index, field.name, column)
    return events


def _values(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_temporal(column.type) and not pa.types.is_duration(column.type):
        column = column.cast(pa.string())
    values = column.to_pylist()
    # Sums of integers are as wide as decimals.
    return [
        int(value) if isinstance(value, Decimal) and value == value.to_integral_value() else value for value in values
    ]


def _offer(connection: duckdb.DuckDBPyConnection, tables: Numbered, path: Path) -> None:
    """Make the table `events`: of memory where it is one, else of a file that alone may be read."""
    _, parts = arrow_tables(tables)
    first = next(parts, None)
    second = next(parts, None)
    if first is None or second is None:
        connection.register("events", _with_exact_times(first if first is not None else pa.table({"row": []})))
        return
    schema = _with_exact_times(first).schema
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for part in chain([first, second], parts):
            writer.write_table(_with_exact_times(part))
    quoted = "'" + str(path).replace("'", "''") + "'"
    connection.execute(f"create view events as select * from read_parquet({quoted})")
    connection.execute(f"set allowed_paths=[{quoted}]")
