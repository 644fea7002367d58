"""When events may be missing from a trace, for drawing: the evidence that rules go by, in nanoseconds."""

from __future__ import annotations

import numpy as np

from hotswap.trace.etl import EtlFile
from hotswap.trace.rules.evidence import Evidence
from hotswap.trace.rules.order import BEGINNING, END_OF_TIME
from hotswap.trace.shape import Loss


def losses_of(etl: EtlFile) -> tuple[Loss, ...]:
    """All that is known to be lost of a file, the earliest first."""
    clock = etl.header.clock

    def ns(tick: int) -> int | None:
        return None if tick in (BEGINNING, END_OF_TIME) else int(clock.nanoseconds(np.array([tick]))[0])

    found = [Loss(ns(loss.start), ns(loss.end), loss.what, loss.cpu) for loss in Evidence.of(etl).losses]
    return tuple(sorted(found, key=lambda loss: (loss.start is not None, loss.start or 0)))
