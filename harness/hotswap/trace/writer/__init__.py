"""Writing standard `.etl` files (etl.md, section 5): from rows, from an event table, from Arrow columns.

It makes what no real sample has: sessions of every clock and mode, losses, files never closed, every kind of header.
What the agent writes in the guest is independent of it.
"""

from __future__ import annotations

from hotswap.trace.writer.arrow import arrow_batch
from hotswap.trace.writer.batch import Batch
from hotswap.trace.writer.file import EtlWriter
from hotswap.trace.writer.records import event_info_row, manifest_rows, map_info_row
from hotswap.trace.writer.rows import (
    ClassicRow,
    ErrorRow,
    EventRow,
    Instance,
    KernelRow,
    ManifestRow,
    MessageRow,
    RawRow,
    Row,
    lost_event,
)
from hotswap.trace.writer.session import Layout, Session
from hotswap.trace.writer.table import table_batch
from hotswap.trace.writer.whole import append_etl, build_etl, write_etl

__all__ = [
    "Batch",
    "ClassicRow",
    "ErrorRow",
    "EtlWriter",
    "EventRow",
    "Instance",
    "KernelRow",
    "Layout",
    "ManifestRow",
    "MessageRow",
    "RawRow",
    "Row",
    "Session",
    "append_etl",
    "arrow_batch",
    "build_etl",
    "event_info_row",
    "lost_event",
    "manifest_rows",
    "map_info_row",
    "table_batch",
    "write_etl",
]
