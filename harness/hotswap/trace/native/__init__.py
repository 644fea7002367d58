"""The native kernel of the reader: hot loops in C, compiled when the package is installed where a compiler is.

Without it everything works, only slower: each of its functions has a twin in Python that gives the same to the bit.
`HOTSWAP_ETL_KERNEL=python` leaves it unused, `HOTSWAP_ETL_KERNEL=native` makes its absence an error.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hotswap.errors import LabFault, UsageError
from hotswap.trace.native.decode import DecodeLibrary
from hotswap.trace.native.scan import ScanLibrary

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


@dataclass(frozen=True, slots=True)
class NativeInflated:
    """What an inflater made; `error` is an HS_BROKEN, 0 for none, and then `broken_at` means nothing."""

    data: bytes
    error: int
    broken_at: int


class Kernel:
    """The loaded library."""

    def __init__(self, path: Path) -> None:
        library = ctypes.CDLL(str(path))
        self._inflaters = {}
        for name in ("lznt1", "xpress", "huffman"):
            function = library[f"hs_inflate_{name}"]
            function.restype = None
            function.argtypes = [
                ctypes.c_void_p,
                ctypes.c_uint64,
                ctypes.c_void_p,
                ctypes.c_uint64,
                ctypes.POINTER(_Inflated),
            ]
            self._inflaters[name] = function
        self.scans = ScanLibrary(library)
        self.payloads = DecodeLibrary(library)
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

    def inflate_into(self, name: str, stream: NDArray[np.uint8], out: NDArray[np.uint8]) -> int:
        """Fill `out` by `lznt1`, `xpress` or `huffman`; the error, 0 for none. Both arrays are contiguous."""
        result = _Inflated()
        self._inflaters[name](stream.ctypes.data, len(stream), out.ctypes.data, len(out), ctypes.byref(result))
        return int(result.error)


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
