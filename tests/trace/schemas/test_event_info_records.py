"""TRACE_EVENT_INFO and value maps: what is written is read, and no bytes do more than report a problem."""

from __future__ import annotations

import contextlib
import struct
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.errors import UsageError
from hotswap.trace.decode import decode_payload
from hotswap.trace.encode import encode_payload
from hotswap.trace.schema import EventSchema, Field, InType, MetadataError, OutType, Shape, ValueMap
from hotswap.trace.schemas.event_info import EventInfo, parse_event_info, parse_map_info
from hotswap.trace.writer.event_info import build_event_info, build_map_info

PROVIDER = UUID("11223344-5566-7788-99aa-bbccddeeff00")
COLOURS = ValueMap("Colours", ((0, "red"), (7, "blue")))
ACCESS = ValueMap("Access", ((1, "read"), (2, "write"), (0x80000000, "all")), bits=True)
EVERYTHING = EventSchema(
    "Task/Start",
    (
        Field("Size", InType.UINT16),
        Field("Data", InType.BINARY, length_from="Size"),
        Field("Name", InType.UNICODESTRING, length=8),
        Field("Label", InType.ANSISTRING, OutType.UTF8),
        Field("Colour", InType.UINT32, map=COLOURS),
        Field("Access", InType.HEXINT32, map=ACCESS),
        Field("Address", InType.BINARY, OutType.IPV6, length=16),
        Field("Port", InType.UINT16, OutType.PORT),
        Field("Triple", InType.INT8, shape=Shape.CONSTANT, count=3),
        Field("Count", InType.UINT8),
        Field(
            "Items",
            InType.STRUCT,
            shape=Shape.COUNTED,
            count_from="Count",
            fields=(
                Field("Length", InType.UINT8),
                Field("Text", InType.UNICODESTRING, length_from="Length"),
                Field("Outer", InType.UINT8, shape=Shape.COUNTED, count_from="Count"),
            ),
        ),
        Field("Where", InType.POINTER, OutType.CODE_POINTER),
        Field("Who", InType.SID),
        Field("Rest", InType.COUNTEDBINARY),
    ),
)
VALUES = {
    "Size": 3,
    "Data": b"\x01\x02\x03",
    "Name": "four",
    "Label": "größer",
    "Colour": 7,
    "Access": 3,
    "Address": bytes(15) + b"\x01",
    "Port": 443,
    "Triple": [-1, 0, 1],
    "Count": 2,
    "Items": [{"Length": 1, "Text": "a", "Outer": [1, 2]}, {"Length": 2, "Text": "bc", "Outer": [3, 4]}],
    "Where": 0xFFFF_0000_1234,
    "Who": bytes([1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0]),
    "Rest": b"xyz",
}


def record(schema: EventSchema = EVERYTHING) -> bytes:
    return build_event_info(PROVIDER, "Maker", 17, 2, schema, task="Task", opcode="win:Start", message="%1 of %2 \r\n")


def maps() -> dict[str, ValueMap]:
    return {found.name: found for _, found in (parse_map_info(build_map_info(PROVIDER, m)) for m in (COLOURS, ACCESS))}


def test_what_is_written_is_read() -> None:
    info = parse_event_info(record())
    assert (info.provider, info.key) == (PROVIDER, (17, 2))
    described = info.describe(maps())
    assert described.schema == EVERYTHING
    assert (described.provider_name, described.name, described.task, described.opcode) == (
        "Maker",
        "Task/Start",
        "Task",
        "Start",
    )
    assert described.message == "%1 of %2"


def test_a_payload_of_every_shape_comes_back() -> None:
    schema = parse_event_info(record()).describe(maps()).schema
    data = encode_payload(schema, VALUES)
    assert decode_payload(schema, data, 8) == VALUES
    for cut in range(len(data)):
        with pytest.raises(MetadataError):
            decode_payload(schema, data[:cut], 8)


def test_the_name_is_task_and_opcode_where_there_is_no_other() -> None:
    described = parse_event_info(record(EventSchema(""))).describe({})
    assert described.name == "Task/Start"
    bare = build_event_info(PROVIDER, "Maker", 17, 2, EventSchema(""))
    assert parse_event_info(bare).describe({}).name == "id 17"


def test_a_map_that_is_not_there_leaves_the_number() -> None:
    fields = {item.name: item for item in parse_event_info(record()).describe({}).schema.fields}
    assert fields["Colour"].map is None


def test_maps_name_numbers_and_bits() -> None:
    found = maps()
    assert (found["Colours"], found["Access"]) == (COLOURS, ACCESS)
    assert [COLOURS.text(value) for value in (0, 7, 1)] == ["red", "blue", None]
    assert [ACCESS.text(value) for value in (0, 3, 5, 4)] == [None, "read | write", "read | 0x4", None]
    assert ValueMap("Z", ((0, "none"), (1, "one")), bits=True).text(0) == "none"


@pytest.mark.parametrize(
    "item",
    [
        Field("a", InType.UINT8, shape=Shape.VARIABLE),
        Field("b", InType.BINARY),
        Field("c", InType.UINT8, shape=Shape.REST),
    ],
)
def test_what_tdh_cannot_say_is_refused(item: Field) -> None:
    with pytest.raises(UsageError, match="TDH has no way"):
        record(EventSchema("E", (item,)))


def test_a_struct_that_holds_itself_ends() -> None:
    schema = EventSchema("E", (Field("s", InType.STRUCT, fields=(Field("n", InType.UINT8),)),))
    data = bytearray(record(schema))
    members = 112 + 24 + 8  # of the second property, in-type and out-type: first member and their number
    data[112 + 24 : 112 + 28] = (1).to_bytes(4, "little")
    data[members : members + 4] = b"\x01\x00\x01\x00"
    with pytest.raises(MetadataError):
        parse_event_info(bytes(data)).describe({})


def read_all(data: bytes) -> None:
    info: EventInfo | None = None
    with contextlib.suppress(MetadataError):
        info = parse_event_info(data)
    if info is not None:
        with contextlib.suppress(MetadataError):
            decode_payload(info.describe(maps()).schema, bytes(64), 4)
    with contextlib.suppress(MetadataError):
        parse_map_info(data)


@given(data=st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_record_or_a_problem(data: bytes) -> None:
    read_all(data)


@given(changes=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=8), cut=st.integers(0, 40))
@settings(max_examples=300, deadline=None)
def test_a_damaged_record_is_a_record_or_a_problem(changes: list[tuple[int, int]], cut: int) -> None:
    for whole in (record(), build_map_info(PROVIDER, ACCESS)):
        data = bytearray(whole)
        for at, value in changes:
            data[at % len(data)] = value
        read_all(bytes(data[: len(data) - cut]))


def test_texts_that_overlap_are_no_record() -> None:
    """A record of 64 KiB could else stand for gigabytes of names."""
    count, text = 3000, b"x\0" * 8000
    entries = b"".join(struct.pack("<II", 16 + 8 * count + 2 * index, index) for index in range(count))
    data = PROVIDER.bytes_le + struct.pack("<IIII", 0, 1, count, 0) + entries + text
    with pytest.raises(MetadataError, match="overlap"):
        parse_map_info(data)
    shared = b"".join(struct.pack("<II", 16 + 8 * count, index) for index in range(count))
    _, found = parse_map_info(PROVIDER.bytes_le + struct.pack("<IIII", 0, 1, count, 0) + shared + text)
    assert (len(found.entries), {name for _, name in found.entries}) == (count, {"x" * 8000})
