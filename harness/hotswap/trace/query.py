"""DuckDB SQL over the events of a trace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from hotswap.errors import UsageError
from hotswap.trace.table import EventTable


@dataclass(frozen=True, slots=True)
class Answer:
    """Column names, and rows of Python values."""

    columns: list[str]
    rows: Sequence[Sequence[Any]]


def run_query(table: EventTable, query: str) -> Answer:
    """Ask the table `events` (EventTable.to_arrow). It reads no other file and writes none. Raises UsageError."""
    connection = duckdb.connect(":memory:")
    try:
        connection.register("events", table.to_arrow())
        # What a query says must not reach beyond the trace.
        connection.execute("set enable_external_access=false; set lock_configuration=true")
        cursor = connection.execute(query)
        columns = [description[0] for description in cursor.description or ()]
        return Answer(columns, cursor.fetchall())
    except duckdb.Error as error:
        raise UsageError(f"the query failed: {' '.join(str(error).split())}") from error
    finally:
        connection.close()
