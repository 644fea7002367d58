"""Manifests that an EventSource writes into the trace, in pieces, as events of its own.

Source: ManifestEnvelope of .NET's EventSource. The pieces of one manifest come from one process in order.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from uuid import UUID

from hotswap.trace.schema import EventSchema, Field, InType, MetadataError, OutType
from hotswap.trace.schemas.description import EventDescription
from hotswap.trace.schemas.manifest import Manifest, parse_manifest
from hotswap.trace.schemas.xml_tree import XmlError

MANIFEST_EVENT = 0xFFFE
"""Event id, and task; the opcode is its low byte."""
MANIFEST_OPCODE = 0xFE
SOURCE = "EventSource manifest"
_HEAD = struct.Struct("<BBBBHH")
_FORMAT = 1
_MAGIC = 0x5B
_MOST_BYTES = 64 << 20
_NAME = "ManifestData"

DESCRIPTION = EventDescription(
    provider_name="",
    name=_NAME,
    schema=EventSchema(
        _NAME,
        (
            Field("Format", InType.UINT8),
            Field("MajorVersion", InType.UINT8),
            Field("MinorVersion", InType.UINT8),
            Field("Magic", InType.UINT8, OutType.HEX),
            Field("TotalChunks", InType.UINT16),
            Field("ChunkNumber", InType.UINT16),
            Field("Manifest", InType.NONNULLTERMINATEDANSISTRING, OutType.UTF8),
        ),
    ),
    source=SOURCE,
)
"""The event itself."""


@dataclass(slots=True)
class _Open:
    total: int
    parts: list[bytes] = field(default_factory=list)


class ManifestCollector:
    """Puts manifests together from their pieces."""

    def __init__(self) -> None:
        self._open: dict[tuple[UUID, int], _Open] = {}

    def add(self, provider: UUID, pid: int, data: bytes) -> Manifest | None:
        """Take the payload of one event; the manifest when this was its last piece. Raises MetadataError."""
        if len(data) < _HEAD.size:
            raise MetadataError(f"a piece of a manifest of {len(data)} bytes")
        kind, _, _, magic, total, number = _HEAD.unpack_from(data)
        if kind != _FORMAT or magic != _MAGIC:
            raise MetadataError(f"a manifest in format {kind} with the mark 0x{magic:02x}, which nobody has described")
        key = (provider, pid)
        if number == 0:
            if key in self._open:
                del self._open[key]  # the process began anew
            self._open[key] = _Open(total)
        started = self._open.get(key)
        if started is None or total != started.total or number != len(started.parts) or number >= max(total, 1):
            self._open.pop(key, None)
            raise MetadataError(f"piece {number} of {total} of a manifest, without those before it")
        started.parts.append(data[_HEAD.size :])
        if sum(map(len, started.parts)) > _MOST_BYTES:
            del self._open[key]
            raise MetadataError(f"a manifest of more than {_MOST_BYTES} bytes")
        if number + 1 < total:
            return None
        del self._open[key]
        try:
            return parse_manifest(b"".join(started.parts), SOURCE)
        except XmlError as error:
            raise MetadataError(f"line {error.line}: {error}") from None

    def missing(self) -> list[str]:
        """Manifests of which pieces did not come, in words."""
        return [
            f"provider {provider}, process {pid}: {len(started.parts)} of {started.total} pieces of its manifest"
            for (provider, pid), started in self._open.items()
        ]
