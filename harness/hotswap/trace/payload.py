"""Payloads of one layout to columns, all rows at once, with the native kernel or its twin in numpy.

What comes out is equal to decode_payload, row by row. A row whose payload is too short for its fields drops out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.buffers import Bytes
from hotswap.trace.columns import Column, Payloads, decoded_piece, joined
from hotswap.trace.decode import decode_payload
from hotswap.trace.native import kernel
from hotswap.trace.native.decode import decode_native
from hotswap.trace.payload_numpy import decode_in_numpy
from hotswap.trace.plan import Plan, plan_of
from hotswap.trace.schema import EventSchema, MetadataError

__all__ = ["Column", "Payloads", "decode_columns"]


def decode_columns(
    data: Bytes, offset: NDArray[np.int64], length: NDArray[np.int64], schema: EventSchema, pointer_size: int
) -> Payloads:
    """Decode the payloads at `offset` with `length` bytes."""
    plan, native = plan_of(schema, pointer_size), kernel()
    if plan.too_deep:
        return _in_rows(data, offset, length, schema, pointer_size, plan)
    raw = np.frombuffer(data, np.uint8)
    if native is not None:
        return decode_native(native.payloads, raw, offset, length, plan)
    return decode_in_numpy(raw, offset, length, plan)


def _in_rows(
    data: Bytes, offset: NDArray[np.int64], length: NDArray[np.int64], schema: EventSchema, pointer_size: int,
    plan: Plan,
) -> Payloads:  # fmt: skip
    """One by one: structs that are nested deeper than a plan goes."""
    whole = np.zeros(len(offset), np.bool_)
    decoded = []
    for row, (at, size) in enumerate(zip(offset.tolist(), length.tolist(), strict=True)):
        try:
            decoded.append(decode_payload(schema, data[at : at + size], pointer_size))
        except MetadataError:
            continue
        whole[row] = True
    return Payloads(
        whole,
        {
            name: joined([decoded_piece(made, [values[name] for values in decoded])])
            for name, made in zip(plan.names, plan.fields, strict=True)
        },
    )
