"""Which of the sources describes an event: records and manifests in the trace, what is given, what is built in."""

from __future__ import annotations

import struct
from uuid import UUID

import pytest

from hotswap.trace.etl import EtlFile, parse_etl
from hotswap.trace.schema import EventSchema, Field, InType, ValueMap
from hotswap.trace.schemas.event_info import METADATA_CLASS
from hotswap.trace.schemas.files import NOTHING_GIVEN, GivenSchemas
from hotswap.trace.schemas.manifest import parse_manifest
from hotswap.trace.schemas.tmf import parse_tmf
from hotswap.trace.writer.event_info import build_event_info, build_map_info
from support.raw_events import classic, event, file_of, message, system

PROVIDER = UUID("11223344-5566-7788-99aa-bbccddeeff00")
PAYLOAD = struct.pack("<I", 7)
STATES = ValueMap("States", ((7, "seven"),))
MESSAGES = UUID("4ed73968-00d8-34f3-557f-85fe0ce17799")
TMF = f"""{MESSAGES} Sample // SRC=worker.c MJ= MN=
#typev worker_c175 11 "%0Worker %10!d! sleeps" //   LEVEL=TRACE_LEVEL_ERROR FUNC=Wake
{{
Worker, ItemLong -- 10
}}
"""


def work(tick: int = 20, payload: bytes = PAYLOAD) -> bytes:
    """The event that all of these describe: id 1, version 2."""
    return event(tick, PROVIDER, 1, payload)


def record(tick: int = 10, name: str = "recorded", *, described: bytes | None = None) -> bytes:
    schema = EventSchema("Work", (Field(name, InType.UINT32, map=STATES),))
    payload = described or build_event_info(PROVIDER, "Recorded", 1, 2, schema, task="Work")
    return classic(tick, METADATA_CLASS, 32, payload)


def states(tick: int) -> bytes:
    return classic(tick, METADATA_CLASS, 33, build_map_info(PROVIDER, STATES))


def manifest(name: str) -> bytes:
    return (
        f'<instrumentationManifest><instrumentation><events><provider name="{name}" guid="{{{PROVIDER}}}">'
        f'<templates><template tid="t"><data name="{name}" inType="win:UInt32"/></template></templates>'
        '<tasks><task name="Work" value="7"/></tasks>'
        '<events><event value="1" version="2" task="Work" template="t"/></events>'
        "</provider></events></instrumentation></instrumentationManifest>"
    ).encode()


def own(tick: int, number: int = 0, total: int = 1, *, magic: int = 0x5B) -> bytes:
    """A piece of the manifest that the provider brings along."""
    whole = manifest("own")
    size = -(-len(whole) // total)
    head = struct.pack("<BBBBHH", 1, 1, 0, magic, total, number)
    return event(tick, PROVIDER, 0xFFFE, head + whole[number * size : (number + 1) * size], opcode=0xFE)


def read(*events: bytes, given: GivenSchemas = NOTHING_GIVEN) -> EtlFile:
    return parse_etl(file_of(events), given=given)


def given(*names: str) -> GivenSchemas:
    return GivenSchemas(manifests=tuple(parse_manifest(manifest(name), name) for name in names))


def fields(file: EtlFile, tick: int = 20) -> object:
    (row,) = (file.events.tick == tick).nonzero()[0].tolist()
    return file.events.row(row)["fields"]


@pytest.mark.parametrize("when", [10, 30])
def test_what_the_trace_brings_counts_for_events_before_and_after(when: int) -> None:
    assert fields(read(record(when), work())) == {"recorded": 7}
    assert fields(read(own(when), work())) == {"own": 7}


def test_the_recording_computer_counts_most_then_the_provider_then_what_is_given() -> None:
    assert fields(read(own(5), work(), record(30), given=given("first"))) == {"recorded": 7}
    assert fields(read(own(5), work(), given=given("first"))) == {"own": 7}
    assert fields(read(work(), given=given("first", "second"))) == {"first": 7}
    assert fields(read(work())) is None


def test_the_first_record_of_an_event_counts() -> None:
    assert fields(read(record(5, "first"), work(), record(30, "second"))) == {"first": 7}


def test_of_an_event_that_nothing_describes_provider_and_number_are_shown() -> None:
    file = read(work())
    (kind,) = file.events.kinds[1:]
    row = file.events.row(1)
    assert (kind.giver, kind.name) == (str(PROVIDER), "id 1")
    assert (row["fields"], row["problem"], row["payload"]) == (None, "nothing describes its payload", PAYLOAD)


def test_a_provider_has_its_name_also_where_only_others_of_its_events_are_described() -> None:
    kinds = read(record(), work(), event(30, PROVIDER, 99)).events.kinds
    assert {kind.event_id: kind.provider_name for kind in kinds if kind.provider == PROVIDER} == {
        1: "Recorded",
        99: "Recorded",
    }


@pytest.mark.parametrize("when", [5, 30])
def test_maps_name_numbers_wherever_they_are(when: int) -> None:
    file = read(states(when), record(), work())
    (row,) = (file.events.tick == 20).nonzero()[0].tolist()
    assert file.events.row(row)["names"] == {"recorded": "seven"}


def test_a_record_of_another_version_does_not_count() -> None:
    schema = EventSchema("Work", (Field("n", InType.UINT32),))
    other = record(described=build_event_info(PROVIDER, "Recorded", 1, 3, schema, task="Work"))
    assert fields(read(other, work())) is None


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (record(described=b"\x01" * 30), "TRACE_EVENT_INFO"),
        (classic(10, METADATA_CLASS, 33, b"\x01" * 20), "EVENT_MAP_INFO"),
        (own(10, magic=0x5C), "0x5c"),
        (own(10, 0, 3), "1 of 3"),
    ],
    ids=["record", "map", "magic", "pieces"],
)
def test_a_schema_that_is_no_use_is_a_problem_and_nothing_else_suffers(broken: bytes, said: str) -> None:
    file = read(broken, work(), given=given("given"))
    assert fields(file) == {"given": 7}
    (problem,) = file.problems
    assert problem.code == "bad-schema"
    assert said in problem.message


