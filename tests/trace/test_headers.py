"""Events of every kind of header are in the table, with all that their headers say."""

from __future__ import annotations

import struct
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.trace.etl import EtlFile, parse_etl
from hotswap.trace.event_kind import NO_PROVIDER, EventKind
from hotswap.trace.framing import HeaderType
from hotswap.trace.items import ItemType
from hotswap.trace.kinds import count_kinds
from hotswap.trace.table import NO_SCHEMA
from support.raw_events import (
    NO_ID,
    classic,
    event,
    file_of,
    instance,
    item,
    message,
    perfinfo,
    system,
    unknown,
)

GUID, OTHER = UUID("22fb2cd6-0e7b-422b-a0c7-2fad1fd0e716"), UUID("0d6fa8d0-fe05-11d0-9dda-00c04fd7ba7c")
PAYLOAD = b"payload!"
# Classes and hooks here are none that have built-in layouts.


def read(*events: bytes) -> EtlFile:
    etl = parse_etl(file_of(events))
    assert etl.problems == ()
    return etl


def kind_of(etl: EtlFile, row: int) -> EventKind:
    return etl.events.kinds[int(etl.events.kind[row])]


@pytest.mark.parametrize(
    ("raw", "header", "pid", "level", "opcode", "version", "name", "provider"),
    [
        (event(50, GUID, 9, PAYLOAD), "EVENT64", 4, 3, 1, 2, "id 9", GUID),
        (event(50, GUID, 9, PAYLOAD, bits=32), "EVENT32", 4, 3, 1, 2, "id 9", GUID),
        (classic(50, OTHER, 3, PAYLOAD), "FULL64", 4, 2, 3, 3, "type 3", OTHER),
        (classic(50, OTHER, 3, PAYLOAD, bits=32), "FULL32", 4, 2, 3, 3, "type 3", OTHER),
        (instance(50, OTHER, 3, PAYLOAD), "INSTANCE64", 4, 2, 3, 3, "type 3", OTHER),
        (instance(50, OTHER, 3, PAYLOAD, bits=32), "INSTANCE32", 4, 2, 3, 3, "type 3", OTHER),
        (system(50, 0x3124, PAYLOAD), "SYSTEM64", 4, 0, 0x24, 2, "hook 0x3124", NO_PROVIDER),
        (system(50, 0x3124, PAYLOAD, bits=32), "SYSTEM32", 4, 0, 0x24, 2, "hook 0x3124", NO_PROVIDER),
        (system(50, 0x3124, PAYLOAD, compact=True), "COMPACT64", 4, 0, 0x24, 2, "hook 0x3124", NO_PROVIDER),
        (system(50, 0x3124, PAYLOAD, compact=True, bits=32), "COMPACT32", 4, 0, 0x24, 2, "hook 0x3124", NO_PROVIDER),
        (perfinfo(50, 0x312E, PAYLOAD), "PERFINFO64", -1, 0, 0x2E, 2, "hook 0x312e", NO_PROVIDER),
        (perfinfo(50, 0x312E, PAYLOAD, bits=32), "PERFINFO32", -1, 0, 0x2E, 2, "hook 0x312e", NO_PROVIDER),
    ],
)
def test_a_header_says_who_when_and_what(
    raw: bytes, header: str, pid: int, level: int, opcode: int, version: int, name: str, provider: UUID
) -> None:
    etl = read(raw)
    table, kind = etl.events, kind_of(etl, 1)
    assert (table.tick[1], table.pid[1], table.tid[1]) == (50, pid, -1 if pid < 0 else 5)
    assert (table.level[1], table.opcode[1]) == (level, opcode)
    assert (kind.level, kind.opcode, kind.version, kind.name, kind.provider) == (level, opcode, version, name, provider)
    assert kind.header == HeaderType[header]
    assert kind.pointer_size == (4 if header.endswith("32") else 8)
    assert table.payload(1) == PAYLOAD
    assert (table.offset[1], table.size[1]) == (2048 + 72, len(raw))
    assert etl.header_types() == {"SYSTEM64": 1 + (header == "SYSTEM64"), header: 1 + (header == "SYSTEM64")}


def test_what_only_some_headers_have() -> None:
    etl = read(event(50, GUID, 9), system(51, 0x3203, version=0x8302), classic(52, OTHER, 3))
    manifest, kernel, mof = (kind_of(etl, row) for row in (1, 2, 3))
    assert (manifest.event_id, manifest.task, manifest.channel, manifest.hook) == (9, 7, 16, -1)
    assert etl.events.keyword.tolist() == [0, 9, 0, 0]
    assert (kernel.hook, kernel.event_id, kernel.version) == (0x3203, 0, 2)
    assert [kind.family for kind in (manifest, kernel, mof)] == ["event", "kernel", "classic"]
    assert [kind.giver for kind in (manifest, kernel, mof)] == [str(GUID), "kernel", str(OTHER)]


def test_no_process_is_minus_one() -> None:
    etl = read(event(50, GUID, 9, pid=NO_ID, tid=NO_ID), system(51, 0x0501, pid=NO_ID, tid=NO_ID))
    assert etl.events.pid.tolist() == [0, -1, -1]
    assert etl.events.tid.tolist() == [0, -1, -1]


