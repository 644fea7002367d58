"""Context switches and readied threads as Perfetto's own ETW events: they fill its tables of CPUs and threads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.framing import gather
from hotswap.trace.perfetto.packets import Packets
from hotswap.trace.perfetto.wire import Column, Message, Part, field, varints
from hotswap.trace.table import EventTable

Ints = NDArray[np.int64]

CONTEXT_SWITCH, READY_THREAD = 0x0524, 0x0532
"""Hooks."""
_ETW_EVENTS = 95
_LAYOUTS = {
    CONTEXT_SWITCH: np.dtype(
        [
            ("new_thread", "<u4"), ("old_thread", "<u4"), ("new_priority", "i1"), ("old_priority", "i1"),
            ("c_state", "u1"), ("spare", "i1"), ("wait_reason", "i1"), ("wait_mode", "i1"), ("state", "i1"),
            ("ideal_processor", "i1"), ("wait_time", "<u4"),
        ]
    ),
    READY_THREAD: np.dtype([("thread", "<u4"), ("reason", "i1"), ("increment", "i1"), ("flag", "i1"), ("spare", "i1")]),
}  # fmt: skip
_ZIGZAG = {3, 4, 9, 13}


def is_scheduling(hook: int) -> bool:
    """Whether events of a hook are told here."""
    return hook in _LAYOUTS


def add_scheduling(packets: Packets, table: EventTable, hook: int, rows: Ints, order: Ints, ns: Ints) -> Ints:
    """Add the events of one hook; those whose payload is too short are left out and returned."""
    layout = _LAYOUTS[hook]
    whole = table.payload_length[rows] >= layout.itemsize
    mine = rows[whole]
    told = gather(np.frombuffer(table.data, np.uint8), table.payload_offset[mine], layout)
    cpu, time = varints(table.cpu[mine]), varints(ns[whole])
    event: list[Part] = [*field(1, time), *field(4, cpu)]
    if hook == CONTEXT_SWITCH:
        event += [*field(5, varints(told["old_thread"])), Message(2, _context_switch(told))]
    else:
        event += [*field(5, varints(np.maximum(table.tid[mine], 0))), Message(3, _ready_thread(told))]
    bundle = Message(_ETW_EVENTS, [*field(1, cpu), Message(2, event)])
    packets.packets(order[whole], [*field(8, time), bundle])
    return rows[~whole]


def _context_switch(told: NDArray[np.void]) -> list[Part]:
    names = {
        1: "new_thread", 2: "old_thread", 3: "new_priority", 4: "old_priority", 5: "c_state", 11: "wait_reason",
        12: "wait_mode", 13: "state", 9: "ideal_processor", 10: "wait_time",
    }  # fmt: skip
    return [part for number, name in names.items() for part in field(number, _column(number, told[name]))]


def _ready_thread(told: NDArray[np.void]) -> list[Part]:
    return [
        *field(1, varints(told["thread"])),
        *field(5, varints(told["reason"])),
        *field(3, _zigzag(told["increment"])),
        *field(6, varints(told["flag"])),
    ]


def _column(number: int, values: NDArray[np.signedinteger | np.unsignedinteger]) -> Column:
    return _zigzag(values) if number in _ZIGZAG else varints(values)


def _zigzag(values: NDArray[np.signedinteger | np.unsignedinteger]) -> Column:
    """Of an sint32."""
    wide = values.astype(np.int64)
    return varints(((wide << 1) ^ (wide >> 63)).astype(np.uint64))
