"""Whose an event of the kernel is: what it says itself, its header, and the context switches of its processor."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from uuid import UUID

import numpy as np
import pyarrow as pa

from hotswap.trace.etl import parse_etl
from hotswap.trace.owners import Known, find_owners
from hotswap.trace.select import Selection
from hotswap.trace.table import EventTable
from support.raw_events import NO_ID, classic, event, file_of, perfinfo, system

GUID = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
IMAGE_LOAD, PROCESS_START, THREAD_START, THREAD_END = 0x140A, 0x0301, 0x0501, 0x0502
CSWITCH, READY_THREAD, DPC, SAMPLE, STACK_WALK = 0x0524, 0x0532, 0x0F44, 0x0F2E, 0x1820
NOBODY = {"pid": NO_ID, "tid": NO_ID}


def switch(tick: int, new: int, old: int) -> bytes:
    return perfinfo(tick, CSWITCH, struct.pack("<IIbbBbbbbbII", new, old, 8, 9, 0, 0, 6, 0, 2, 1, 0, 0), version=2)


def dpc(tick: int) -> bytes:
    return perfinfo(tick, DPC, struct.pack("<QQ", tick - 1, 0xFFFFF80000001000), version=1)


def ready(tick: int, thread: int) -> bytes:
    return perfinfo(tick, READY_THREAD, struct.pack("<IbbBb", thread, 1, 0, 0, 0), version=2)


def thread(tick: int, hook: int, pid: int, tid: int, header: tuple[int, int] = (NO_ID, NO_ID)) -> bytes:
    payload = struct.pack("<II6Q", pid, tid, 1, 2, 3, 4, 5, 6) + struct.pack("<QIBBBB", 7, 0, 8, 5, 2, 0)
    return system(tick, hook, payload, version=3, pid=header[0], tid=header[1])


def image(tick: int, pid: int, header: tuple[int, int]) -> bytes:
    name = "\\a.dll\0".encode("utf-16-le")
    payload = struct.pack("<QQIIIIQ16x", 0x10000, 0x2000, pid, 1, 2, 0, 0x10000) + name
    return system(tick, IMAGE_LOAD, payload, version=2, pid=header[0], tid=header[1])


def table(*buffers: Sequence[bytes], cpus: Sequence[int] | None = None) -> EventTable:
    read = parse_etl(file_of(*buffers, cpus=cpus))
    assert not read.problems
    return read.events


def owners(read: EventTable) -> list[tuple[int, int]]:
    """Of all events but the file's own."""
    return list(zip(read.owner_pid.tolist(), read.owner_tid.tolist(), strict=True))[1:]


def test_events_with_full_headers_are_their_writers() -> None:
    read = table([event(10, GUID, 1, pid=7, tid=8), classic(20, GUID, 1, pid=9, tid=10)])
    assert owners(read) == [(7, 8), (9, 10)]
    assert "owner_pid" not in read.to_arrow().column_names


def test_the_process_in_the_payload_counts_and_the_thread_only_where_it_is_one_of_its() -> None:
    read = table([image(10, 7, (4, 5)), image(20, 4, (4, 5))])
    assert owners(read) == [(7, -1), (4, 5)]
    assert read.pid.tolist()[1:] == [4, 4]
    columns = read.to_arrow().select(["owner_pid", "owner_tid"]).to_pydict()
    assert columns == {"owner_pid": [read.owner_pid[0], 7, 4], "owner_tid": [read.owner_tid[0], -1, 5]}


def test_a_stack_is_of_the_thread_that_it_names() -> None:
    stack = perfinfo(30, STACK_WALK, struct.pack("<QIIQ", 29, 7, 8, 0x1000), version=2)
    assert owners(table([stack])) == [(7, 8)]


def test_the_running_thread_is_what_the_last_switch_of_this_processor_brought() -> None:
    first = [dpc(10), switch(20, 101, 100), dpc(30), switch(40, 102, 101), dpc(50)]
    second = [dpc(15), switch(25, 201, 200), dpc(35)]
    read = table(first, second, cpus=[0, 1])
    found = [read.owner_tid[row] for row in read.events("PerfInfo/DPC").rows]
    assert read.tick[read.events("PerfInfo/DPC").rows].tolist() == [10, 15, 30, 35, 50]
    assert found == [100, 200, 101, 201, 102]


