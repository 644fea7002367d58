"""An Arrow table as TraceLogging events: what `EventTable.to_arrow` gives, or any table of its shape."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hotswap.errors import UsageError
from hotswap.trace.framing import EVENT_HEADER_SIZE, HeaderType
from hotswap.trace.schema import EventSchema
from hotswap.trace.tracelogging import Provider
from hotswap.trace.writer.batch import Batch
from hotswap.trace.writer.columns import Ints, encode_column, field_of, join
from hotswap.trace.writer.items import pack_items, schema_item, traits_item
from hotswap.trace.writer.rows import CHANNEL_TRACELOGGING

_NEEDED = ("tick", "event")
_KNOWN = (
    *("row", "tick", "ns", "time", "cpu", "pid", "tid", "provider", "provider_guid", "event", "level", "opcode"),
    *("keyword", "payload_bytes", "payload", "problem"),
)
_HEADER = np.dtype(
    {
        "names": ["size", "type", "marker", "flags", "tid", "pid", "tick", "guid", "channel", "level", "opcode",
                  "keyword"],
        "formats": ["<u2", "u1", "u1", "<u2", "<u4", "<u4", "<i8", "V16", "u1", "u1", "u1", "<u8"],
        "offsets": [0x00, 0x02, 0x03, 0x04, 0x08, 0x0C, 0x10, 0x18, 0x2B, 0x2C, 0x2D, 0x30],
        "itemsize": EVENT_HEADER_SIZE,
    }
)  # fmt: skip


def arrow_batch(table: pa.Table, provider: Provider | None = None) -> Batch:
    """The events of a table, one a row: `tick` and `event`, and `cpu`, `pid`, `tid`, `provider`, `provider_guid`,
    `level`, `opcode` and `keyword` where it has them; every other column is a field of the events where it is not null.

    `provider` is that of all events when the table names none. A column `Event.Field` is the field of that event.
    Raises UsageError for a column that no event can hold.
    """
    names = set(table.column_names)
    if missing := [name for name in _NEEDED if name not in names]:
        raise UsageError(f"the table has no column {missing[0]}, which says of each row when and what it was")
    if provider is None and "provider" not in names:
        raise UsageError("the table has no column provider, and no provider was given")
    parts: list[Batch] = []
    rows: list[Ints] = []
    for owner, event, at in _groups(table, provider):
        for fields, chosen in _shapes(table, event, at):
            parts.append(_encode(table.take(pa.array(chosen)), owner, event, fields))
            rows.append(chosen)
    if not parts:
        return Batch.of(())
    together = Batch(
        np.concatenate([part.words for part in parts]),
        np.concatenate([part.size for part in parts]),
        np.concatenate([part.cpu for part in parts]),
        np.concatenate([part.tick for part in parts]),
    )
    place = np.empty(len(table), np.int64)
    place[np.concatenate(rows)] = np.arange(len(table))
    return together.take(place)


def _groups(table: pa.Table, provider: Provider | None) -> Iterator[tuple[Provider, str, Ints]]:
    """Provider, event name and rows of the events that have both in common."""
    keys = [name for name in ("provider", "provider_guid", "event") if name in table.column_names]
    if provider is not None:
        keys = ["event"]
    code = np.zeros(len(table), np.int64)
    for name in keys:
        numbers, texts = _codes(table, name)
        code = code * len(texts) + numbers
    present = np.flatnonzero(np.bincount(code)) if code.max(initial=0) < 1 << 20 else np.unique(code)
    for number in present.tolist():
        rows = np.flatnonzero(code == number)
        row = {name: str(table[name][int(rows[0])].as_py()) for name in keys}
        owner = provider
        if owner is None:
            named = Provider.named(row["provider"])
            owner = Provider(named.name, UUID(row["provider_guid"])) if "provider_guid" in row else named
        yield owner, row["event"], rows


def _codes(table: pa.Table, name: str) -> tuple[Ints, list[str]]:
    """A column of texts as numbers, and the texts that they stand for."""
    if table[name].null_count:
        raise UsageError(f"column {name} has nulls: every event has one")
    column = table[name].cast(pa.string()).dictionary_encode().combine_chunks()
    array = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    return array.indices.to_numpy().astype(np.int64), array.dictionary.to_pylist()


def _shapes(table: pa.Table, event: str, rows: Ints) -> Iterator[tuple[dict[str, str], Ints]]:
    """Column names by field name, and the rows that have just these fields."""
    columns = {name: name for name in table.column_names if name not in _KNOWN and "." not in name}
    for name in table.column_names:
        if name.startswith(f"{event}."):
            columns[name.removeprefix(f"{event}.").rstrip("_")] = name
    there = {field: np.asarray(pc.is_valid(table[name]).to_numpy())[rows] for field, name in columns.items()}
    used = {field: mask for field, mask in there.items() if mask.any()}
    if not used:
        yield {}, rows
        return
    patterns, which = np.unique(np.stack(list(used.values())), axis=1, return_inverse=True)
    for index in range(patterns.shape[1]):
        fields = {field: columns[field] for field, has in zip(used, patterns[:, index], strict=True) if has}
        yield fields, rows[which.reshape(-1) == index]


def _encode(table: pa.Table, provider: Provider, event: str, fields: dict[str, str]) -> Batch:
    """Events of one schema."""
    count = len(table)
    schema = EventSchema(event, tuple(field_of(field, table[name].type) for field, name in fields.items()))
    payload = join([encode_column(field, table[name]) for field, name in fields.items()], count)
    items = np.frombuffer(pack_items((traits_item(provider.name), schema_item(schema))), "<u8")
    size = EVENT_HEADER_SIZE + 8 * len(items) + payload.size
    if size.max(initial=0) > 0xFFFF:
        raise UsageError(f"an event {event} of {size.max()} bytes: 65535 is the most")
    heads = np.zeros(count, _HEADER)
    heads["size"], heads["type"], heads["marker"], heads["flags"] = size, HeaderType.EVENT64, 0xC0, 1
    heads["channel"] = CHANNEL_TRACELOGGING
    heads["guid"] = np.frombuffer(provider.guid.bytes_le, "V16")
    for name, default in (("tick", 0), ("pid", -1), ("tid", -1), ("level", 4), ("opcode", 0), ("keyword", 0)):
        heads[name] = _numbers(table, name, default).astype(heads.dtype[name])
    length = (size + 7) >> 3
    start = np.cumsum(length) - length
    words = np.zeros(int(length.sum()), np.uint64)
    head_words = EVENT_HEADER_SIZE // 8
    words[start[:, None] + np.arange(head_words)] = heads.view("<u8").reshape(count, head_words)
    words[start[:, None] + head_words + np.arange(len(items))] = items
    payload.put(words.view(np.uint8), 8 * (start + head_words + len(items)))
    return Batch(words, size, _numbers(table, "cpu", 0).astype(np.int64), heads["tick"].astype(np.int64))


def _numbers(table: pa.Table, name: str, default: int) -> NDArray[np.generic]:
    if name not in table.column_names:
        return np.full(len(table), default)
    if table[name].null_count:
        raise UsageError(f"column {name} has nulls: every event has one")
    values: NDArray[np.generic] = table[name].to_numpy()
    return values
