"""What of an event is compared: its kind and its fields, but for those that differ from run to run."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hotswap.errors import UsageError
from hotswap.trace.event_kind import EventKind
from hotswap.trace.payload import Column
from hotswap.trace.schema import Field, InType, OutType
from hotswap.trace.select import unknown
from hotswap.trace.table import EventTable, Fields, jsonable

Ints = NDArray[np.int64]


class Fickle(StrEnum):
    """Why a field's value says nothing about what happened."""

    TIME = "time"
    IDS = "ids"
    """Process and thread ids."""
    ADDRESSES = "addresses"


_TIMES = {InType.FILETIME, InType.SYSTEMTIME}
_TIME_OUT = {OutType.FILETIME, OutType.DATETIME_UTC, OutType.ETWTIME}
_WIDE_INTEGERS = {InType.POINTER, InType.SIZET, InType.HEXINT32, InType.HEXINT64, InType.UINT64, InType.INT64}
_UNIT = r"(?:_?(?:[nu]s|ms|100ns|Ns|Us|Ms))?$"
_TIME_NAME = re.compile(
    rf"(?:(?:Time|Time[sS]tamp|Ticks?|Qpc|QPC|Elapsed|Duration)|(?:^|_)(?:time|timestamp|ticks?|qpc|elapsed|duration)){_UNIT}"
)
_ID_NAME = re.compile(r"(?:(?i:(?:process|thread|parent)_?id|(?:^|_)[pt]id)|[a-z][PT](?:id|ID))$")
_ADDRESS_NAME = re.compile(
    r"(?:Address|Addr|Pointer|Ptr|Handle|Object|Irp|IRP|Base|(?:^|_)(?:address|addr|pointer|ptr|handle|object|irp|base))$"
)


def fickle(described: Field) -> Fickle | None:
    """What kind of field this is, if it is one whose value differs from run to run: by its type, or by its name."""
    if described.in_type in _TIMES or described.out_type in _TIME_OUT:
        return Fickle.TIME
    if described.out_type in (OutType.PID, OutType.TID):
        return Fickle.IDS
    if described.in_type == InType.POINTER or described.out_type == OutType.CODE_POINTER:
        return Fickle.ADDRESSES
    if described.in_type in (InType.FLOAT, InType.DOUBLE) or InType.INT8 <= described.in_type <= InType.UINT64:
        if _TIME_NAME.search(described.name):
            return Fickle.TIME
        if _ID_NAME.search(described.name):
            return Fickle.IDS
    if described.in_type in _WIDE_INTEGERS and _ADDRESS_NAME.search(described.name):
        return Fickle.ADDRESSES
    return None


@dataclass(frozen=True, slots=True)
class Meaning:
    """What is compared besides kinds and fields, and which fields are not."""

    include: frozenset[Fickle] = frozenset()
    """Fields that are compared though they are fickle; IDS: the process and thread of the event, too."""
    cpu: bool = False
    ignore: tuple[str, ...] = ()
    """Names of fields, `Field` or `Event.Field`, without regard to case."""

    def compares(self, event: str, described: Field) -> bool:
        """Whether a field of an event of this name takes part."""
        names = (described.name.lower(), f"{event}.{described.name}".lower())
        if any(name.lower() in names for name in self.ignore):
            return False
        kind = fickle(described)
        return kind is None or kind in self.include


@dataclass(frozen=True)
class Side:
    """One of the two traces, and the rows of it that are compared."""

    table: EventTable
    rows: Ints


@dataclass
class Tokens:
    """One number an event for each side: equal numbers, equal meaning. `ignored` are the fields left out, by reason."""

    sides: tuple[Ints, Ints]
    ignored: dict[str, set[str]] = field(default_factory=dict)
    """`Event.Field` by reason: `asked`, or a Fickle."""
    undecoded: int = 0
    """Events of both sides that were compared by the bytes of their payload."""


def tokens(a: Side, b: Side, meaning: Meaning) -> Tokens:
    """Number the events of both sides by what they mean. UsageError for a field to ignore that neither side has."""
    result = Tokens((np.zeros(len(a.rows), np.int64), np.zeros(len(b.rows), np.int64)))
    _check_ignored(meaning, (a, b))
    used = 0
    for identity in dict.fromkeys(key for side in (a, b) for kind in side.table.kinds for key in [identity_of(kind)]):
        parts = [part for number, side in enumerate((a, b)) for part in _parts(number, side, identity, meaning, result)]
        parts = [part for part in parts if len(part.at)]
        if not parts:
            continue
        codes = _codes(parts)
        codes = np.unique(codes, return_inverse=True)[1].reshape(-1) + used
        used = int(codes.max()) + 1
        start = 0
        for part in parts:
            result.sides[part.side][part.at] = codes[start : start + len(part.at)]
            start += len(part.at)
    return result


def identity_of(kind: EventKind) -> tuple[str, str, int, int]:
    """What makes two events of two traces the same one: provider, name, id and opcode."""
    return (str(kind.provider), kind.name, kind.event_id, kind.opcode)


@dataclass(frozen=True)
class _Part:
    """Events of one kind and side: where they stand among the side's rows, and what is compared of each."""

    side: int
    at: Ints
    columns: dict[str, Column]


