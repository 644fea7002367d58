"""What `hotswap trace info --json` says of a file (design, section 6)."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

import numpy as np

from hotswap.trace.etl import EtlFile
from hotswap.trace.kinds import KindCount

SCHEMA = 1
_TRACELOGGING = "TraceLogging"
_EMPTY = "no payload"


def trace_info(etl: EtlFile, kinds: list[KindCount]) -> dict[str, Any]:
    """The head of the file, its counts and losses, and its problems. `kinds` are those of count_kinds."""
    return {
        "schema": SCHEMA,
        "file": str(etl.path),
        "events": etl.index.events,
        "buffers": len(etl.buffers),
        "compressed_buffers": int(np.count_nonzero(etl.buffers["inflated"])),
        "events_lost": etl.loss.events_lost,
        "buffers_lost": etl.loss.buffers_lost,
        "flagged_buffers": etl.loss.flagged_buffers,
        "missing_sequence_numbers": etl.loss.missing_sequence_numbers,
        "lost_events": etl.loss.lost_events,
        "timestamp_sum": etl.timestamp_sum,
        "file_order_inversions": etl.file_order_inversions,
        "closed": etl.closed,
        "header": asdict(etl.header),
        "header_types": etl.header_types(),
        "events_per_cpu": etl.events_per_cpu(),
        "described": described_events(etl),
        "kinds": [kind.to_json() for kind in kinds],
        "problems": [asdict(problem) for problem in etl.problems],
    }


def described_events(etl: EtlFile) -> dict[str, int]:
    """Number of events by what describes them, the most first; under the empty name those that nothing describes.

    Events without a payload need nothing that describes them, and stand under `no payload`.
    """
    counts: Counter[str] = Counter()
    for kind, count, empty in zip(etl.kinds, etl.counts.tolist(), etl.index.empty.tolist(), strict=True):
        if kind.schema is not None:
            counts[_TRACELOGGING if kind.description is None else kind.description.source] += count
        else:
            counts.update({_EMPTY: empty, "": count - empty})
    return {source: count for source, count in counts.most_common() if count}