def test_a_payload_that_its_schema_does_not_fit_says_so() -> None:
    file = read(record(), work(20, b"\x01"))
    row = file.events.row(2)
    assert (row["fields"], row["payload"]) == (None, b"\x01")
    assert row["problem"] == "4 bytes wanted at 0 of 1"


def test_a_message_is_its_text_with_a_format_and_else_its_number() -> None:
    written = message(11, 0x02, MESSAGES.bytes_le, struct.pack("<i", -3))
    formats = GivenSchemas(formats=(parse_tmf(TMF, "sample.tmf"),))
    row = read(written, given=formats).events.row(1)
    assert (row["event"], row["message"], row["fields"]) == ("worker_c175", "Worker -3 sleeps", {"Worker": -3})
    unknown = read(written).events
    assert (unknown.kinds[1].giver, unknown.row(1)["event"]) == (str(MESSAGES), "message 11")


def thread_start(bits: int, *, name: str | None = None, version: int = 3) -> bytes:
    pointer = "Q" if bits == 64 else "I"
    payload = struct.pack(f"<II6{pointer}{pointer}IBBBB", 4, 8, 1, 2, 3, 4, 0xFF, 5, 6, 7, 8, 9, 2, 1)
    return system(20, 0x0501, payload + (f"{name}\0".encode("utf-16-le") if name is not None else b""), bits=bits)


@pytest.mark.parametrize("bits", [32, 64])
def test_pointers_of_kernel_events_are_as_long_as_the_header_says(bits: int) -> None:
    payload = struct.pack("<QQI" if bits == 64 else "<III", 0x1000, 0x2000, 4) + "a.dll\0".encode("utf-16-le")
    file = read(system(20, 0x140A, payload, bits=bits, version=1))
    assert fields(file) == {"ImageBase": 0x1000, "ImageSize": 0x2000, "ProcessId": 4, "FileName": "a.dll"}


def test_a_version_that_is_not_known_is_read_as_the_one_below() -> None:
    payload = struct.pack("<IbbBb", 77, 1, 0, 0, 0)
    assert fields(read(system(20, 0x0532, payload, version=9))) == {
        "TThreadId": 77,
        "AdjustReason": 1,
        "AdjustIncrement": 0,
        "Flag": 0,
        "Reserved": 0,
    }


@pytest.mark.parametrize(("name", "last"), [(None, "ThreadFlags"), ("worker", "ThreadName")])
def test_fields_that_windows_added_without_a_new_version_are_read_where_they_are(name: str | None, last: str) -> None:
    pointers = struct.pack("<II6Q", 4, 8, 1, 2, 3, 4, 0xFF, 5)
    payload = pointers + struct.pack("<QIBBBB", 6, 7, 8, 9, 2, 1)
    payload += f"{name}\0".encode("utf-16-le") if name is not None else b""
    found = fields(read(system(20, 0x0501, payload, version=3)))
    assert isinstance(found, dict)
    assert list(found)[-1] == last
    assert found.get("ThreadName") == name


def test_classic_events_of_a_32_bit_writer_can_hold_what_a_64_bit_kernel_said() -> None:
    thread = UUID("3d6fa8d1-fe05-11d0-9dda-00c04fd7ba7c")
    payload = struct.pack("<II6Q", 4, 8, 1, 2, 3, 4, 0xFF, 5) + struct.pack("<QIBBBB", 6, 7, 8, 9, 2, 1)
    found = fields(read(classic(20, thread, 1, payload, bits=32)))
    assert isinstance(found, dict)
    assert (found["ProcessId"], found["Win32StartAddr"], found["TebBase"], found["SubProcessTag"]) == (4, 5, 6, 7)


def test_a_record_of_a_classic_event_counts_more_than_what_is_built_in() -> None:
    thread = UUID("3d6fa8d1-fe05-11d0-9dda-00c04fd7ba7c")
    schema = EventSchema("Thread", (Field("Mine", InType.UINT64),))
    info = bytearray(build_event_info(thread, "MSNT_SystemTrace", 0, 3, schema, task="Thread", opcode="Start"))
    info[16:32] = thread.bytes_le  # a class has the place of the event's GUID,
    info[37] = 1  # the type is the opcode,
    info[48] = 1  # and WBEM describes it
    found = fields(read(record(described=bytes(info)), classic(20, thread, 1, struct.pack("<Q", 9))))
    assert found == {"Mine": 9}
