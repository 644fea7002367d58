"""Manifests that EventSources bring along in pieces."""

from __future__ import annotations

import struct
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.trace.schema import Field, InType, MetadataError
from hotswap.trace.schemas.event_source import ManifestCollector

PROVIDER = UUID("11223344-5566-7788-99aa-bbccddeeff00")
XML = (
    b"<instrumentationManifest><instrumentation><events>"
    b'<provider name="Own-Source" guid="{11223344-5566-7788-99aa-bbccddeeff00}">'
    b'<templates><template tid="t"><data name="n" inType="win:Int32"/></template></templates>'
    b'<tasks><task name="Ping" value="1"/></tasks><events><event value="1" task="Ping" template="t"/></events>'
    b"</provider></events></instrumentation></instrumentationManifest>"
)


def pieces(size: int, *, format_: int = 1, magic: int = 0x5B) -> list[bytes]:
    parts = [XML[at : at + size] for at in range(0, len(XML), size)]
    return [
        struct.pack("<BBBBHH", format_, 1, 0, magic, len(parts), number) + part for number, part in enumerate(parts)
    ]


@pytest.mark.parametrize("size", [len(XML), 100, 7])
def test_pieces_make_the_manifest(size: int) -> None:
    collector = ManifestCollector()
    answers = [collector.add(PROVIDER, 1, piece) for piece in pieces(size)]
    assert answers[:-1] == [None] * (len(answers) - 1)
    assert answers[-1] is not None
    (provider,) = answers[-1].providers
    assert provider.name == "Own-Source"
    event = provider.events[1, 0]
    assert (event.name, event.schema.fields, event.source) == (
        "Ping",
        (Field("n", InType.INT32),),
        "EventSource manifest",
    )
    assert collector.missing() == []


def test_two_processes_do_not_mix() -> None:
    collector = ManifestCollector()
    made = [collector.add(PROVIDER, pid, piece) for piece in pieces(200) for pid in (1, 2)]
    assert [answer is not None for answer in made[-2:]] == [True, True]


def test_a_process_may_begin_anew() -> None:
    collector = ManifestCollector()
    collector.add(PROVIDER, 1, pieces(200)[0])
    assert [collector.add(PROVIDER, 1, piece) for piece in pieces(200)][-1] is not None


def test_a_missing_piece_is_told() -> None:
    collector = ManifestCollector()
    first, second, *_ = pieces(200)
    collector.add(PROVIDER, 1, first)
    assert collector.missing() == [f"provider {PROVIDER}, process 1: 1 of {len(pieces(200))} pieces of its manifest"]
    with pytest.raises(MetadataError, match=r"piece 1 of .* without those before it"):
        ManifestCollector().add(PROVIDER, 1, second)


@pytest.mark.parametrize(("format_", "magic"), [(2, 0x5B), (1, 0x5C)])
def test_another_format_is_told(format_: int, magic: int) -> None:
    with pytest.raises(MetadataError, match=f"format {format_} with the mark 0x{magic:02x}"):
        ManifestCollector().add(PROVIDER, 1, pieces(len(XML), format_=format_, magic=magic)[0])


def test_a_manifest_that_is_no_xml_is_told_with_its_line() -> None:
    piece = struct.pack("<BBBBHH", 1, 1, 0, 0x5B, 1, 0) + XML.replace(b"<events>", b"\n<events>", 1)[:-5]
    with pytest.raises(MetadataError, match="line 2: not well-formed"):
        ManifestCollector().add(PROVIDER, 1, piece)


@given(events=st.lists(st.tuples(st.integers(0, 2), st.binary(max_size=60)), max_size=10))
@settings(max_examples=100, deadline=None)
def test_any_pieces_are_collected_or_told(events: list[tuple[int, bytes]]) -> None:
    collector = ManifestCollector()
    for pid, data in events:
        for piece in (data, struct.pack("<BBBBHH", 1, 1, 0, 0x5B, 1, 0) + data):
            try:
                collector.add(PROVIDER, pid, piece)
            except MetadataError:
                continue
