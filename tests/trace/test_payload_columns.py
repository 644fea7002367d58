"""Payloads decoded by columns, in C and in numpy, are those decoded row by row: any layout, also where they are cut."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.trace import native, payload_numpy
from hotswap.trace.columns import Column, Payloads
from hotswap.trace.decode import decode_payload
from hotswap.trace.encode import encode_payload
from hotswap.trace.native import decode as native_decode
from hotswap.trace.payload import decode_columns
from hotswap.trace.plan import MOST_DEPTH, plan_of
from hotswap.trace.schema import EventSchema, Field, InType, MetadataError, OutType, Shape, unique_names
from support.payloads import payload, schemas

CHOICES = ("native", "python")
pytestmark = pytest.mark.usefixtures("kernel_is_there")


@pytest.fixture(scope="module")
def kernel_is_there() -> None:
    assert native._load()[0] is not None, native._load()[1]


def plain(column: Column) -> list[Any]:
    return column.to_pylist() if isinstance(column, pa.ChunkedArray) else column.tolist()


def decoded(schema: EventSchema, rows: list[bytes], pointer_size: int, seed: int) -> list[Payloads]:
    """By both kernels; the payloads lie among other bytes."""
    chance, data, offset = random.Random(seed), bytearray(80), []
    for row in rows:
        data += bytes(chance.randrange(256) for _ in range(chance.randrange(5)))
        offset.append(len(data))
        data += row
    places, sizes = np.array(offset, np.int64), np.array([len(row) for row in rows], np.int64)
    found = []
    for choice in CHOICES:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(native.CHOICE, choice)
            found.append(decode_columns(bytes(data), places, sizes, schema, pointer_size))
    return found


def assert_same(schema: EventSchema, rows: list[bytes], pointer_size: int = 8, seed: int = 0) -> list[bool]:
    """Returns which rows are whole."""
    twins: list[dict[str, object] | None] = []
    for row in rows:
        try:
            twins.append(decode_payload(schema, row, pointer_size))
        except MetadataError:
            twins.append(None)
    whole = [twin for twin in twins if twin is not None]
    for choice, got in zip(CHOICES, decoded(schema, rows, pointer_size, seed), strict=True):
        assert got.whole.tolist() == [twin is not None for twin in twins], choice
        assert list(got.columns) == unique_names(schema.fields)
        for name, column in got.columns.items():
            # With NaN equal to itself.
            assert repr(plain(column)) == repr([twin[name] for twin in whole]), (choice, name)
    first, second = (list(got.columns.values()) for got in decoded(schema, rows, pointer_size, seed))
    assert [column.type if isinstance(column, pa.ChunkedArray) else column.dtype for column in first] == [
        column.type if isinstance(column, pa.ChunkedArray) else column.dtype for column in second
    ]
    return [twin is not None for twin in twins]


@given(schemas(), st.integers(0, 2**32), st.sampled_from([4, 8]))
@settings(max_examples=600, deadline=None)
def test_columns_are_the_rows(schema: EventSchema, seed: int, pointer_size: int) -> None:
    """Some payloads are cut, some have a byte changed, some have more than they should."""
    chance, rows = random.Random(seed), []
    for _ in range(chance.randrange(7)):
        row = bytearray(payload(schema, chance, pointer_size))
        change = chance.randrange(6)
        if change == 0:
            row = row[: max(len(row) - chance.randrange(1, 6), 0)]
        elif change == 1 and row:
            row[chance.randrange(len(row))] = chance.randrange(256)
        elif change == 2:
            row += chance.randbytes(3)
        rows.append(bytes(row))
    assert_same(schema, rows, pointer_size, seed)


@given(schemas(), st.lists(st.binary(max_size=40), max_size=6))
@settings(max_examples=300, deadline=None)
def test_any_bytes_decode_to_the_same_or_to_nothing(schema: EventSchema, rows: list[bytes]) -> None:
    assert_same(schema, rows)


def test_what_is_made_up_is_mostly_whole() -> None:
    """Otherwise the tests above would compare nothing with nothing."""
    wholes: list[bool] = []

    @given(schemas(), st.integers(0, 2**32))
    @settings(max_examples=60, deadline=None, database=None, derandomize=True)
    def collect(schema: EventSchema, seed: int) -> None:
        wholes.extend(assert_same(schema, [payload(schema, random.Random(seed + i)) for i in range(4)]))

    collect()
    assert sum(wholes) > 0.4 * len(wholes)


NUMBER, TEXT = Field("n", InType.UINT16), Field("t", InType.UNICODESTRING)
NESTED = EventSchema(
    "Nested",
    (
        NUMBER,
        Field("s", InType.STRUCT, fields=(Field("a", InType.UINT8), TEXT), shape=Shape.COUNTED, count_from="n"),
        Field("texts", InType.COUNTEDANSISTRING, OutType.UTF8, Shape.VARIABLE),
        Field("rest", InType.UINT32, shape=Shape.REST),
    ),
)


def nested(count: int) -> bytes:
    texts = b"".join(
        bytes([number % 250]) + "é".encode("utf-16-le") * (number % 3) + b"\0\0" for number in range(count)
    )
    return count.to_bytes(2, "little") + texts + b"\x02\0" + b"\x02\0hi\0\0" + bytes(8)


def test_structs_and_lists_are_columns() -> None:
    rows = [nested(count) for count in (0, 1, 3, 2)]
    assert assert_same(NESTED, rows) == [True] * 4
    for got in decoded(NESTED, rows, 8, 0):
        column = got.columns["s"]
        assert isinstance(column, pa.ChunkedArray)
        assert column.type == pa.list_(pa.struct([("a", pa.uint8()), ("t", pa.string())]))
        assert column.to_pylist()[2] == [{"a": 0, "t": ""}, {"a": 1, "t": "é"}, {"a": 2, "t": "éé"}]
        assert got.columns["texts"].to_pylist() == [["hi", ""]] * 4


@pytest.mark.parametrize("size", [7, 13])
def test_rows_beyond_one_part_are_all_there(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload_numpy, "_ROWS", size)
    monkeypatch.setattr(native_decode, "_ROWS", size)
    rows = [nested(count % 4) for count in range(50)]
    rows[20] = rows[20][:1]
    assert assert_same(NESTED, rows).count(True) == 49


def test_a_part_has_no_more_bytes_than_offsets_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_decode, "_MOST_BYTES", 1 << 18)
    rows = [nested(count % 4) + bytes(40_000) for count in range(50)]
    assert_same(NESTED, rows)


def test_an_array_far_longer_than_the_others_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """In numpy row by row, since it would take as many turns as it has elements."""
    rows = [nested(2 + row % 3) for row in range(30)]
    rows[7], rows[11] = nested(9000), nested(500)[:-30]
    turns: list[int] = []
    follow = payload_numpy._Following._one
    monkeypatch.setattr(payload_numpy._Following, "_one", lambda *given: turns.append(1) or follow(*given))
    whole = assert_same(NESTED, rows)
    assert whole.count(False) == 1
    assert len(turns) < 200


def test_structs_nested_deeper_than_a_plan_goes_are_read_row_by_row() -> None:
    item = NUMBER
    for _ in range(MOST_DEPTH + 2):
        item = Field("s", InType.STRUCT, fields=(item,))
    schema = EventSchema("Deep", (item, TEXT))
    assert plan_of(schema, 8).too_deep
    assert assert_same(schema, [b"\x05\0a\0\0\0", b"\x05"]) == [True, False]


@pytest.mark.parametrize(
    ("count", "whole"), [(0, True), (1, True), (2, False), (2**63 - 1, False), (2**63, False), (2**64 - 1, False)]
)
def test_counts_larger_than_any_payload_are_not_believed(count: int, whole: bool) -> None:
    count_field = Field("n", InType.UINT64)
    for kind in (InType.UINT32, InType.ANSISTRING):
        schema = EventSchema("E", (count_field, Field("a", kind, shape=Shape.COUNTED, count_from="n")))
        rows = [count.to_bytes(8, "little") + b"\x01\x01\x01\0"]
        assert assert_same(schema, rows) == [whole]


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
    assert_same(EventSchema("E", (Field("sid", InType.WBEMSID), Field("x", InType.UINT8))), rows, pointer_size)


def test_a_text_ends_where_it_ends_however_far_away() -> None:
    schema = EventSchema("E", (TEXT, Field("b", InType.ANSISTRING), Field("n", InType.INT8)))
    rows = [
        encode_payload(schema, {"t": "w" * n, "b": "n" * (2000 - n), "n": n % 9}) for n in (0, 31, 32, 33, 288, 2000)
    ]
    assert_same(schema, [*rows, rows[3][:-2000], rows[4][:40], b"a" * 999])


def test_a_number_below_zero_says_nothing() -> None:
    schema = EventSchema("E", (Field("n", InType.INT8), Field("t", InType.UNICODESTRING, length_from="n")))
    assert assert_same(schema, [b"\xffab", b"\x01ab", b"\x02ab"]) == [False, True, False]


@pytest.mark.parametrize("count", [0, 3, 2**63, 2**64 - 1])
def test_elements_without_bytes_do_not_go_on(count: int) -> None:
    empty = Field("e", InType.STRUCT, fields=(), shape=Shape.COUNTED, count_from="n")
    schema = EventSchema("E", (Field("n", InType.UINT64), empty))
    assert assert_same(schema, [count.to_bytes(8, "little")] * 3) == [True] * 3


@given(st.lists(st.binary(max_size=24), min_size=1, max_size=40))
@settings(max_examples=300, deadline=None)
def test_texts_are_decoded_as_python_does(texts: list[bytes]) -> None:
    """What is no text is replaced, piece by piece."""
    for kind, out in ((InType.COUNTEDSTRING, 0), (InType.COUNTEDANSISTRING, 0), (InType.COUNTEDANSISTRING, 35)):
        rows = [len(text).to_bytes(2, "little") + text for text in texts]
        assert all(assert_same(EventSchema("E", (Field("t", kind, out),)), rows))


@given(
    st.lists(st.sampled_from(["a", "é", "\u20ac", "\U0001f600", "\ud800", "\udc00", "\0"]), max_size=12),
    st.integers(0, 3),
)
@settings(max_examples=300, deadline=None)
def test_damaged_pairs_and_sequences_are_decoded_as_python_does(parts: list[str], cut: int) -> None:
    text = "".join(parts)
    wide, narrow = text.encode("utf-16-le", "surrogatepass"), text.encode("utf-8", "surrogatepass")
    for kind, data in ((InType.COUNTEDSTRING, wide), (InType.COUNTEDANSISTRING, narrow)):
        data = data[: max(len(data) - cut, 0)]
        schema = EventSchema("E", (Field("t", kind, OutType.UTF8),))
        assert_same(schema, [len(data).to_bytes(2, "little") + data])