@pytest.mark.parametrize(
    ("version", "before"),
    [(0x0002, 0), (0x0102, 8), (0x0402, 32), (0x0702, 56), (0x8002, 8), (0x8202, 24)],
)
def test_counters_stand_before_the_payload(version: int, before: int) -> None:
    """PEBS index and performance counters of the processor."""
    for make in (perfinfo, system):
        etl = read(make(50, 0x312E, bytes(before) + PAYLOAD, version=version))
        assert etl.events.payload(1) == PAYLOAD
        assert kind_of(etl, 1).version == 2


def test_counters_that_claim_more_than_the_event_leave_no_payload() -> None:
    etl = read(perfinfo(50, 0x312E, bytes(16), version=0x8702))
    assert etl.events.payload(1) == b""


TIME, IDS = struct.pack("<q", 77), struct.pack("<II", 6, 7)


@pytest.mark.parametrize(
    ("options", "values", "tick", "pid", "tid", "guid"),
    [
        (0x00, b"", 0, -1, -1, NO_PROVIDER),
        (0x01, bytes(4), 0, -1, -1, NO_PROVIDER),
        (0x02, GUID.bytes_le, 0, -1, -1, GUID),
        (0x04, bytes(4), 0, -1, -1, NO_PROVIDER),
        (0x08, TIME, 77, -1, -1, NO_PROVIDER),
        (0x10, TIME, 77, -1, -1, NO_PROVIDER),
        (0x18, TIME, 77, -1, -1, NO_PROVIDER),
        (0x20, IDS, 0, 7, 6, NO_PROVIDER),
        (0x2B, bytes(4) + GUID.bytes_le + TIME + IDS, 77, 7, 6, GUID),
        (0x7F, bytes(4) + GUID.bytes_le + TIME + IDS, 77, 7, 6, GUID),
    ],
)
def test_a_message_has_what_its_options_say(
    options: int, values: bytes, tick: int, pid: int, tid: int, guid: UUID
) -> None:
    etl = read(message(12, options, values, PAYLOAD))
    table, kind = etl.events, kind_of(etl, 1)
    assert (table.tick[1], table.pid[1], table.tid[1], kind.provider) == (tick, pid, tid, guid)
    assert (kind.event_id, kind.name, kind.family) == (12, "message 12", "message")
    assert kind.pointer_size == (4 if options & 0x40 else 8)
    assert table.payload(1) == PAYLOAD


def test_a_message_without_room_for_its_options_is_reported() -> None:
    etl = parse_etl(file_of([message(12, 0x2B, bytes(4) + GUID.bytes_le + b"abc")]))
    (problem,) = etl.problems
    assert (problem.code, problem.message) == ("bad-items", "an event with message options without their values")
    assert kind_of(etl, 1).provider == GUID
    assert etl.events.payload(1) == b"abc"


def test_an_event_without_a_time_stays_where_it_is() -> None:
    """It has the time of the event before it in its buffer, else of the one after it; the sum counts it as 0."""
    untimed = message(1, 0, b"", PAYLOAD)
    buffers = [[untimed, perfinfo(60, 1), untimed, unknown(0x77), perfinfo(80, 1), untimed], [untimed]]
    etl = parse_etl(file_of(*buffers, cpus=[1, 0]))
    table = etl.events
    assert [(int(t), kind_of(etl, i).name) for i, t in enumerate(table.tick)] == [
        (0, "EventTrace"),
        (0, "message 1"),
        (60, "message 1"),
        (60, "hook 0x0001"),
        (60, "message 1"),
        (60, "unknown 0x77"),
        (80, "hook 0x0001"),
        (80, "message 1"),
    ]
    assert int(etl.ticks.sum()) == 140


def test_unknown_records_are_counted_and_keep_their_bytes() -> None:
    etl = read(unknown(0x77, PAYLOAD), unknown(0x0D, b"error"))
    assert etl.header_types() == {"SYSTEM64": 1, "ERROR": 1, "0x77": 1}
    assert [kind_of(etl, row).name for row in (1, 2)] == ["unknown 0x77", "error record"]
    assert [kind_of(etl, row).family for row in (1, 2)] == ["unknown", "unknown"]
    assert etl.events.payload(1) == PAYLOAD
    kinds = {(kind.header, kind.provider): kind.n for kind in count_kinds(etl.events)}
    assert kinds[("0x77", "unknown")] == kinds[("ERROR", "unknown")] == 1


