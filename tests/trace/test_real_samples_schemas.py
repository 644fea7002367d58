"""What of the real samples is described, by what, and that all of it decodes to the last byte."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from hotswap.trace.decode import left_over
from hotswap.trace.etl import EtlFile, read_etl
from hotswap.trace.info import described_events
from hotswap.trace.schemas.files import read_schemas
from support.real_samples import samples_folder

FOLDER = samples_folder() or Path()
CLR = Path(__file__).parent / "clr_events.man"
NAMES = sorted(path.stem for path in FOLDER.glob("*.etl"))

EVENTS = {
    "clr-gcevents-circular": (0, 69),
    "clr-gcrundown": (0, 110),
    "diaghub-kernel-4cpu": (0, 1),
    "diaghub-user-tl-stacks-4cpu": (276, 22034),
    "eventsource-compressed-ptr4": (5795, 5795),
    "kernel-clr-compressed-8cpu": (66516, 68143),
    "manifest-powershell-32cpu": (0, 112),
    "manifest-win7-http-4cpu": (0, 3396),
    "manifest-win7-kernel-network": (0, 8923),
    "manifest-win7-kernel-process": (0, 10343),
    "small-compressed-32bit": (0, 1),
    "tl-amsi-lost3": (19, 19),
    "tl-compressed-single": (1, 1),
    "tl-kernel-lxcore": (2, 2),
    "tl-primitive-types": (5, 5),
    "tl-rust-tracing-merged": (9, 9),
    "tl-sih-newfile-1cpu": (10, 10),
    "tl-waasmedic-savedoffset": (17, 17),
}
"""How many events with an EVENT_HEADER the file itself describes, of how many. The others need the manifest of their
provider, which the recording computer had and the file has not."""
WITH_MANIFEST = {
    "clr-gcevents-circular": 69,
    "clr-gcrundown": 110,
    "kernel-clr-compressed-8cpu": 68143,
    "small-compressed-32bit": 1,
}
"""The same with a manifest of the .NET runtime."""
NOT_BUILT_IN = {
    "diaghub-kernel-4cpu": {"hook 0x0b24": 1, "hook 0x0b25": 1},
    "tl-rust-tracing-merged": {"hook 0x0052": 2},
}
"""Kernel events of which nobody says what they hold."""
LONGER = {
    "CLRStack/CLRStackWalk": "its manifest says two addresses, and there are as many as FrameCount",
    "ClrEnableParameters": "PerfView's manifest of itself leaves out four bytes",
}
"""Events that hold more than their own manifest says, and why."""


@cache
def opened(name: str, *, given: bool = False) -> EtlFile:
    return read_etl(FOLDER / f"{name}.etl", given=read_schemas([CLR] if given else []))


def described(etl: EtlFile, family: str) -> tuple[int, int]:
    counts = np.bincount(etl.events.kind, minlength=len(etl.events.kinds)).tolist()
    mine = [(kind, count) for kind, count in zip(etl.events.kinds, counts, strict=True) if kind.family == family]
    return sum(count for kind, count in mine if kind.schema is not None), sum(count for _, count in mine)


@pytest.mark.parametrize("name", NAMES)
def test_as_many_events_are_described_as_the_file_allows(name: str) -> None:
    assert described(opened(name), "event") == EVENTS.get(name, (0, 0))


@pytest.mark.parametrize("name", sorted(WITH_MANIFEST))
def test_a_manifest_describes_those_of_its_provider(name: str) -> None:
    assert described(opened(name, given=True), "event")[0] == WITH_MANIFEST[name]
    assert opened(name, given=True).problems == ()


@pytest.mark.parametrize("name", NAMES)
def test_kernel_and_classic_events_are_described_but_those_that_nobody_knows(name: str) -> None:
    table = opened(name).events
    unknown = Counter[str]()
    for index, kind in enumerate(table.kinds):
        rows = table.kind == index
        if kind.family in ("kernel", "classic") and kind.schema is None and table.payload_length[rows].any():
            unknown[kind.name] += int(rows.sum())
    assert unknown == NOT_BUILT_IN.get(name, {})


@pytest.mark.parametrize("name", NAMES)
def test_every_payload_fits_its_schema_to_the_last_byte(name: str) -> None:
    table = opened(name, given=name in WITH_MANIFEST).events
    for index, kind in enumerate(table.kinds):
        if kind.schema is None:
            continue
        assert table.kind_events(index).malformed == 0, kind.name
        rows = np.flatnonzero(table.kind == index)
        rest = {left_over(kind.schema, table.payload(row), kind.pointer_size) for row in rows[:2000].tolist()}
        assert rest == {0} or kind.name in LONGER, (kind, rest)


def test_what_describes_the_events_is_told_by_source() -> None:
    alone = described_events(opened("kernel-clr-compressed-8cpu"))
    assert alone == {"built-in": 111331, "TRACE_EVENT_INFO": 66394, "EventSource manifest": 122, "": 1627}
    alone.pop("")
    with_manifest = described_events(opened("kernel-clr-compressed-8cpu", given=True))
    assert with_manifest == {**alone, str(CLR): 1627}