def test_a_switch_is_of_the_thread_that_it_brings() -> None:
    assert owners(table([switch(20, 101, 100), switch(30, 100, 101)])) == [(-1, 101), (-1, 100)]


def test_who_readies_a_thread_is_the_one_that_ran() -> None:
    assert owners(table([switch(20, 101, 100), ready(30, 55)])) == [(-1, 101), (-1, 101)]


def test_without_switches_nothing_tells_what_ran() -> None:
    read = table([dpc(10), ready(30, 55)])
    assert owners(read) == [(-1, -1), (-1, -1)]


def test_a_sample_is_of_the_thread_that_it_names() -> None:
    sample = perfinfo(30, SAMPLE, struct.pack("<QIHH", 0x1000, 77, 1, 0), version=2)
    start = thread(10, THREAD_START, 7, 77)
    assert owners(table([start, switch(20, 101, 100), sample])) == [(7, 77), (-1, 101), (7, 77)]


def test_the_process_of_a_thread_is_the_last_that_was_said_before() -> None:
    begin, end = thread(20, THREAD_START, 7, 77), thread(40, THREAD_END, 7, 77)
    again = thread(50, THREAD_START, 9, 77)
    read = table([switch(10, 77, 0), begin, switch(30, 77, 0), end, again, switch(60, 77, 0)])
    found = {int(read.tick[row]): read.owner_pid[row] for row in read.events("Thread/CSwitch").rows}
    assert found == {10: 7, 30: 7, 60: 9}


def test_headers_of_other_events_tell_the_process_of_a_thread() -> None:
    read = table([switch(10, 77, 0), event(20, GUID, 1, pid=7, tid=77), switch(30, 78, 77)])
    assert owners(read) == [(7, 77), (7, 77), (-1, 78)]


def test_events_cut_before_the_field_keep_what_the_header_says() -> None:
    read = table([system(10, IMAGE_LOAD, b"\x01\x02", pid=4, tid=5), image(20, 7, (4, 5))])
    assert owners(read) == [(4, 5), (7, -1)]


def test_selections_find_events_by_whose_they_are_and_by_who_wrote_them() -> None:
    read = table([switch(10, 77, 0), dpc(20), event(30, GUID, 1, pid=7, tid=77), image(40, 9, (7, 77))])
    assert read.tick[Selection(pids=(7,)).rows(read)].tolist() == [10, 20, 30, 40]
    assert read.tick[Selection(pids=(9,)).rows(read)].tolist() == [40]
    assert read.tick[Selection(tids=(77,)).rows(read)].tolist() == [10, 20, 30, 40]


def test_the_table_has_owners_of_all_rows() -> None:
    read = table([switch(10, 77, 0), dpc(20)])
    assert len(read.owner_pid) == len(read.owner_tid) == len(read)
    assert read.to_arrow()["owner_tid"].type == pa.int64()


def test_parts_of_a_trace_know_what_the_parts_before_said() -> None:
    events = [thread(5, THREAD_START, 7, 77), switch(10, 77, 0), dpc(20), dpc(30), switch(40, 78, 77), dpc(50), dpc(60)]
    whole = table(events)
    known = Known()
    parts = [find_owners(whole.take(np.array([row])), known) for row in range(len(whole))]
    assert [part.thread[0] for part in parts] == whole.owner_tid.tolist()
    assert [part.process[0] for part in parts] == whole.owner_pid.tolist()
    assert owners(whole) == [(7, 77), (7, 77), (7, 77), (7, 77), (-1, 78), (-1, 78), (-1, 78)]


def test_events_of_the_session_are_of_nobody_else() -> None:
    read = table([event(10, GUID, 1, pid=7, tid=8)])
    assert (read.owner_pid is read.pid, read.owner_tid is read.tid) == (True, True)
