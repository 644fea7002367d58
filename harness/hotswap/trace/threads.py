"""The threads of events, numbered."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def distinct_threads(pid: Ints, tid: Ints) -> tuple[list[tuple[int, int]], Ints]:
    """The (process, thread) pairs, and which of them each event has."""
    # Ids have 32 bits, and -1 stands for none: two of them are told apart as one number.
    keys, inverse = np.unique((pid << 32) | (tid & 0xFFFFFFFF), return_inverse=True)
    first = np.zeros(len(keys), np.int64)
    number: Ints = inverse.reshape(-1).astype(np.int64)
    first[number] = np.arange(len(number))
    return list(zip(pid[first].tolist(), tid[first].tolist(), strict=True)), number
