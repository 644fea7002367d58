"""A made-up TraceLogging file of any size: some buffers, written again and again, later each time; also compressed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hotswap.trace.compression import Compression, compress
from hotswap.trace.etl import parse_etl
from hotswap.trace.framing import BUFFER_HEADER_SIZE, BufferFlag, HeaderType
from hotswap.trace.modes import MODE_COMPRESSED
from hotswap.trace.schema import EventSchema, Field, InType, OutType
from hotswap.trace.tracelogging import Provider
from hotswap.trace.writer import EventRow, Session, build_etl

_BLOCK_EVENTS = 20_000
_STEP = 400
_STATE_AT = 0x2C
_MODE_AT = BUFFER_HEADER_SIZE + 32 + 0x20
"""Ticks between events."""
WORK = EventSchema(
    "Work",
    (
        Field("Worker", InType.UINT32),
        Field("Iteration", InType.UINT64),
        Field("Status", InType.HEXINT32, OutType.NTSTATUS),
        Field("Name", InType.COUNTEDSTRING),
        Field("Result", InType.UINT64),
    ),
)
STEP = EventSchema("Step", (Field("Swap", InType.UINT32), Field("Phase", InType.UNICODESTRING)))
TICK = EventSchema("Tick", (Field("Value", InType.DOUBLE), Field("Count", InType.UINT32)))


def write_made_up(path: Path, events: int) -> int:
    """Write a file with at least this many events from 4 processors; returns how many.

    Up to 20,000 it is that many, beyond that a multiple of 20,000.
    """
    block_events = min(events, _BLOCK_EVENTS)
    provider = Provider.named("HotSwap.Bench")
    names = ("wait", "swap worker", "drain the old version", "release")
    rows = []
    for i in range(block_events):
        kind = i % 5
        if kind < 3:
            values = {"Worker": i % 64, "Iteration": i, "Status": 0, "Name": names[i % 4], "Result": i * 7}
            rows.append(EventRow(1000 + i * _STEP, i % 4, 4, 100 + i % 64, provider, WORK, values))
        elif kind == 3:
            values = {"Swap": i, "Phase": names[i % 4]}
            rows.append(EventRow(1000 + i * _STEP, i % 4, 4, 99, provider, STEP, values))
        else:
            values = {"Value": i / 3, "Count": i}
            rows.append(EventRow(1000 + i * _STEP, i % 4, 4, 98, provider, TICK, values))
    session = Session(first_tick=1000, processors=4)
    block = build_etl(rows, session)
    size, content = session.buffer_size, np.frombuffer(block, np.uint8)[session.buffer_size :].copy()
    etl = parse_etl(block)
    mine = etl.frames.type == HeaderType.EVENT64
    ticks = etl.frames.offset[mine] - size + 16
    buffers = len(content) // size
    turns = -(-events // block_events)
    places = ticks[:, None] + np.arange(8)
    with path.open("wb") as stream:
        stream.write(block[:size])
        for turn in range(turns):
            heads = content.reshape(buffers, size)
            heads[:, 0x18:0x20] = (1 + turn * buffers + np.arange(buffers, dtype="<u8"))[:, None].view(np.uint8)
            # Only the last buffer of the file is marked as such.
            heads[:, 0x34] &= 0xFE
            if turn == turns - 1:
                heads[-1, 0x34] |= 1
            stream.write(content.data)
            later = content[places].view("<i8") + block_events * _STEP
            content[places] = later.view(np.uint8)
        # The number of buffers in the log-file header.
        stream.seek(72 + 32 + 0x24)
        stream.write((turns * buffers + 1).to_bytes(4, "little"))
    return turns * block_events


def write_compressed(plain: Path, path: Path) -> int:
    """Write a plain file again with its buffers compressed by XPRESS; returns the bytes that they inflate to."""
    data = bytearray(plain.read_bytes())
    size = int.from_bytes(data[:4], "little")
    mode = int.from_bytes(data[_MODE_AT : _MODE_AT + 4], "little") | MODE_COMPRESSED
    data[_MODE_AT : _MODE_AT + 4] = mode.to_bytes(4, "little")
    data[_STATE_AT : _STATE_AT + 2] = Compression.XPRESS.to_bytes(2, "little")
    inflated = 0
    with path.open("wb") as stream:
        stream.write(data[:size])
        for begin in range(size, len(data), size):
            head = bytearray(data[begin : begin + BUFFER_HEADER_SIZE])
            filled = int.from_bytes(head[0x30:0x34], "little")
            stored = compress(Compression.XPRESS, bytes(data[begin + BUFFER_HEADER_SIZE : begin + filled]))
            head[:4] = (BUFFER_HEADER_SIZE + len(stored)).to_bytes(4, "little")
            head[0x34] |= BufferFlag.COMPRESSED
            stream.write(head + stored)
            inflated += filled
    return inflated
