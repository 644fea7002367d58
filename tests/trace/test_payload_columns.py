"""Payloads decoded by columns are those decoded row by row, for any schema, also where payloads are cut."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.trace import payload
from hotswap.trace.decode import decode_payload
from hotswap.trace.encode import encode_payload
from hotswap.trace.payload import decode_columns, is_columnar
from hotswap.trace.schema import (
    FIXED_DTYPES,
    SIZED,
    WIDE,
    EventSchema,
    Field,
    InType,
    MetadataError,
    Shape,
    is_sized,
    scalar_dtype,
    unique_names,
)

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
ANY_TEXT = st.text(max_size=12)
SID = st.integers(0, 4).flatmap(
    lambda n: st.binary(min_size=4 * n, max_size=4 * n).map(lambda b: bytes([1, n]) + bytes(6) + b)
)


NUMBERS = (InType.UINT8, InType.INT8, InType.UINT16, InType.UINT32, InType.UINT64, InType.POINTER)
MOF_SID = st.one_of(st.just(b""), SID.filter(lambda sid: len(sid) > 8))


def values(item: Field) -> st.SearchStrategy[object]:
    """One value of a field."""
    kind = item.in_type
    count = item.count if item.shape == Shape.CONSTANT else None
    if (code := scalar_dtype(item, 8)) is not None:
        dtype = np.dtype(code)
        one: st.SearchStrategy[object] = st.binary(min_size=dtype.itemsize, max_size=dtype.itemsize)
        if dtype.kind == "f":
            one = st.floats(width=8 * dtype.itemsize, allow_nan=False)
    elif is_sized(item) and kind != InType.BINARY:
        one = st.text("ab\0", max_size=item.length if item.length is not None else 5)
    elif is_sized(item):
        one = st.binary(min_size=item.length or 0, max_size=item.length if item.length is not None else 5)
    elif kind in (InType.UNICODESTRING, InType.NONNULLTERMINATEDSTRING):
        one = st.one_of(TEXT, st.text("abc", max_size=40), st.text("abc", min_size=30, max_size=300))
    elif kind in WIDE:
        one = st.one_of(ANY_TEXT, st.binary(max_size=9), st.sampled_from([b"a\0b\0c", b"x", b"a\0b\0"]))
    elif kind in (InType.ANSISTRING, InType.NONNULLTERMINATEDANSISTRING):
        one = st.binary(max_size=12).map(lambda data: data.replace(b"\0", b"x") + b"\0")
    elif kind in (InType.SID, InType.WBEMSID):
        one = SID if kind == InType.SID else MOF_SID
    else:
        one = st.binary(max_size=12)
    if item.shape == Shape.SCALAR:
        return one
    return st.lists(one, min_size=count or 0, max_size=count if count is not None else 4)


def fields() -> st.SearchStrategy[tuple[Field, ...]]:
    """A field, and before it the one that says how much there is of it."""
    fixed = st.sampled_from([*sorted(FIXED_DTYPES), InType.POINTER, InType.SIZET]).map(InType)
    other = st.sampled_from([kind for kind in InType if is_columnar(EventSchema("E", (Field("s", kind),)), 8)])
    arrays = st.sampled_from([Shape.CONSTANT, Shape.VARIABLE, Shape.REST])
    out, number, sized = st.sampled_from([0, 35]), st.sampled_from(NUMBERS), st.sampled_from(SIZED)
    return st.one_of(
        st.builds(lambda kind: (Field("f", kind),), fixed),
        st.builds(lambda kind, out: (Field("s", kind, out),), other, out),
        st.builds(lambda kind, out, n: (Field("t", kind, out, length=n),), sized, out, st.integers(0, 3)),
        st.builds(lambda kind, shape, n: (Field("a", kind, shape=shape, count=n),), fixed, arrays, st.integers(0, 3)),
        st.builds(
            lambda said, kind: (Field("n", said), Field("c", kind, shape=Shape.COUNTED, count_from="n")), number, fixed
        ),
        st.builds(
            lambda said, kind, out: (Field("n", said), Field("l", kind, out, length_from="n")), number, sized, out
        ),
    )


@st.composite
def tables(draw: st.DrawFn) -> tuple[EventSchema, list[bytes]]:
    """A schema, and payloads of it of which some are cut."""
    chosen: list[Field] = []
    for turn, parts in enumerate(draw(st.lists(fields(), min_size=1, max_size=5))):
        chosen += [referring(item, str(turn)) for item in parts]
    schema = EventSchema("E", tuple(chosen))
    names = unique_names(schema.fields)
    rows = []
    for _ in range(draw(st.integers(0, 6))):
        row: dict[str, Any] = {}
        for name, item in zip(names, schema.fields, strict=True):
            row[name] = draw(values(item))
            if said := item.count_from or item.length_from:
                row[said] = draw(st.sampled_from([len(row[name])] * 3 + [1, 0]))
        data = encode_payload(schema, row)
        rows.append(data[: len(data) - draw(st.sampled_from([0, 0, 0, 1, 2, 5]))])
    return schema, rows


def referring(item: Field, turn: str) -> Field:
    """The field with the turn in the names of those that say how much there is."""
    if item.count_from or item.length_from:
        return replace(item, count_from=item.count_from and "n" + turn, length_from=item.length_from and "n" + turn)
    return replace(item, name="n" + turn) if item.name == "n" else item


def plain(column: payload.Column) -> list[Any]:
    return column.to_pylist() if isinstance(column, pa.ChunkedArray) else column.tolist()


def same(mine: object, twin: object) -> bool:
    """Equal, with NaN equal to itself."""
    return repr(mine) == repr(twin)


def assert_same(schema: EventSchema, rows: list[bytes], seed: int = 0, size: int = 8) -> None:
    chance = random.Random(seed)
    data, offset = bytearray(80), []
    for row in rows:
        data += bytes(chance.randrange(256) for _ in range(chance.randrange(5)))
        offset.append(len(data))
        data += row
    lengths = np.array([len(row) for row in rows], np.int64)
    got = decode_columns(bytes(data), np.array(offset, np.int64), lengths, schema, size)
    twins: list[dict[str, object] | None] = []
    for row in rows:
        try:
            twins.append(decode_payload(schema, row, size))
        except MetadataError:
            twins.append(None)
    assert got.whole.tolist() == [twin is not None for twin in twins]
    whole = [twin for twin in twins if twin is not None]
    assert list(got.columns) == unique_names(schema.fields)
    for name, column in got.columns.items():
        assert same(plain(column), [twin[name] for twin in whole]), name


@given(table=tables(), seed=st.integers(0, 1000))
@settings(max_examples=400, deadline=None)
def test_columns_are_the_rows(table: tuple[EventSchema, list[bytes]], seed: int) -> None:
    schema, rows = table
    assert is_columnar(schema, 8)
    assert_same(schema, rows, seed)


@given(schema=tables().map(lambda table: table[0]), rows=st.lists(st.binary(max_size=40), max_size=6))
@settings(max_examples=300, deadline=None)
def test_any_bytes_decode_to_the_same_or_to_nothing(schema: EventSchema, rows: list[bytes]) -> None:
    assert_same(schema, rows)


def test_rows_beyond_one_chunk_are_all_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload, "_ROWS", 7)
    schema = EventSchema("E", (Field("n", InType.UINT32), Field("t", InType.UNICODESTRING), Field("u", InType.UINT8)))
    rows = [encode_payload(schema, {"n": n, "t": "é" * (n % 3) + "x" * n, "u": n % 200}) for n in range(50)]
    rows[20] = rows[20][:3]
    assert_same(schema, rows)


@pytest.mark.parametrize("pointer_size", [4, 8])
def test_a_sid_of_mof_is_where_it_can_be(pointer_size: int) -> None:
    """Behind two pointers, also cleared ones, or not there."""
    sid = bytes([1, 2, 0, 0, 0, 0, 0, 5]) + bytes(8)
    pointers = 2 * pointer_size
    rows = [
        b"\1" + bytes(pointers - 1) + sid + b"x",
        bytes(pointers) + sid + b"x",
        bytes(4) + b"x",
        bytes(4) + b"\1" * 40,
        bytes(pointers) + b"\2" + sid[1:] + b"x",
        bytes(pointers) + b"\1\x7f" + bytes(70),
        bytes(pointers) + sid[:6],
        b"\1" + bytes(pointers),
        b"\1\0",
        b"",
    ]
    assert_same(EventSchema("E", (Field("sid", InType.WBEMSID), Field("x", InType.UINT8))), rows, size=pointer_size)


def test_a_text_ends_where_it_ends_however_far_away() -> None:
    schema = EventSchema(
        "E", (Field("a", InType.UNICODESTRING), Field("b", InType.ANSISTRING), Field("n", InType.INT8))
    )
    rows = [
        encode_payload(schema, {"a": "w" * n, "b": "n" * (2000 - n), "n": n % 9}) for n in (0, 31, 32, 33, 288, 2000)
    ]
    assert_same(schema, [*rows, rows[3][:-2000], rows[4][:40], b"a" * 999])


def test_a_number_below_zero_says_nothing() -> None:
    schema = EventSchema("E", (Field("n", InType.INT8), Field("t", InType.UNICODESTRING, length_from="n")))
    assert_same(schema, [b"\xffab", b"\x01ab", b"\x02ab"])


@pytest.mark.parametrize(
    "item",
    [
        Field("s", InType.STRUCT, fields=(Field("n", InType.UINT8),)),
        Field("a", InType.UNICODESTRING, shape=Shape.VARIABLE),
        Field("c", InType.UINT8, shape=Shape.CUSTOM),
        Field("l", InType.UNICODESTRING, length_from="m"),
    ],
)
def test_what_has_no_column_form_says_so(item: Field) -> None:
    assert not is_columnar(EventSchema("E", (Field("n", InType.UINT32), item)), 8)
