"""What kinds of events a file holds, and how many of each: header type, provider, and what tells the event apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.event_kind import EventKind
from hotswap.trace.framing import header_name
from hotswap.trace.table import EventTable


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


def count_kinds(table: EventTable) -> list[KindCount]:
    """All events, the most frequent kind first."""
    return name_counts(table.kinds, np.bincount(table.kind, minlength=len(table.kinds)))


def name_counts(kinds: Sequence[EventKind], totals: NDArray[np.int64]) -> list[KindCount]:
    """Kinds of events and how many there are of each (EtlFile.kinds, EtlFile.counts), the most frequent first."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for kind, count in zip(kinds, totals.tolist(), strict=True):
        counts[header_name(kind.header), _provider(kind), _key(kind)] += count
    rows = [KindCount(*key, count) for key, count in counts.items()]
    return sorted(rows, key=lambda row: (-row.n, row.header, row.provider, row.key))


def _provider(kind: EventKind) -> str:
    named = {"kernel": "kernel", "message": "wpp", "unknown": "unknown"}
    return named.get(kind.family, str(kind.provider))


def _key(kind: EventKind) -> str:
    if kind.self_describing:
        return f"TL:{kind.provider_name}/{kind.name}"
    return {
        "event": f"id={kind.event_id} v={kind.version}",
        "classic": f"type={kind.opcode} v={kind.version}",
        "kernel": f"hook=0x{kind.hook:04x} v={kind.version}",
        "message": f"message={kind.event_id}",
        "unknown": "",
    }[kind.family]


def names_of(kinds: Sequence[EventKind]) -> dict[tuple[str, str, str], str]:
    """What events are called, `provider/event`, by the header, provider and key of their KindCount."""
    return {(header_name(kind.header), _provider(kind), _key(kind)): f"{kind.giver}/{kind.name}" for kind in kinds}