def test_kinds_are_counted_by_what_tells_them_apart() -> None:
    etl = read(
        *(event(50, GUID, 9), event(51, GUID, 9), event(52, GUID, 10), event(53, OTHER, 9)),
        *(classic(54, OTHER, 3), classic(55, OTHER, 3)),
        *(perfinfo(56, 0x312E), perfinfo(57, 0x312E, version=3)),
        *(message(5, 0), message(5, 1, bytes(4))),
    )
    counted = {(kind.header, kind.provider, kind.key): kind.n for kind in count_kinds(etl.events)}
    assert counted == {
        ("EVENT64", str(GUID), "id=9 v=2"): 2,
        ("EVENT64", str(GUID), "id=10 v=2"): 1,
        ("EVENT64", str(OTHER), "id=9 v=2"): 1,
        ("FULL64", str(OTHER), "type=3 v=3"): 2,
        ("PERFINFO64", "kernel", "hook=0x312e v=2"): 1,
        ("PERFINFO64", "kernel", "hook=0x312e v=3"): 1,
        ("MESSAGE", "wpp", "message=5"): 2,
        ("SYSTEM64", "kernel", "hook=0x0000 v=2"): 1,
    }


def test_what_is_not_decoded_keeps_its_bytes_and_the_reason() -> None:
    etl = read(event(50, GUID, 9, PAYLOAD), event(51, GUID, 10))
    described, empty = etl.events.row(1), etl.events.row(2)
    assert (described["fields"], described["problem"], described["payload"]) == (None, NO_SCHEMA, PAYLOAD)
    assert (empty["fields"], empty["problem"], "payload" in empty) == ({}, None, False)
    arrow = etl.events.to_arrow().slice(1)
    assert arrow.column("payload").to_pylist() == [PAYLOAD, None]
    assert arrow.column("problem").to_pylist() == [NO_SCHEMA, None]


STACK = struct.pack("<QQQ", 1, 0xFFFFF80000001000, 0x7FF600001000)


def test_extended_items_are_columns_on_demand() -> None:
    related = item(ItemType.RELATED_ACTIVITYID, OTHER.bytes_le, last=False)
    both = related + item(ItemType.STACK_TRACE64, STACK)
    stack32 = item(ItemType.STACK_TRACE32, struct.pack("<QII", 1, 0x1000, 0x2000))
    etl = read(event(50, GUID, 1, PAYLOAD, items=both, activity=GUID), event(51, GUID, 2), perfinfo(52, 1),
               event(53, GUID, 1, items=stack32))  # fmt: skip
    table = etl.events
    assert [UUID(bytes_le=bytes(value)) for value in table.activity[1:3]] == [GUID, NO_PROVIDER]
    assert [UUID(bytes_le=bytes(value)) for value in table.related_activity[1:3]] == [OTHER, NO_PROVIDER]
    assert table.stack(1).tolist() == [0xFFFFF80000001000, 0x7FF600001000]
    assert table.stack(4).tolist() == [0x1000, 0x2000]
    assert [len(table.stack(row)) for row in (0, 2, 3)] == [0, 0, 0]
    assert table.item(1, ItemType.STACK_TRACE64) == STACK
    assert table.item(2, ItemType.STACK_TRACE64) is None
    assert table.item(3, ItemType.STACK_TRACE64) is None
    assert table.items(ItemType.STACK_TRACE64).length.tolist() == [0, len(STACK), 0, 0, 0]
    assert table.payload(1) == PAYLOAD


GUIDS = st.sampled_from([GUID, OTHER])
TICKS = st.integers(0, 2**40)
PAYLOADS = st.binary(max_size=20)
BITS = st.sampled_from([32, 64])
ANY = st.one_of(
    st.builds(event, TICKS, GUIDS, st.integers(0, 3), PAYLOADS),
    st.builds(classic, TICKS, GUIDS, st.integers(0, 3), PAYLOADS),
    st.builds(instance, TICKS, GUIDS, st.integers(0, 3), PAYLOADS),
    st.builds(system, TICKS, st.integers(0, 0xFFFF), PAYLOADS, version=st.sampled_from([2, 0x8302])),
    st.builds(perfinfo, TICKS, st.integers(0, 0xFFFF), PAYLOADS),
    st.builds(message, st.integers(0, 9), st.integers(0, 255), st.binary(max_size=36), PAYLOADS),
    st.builds(unknown, st.sampled_from([0x0D, 0x77, 0x05]), PAYLOADS),
)


@given(
    buffers=st.lists(st.lists(ANY, max_size=8), max_size=4), cpus=st.lists(st.integers(0, 3), min_size=4, max_size=4)
)
@settings(max_examples=200, deadline=None)
def test_every_event_is_in_the_table_once_and_in_order(buffers: list[list[bytes]], cpus: list[int]) -> None:
    etl = parse_etl(file_of(*buffers, cpus=cpus))
    table = etl.events
    found = sorted(
        etl.events.data[at : at + size] for at, size in zip(table.offset.tolist(), table.size.tolist(), strict=True)
    )
    head = table.data[72 : 72 + struct.unpack_from("<H", table.data, 76)[0]]
    assert found == sorted([head, *(each for events in buffers for each in events)])
    keys = list(zip(table.tick.tolist(), table.cpu.tolist(), table.offset.tolist(), strict=True))
    assert keys == sorted(keys)
    assert int(np.count_nonzero(table.payload_length < 0)) == 0
    assert sum(kind.n for kind in count_kinds(table)) == len(table) == len(etl.frames)
    arrow = table.to_arrow()
    assert arrow.num_rows == len(table)
