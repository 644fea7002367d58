"""Rows of every kind of header, and sessions of every kind, for the writer's files: fixed ones and Hypothesis'."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from hypothesis import strategies as st

from hotswap.trace.clock import ClockType
from hotswap.trace.framing import HeaderType
from hotswap.trace.items import ItemType
from hotswap.trace.schema import EventSchema, Field, InType
from hotswap.trace.tracelogging import Provider
from hotswap.trace.writer import (
    ClassicRow,
    ErrorRow,
    EventRow,
    Instance,
    KernelRow,
    ManifestRow,
    MessageRow,
    Row,
    Session,
    items,
)
from hotswap.trace.writer.items import Item

PROVIDER = Provider.named("HotSwap.Tests")
COUNT = EventSchema("Count", (Field("Value", InType.UINT64), Field("Text", InType.COUNTEDSTRING)))
GUID = UUID("00112233-4455-6677-8899-aabbccddeeff")
OTHER = UUID("ffeeddcc-bbaa-9988-7766-554433221100")
FILETIME = 133_800_000_000_000_000
ALL_ITEMS = (
    items.traits_item("HotSwap.Other"),
    items.stack([0xFFFFF80012345678, 0x7FF612345678], 7),
    items.stack([0x80123456, 0x401000], 8, pointer_size=4),
    items.related_activity(OTHER),
    items.sid(5, 21, 1, 2, 3, 1001),
    items.session_id(1),
    items.instance_info(3, 4, OTHER),
    items.counters([10, 20, 30]),
    items.number(ItemType.PEBS_INDEX, 9),
    items.number(ItemType.EVENT_KEY, 11),
    items.number(ItemType.PROCESS_START_KEY, 12),
    items.number(ItemType.QPC_DELTA, 13),
    Item(ItemType.PSM_KEY, "package".encode("utf-16-le")),
    items.guid(ItemType.CONTROL_GUID, OTHER),
    items.guid(ItemType.CONTAINER_ID, GUID),
    items.stack_key(0xFFFF812345678900, 5),
    items.stack_key(0x81234567, 6, pointer_size=4),
    items.schema_item(EventSchema("Described", (Field("Byte", InType.UINT8),))),
)
"""One of each type that is known."""


def every_header(tick: int, cpu: int = 0) -> list[Row]:
    """One event of every header type, of 32- and 64-bit writers, one tick after the other."""
    rows: list[Row] = [
        EventRow(0, cpu, 4, 8, PROVIDER, COUNT, {"Value": 7, "Text": "seven"}),
        EventRow(0, cpu, 4, 8, PROVIDER, COUNT, {"Value": 8, "Text": ""}, pointer_size=4, items=ALL_ITEMS[1:2]),
        ManifestRow(0, cpu, 12, 16, GUID, 5, b"\x01\x02\x03", 1, 16, 4, 2, 3, 0x8000000000000001, activity=OTHER),
        ManifestRow(0, cpu, 12, 16, GUID, 6, b"\x05", items=ALL_ITEMS, pointer_size=4, provider_name="HotSwap.Third"),
        ClassicRow(0, cpu, 20, 24, GUID, 3, b"classic", 2, 1),
        ClassicRow(0, cpu, -1, -1, GUID, 4, b"", 2, pointer_size=4),
        ClassicRow(0, cpu, 20, 24, GUID, 5, b"instance", instance=Instance(3, 4, OTHER)),
        ClassicRow(0, cpu, 20, 24, GUID, 5, b"", instance=Instance(5), pointer_size=4),
        MessageRow(0, cpu, 17, b"wpp", guid=GUID, sequence=9, process=(28, 32)),
        MessageRow(0, cpu, 18, b"wpp", timed=False, pointer_size=4),
        ErrorRow(0, cpu, bytes(80)),
    ]
    for header in HeaderType:
        if header.name.startswith(("SYSTEM", "COMPACT")):
            rows.append(KernelRow(0, cpu, 0x0524, b"switch", 2, header, 36, 40))
        elif header.name.startswith("PERFINFO"):
            rows.append(KernelRow(0, cpu, 0x0F2E, b"sample", 2, header))
            rows.append(KernelRow(0, cpu, 0x0F2E, b"sample", 2, header, counters=(1, 2), pebs_index=3))
    return [replace(row, tick=tick + i) for i, row in enumerate(rows)]


_small = st.integers(0, 0xFFFF)
_bytes = st.binary(max_size=40)
_process = st.integers(-1, 0xFFFFFFFE)
_pointer = st.sampled_from([4, 8])
_guids = st.sampled_from([GUID, OTHER])
_some_items = st.lists(st.sampled_from(ALL_ITEMS), max_size=3).map(tuple)
_count = st.fixed_dictionaries({"Value": st.integers(0, 2**64 - 1), "Text": st.text("aä中𝄞", max_size=6)})


def any_row(tick: int, cpu: int, *, timed: bool = False) -> st.SearchStrategy[Row]:
    """An event of any header at this time on this processor; `timed`: of any that says it."""
    here = {"tick": st.just(tick), "cpu": st.just(cpu)}
    who = {"pid": _process, "tid": _process}
    kernel = [HeaderType.SYSTEM32, HeaderType.SYSTEM64, HeaderType.COMPACT32, HeaderType.COMPACT64]
    return st.one_of(
        st.builds(
            EventRow, **here, **who, provider=st.just(PROVIDER), schema=st.just(COUNT), values=_count,
            items=_some_items.map(lambda some: tuple(i for i in some if i.type not in (11, 12))),
            level=st.integers(0, 255), opcode=st.integers(0, 255), keyword=st.integers(0, 2**64 - 1),
            activity=_guids, pointer_size=_pointer,
        ),
        st.builds(
            ManifestRow, **here, **who, provider=_guids, event_id=_small, payload=_bytes, version=st.integers(0, 255),
            task=_small, items=_some_items, pointer_size=_pointer,
        ),
        st.builds(
            ClassicRow, **here, **who, guid=_guids, type=st.integers(0, 255), payload=_bytes, pointer_size=_pointer,
            instance=st.none() | st.builds(Instance, _small, _small, _guids),
        ),
        st.builds(KernelRow, **here, hook=_small, payload=_bytes, header=st.sampled_from(kernel), pid=_process,
                  tid=_process),
        st.builds(KernelRow, **here, hook=_small, payload=_bytes,
                  header=st.sampled_from([HeaderType.PERFINFO32, HeaderType.PERFINFO64]),
                  counters=st.lists(_small, max_size=3).map(tuple), pebs_index=st.none() | _small),
        st.builds(MessageRow, **here, number=_small, payload=_bytes, guid=st.none() | _guids,
                  sequence=st.none() | _small, process=st.none() | st.tuples(_small, _small)),
        *([] if timed else [st.builds(ErrorRow, **here, content=_bytes)]),
    )  # fmt: skip


@st.composite
def row_lists(draw: st.DrawFn, *, cpus: int = 3, most: int = 30, timed: bool = False) -> list[Row]:
    """Events of any headers in time order."""
    tick, rows = 1000, list[Row]()
    for _ in range(draw(st.integers(0, most))):
        tick += draw(st.integers(0, 3))
        rows.append(draw(any_row(tick, draw(st.integers(0, cpus - 1)), timed=timed)))
    return rows


SESSION = Session(buffer_size=2048, processors=3, first_tick=900)
SYSTEM_TIME = replace(SESSION, clock_type=ClockType.SYSTEM_TIME, first_tick=FILETIME, start_time=FILETIME)
