"""Payloads decoded by columns are those decoded row by row, for any schema, also where payloads are cut."""

from __future__ import annotations

import random
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
from hotswap.trace.schema import FIXED_DTYPES, EventSchema, Field, InType, MetadataError, Shape, unique_names

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
ANY_TEXT = st.text(max_size=12)
SID = st.integers(0, 4).flatmap(
    lambda n: st.binary(min_size=4 * n, max_size=4 * n).map(lambda b: bytes([1, n]) + bytes(6) + b)
)


def values(item: Field) -> st.SearchStrategy[object]:
    """One value of a field."""
    kind = item.in_type
    if kind in FIXED_DTYPES:
        dtype = np.dtype(FIXED_DTYPES[kind])
        one: st.SearchStrategy[object] = st.binary(min_size=dtype.itemsize, max_size=dtype.itemsize)
        if dtype.kind == "f":
            one = st.floats(width=8 * dtype.itemsize, allow_nan=False)
    elif kind == InType.UNICODESTRING:
        one = st.one_of(TEXT, st.text("abc", max_size=40))
    elif kind == InType.COUNTEDSTRING:
        one = st.one_of(ANY_TEXT, st.binary(max_size=9), st.sampled_from([b"a\0b\0c", b"x", b"a\0b\0"]))
    elif kind == InType.ANSISTRING:
        one = st.binary(max_size=12).map(lambda data: data.replace(b"\0", b"x") + b"\0")
    elif kind == InType.SID:
        one = SID
    else:
        one = st.binary(max_size=12)
    if item.shape == Shape.SCALAR:
        return one
    count = item.count if item.shape == Shape.CONSTANT else None
    return st.lists(one, min_size=count or 0, max_size=count if count is not None else 4)


def fields() -> st.SearchStrategy[Field]:
    fixed = st.sampled_from(sorted(FIXED_DTYPES))
    other = st.sampled_from(
        [kind for kind in InType if kind not in FIXED_DTYPES and is_columnar(EventSchema("E", (Field("s", kind),)), 8)]
    )
    arrays = st.sampled_from([Shape.CONSTANT, Shape.VARIABLE])
    out = st.sampled_from([0, 35])
    return st.one_of(
        st.builds(lambda kind, n: Field("f", InType(kind)), fixed, st.just(0)),
        st.builds(lambda kind, out: Field("s", InType(kind), out), other, out),
        st.builds(
            lambda kind, shape, n: Field("a", InType(kind), shape=shape, count=n), fixed, arrays, st.integers(0, 3)
        ),
    )


@st.composite
def tables(draw: st.DrawFn) -> tuple[EventSchema, list[bytes]]:
    """A schema, and payloads of it of which some are cut."""
    schema = EventSchema("E", tuple(draw(st.lists(fields(), min_size=1, max_size=5))))
    names = unique_names(schema.fields)
    rows = []
    for _ in range(draw(st.integers(0, 6))):
        row = {name: draw(values(item)) for name, item in zip(names, schema.fields, strict=True)}
        data = encode_payload(schema, row)
        rows.append(data[: len(data) - draw(st.sampled_from([0, 0, 0, 1, 2, 5]))])
    return schema, rows


def plain(column: payload.Column) -> list[Any]:
    return column.to_pylist() if isinstance(column, pa.ChunkedArray) else column.tolist()


def same(mine: object, twin: object) -> bool:
    """Equal, with NaN equal to itself."""
    return repr(mine) == repr(twin)


def assert_same(schema: EventSchema, rows: list[bytes], seed: int = 0) -> None:
    chance = random.Random(seed)
    data, offset = bytearray(80), []
    for row in rows:
        data += bytes(chance.randrange(256) for _ in range(chance.randrange(5)))
        offset.append(len(data))
        data += row
    lengths = np.array([len(row) for row in rows], np.int64)
    got = decode_columns(bytes(data), np.array(offset, np.int64), lengths, schema, 8)
    twins: list[dict[str, object] | None] = []
    for row in rows:
        try:
            twins.append(decode_payload(schema, row, 8))
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


@pytest.mark.parametrize(
    "item",
    [
        Field("s", InType.STRUCT, fields=(Field("n", InType.UINT8),)),
        Field("a", InType.UNICODESTRING, shape=Shape.VARIABLE),
        Field("c", InType.UINT8, shape=Shape.CUSTOM),
    ],
)
def test_what_has_no_column_form_says_so(item: Field) -> None:
    assert not is_columnar(EventSchema("E", (Field("n", InType.UINT32), item)), 8)
