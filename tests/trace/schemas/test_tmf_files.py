"""Trace message formats of WPP: arguments become fields, and their numbers those of inserts."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.trace.schema import Field, InType, OutType, ValueMap
from hotswap.trace.schemas.tmf import parse_tmf

GUID = UUID("4ed73968-00d8-34f3-557f-85fe0ce17799")
TEXT = """// PDB:  sample.pdb
// PDB:  Last Updated :2026-1-2:3:4:5:6 (UTC) [tracepdb]
4ed73968-00d8-34f3-557f-85fe0ce17799 Sample // SRC=worker.c MJ= MN=
#typev worker_c175 11 "%0Worker %10!d! of %11!p! is %12!s! (%%) in %!FUNC!" //   LEVEL=TRACE_LEVEL_ERROR FUNC=Wake
{
Worker->Index(a, b), ItemLong -- 10
Worker, ItemPtr -- 11
State, ItemListLong(Idle,Busy=0x10,Gone) -- 12
}
#typev worker_c180 12 "%0Nothing" //   LEVEL=4
{
}
#typev worker_c190 13 "%0First
second %11!S! %10!x!"
{
Arg, ItemULongX -- 10
Arg, ItemPWString -- 11
Flags, ItemSetByte(low,mid,high) -- 12
Where, ItemIPV6Addr -- 13
Mac, ItemMACAddr -- 14
Status, ItemNTSTATUS -- 15
Tag, ItemChar4 -- 16
}
"""


def test_a_message_has_its_arguments_as_fields() -> None:
    found = parse_tmf(TEXT, "sample.tmf")
    assert found.problems == ()
    assert list(found.messages) == [(GUID, 11), (GUID, 12), (GUID, 13)]
    woken = found.messages[GUID, 11]
    assert (woken.name, woken.provider_name, woken.task, woken.opcode, woken.level) == (
        "worker_c175",
        "Sample",
        "worker.c",
        "Wake",
        "Error",
    )
    assert woken.message == "Worker %1!d! of %2!p! is %3!s! (%%) in Wake"
    assert woken.schema.fields == (
        Field("Worker->Index(a, b)", InType.INT32),
        Field("Worker", InType.POINTER),
        Field("State", InType.UINT32, map=ValueMap("", ((0, "Idle"), (16, "Busy"), (17, "Gone")))),
    )
    assert found.messages[GUID, 12].schema.fields == ()


def test_a_text_may_go_over_several_lines_and_arguments_stand_in_their_order() -> None:
    message = parse_tmf(TEXT, "sample.tmf").messages[GUID, 13]
    assert message.message == "First\nsecond %2!S! %1!x!"
    assert message.schema.fields == (
        Field("Arg", InType.HEXINT32),
        Field("Arg", InType.COUNTEDSTRING),
        Field("Flags", InType.UINT8, map=ValueMap("", ((1, "low"), (2, "mid"), (4, "high")), bits=True)),
        Field("Where", InType.BINARY, OutType.IPV6, length=16),
        Field("Mac", InType.BINARY, length=6),
        Field("Status", InType.UINT32, OutType.NTSTATUS),
        Field("Tag", InType.ANSISTRING, length=4),
    )


@pytest.mark.parametrize(
    ("old", "new", "message", "line"),
    [
        ("ItemPtr", "ItemPointer", "message 11: 'Worker, ItemPointer -- 11' has the unknown type ItemPointer", 7),
        ("Worker, ItemPtr -- 11", "Worker", "message 11: 'Worker' is no argument", 7),
        (' 11 "%0Worker', ' eleven "%0Worker', "is no message", 4),
        ("4ed73968-00d8-34f3", "4ed73968-00d8-34", "a message before any GUID", 4),
    ],
)
def test_what_makes_no_sense_is_told_with_its_line(old: str, new: str, message: str, line: int) -> None:
    found = parse_tmf(TEXT.replace(old, new, 1), "sample.tmf")
    assert message in str(found.problems[0])
    assert found.problems[0].line == line
    assert (GUID, 11) not in found.messages


def test_a_file_without_messages_is_told() -> None:
    assert str(parse_tmf("", "x").problems[0]) == "it describes no message"
    assert str(parse_tmf(TEXT[: TEXT.index("Worker, ItemPtr")], "x").problems[0]) == "the last message has no end"


@given(cuts=st.lists(st.tuples(st.integers(0, len(TEXT)), st.integers(0, 20), st.text(max_size=5)), max_size=5))
@settings(max_examples=200, deadline=None)
def test_a_damaged_file_is_read_or_told(cuts: list[tuple[int, int, str]]) -> None:
    text = TEXT
    for at, size, piece in cuts:
        text = text[:at] + piece + text[at + size :]
    parse_tmf(text, "x")
