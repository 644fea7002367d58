"""The native kernel of the reader: hot loops in C, compiled when the package is installed where a compiler is.

Without it everything works, only slower: each of its functions has a twin in Python that gives the same to the bit.
`HOTSWAP_ETL_KERNEL=python` leaves it unused, `HOTSWAP_ETL_KERNEL=native` makes its absence an error.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hotswap.errors import LabFault, UsageError

CHOICE = "HOTSWAP_ETL_KERNEL"
FOLDER = Path(__file__).parent
LIBRARY = "_kernel.dll" if sys.platform == "win32" else "_kernel.so"


class _Inflated(ctypes.Structure):
    """HS_INFLATED."""

    _fields_ = (
        ("made", ctypes.c_uint64),
        ("broken_at", ctypes.c_uint64),
        ("error", ctypes.c_int32),
        ("reserved", ctypes.c_int32),
    )


class _Walked(ctypes.Structure):
    """HS_WALKED."""

    _fields_ = (
        ("count", ctypes.c_uint64),
        ("at", ctypes.c_uint64),
        ("size", ctypes.c_uint32),
        ("type", ctypes.c_uint8),
        ("stop", ctypes.c_uint8),
        ("reserved", ctypes.c_uint16),
    )


@dataclass(frozen=True, slots=True)
class NativeInflated:
    """What an inflater made; `error` is an HS_BROKEN, 0 for none, and then `broken_at` means nothing."""

    data: bytes
    error: int
    broken_at: int


@dataclass(frozen=True, slots=True)
class NativeWalked:
    """The frames of a buffer, and where and why (HS_STOP) the walk stopped, with type and size of the event there."""

    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    type: NDArray[np.uint8]
    at: int
    stop: int
    stop_type: int
    stop_size: int


class Kernel:
    """The loaded library."""

    def __init__(self, path: Path) -> None:
        library = ctypes.CDLL(str(path))
        self._inflaters = {}
        for name in ("lznt1", "xpress", "huffman"):
            function = library[f"hs_inflate_{name}"]
            function.restype = None
            function.argtypes = [
                ctypes.c_char_p,
                ctypes.c_uint64,
                ctypes.c_void_p,
                ctypes.c_uint64,
                ctypes.POINTER(_Inflated),
            ]
            self._inflaters[name] = function
        self._walk = library["hs_walk"]
        self._walk.restype = None
        self._walk.argtypes = [ctypes.c_char_p, ctypes.c_uint64, ctypes.c_uint64, *[ctypes.c_void_p] * 5]
        self._walk.argtypes = [*self._walk.argtypes, ctypes.POINTER(_Walked)]
        self._group = library["hs_group"]
        self._group.restype = ctypes.c_int64
        self._group.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_void_p]
        self._group.argtypes = [*self._group.argtypes, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_void_p]
        sources = library["hs_kernel_sources"]
        sources.restype = ctypes.c_char_p
        self.sources: str = sources().decode()
        """The hash of the sources that it was made of."""

    def inflate(self, name: str, stream: bytes, size: int) -> NativeInflated:
        """Inflate by `lznt1`, `xpress` or `huffman` to at most `size` bytes."""
        out = np.empty(max(size, 1), np.uint8)
        result = _Inflated()
        self._inflaters[name](stream, len(stream), out.ctypes.data, size, ctypes.byref(result))
        return NativeInflated(out[: result.made].tobytes(), result.error, result.broken_at)

    def walk(
        self, data: bytes, start: int, end: int, shifts: NDArray[np.uint8], minima: NDArray[np.uint8]
    ) -> NativeWalked:
        """The frames in data[start:end]. `shifts` and `minima` have an entry for each type."""
        room = max((min(end, len(data)) - start) // 8, 0)
        offset, size, kind = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.uint8)
        arrays = (shifts, minima, offset, size, kind)
        walked = _Walked()
        self._walk(data, start, min(end, len(data)), *(array.ctypes.data for array in arrays), ctypes.byref(walked))
        count = walked.count
        return NativeWalked(
            offset[:count].copy(),
            size[:count].copy(),
            kind[:count].copy(),
            walked.at,
            walked.stop,
            walked.type,
            walked.size,
        )

    def group(
        self, data: bytes, parts: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Number rows by their bytes at up to 8 places (offset, length): the numbers, and the first row of each."""
        columns = [np.ascontiguousarray(array, np.int64) for part in parts for array in part]
        rows, slots = len(columns[0]), 1 << 12
        pointers = (ctypes.c_void_p * len(columns))(*(column.ctypes.data for column in columns))
        code = np.empty(rows, np.int32)
        while True:
            table, first = np.full(slots, -1, np.int32), np.empty(slots // 2, np.int64)
            arrays = (code.ctypes.data, first.ctypes.data)
            groups = self._group(data, pointers, len(parts), rows, table.ctypes.data, slots, *arrays)
            if groups >= 0:
                return code, first[:groups].copy()
            slots *= 16


def sources_hash(folder: Path) -> str:
    """Of all that the library is made of."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.[ch]")):
        digest.update(f"{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def _load() -> tuple[Kernel | None, str]:
    path = FOLDER / LIBRARY
    if not path.is_file():
        return None, "it was not built: no C compiler was there when the package was installed"
    try:
        kernel = Kernel(path)
    except (OSError, AttributeError) as error:
        return None, f"{path.name} cannot be loaded: {error}"
    if kernel.sources != sources_hash(FOLDER):
        return None, f"{path.name} was made of other sources; install the package again (ci/setup)"
    return kernel, ""


def kernel() -> Kernel | None:
    """The kernel to use; None: the twins in Python. LabFault when `native` is demanded and it is not there."""
    choice = os.environ.get(CHOICE, "")
    if choice not in ("", "native", "python"):
        raise UsageError(f"{CHOICE}={choice}: it is native, python, or not set")
    if choice == "python":
        return None
    loaded, why_not = _load()
    if loaded is None and choice == "native":
        raise LabFault(f"{CHOICE}=native, and the native kernel is not there: {why_not}")
    return loaded


def describe() -> str:
    """Which kernel is in use and, for the one in Python, why: `native`, `python (...)`."""
    if kernel() is not None:
        return "native"
    if os.environ.get(CHOICE) == "python":
        return f"python ({CHOICE} is set)"
    return f"python ({_load()[1]})"
