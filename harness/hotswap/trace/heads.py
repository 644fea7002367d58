"""What a scan of buffers hands on: a head for each event, facts of each buffer (native/heads.h, native/scan.c)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

NO_ID = 0xFFFFFFFF
"""No process or thread."""
SAMPLES = 8
"""As many events of every kind are kept by Keep.SAMPLES."""

HEAD_DTYPE = np.dtype(
    [
        ("tick", "<i8"),
        ("offset", "<i8"),
        ("keyword", "<u8"),
        ("pid", "<u4"),
        ("tid", "<u4"),
        ("kind", "<i4"),
        ("buffer", "<u4"),
        ("size", "<u2"),
        ("payload", "<u2"),
        ("level", "u1"),
        ("opcode", "u1"),
        ("flags", "u1"),
        ("type", "u1"),
    ]
)
"""One event: `tick` is the time it is ordered by, `offset` is in the scanned bytes, `buffer` the place of its buffer
among those that were scanned, `payload` is where the payload begins in the event."""

FACTS_DTYPE = np.dtype(
    [
        ("count", "<u8"),
        ("first", "<i8"),
        ("last", "<i8"),
        ("least", "<i8"),
        ("most", "<i8"),
        ("sum", "<u8"),
        ("inversions", "<u8"),
        ("bad", "<u8"),
        ("bad_at", "<i8"),
        ("stop_at", "<i8"),
        ("stop_size", "<u4"),
        ("stop", "u1"),
        ("stop_type", "u1"),
        ("bad_type", "u1"),
        ("reserved", "u1"),
    ]
)
"""One buffer. `first` to `most` are ticks that events are ordered by, `sum` is of those that events have themselves,
mod 2^64. `bad` events have broken items or options, the first at `bad_at`. The walk stopped at `stop_at` (Stop)."""


class HeadFlag(IntFlag):
    """`flags` of a head."""

    UNTIMED = 1
    """The header has no time; `tick` is that of a neighbour in the buffer."""
    BAD = 2
    """Extended items, or values of a message's options, are not whole."""


class Stop(IntEnum):
    """Why the walk of a buffer stopped (HS_STOP of native/scan.c)."""

    END = 0
    NO_HEADER = 1
    TOO_SMALL = 2
    PASSES_END = 3


class Keep(IntEnum):
    """Which events of a scan get a head."""

    NONE = 0
    ALL = 1
    SAMPLES = 2
    """Those that describe others (kind_keys.teaches), and the first SAMPLES of every kind, in scans that count."""


@dataclass(frozen=True, slots=True)
class Scanned:
    """What was found. Arrays of FACTS_DTYPE, one a buffer, and of HEAD_DTYPE, in the order of buffers and places."""

    facts: NDArray[np.void]
    heads: NDArray[np.void]


class Scanner(Protocol):
    """Scans buffers and numbers the kinds of their events by appearance, over any number of scans."""

    @property
    def keys(self) -> Sequence[bytes]:
        """What tells the kinds apart (kind_keys.py)."""
        ...

    @property
    def counts(self) -> NDArray[np.int64]:
        """Events of every kind in the scans that counted."""
        ...

    @property
    def empty(self) -> NDArray[np.int64]:
        """Those without a payload."""
        ...

    @property
    def firsts(self) -> NDArray[np.int64]:
        """Where the first event of every kind was, in the bytes of its scan."""
        ...

    def scan(
        self,
        raw: NDArray[np.uint8],
        begin: NDArray[np.int64],
        end: NDArray[np.int64],
        *,
        fallback: int,
        keep: Keep,
        counting: bool = True,
    ) -> Scanned:
        """Scan the events in raw[begin:end] of every buffer; `fallback` is the tick in a buffer without times."""
        ...
