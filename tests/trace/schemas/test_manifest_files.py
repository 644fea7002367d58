"""Instrumentation manifests: names, layouts and texts are those of the file; what is wrong is told with its line."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.trace.schema import Field, InType, MetadataError, OutType, Shape, ValueMap
from hotswap.trace.schemas.manifest import Manifest, parse_manifest
from hotswap.trace.schemas.xml_tree import XmlError, parse_xml

TEXT = """<?xml version="1.0" encoding="utf-8"?>
<instrumentationManifest xmlns="http://schemas.microsoft.com/win/2004/08/events">
  <instrumentation xmlns:win="http://manifests.microsoft.com/win/2004/08/windows/events">
    <events>
      <provider name="Sample-Driver" guid="{11223344-5566-7788-99AA-BBCCDDEEFF00}" symbol="SAMPLE">
        <channels><channel name="Sample-Driver/Debug" chid="DEBUG" type="Debug"/></channels>
        <levels><level name="Chatty" value="16"/></levels>
        <tasks>
          <task name="Worker" value="1">
            <opcodes><opcode name="Woken" value="20"/></opcodes>
          </task>
          <task name="Swap" value="2"/>
        </tasks>
        <opcodes><opcode name="Stalled" value="11"/></opcodes>
        <keywords><keyword name="Hot" mask="0x10"/><keyword name="Cold" mask="0x20"/></keywords>
        <maps>
          <valueMap name="States"><map value="0" message="$(string.Idle)"/><map value="0x1" message="busy"/></valueMap>
          <bitMap name="Flags"><map value="0x1" message="$(string.Missing)"/><map value="0x2" message="two"/></bitMap>
        </maps>
        <templates>
          <template tid="Woken">
            <data name="Worker" inType="win:UInt32" outType="win:HexInt32"/>
            <data name="State" inType="win:UInt8" map="States"/>
            <data name="Count" inType="win:UInt16"/>
            <data name="Handles" inType="win:Pointer" count="Count"/>
            <data name="Name" inType="win:UnicodeString" length="16"/>
            <data name="Blob" inType="win:Binary" length="Count"/>
            <data name="From" inType="win:Binary" outType="win:IPv6"/>
            <struct name="Parts" count="2">
              <data name="Key" inType="win:GUID"/>
              <data name="Bytes" inType="win:UInt8" count="Count"/>
            </struct>
            <UserData><Woken xmlns="x"><Worker>%1</Worker></Woken></UserData>
          </template>
        </templates>
        <events>
          <event value="1" version="3" task="Worker" opcode="Woken" level="win:Informational" channel="DEBUG"
                 keywords="Hot Cold" template="Woken" message="$(string.WokenText)" symbol="WORKER_WOKEN"/>
          <event value="0x2" task="Swap" opcode="win:Start"/>
          <event value="3" task="Swap" opcode="win:Info" level="Chatty"/>
          <event value="4" symbol="BARE"/>
          <event value="5" name="GivenName" task="Swap"/>
          <event value="6"/>
        </events>
      </provider>
    </events>
  </instrumentation>
  <localization>
    <resources culture="de-DE"><stringTable>
      <string id="Idle" value="ruht"/><string id="OnlyGerman" value="x"/></stringTable></resources>
    <resources culture="en-US"><stringTable>
      <string id="Idle" value="idle"/>
      <string id="WokenText" value="Worker %1 is %2 &#13;&#10;"/></stringTable></resources>
  </localization>
