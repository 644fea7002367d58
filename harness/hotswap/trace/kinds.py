"""What kinds of events a file holds, and how many of each: header type, provider, and what tells the event apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.etl import EtlFile
from hotswap.trace.framing import HeaderType, gather, header_name
from hotswap.trace.table import EventKind

_KERNEL = (
    *(HeaderType.SYSTEM32, HeaderType.SYSTEM64, HeaderType.COMPACT32, HeaderType.COMPACT64),
    *(HeaderType.PERFINFO32, HeaderType.PERFINFO64),
)
_CLASSIC = (HeaderType.FULL32, HeaderType.FULL64, HeaderType.INSTANCE32, HeaderType.INSTANCE64)
_EVENT = (HeaderType.EVENT32, HeaderType.EVENT64)
_HOOK = np.dtype({"names": ["version", "hook"], "formats": ["u1", "<u2"], "offsets": [0, 6], "itemsize": 8})
_CLASS = np.dtype(
    {"names": ["type", "version", "guid"], "formats": ["u1", "<u2", "V16"], "offsets": [4, 6, 24], "itemsize": 40}
)
_MESSAGE = np.dtype({"names": ["number"], "formats": ["<u2"], "offsets": [4], "itemsize": 8})


@dataclass(frozen=True, slots=True)
class KindCount:
    """The number of events of one kind.

    `provider` is a GUID; `kernel` for events of the kernel logger, `wpp` for messages, `unknown` for unknown headers.
    `key` is `TL:provider/event`, `id=N v=N`, `type=N v=N`, `hook=0xNNNN v=N`, `message=N`, or empty.
    """

    header: str
    provider: str
    key: str
    n: int

    def to_json(self) -> dict[str, str | int]:
        """For JSON output, with the keys of the samples' expected.json."""
        return asdict(self)


def count_kinds(etl: EtlFile) -> list[KindCount]:
    """All events of all kinds, the most frequent first."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for header, provider, key, count in (*_event_headers(etl), *_frames(etl)):
        counts[header_name(header), provider, key] += count
    rows = [KindCount(*kind, count) for kind, count in counts.items()]
    return sorted(rows, key=lambda row: (-row.n, row.header, row.provider, row.key))


def _event_headers(etl: EtlFile) -> Iterator[tuple[int, str, str, int]]:
    table = etl.events
    counts = np.bincount(table.kind, minlength=len(table.kinds)).tolist()
    for kind, count in zip(table.kinds, counts, strict=True):
        header = HeaderType.EVENT32 if kind.pointer_size == 4 else HeaderType.EVENT64
        yield header, str(kind.provider), _event_key(kind), count


def _event_key(kind: EventKind) -> str:
    if kind.schema is None:
        return f"id={kind.event_id} v={kind.version}"
    return f"TL:{kind.provider_name}/{kind.name}"


def _frames(etl: EtlFile) -> Iterator[tuple[int, str, str, int]]:
    """The events that have no EVENT_HEADER."""
    frames, raw = etl.frames, np.frombuffer(etl.events.data, np.uint8)
    for header in np.unique(frames.type).tolist():
        if header in _EVENT:
            continue
        offsets = frames.offset[frames.type == header]
        if header in _KERNEL:
            for (version, hook), count in _tally(gather(raw, offsets, _HOOK)):
                yield header, "kernel", f"hook=0x{hook:04x} v={version}", count
        elif header in _CLASSIC:
            for (kind, version, guid), count in _tally(gather(raw, offsets, _CLASS)):
                yield header, str(UUID(bytes_le=guid)), f"type={kind} v={version}", count
        elif header == HeaderType.MESSAGE:
            for (number,), count in _tally(gather(raw, offsets, _MESSAGE)):
                yield header, "wpp", f"message={number}", count
        else:
            yield header, "unknown", "", len(offsets)


def _tally(records: NDArray[np.void]) -> list[tuple[tuple[Any, ...], int]]:
    names = records.dtype.names or ()
    columns = [records[name].tolist() for name in names]
    return list(Counter(zip(*columns, strict=True)).items())
