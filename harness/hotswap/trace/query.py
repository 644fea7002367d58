"""DuckDB SQL over the events of a trace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa

from hotswap.errors import UsageError
from hotswap.trace.table import EventTable


@dataclass(frozen=True, slots=True)
class Answer:
    """Column names, and rows of Python values."""

    columns: list[str]
    rows: Sequence[Sequence[Any]]


def run_query(table: EventTable, query: str) -> Answer:
    """Ask the table `events` (EventTable.to_arrow). It reads no other file and writes none. Raises UsageError.

    Times come as text with all digits; `time` is UTC.
    """
    connection = duckdb.connect(":memory:")
    try:
        connection.register("events", _with_exact_times(table.to_arrow()))
        # What a query says must not reach beyond the trace.
        connection.execute("set enable_external_access=false; set lock_configuration=true")
        relation = connection.sql(query)
        if relation is None:
            return Answer([], [])
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
