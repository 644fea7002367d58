"""The events of a trace as columns."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from uuid import UUID

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hotswap.trace.buffers import Bytes
from hotswap.trace.clock import FILETIME_UNIX_EPOCH
from hotswap.trace.decode import decode_payload
from hotswap.trace.event_kind import LOG_FILE_HEADER, EventKind
from hotswap.trace.framing import gather
from hotswap.trace.items import ItemType, Places, find_items
from hotswap.trace.owners import Owners, find_owners
from hotswap.trace.payload import Column, decode_columns
from hotswap.trace.payload_numpy import ragged
from hotswap.trace.schema import (
    EventSchema,
    Field,
    InType,
    MetadataError,
    OutType,
    Shape,
    unique_names,
)
from hotswap.trace.schemas.message import format_message
from hotswap.trace.text import map_name, map_names, plain, plain_fields

_ACTIVITY_AT = 0x40
_GUID = np.dtype([("guid", "V16")])
_OPTIONS = np.dtype({"names": ["options"], "formats": ["<u2"], "offsets": [6], "itemsize": 8})
NO_SCHEMA = "nothing describes its payload"
"""Why an event without a schema is not decoded."""


class Fields(Mapping[str, NDArray[np.generic]]):
    """Payload columns by field name: numpy arrays of the field's own integer or float type, object arrays for strings,
    binary data, arrays and structs, which are made when they are first asked for."""

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self._columns = dict(columns)
        self._made: dict[str, NDArray[np.generic]] = {}

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        column = self._columns[name]
        if isinstance(column, np.ndarray):
            return column
        if name not in self._made:
            self._made[name] = _objects(column.to_pylist())
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def column(self, name: str) -> Column:
        """A column as it was decoded: texts, binary data and lists as Arrow."""
        return self._columns[name]


@dataclass(frozen=True)
class Events:
    """The events of one name in table order: columns of one length.

    `rows` are row numbers of the table. `fields` holds the payload columns by field name. An event whose payload could
    not be decoded is not here; `malformed` counts those.
    """

    name: str
    rows: NDArray[np.int64]
    tick: NDArray[np.int64]
    cpu: NDArray[np.int64]
    pid: NDArray[np.int64]
    tid: NDArray[np.int64]
    fields: Fields
    schema: dict[str, Field]
    malformed: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        """A payload column. KeyError when the events have no such field."""
        return self.fields[name]


@dataclass(repr=False)
class EventTable:
    """All events of a trace, of every kind of header, in the order in which they happened: by tick, then CPU, then
    position in the file.

    All columns are arrays of one length. `kind` indexes `kinds`. Payloads are decoded on first use.
    """

    kinds: tuple[EventKind, ...]
    kind: NDArray[np.int32]
    tick: NDArray[np.int64]
    """Raw ticks of the session clock, `frequency` per second: compute latencies on these. An event whose header has no
    time has that of the event before it in its buffer."""
    ns: NDArray[np.int64]
    """Nanoseconds since the session started."""
    filetime: NDArray[np.int64]
    """100 ns since 1601-01-01 UTC."""
    cpu: NDArray[np.int64]
    pid: NDArray[np.int64]
    """-1 where the header has none."""
    tid: NDArray[np.int64]
    level: NDArray[np.uint8]
    opcode: NDArray[np.uint8]
    """Of classic and kernel events the type."""
    keyword: NDArray[np.uint64]
    payload_offset: NDArray[np.int64]
    payload_length: NDArray[np.int64]
    offset: NDArray[np.int64]
    """Of the event in `data`."""
    size: NDArray[np.int64]
    """Of the event: header, extended items and payload."""
    frequency: int
    data: Bytes
    """The bytes that `offset` and `payload_offset` point into."""
    _decoded: dict[tuple[str, UUID | None], Events] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.tick)

    def __repr__(self) -> str:
        return f"<EventTable of {len(self)} events and {len(self.kinds)} kinds>"

    def take(self, rows: NDArray[np.int64]) -> EventTable:
        """Some of the rows, in this order; kinds and data are shared."""
        columns = {
            column.name: getattr(self, column.name)[rows]
            for column in fields(self)
            if column.name not in ("kinds", "frequency", "data", "_decoded")
        }
        return replace(self, **columns, _decoded={})

    @cached_property
    def recorded(self) -> NDArray[np.bool_]:
        """Which rows hold events that were traced: all but that of the file's own header."""
        return np.array([kind.hook != LOG_FILE_HEADER for kind in self.kinds], np.bool_)[self.kind]

    @cached_property
    def untimed(self) -> NDArray[np.int64]:
        """Rows whose header has no time."""
        families = np.array([("message", "unknown").index(kind.family) if kind.family in ("message", "unknown") else -1
                             for kind in self.kinds], np.int8)[self.kind]  # fmt: skip
        untimed = families == 1
        rows = np.flatnonzero(families == 0)
        if len(rows):
            head = gather(np.frombuffer(self.data, np.uint8), self.offset[rows], _OPTIONS)["options"].astype(np.int64)
            before = 8 + 4 * (head & 1) + np.select([head & 2 != 0, head & 4 != 0], [16, 4], 0)
            untimed[rows] = (head & 0x18 == 0) | (before + 8 > self.size[rows])
        return np.flatnonzero(untimed)

    @cached_property
    def names(self) -> NDArray[np.object_]:
        """Event name of every row."""
        return self._per_kind([kind.name for kind in self.kinds])

    @cached_property
    def providers(self) -> NDArray[np.object_]:
        """Provider GUID (uuid.UUID) of every row."""
        return self._per_kind([kind.provider for kind in self.kinds])

    @property
    def owner_pid(self) -> NDArray[np.int64]:
        """The process that every event is about: see `owners`. -1 for none, and where nothing tells."""
        return self._owners.process

    @property
    def owner_tid(self) -> NDArray[np.int64]:
        """The thread that every event is about."""
        return self._owners.thread

    @cached_property
    def _owners(self) -> Owners:
        return find_owners(self)

    def items(self, kind: int) -> Places:
        """Where the extended items of a type (ItemType) lie in `data`: offset 0 where an event has none."""
        rows = self._event_rows
        found = find_items(np.frombuffer(self.data, np.uint8), self.offset[rows], self.size[rows], [kind]).places[kind]
        places = Places(np.zeros(len(self), np.int64), np.zeros(len(self), np.int64))
        places.offset[rows], places.length[rows] = found.offset, found.length
        return places

    def item(self, row: int, kind: int) -> bytes | None:
        """The data of one event's extended item of a type (ItemType); None: it has none."""
        if self.kinds[int(self.kind[row])].family != "event":
            return None
        one = np.array([row])
        raw = np.frombuffer(self.data, np.uint8)
        found = find_items(raw, self.offset[one], self.size[one], [kind]).places[kind]
        at = int(found.offset[0])
        return self.data[at : at + int(found.length[0])] if at else None

    @cached_property
    def activity(self) -> NDArray[np.void]:
        """ActivityId of every row as 16 bytes (`UUID(bytes_le=...)`); zeros where the header has none."""
        return self._guids(self._event_rows, self.offset[self._event_rows] + _ACTIVITY_AT)

    @cached_property
    def related_activity(self) -> NDArray[np.void]:
        """The related activity's id of every row, from its extended item; zeros where there is none."""
        places = self.items(ItemType.RELATED_ACTIVITYID)
        rows = np.flatnonzero(places.length >= _GUID.itemsize)
        return self._guids(rows, places.offset[rows])

    def stack(self, row: int) -> NDArray[np.unsignedinteger]:
        """The return addresses of one event's stack item, innermost first; none where it has no such item."""
        for kind, code in ((ItemType.STACK_TRACE64, "<u8"), (ItemType.STACK_TRACE32, "<u4")):
            data = self.item(row, kind)
            if data is not None:
                whole = (len(data) - 8) // np.dtype(code).itemsize
                return np.frombuffer(data, code, max(whole, 0), 8) if whole > 0 else np.zeros(0, code)
        return np.zeros(0, np.uint64)

    @cached_property
    def _event_rows(self) -> NDArray[np.int64]:
        """Rows with an EVENT_HEADER."""
        return np.flatnonzero(np.array([kind.family == "event" for kind in self.kinds], np.bool_)[self.kind])

    def _guids(self, rows: NDArray[np.int64], at: NDArray[np.int64]) -> NDArray[np.void]:
        column = np.zeros(len(self), "V16")
        column[rows] = gather(np.frombuffer(self.data, np.uint8), at, _GUID)["guid"]
        return column

    def _per_kind(self, values: list[object]) -> NDArray[np.object_]:
        column = np.empty(len(values), object)
        column[:] = values
        return column[self.kind]

    def counts(self) -> dict[tuple[UUID, str], int]:
        """Number of events by (provider, event name)."""
        totals: dict[tuple[UUID, str], int] = {}
        for kind, count in zip(self.kinds, np.bincount(self.kind, minlength=len(self.kinds)).tolist(), strict=True):
            key = (kind.provider, kind.name)
            totals[key] = totals.get(key, 0) + count
        return totals

    def events(self, name: str, provider: UUID | None = None) -> Events:
        """All events of this name (of one provider, if given), decoded; no rows when there are none.

        When events of one name come in several schemas, the columns are the fields that all of them have.
        """
        key = (name, provider)
        if key not in self._decoded:
            wanted = [
                index
                for index, kind in enumerate(self.kinds)
                if kind.name == name and provider in (None, kind.provider)
            ]
            self._decoded[key] = self._join(name, [self._decode_kind(index) for index in wanted])
        return self._decoded[key]

    def kind_events(self, index: int) -> Events:
        """All events of one of `kinds`, decoded."""
        return self._decode_kind(index)

    def row(self, row: int) -> dict[str, object]:
        """One event for people and JSON: common columns, and `fields` with the decoded payload.

        Identifiers, addresses and dates are texts; of numbers that have names, `names` has these by field; a message of
        WPP has its text in `message`. Where the
        payload cannot be decoded, `fields` is None, `problem` says why (None: nothing is wrong), and `payload` has its
        bytes.
        """
        kind = self.kinds[int(self.kind[row])]
        fields, problem = self._payload(row, kind)
        more: dict[str, object] = {} if problem is None else {"payload": self.payload(row)}
        if fields is not None and (message := _message(kind, fields)) is not None:
            more["message"] = message
        if fields and kind.schema is not None:
            if names := map_names(kind.schema, fields):
                more["names"] = names
            fields = plain_fields(kind.schema.fields, fields)
        return {
            "row": int(row),
            "tick": int(self.tick[row]),
            "ns": int(self.ns[row]),
            "cpu": int(self.cpu[row]),
            "pid": int(self.pid[row]),
            "tid": int(self.tid[row]),
            "event": kind.name,
            "fields": fields,
            "problem": problem,
            **more,
        }

    def payload(self, row: int) -> bytes:
        """The bytes of one event's payload."""
        start = int(self.payload_offset[row])
        return bytes(self.data[start : start + int(self.payload_length[row])])

    def schema_of(self, row: int) -> EventSchema | None:
        """The schema of a row's event."""
        return self.kinds[int(self.kind[row])].schema

    def _payload(self, row: int, kind: EventKind) -> tuple[dict[str, object] | None, str | None]:
        """The decoded payload, or why there is none."""
        if kind.schema is None:
            return (None, NO_SCHEMA) if self.payload_length[row] else ({}, None)
        try:
            return decode_payload(kind.schema, self.payload(row), kind.pointer_size), None
        except MetadataError as error:
            return None, str(error)

    def rows_of(self, index: int) -> NDArray[np.int64]:
        """The rows of one of `kinds`, in order."""
        order, ends = self._by_kind
        return order[ends[index] : ends[index + 1]]

    @cached_property
    def _by_kind(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All rows kind by kind, and where each kind begins, with the end of the last."""
        few = len(self.kinds) <= np.iinfo(np.uint16).max
        # Numbers of 16 bits are sorted in one go over them.
        order = np.argsort(self.kind.astype(np.uint16) if few else self.kind, kind="stable")
        counts = np.bincount(self.kind, minlength=len(self.kinds))
        return order, np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])

    def _decode_kind(self, index: int) -> Events:
        kind, rows = self.kinds[index], self.rows_of(index)
        total = len(rows)
        if kind.schema is None:
            return self._select(kind.name, rows, {}, {}, 0)
        described = dict(zip(unique_names(kind.schema.fields), kind.schema.fields, strict=True))
        offset, length = self.payload_offset[rows], self.payload_length[rows]
        payloads = decode_columns(self.data, offset, length, kind.schema, kind.pointer_size)
        if not payloads.whole.all():
            rows = rows[payloads.whole]
        return self._select(kind.name, rows, payloads.columns, described, total - len(rows))

    def _select(
        self,
        name: str,
        rows: NDArray[np.int64],
        columns: Mapping[str, Column],
        described: dict[str, Field],
        malformed: int,
    ) -> Events:
        common = (self.tick[rows], self.cpu[rows], self.pid[rows], self.tid[rows])
        return Events(name, rows, *common, Fields(columns), described, malformed)

    def _join(self, name: str, parts: list[Events]) -> Events:
        malformed = sum(part.malformed for part in parts)
        parts = [part for part in parts if len(part)]
        if not parts:
            return self._select(name, np.zeros(0, np.int64), {}, {}, malformed)
        rows = np.concatenate([part.rows for part in parts])
        order = np.argsort(rows, kind="stable")
        shared = [field for field in parts[0].fields if all(field in part.fields for part in parts)]
        columns = {field: _concatenate([part.fields for part in parts], field, order) for field in shared}
        return self._select(name, rows[order], columns, {field: parts[0].schema[field] for field in shared}, malformed)

    def to_arrow(self) -> pa.Table:
        """One flat table, a row per event: common columns, then one nullable typed column per payload field.

        Fields of the same name and a compatible type share a column across event names; a field that clashes with
        another type or a common column is called `Event.Field`. Arrays and structs are JSON text, binary is bytes,
        identifiers and addresses are texts. The names of numbers that have some are in `Field_name`.
        `time` is the UTC time with nanoseconds. Where events are not decoded, `payload` has their bytes and `problem`
        the reason; texts of messages are in `message`. Where kernel events are about others than their headers say,
        `owner_pid` and `owner_tid` tell whom.
        """
        columns: dict[str, pa.Array] = {
            "row": pa.array(np.arange(len(self), dtype=np.int64)),
            "tick": pa.array(self.tick),
            "ns": pa.array(self.ns),
            "time": pa.array((self.filetime - FILETIME_UNIX_EPOCH) * 100).cast(pa.timestamp("ns", tz="UTC")),
            "cpu": pa.array(self.cpu.astype(np.int32)),
            "pid": pa.array(self.pid),
            "tid": pa.array(self.tid),
            "provider": self._dictionary([kind.giver for kind in self.kinds]),
            "provider_guid": self._dictionary([str(kind.provider) for kind in self.kinds]),
            "event": self._dictionary([kind.name for kind in self.kinds]),
            "level": pa.array(self.level),
            "opcode": pa.array(self.opcode),
            "keyword": pa.array(self.keyword),
            "payload_bytes": pa.array(self.payload_length),
        }
        if self._owners.differ:
            columns.update(owner_pid=pa.array(self.owner_pid), owner_tid=pa.array(self.owner_tid))
        undecoded = self._undecoded()
        columns.update(_payload_columns(self, {name.lower() for name in (*columns, "message", *_UNDECODED)}))
        if any(kind.family == "message" and kind.description is not None for kind in self.kinds):
            columns["message"] = pa.array(self._messages(), pa.string())
        if undecoded.any():
            columns.update(zip(_UNDECODED, self._undecoded_columns(undecoded), strict=True))
        return pa.table(columns)

    def _messages(self) -> NDArray[np.object_]:
        """The texts of messages; None for other events."""
        texts = np.full(len(self), None, object)
        for index, kind in enumerate(self.kinds):
            if kind.family == "message" and kind.description is not None:
                for row in np.flatnonzero(self.kind == index).tolist():
                    texts[row] = self.row(row).get("message")
        return texts

    def _undecoded(self) -> NDArray[np.bool_]:
        """Rows whose payload has bytes that nothing could decode."""
        undecoded = self.payload_length > 0
        for index, kind in enumerate(self.kinds):
            if kind.schema is not None:
                rows = np.flatnonzero(self.kind == index)
                undecoded[rows] = True
                undecoded[self._decode_kind(index).rows] = False
        return undecoded

    def _undecoded_columns(self, undecoded: NDArray[np.bool_]) -> tuple[pa.Array, pa.Array]:
        """Payload and reason of the rows that could not be decoded; null for the others."""
        raw = np.frombuffer(self.data, np.uint8)
        joined, begins = ragged(raw, self.payload_offset, np.where(undecoded, self.payload_length, 0))
        buffers = [pa.py_buffer(np.packbits(undecoded, bitorder="little")), pa.py_buffer(begins), pa.py_buffer(joined)]
        payloads = pa.Array.from_buffers(pa.large_binary(), len(self), buffers)
        reasons = np.full(len(self), None, object)
        reasons[undecoded] = NO_SCHEMA
        described = np.array([kind.schema is not None for kind in self.kinds], np.bool_)[self.kind]
        for row in np.flatnonzero(undecoded & described).tolist():
            reasons[row] = self._payload(row, self.kinds[int(self.kind[row])])[1]
        return payloads, pa.array(reasons, pa.string())

    def _dictionary(self, values: list[str]) -> pa.Array:
        distinct = list(dict.fromkeys(values))
        codes = np.array([distinct.index(value) for value in values], np.int32)
        return pa.DictionaryArray.from_arrays(
            pa.array(codes[self.kind] if len(codes) else np.zeros(0, np.int32)), pa.array(distinct, pa.string())
        )


def _message(kind: EventKind, fields: Mapping[str, object]) -> str | None:
    """The text of a message with its arguments; None for another event, and where only its number is known."""
    described = kind.description
    if kind.family != "message" or described is None:
        return None
    return format_message(described.message, described.schema, fields, kind.pointer_size)


def _concatenate(parts: Sequence[Fields], name: str, order: NDArray[np.int64]) -> Column:
    """The column of all parts, in another order."""
    columns = [part.column(name) for part in parts]
    arrow = [column for column in columns if isinstance(column, pa.ChunkedArray)]
    if len(arrow) == len(columns) and len({column.type for column in arrow}) == 1:
        return pa.chunked_array([chunk for column in arrow for chunk in column.chunks]).take(pa.array(order))
    return np.concatenate([part[name] for part in parts])[order]


def _objects(values: list[object]) -> NDArray[np.object_]:
    """Of any Python objects, lists too, a column of them."""
    column = np.empty(len(values), object)
    column[:] = values
    return column


def _payload_columns(table: EventTable, taken: set[str]) -> Iterator[tuple[str, pa.Array]]:
    groups: dict[str, list[tuple[NDArray[np.int64], Column]]] = {}
    families: dict[str, str] = {}
    spelling: dict[str, str] = {}
    for index, kind in enumerate(table.kinds):
        if kind.hook == LOG_FILE_HEADER:
            continue  # What it says is the same for all rows, and `trace info` tells it.
        part = table._decode_kind(index)
        for name in part.fields:
            described = part.schema[name]
            columns = [(name, *_plain(part.fields, name, described))]
            if described.map is not None and columns[0][2] == "integer":
                columns.append((f"{name}_name", _named(part.fields[name], described), "text"))
            for wanted, values, family in columns:
                column = wanted
                # Column names are case-insensitive for SQL engines, so they are compared that way here.
                clash = spelling.get(column.lower(), column) != column or families.get(column, family) != family
                if column.lower() in taken or clash:
                    column = f"{part.name}.{wanted}"
                    while families.get(column, family) != family or spelling.get(column.lower(), column) != column:
                        column += "_"
                spelling[column.lower()] = column
                families[column] = family
                groups.setdefault(column, []).append((part.rows, values))
    for column, parts in groups.items():
        yield column, _scatter(len(table), parts, families[column])


def _plain(fields: Fields, name: str, described: Field) -> tuple[Column, str]:
    """Values as numpy integers or floats, or as Arrow or objects of one Arrow type; and the family of that type."""
    column = fields.column(name)
    as_text = _means_text(described)
    if not as_text and isinstance(column, pa.ChunkedArray) and (family := _ARROW_FAMILIES.get(column.type)):
        return column, family
    values = fields[name]
    if not as_text and values.dtype.kind in "iu":
        return values, "integer"
    if values.dtype.kind == "f":
        return values, "float"
    if described.shape != Shape.SCALAR or described.in_type == InType.STRUCT:
        return _objects([_JSON.encode(plain(described, value)) for value in values.tolist()]), "text"
    if as_text:
        distinct, index = np.unique(_objects(values.tolist()), return_inverse=True)
        return _objects([_text(described, value) for value in distinct.tolist()])[index], "text"
    if all(isinstance(value, bytes) for value in values.tolist()):
        return _objects(values.tolist()), "binary"
    return _objects([str(value) for value in values.tolist()]), "text"


def _means_text(described: Field) -> bool:
    """Whether people know the values as texts: identifiers, addresses, dates that are no numbers."""
    if described.shape != Shape.SCALAR:
        return False
    return described.in_type in _TEXT_TYPES or described.out_type in (OutType.IPV4, OutType.IPV6, OutType.SOCKADDR)


def _text(described: Field, value: object) -> str:
    shown = plain(described, value)
    return shown.hex() if isinstance(shown, bytes) else str(shown)


def _named(values: NDArray[np.generic], described: Field) -> NDArray[np.object_]:
    """The names that a field's map has for numbers; None for a number without one."""
    distinct, index = np.unique(values, return_inverse=True)
    return _objects([map_name(described, value) for value in distinct.tolist()])[index]


_TEXT_TYPES = (InType.GUID, InType.SYSTEMTIME, InType.SID, InType.WBEMSID)
_UNDECODED = ("payload", "problem")
_ARROW_FAMILIES = {pa.string(): "text", pa.binary(): "binary"}


def jsonable(value: object) -> str:
    """What JSON does not have: binary data as hexadecimal digits, the rest as text."""
    return value.hex() if isinstance(value, bytes) else str(value)


_JSON = json.JSONEncoder(default=jsonable)


def _scatter(count: int, parts: Sequence[tuple[NDArray[np.int64], Column]], family: str) -> pa.Array:
    if family in ("text", "binary"):
        kind = pa.string() if family == "text" else pa.binary()
        index, chunks, placed = np.full(count, -1, np.int64), list[pa.Array](), 0
        for rows, column in parts:
            chunks += column.chunks if isinstance(column, pa.ChunkedArray) else [pa.array(column, kind)]
            index[rows] = placed + np.arange(len(rows))
            placed += len(rows)
        return pa.chunked_array(chunks, kind).take(pa.array(index, mask=index < 0))
    dtype = np.result_type(*(values.dtype for _, values in parts))
    if family == "integer" and dtype.kind == "f":
        dtype = np.dtype(np.int64)  # signed and unsigned 64 bits together: keep the bits
    dense, missing = np.zeros(count, dtype), np.ones(count, np.bool_)
    for rows, values in parts:
        dense[rows] = values.astype(dtype)
        missing[rows] = False
    return pa.array(dense, mask=missing)