</instrumentationManifest>
"""


def read(text: str = TEXT) -> Manifest:
    return parse_manifest(text.encode(), "sample.man")


def test_names_come_from_tasks_and_opcodes() -> None:
    (provider,) = read().providers
    assert (provider.guid, provider.name) == (UUID("11223344-5566-7788-99aa-bbccddeeff00"), "Sample-Driver")
    assert {key: event.name for key, event in provider.events.items()} == {
        (1, 3): "Worker/Woken",
        (2, 0): "Swap/Start",
        (3, 0): "Swap",
        (4, 0): "BARE",
        (5, 0): "GivenName",
        (6, 0): "id 6",
    }
    assert read().problems == ()


def test_an_event_has_its_texts() -> None:
    event = read().providers[0].events[1, 3]
    assert (event.task, event.opcode, event.level, event.channel) == (
        "Worker",
        "Woken",
        "Informational",
        "Sample-Driver/Debug",
    )
    assert event.keywords == {0x10: "Hot", 0x20: "Cold"}
    assert event.message == "Worker %1 is %2"
    assert (event.source, event.provider_name) == ("sample.man", "Sample-Driver")


def test_a_template_is_a_layout() -> None:
    schema = read().providers[0].events[1, 3].schema
    assert schema.fields == (
        Field("Worker", InType.UINT32, OutType.HEX),
        Field("State", InType.UINT8, map=ValueMap("States", ((0, "idle"), (1, "busy")))),
        Field("Count", InType.UINT16),
        Field("Handles", InType.POINTER, shape=Shape.COUNTED, count_from="Count"),
        Field("Name", InType.UNICODESTRING, length=16),
        Field("Blob", InType.BINARY, length_from="Count"),
        Field("From", InType.BINARY, OutType.IPV6, length=16),
        Field(
            "Parts",
            InType.STRUCT,
            shape=Shape.CONSTANT,
            count=2,
            fields=(
                Field("Key", InType.GUID),
                Field("Bytes", InType.UINT8, shape=Shape.COUNTED, count_from="Count"),
            ),
        ),
    )


def test_utf_16_files_are_read() -> None:
    text = TEXT.replace('encoding="utf-8"', 'encoding="utf-16"')
    assert parse_manifest(text.encode("utf-16"), "sample.man") == read()


LINES = TEXT.splitlines()


def line_of(part: str) -> int:
    return next(number for number, line in enumerate(LINES, 1) if part in line)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('inType="win:UInt32"', 'inType="win:UInt33"', "event 1: field Worker has the unknown inType 'win:UInt33'"),
        ('map="States"', 'map="Stats"', "event 1: field State has the unknown map 'Stats'"),
        (
            'inType="win:Pointer" count="Count"',
            'inType="win:Pointer" count="Cont"',
            "'Cont', which is no earlier field",
        ),
        ('name="Name" inType="win:UnicodeString"', 'inType="win:UnicodeString"', "event 1: <data> has no name"),
        ('length="Count"/>', "/>", "field Blob is binary data of no given length"),
        ('value="0x1" message="busy"', 'value="one" message="busy"', "<map> has value='one', which is no number"),
    ],
)
def test_a_layout_that_makes_no_sense_costs_its_events_only(old: str, new: str, message: str) -> None:
    assert old in TEXT
    found = read(TEXT.replace(old, new))
    assert [(message in str(problem), problem.line) for problem in found.problems] == [(True, line_of(old))]
    assert (1, 3) not in found.providers[0].events
    assert len(found.providers[0].events) == 5


def test_an_unknown_template_is_told_where_it_is_used() -> None:
    found = read(TEXT.replace('template="Woken"', 'template="Wokn"'))
    assert str(found.problems[0]) == "event 1 has the unknown template 'Wokn'"
    assert found.problems[0].line == line_of('<event value="1"')


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("", "no element found", 1),
        ("<instrumentationManifest>\n<events>", "no element found", 2),
        ("<a/>", "no instrumentation manifest", 1),
        ("<instrumentationManifest/>", "describes no provider", 1),
        ('<instrumentationManifest>\n<events><provider name="p"/></events></instrumentationManifest>', "no guid", 2),
        (
            '<instrumentationManifest><events>\n\n<provider name="p" guid="x"/></events></instrumentationManifest>',
            "guid 'x'",
            3,
        ),
        ('<!DOCTYPE a [<!ENTITY b "bb">]><a>&b;</a>', "entities", 1),
        ("<a>" * 100, "nested too deep", 1),
        ('<?xml version="1.0" encoding="klingon"?><a/>', "not well-formed", 1),
    ],
)
def test_what_is_no_manifest_is_an_error_with_its_line(text: str, message: str, line: int) -> None:
    with pytest.raises(XmlError, match=message) as caught:
        read(text)
    assert caught.value.line == line


@given(data=st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_xml_or_an_error(data: bytes) -> None:
    try:
        parse_xml(data)
    except MetadataError:
        return


PIECES = sorted({line.strip() for line in LINES})


@given(
    cuts=st.lists(st.tuples(st.integers(0, len(TEXT)), st.integers(0, 30), st.sampled_from(PIECES)), max_size=4),
)
@settings(max_examples=200, deadline=None)
def test_a_damaged_manifest_is_a_manifest_or_an_error(cuts: list[tuple[int, int, str]]) -> None:
    text = TEXT
    for at, size, piece in cuts:
        text = text[:at] + (piece if size % 3 == 0 else "") + text[at + size :]
    try:
        read(text)
    except MetadataError:
        return
