"""Columns of protobuf messages, against the messages that protobuf itself makes of the same rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace

from hotswap.trace.perfetto.wire import (
    FIXED64,
    VARINT,
    Chosen,
    Message,
    Part,
    counted,
    encode,
    field,
    fixed,
    key,
    texts,
    varint,
    varints,
)

ROWS = st.lists(
    st.tuples(
        st.integers(0, 2**64 - 1),
        st.integers(-(2**63), 2**63 - 1),
        st.text(max_size=300),
        st.floats(allow_nan=False),
        st.booleans(),
    ),
    max_size=20,
)


@given(ROWS)
def test_columns_become_the_messages_that_protobuf_makes(rows: list[tuple[int, int, str, float, bool]]) -> None:
    unsigned, signed, strings, floats, some = ([row[i] for row in rows] for i in range(5))
    annotations: list[Part] = [
        Message(4, [key(1, VARINT), b"\x07", *field(4, varints(np.array(signed, np.int64)))]),
        Message(4, [key(1, VARINT), b"\x08", counted(6, texts(pa.array(strings, pa.string())))]),
        Message(4, [key(1, VARINT), b"\x09", key(5, FIXED64), fixed(np.array(floats, np.float64))]),
        Message(4, [key(1, VARINT), b"\x0a", key(2, VARINT), b"\x01"]),
    ]
    flow = Chosen(np.array(some, np.bool_), [key(47, FIXED64), fixed(np.array(unsigned, np.uint64))])
    named = Chosen(~np.array(some, np.bool_), [key(10, VARINT), varint(300)])
    event = Message(11, [key(9, VARINT), b"\x03", flow, named, *annotations])
    parts = [Message(1, [*field(8, varints(np.array(unsigned, np.uint64))), key(10, VARINT), b"\x01", event])]
    column = encode(len(rows), parts)
    assert column.offset[-1] == len(column.data)
    for i, (number, negative, string, real, chosen) in enumerate(rows):
        trace = Trace()
        trace.ParseFromString(column.data[column.offset[i] : column.offset[i + 1]].tobytes())
        expected = Trace()
        packet = expected.packet.add(timestamp=number, trusted_packet_sequence_id=1)
        packet.track_event.type = 3
        if chosen:
            packet.track_event.flow_ids.append(number)
        else:
            packet.track_event.name_iid = 300
        packet.track_event.debug_annotations.add(name_iid=7, int_value=negative)
        packet.track_event.debug_annotations.add(name_iid=8, string_value=string)
        packet.track_event.debug_annotations.add(name_iid=9, double_value=real)
        packet.track_event.debug_annotations.add(name_iid=10, bool_value=True)
        assert trace == expected


@given(st.lists(st.integers(0, 2**64 - 1)))
def test_numbers_of_a_column_are_those_of_one(values: list[int]) -> None:
    column = varints(np.array(values, np.uint64))
    assert column.data.tobytes() == b"".join(map(varint, values))