def _parts(number: int, side: Side, identity: tuple[str, str, int, int], meaning: Meaning, told: Tokens) -> list[_Part]:
    table, found = side.table, list[_Part]()
    place = np.full(len(table), -1, np.int64)
    place[side.rows] = np.arange(len(side.rows))
    for index, kind in enumerate(table.kinds):
        if identity_of(kind) != identity:
            continue
        events = table.kind_events(index)
        chosen = place[events.rows] >= 0
        rows = events.rows[chosen]
        columns: dict[str, Column] = {}
        for name in events.fields:
            described = events.schema[name]
            if meaning.compares(kind.name, described):
                columns[name] = _chosen(events.fields, name, chosen)
            elif chosen.any():
                why = fickle(described)
                reason = str(why) if why is not None and why not in meaning.include else "asked"
                told.ignored.setdefault(reason, set()).add(f"{kind.name}.{name}")
        if kind.schema is not None:
            found.append(_Part(number, place[rows], _with_place(table, rows, columns, meaning)))
            others = np.setdiff1d(np.flatnonzero(table.kind == index), events.rows, assume_unique=True)
        else:
            others = np.flatnonzero(table.kind == index)
        others = others[place[others] >= 0]
        if len(others):
            bare: dict[str, Column] = {"": _payloads(table, others)}
            found.append(_Part(number, place[others], _with_place(table, others, bare, meaning)))
            told.undecoded += int(np.count_nonzero(table.payload_length[others]))
    return found


def _with_place(table: EventTable, rows: Ints, columns: dict[str, Column], meaning: Meaning) -> dict[str, Column]:
    """With the process, thread and CPU, where these are compared. No field has such a name."""
    if Fickle.IDS in meaning.include:
        columns = {**columns, "\0pid": table.pid[rows], "\0tid": table.tid[rows]}
    return {**columns, "\0cpu": table.cpu[rows]} if meaning.cpu else columns


def _chosen(fields: Fields, name: str, chosen: NDArray[np.bool_]) -> Column:
    column = fields.column(name)
    return column[chosen] if isinstance(column, np.ndarray) else column.filter(pa.array(chosen))


def _payloads(table: EventTable, rows: Ints) -> Column:
    starts, lengths = table.payload_offset[rows].tolist(), table.payload_length[rows].tolist()
    values = [table.data[at : at + length] for at, length in zip(starts, lengths, strict=True)]
    return pa.chunked_array([pa.array(values, pa.large_binary())])


def _codes(parts: Sequence[_Part]) -> Ints:
    """One number an event of all parts: equal where they have the same fields with the same values. Exact, no hash."""
    total = sum(len(part.at) for part in parts)
    codes, distinct = np.zeros(total, np.int64), 1
    for name in dict.fromkeys(name for part in parts for name in part.columns):
        have = [part for part in parts if name in part.columns]
        mine = np.concatenate([np.full(len(part.at), name in part.columns) for part in parts])
        for values in _plain([part.columns[name] for part in have]):
            found, inverse = np.unique(values, return_inverse=True)
            column = np.zeros(total, np.int64)
            column[mine] = inverse.reshape(-1) + 1
            if distinct * (len(found) + 1) >= 1 << 62:
                kept, inverse = np.unique(codes, return_inverse=True)
                codes, distinct = inverse.reshape(-1).astype(np.int64), len(kept)
            codes = codes * (len(found) + 1) + column
            distinct *= len(found) + 1
    return codes


def _plain(columns: Sequence[Column]) -> list[NDArray[np.generic]]:
    """One column of several traces as arrays of numbers, equal where the values are; a GUID takes two."""
    arrays = [column for column in columns if isinstance(column, np.ndarray)]
    kinds = {array.dtype.kind for array in arrays}
    if len(arrays) == len(columns):
        if kinds <= {"i", "b"} or kinds <= {"u", "b"} or kinds <= {"f"}:
            return [np.concatenate(arrays)]
        if kinds == {"V"} and {array.dtype.itemsize for array in arrays} == {16}:
            words = np.ascontiguousarray(np.concatenate(arrays)).view(np.uint64).reshape(-1, 2)
            return [words[:, 0], words[:, 1]]
    arrow = [column for column in columns if not isinstance(column, np.ndarray)]
    if not arrays and len({column.type for column in arrow}) == 1 and not pa.types.is_nested(arrow[0].type):
        whole = pa.chunked_array([chunk for column in arrow for chunk in column.chunks], arrow[0].type)
    else:
        texts = [_text(value) for column in columns for value in _values(column)]
        whole = pa.chunked_array([pa.array(texts, pa.large_string())])
    return [whole.combine_chunks().dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False)]


def _values(column: Column) -> list[object]:
    return list(column.tolist() if isinstance(column, np.ndarray) else column.to_pylist())


def _text(value: object) -> str:
    return f"{type(value).__name__[0]}{json.dumps(value, default=jsonable, sort_keys=True)}"


def _check_ignored(meaning: Meaning, sides: Sequence[Side]) -> None:
    known: dict[str, str] = {}
    for side in sides:
        for kind in side.table.kinds:
            for described in kind.schema.fields if kind.schema else ():
                known[described.name.lower()] = described.name
                known[f"{kind.name}.{described.name}".lower()] = f"{kind.name}.{described.name}"
    for name in meaning.ignore:
        if name.lower() not in known:
            raise UsageError(f"--ignore: {unknown('field', name, sorted(known.values()))}")
