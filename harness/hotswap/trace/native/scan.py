"""The native scanner, and the merge of what it found (scan.c, kinds.c, order.c)."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.clock import SessionClock
from hotswap.trace.heads import FACTS_DTYPE, HEAD_DTYPE, Keep, Scanned

_KIND_DTYPE = np.dtype(
    [("hash", "<u8"), ("key_at", "<u8"), ("count", "<u8"), ("empty", "<u8"), ("first", "<i8"), ("teaches", "<u8")]
)
_CURSOR_BYTES = 48
_NEEDS_KINDS, _NEEDS_HEADS = 1, 2
_COLUMNS = {
    "kind": np.int32,
    "tick": np.int64,
    "ns": np.int64,
    "filetime": np.int64,
    "cpu": np.int64,
    "pid": np.int64,
    "tid": np.int64,
    "level": np.uint8,
    "opcode": np.uint8,
    "keyword": np.uint64,
    "payload_offset": np.int64,
    "payload_length": np.int64,
    "offset": np.int64,
    "size": np.int64,
}
"""HS_COLUMNS."""
_BYTES_A_HEAD = 64
"""At first there is room for one head in so many bytes; fewer is rare."""


class _Kinds(ctypes.Structure):
    """HS_KINDS."""

    _fields_ = (
        ("slots", ctypes.c_void_p),
        ("slot_count", ctypes.c_uint64),
        ("kinds", ctypes.c_void_p),
        ("room", ctypes.c_uint64),
        ("count", ctypes.c_uint64),
        ("keys", ctypes.c_void_p),
        ("keys_room", ctypes.c_uint64),
        ("keys_used", ctypes.c_uint64),
        ("seed", ctypes.c_uint64),
        ("cache", ctypes.c_int32 * 512),
    )


class _Scan(ctypes.Structure):
    """HS_SCAN."""

    _fields_ = (
        ("buffer", ctypes.c_uint64),
        ("at", ctypes.c_uint64),
        ("used", ctypes.c_uint64),
        ("lead", ctypes.c_uint64),
    )


class _Clock(ctypes.Structure):
    """HS_CLOCK."""

    _fields_ = (("frequency", ctypes.c_int64), ("first_tick", ctypes.c_int64), ("start_time", ctypes.c_int64))


class _Columns(ctypes.Structure):
    """HS_COLUMNS."""

    _fields_ = tuple((name, ctypes.c_void_p) for name in _COLUMNS)


class ScanLibrary:
    """The functions of the library that this is about."""

    def __init__(self, library: ctypes.CDLL) -> None:
        pointer, u64, i64, i32 = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_int64, ctypes.c_int32
        self.scan = library["hs_scan"]
        self.scan.restype = i32
        self.scan.argtypes = [pointer, pointer, u64, i64, i32, i32, pointer, pointer, pointer, pointer, u64]
        self.rehash = library["hs_rehash_kinds"]
        self.rehash.restype = None
        self.rehash.argtypes = [pointer]
        self.order = library["hs_order"]
        self.order.restype = i64
        self.order.argtypes = [pointer, pointer, pointer, u64, i64, i64, pointer, pointer]
        self.columns = library["hs_columns"]
        self.columns.restype = None
        self.columns.argtypes = [pointer, pointer, u64, pointer, pointer, pointer, u64]


class NativeScanner:
    """A Scanner in C. Its twin is NumpyScanner."""

    def __init__(self, library: ScanLibrary, *, kinds: int = 1 << 10, key_bytes: int = 1 << 16) -> None:
        self._library = library
        self._state = _Kinds(seed=int.from_bytes(os.urandom(8), "little"))
        self._kinds = np.zeros(0, _KIND_DTYPE)
        self._key_bytes = np.zeros(0, np.uint8)
        self._slots = np.zeros(0, np.int32)
        ctypes.memset(ctypes.byref(self._state, _Kinds.cache.offset), 0xFF, ctypes.sizeof(ctypes.c_int32 * 512))
        self._grow(kinds, key_bytes)

    def _grow(self, kinds: int, key_bytes: int) -> None:
        """Make the tables larger."""
        grown, bytes_ = np.zeros(kinds, _KIND_DTYPE), np.zeros(key_bytes, np.uint8)
        grown[: len(self._kinds)], bytes_[: len(self._key_bytes)] = self._kinds, self._key_bytes
        self._kinds, self._key_bytes, self._slots = grown, bytes_, np.full(4 * kinds, -1, np.int32)
        state = self._state
        state.kinds, state.room = grown.ctypes.data, kinds
        state.keys, state.keys_room = bytes_.ctypes.data, key_bytes
        state.slots, state.slot_count = self._slots.ctypes.data, len(self._slots)
        self._library.rehash(ctypes.byref(state))

    @property
    def keys(self) -> Sequence[bytes]:
        """See Scanner."""
        found = []
        for at in self._kinds["key_at"][: self._state.count].tolist():
            schema, traits = self._key_bytes[at + 2 : at + 6].view(np.uint16).tolist()
            found.append(self._key_bytes[at : at + 32 + schema + traits].tobytes())
        return found

    @property
    def counts(self) -> NDArray[np.int64]:
        """See Scanner."""
        return self._kinds["count"][: self._state.count].astype(np.int64)

    @property
    def empty(self) -> NDArray[np.int64]:
        """See Scanner."""
        return self._kinds["empty"][: self._state.count].astype(np.int64)

    @property
    def firsts(self) -> NDArray[np.int64]:
        """See Scanner."""
        return self._kinds["first"][: self._state.count].copy()

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
        """See Scanner."""
        spans = np.stack([begin, np.minimum(end, len(raw))], axis=1).astype(np.uint64)
        facts = np.zeros(len(begin), FACTS_DTYPE)
        room = int((end - begin).clip(0).sum()) // _BYTES_A_HEAD if keep == Keep.ALL else 4096 * (keep == Keep.SAMPLES)
        heads, at = np.empty(room + 64, HEAD_DTYPE), _Scan()
        while True:
            done = self._library.scan(
                raw.ctypes.data, spans.ctypes.data, len(begin), fallback, counting, keep, ctypes.byref(self._state),
                ctypes.byref(at), facts.ctypes.data, heads.ctypes.data, len(heads),
            )  # fmt: skip
            if done == _NEEDS_KINDS:
                self._grow(4 * len(self._kinds), 4 * len(self._key_bytes) + (1 << 18))
            elif done == _NEEDS_HEADS:
                larger = np.empty(2 * len(heads), HEAD_DTYPE)
                larger[: at.used] = heads[: at.used]
                heads = larger
            else:
                return Scanned(facts, heads[: at.used])


def native_order(
    library: ScanLibrary,
    heads: NDArray[np.void],
    segments: NDArray[np.uint64],
    streams: NDArray[np.uint64],
    window: tuple[int, int],
) -> NDArray[np.uint32]:
    """The heads whose tick lies in the window (first, last), in time order. Streams must be in order (order.c)."""
    order = np.empty(len(heads), np.uint32)
    heap = np.empty(_CURSOR_BYTES * len(streams), np.uint8)
    count = library.order(
        heads.ctypes.data, segments.ctypes.data, streams.ctypes.data, len(streams) - 1, *window,
        heap.ctypes.data, order.ctypes.data,
    )  # fmt: skip
    assert count >= 0, "streams that are not in order"
    return order[:count]


def native_columns(
    library: ScanLibrary,
    heads: NDArray[np.void],
    order: NDArray[np.uint32],
    cpus: NDArray[np.int64],
    clock: SessionClock,
) -> Mapping[str, NDArray[np.generic]]:
    """The columns of the table, in this order; `cpus` by buffer."""
    columns = {name: np.empty(len(order), dtype) for name, dtype in _COLUMNS.items()}
    pointers = _Columns(**{name: column.ctypes.data for name, column in columns.items()})
    facts = _Clock(clock.frequency, clock.first_tick, clock.start_time)
    cpus = np.ascontiguousarray(cpus, np.int64)
    library.columns(
        heads.ctypes.data, order.ctypes.data, len(order), cpus.ctypes.data, ctypes.byref(facts),
        ctypes.byref(pointers), 0,
    )  # fmt: skip
    return columns
