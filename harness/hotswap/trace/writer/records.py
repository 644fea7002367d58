"""Events that bring the schemas of others: TRACE_EVENT_INFO, EVENT_MAP_INFO, and EventSource manifests in pieces."""

from __future__ import annotations

import struct
from uuid import UUID

from hotswap.trace.schema import EventSchema, ValueMap
from hotswap.trace.schemas.event_info import EVENT_INFO, EVENT_MAP_INFO, METADATA_CLASS
from hotswap.trace.schemas.event_source import MANIFEST_EVENT, MANIFEST_OPCODE
from hotswap.trace.tracelogging import Provider
from hotswap.trace.writer.event_info import build_event_info, build_map_info
from hotswap.trace.writer.rows import ClassicRow, ManifestRow

_PIECE = 0xFF00
"""Bytes of a manifest in one event, as EventSource cuts them."""
_EVERY_KEYWORD = (1 << 64) - 1


def event_info_row(
    tick: int, cpu: int, provider: Provider, event_id: int, version: int, schema: EventSchema
) -> ClassicRow:
    """The record that merging a trace writes for a manifest event. UsageError for a field that TDH cannot have."""
    record = build_event_info(provider.guid, provider.name, event_id, version, schema)
    return ClassicRow(tick, cpu, 0, 0, METADATA_CLASS, EVENT_INFO, record)


def map_info_row(tick: int, cpu: int, provider: UUID, names: ValueMap) -> ClassicRow:
    """The record of a value map that the fields of a provider refer to."""
    return ClassicRow(tick, cpu, 0, 0, METADATA_CLASS, EVENT_MAP_INFO, build_map_info(provider, names))


def manifest_rows(
    tick: int, cpu: int, pid: int, tid: int, provider: Provider, manifest: bytes, *, piece: int = _PIECE
) -> list[ManifestRow]:
    """The events by which an EventSource says what its other events are: its manifest, cut into pieces."""
    pieces = [manifest[at : at + piece] for at in range(0, len(manifest), piece)] or [b""]
    return [
        ManifestRow(
            tick, cpu, pid, tid, provider.guid, MANIFEST_EVENT,
            struct.pack("<BBBBHH", 1, 1, 0, 0x5B, len(pieces), number) + part,
            version=1, level=0, opcode=MANIFEST_OPCODE, task=MANIFEST_EVENT, keyword=_EVERY_KEYWORD,
            provider_name=provider.name,
        )
        for number, part in enumerate(pieces)
    ]  # fmt: skip
