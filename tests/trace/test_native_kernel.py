"""The native kernel of the reader and its twins in Python: equal to the bit, on good, cut and damaged input."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.errors import LabFault, UsageError
from hotswap.trace import native
from hotswap.trace.compression import Compression, compress, inflate_in_python
from hotswap.trace.framing import _MIN_SIZE, _SIZE_SHIFT, walk_in_python
from hotswap.trace.grouping import group_in_numpy

NAMES = {Compression.LZNT1: "lznt1", Compression.XPRESS: "xpress", Compression.XPRESS_HUFFMAN: "huffman"}
every = pytest.mark.parametrize("kind", list(Compression))


@pytest.fixture(scope="module")
def kernel() -> native.Kernel:
    loaded, why_not = native._load()
    assert loaded is not None, why_not
    return loaded


def texts() -> st.SearchStrategy[bytes]:
    part = st.binary(min_size=1, max_size=5)
    run = st.builds(lambda some, times: some * times, part, st.integers(1, 20_000))
    return st.lists(st.one_of(part, run), max_size=12).map(b"".join)


def assert_same(kernel: native.Kernel, kind: Compression, stream: bytes, size: int) -> bool:
    """Whether the stream was whole; both must say so."""
    mine, twin = kernel.inflate(NAMES[kind], stream, size), inflate_in_python(kind, stream, size)
    assert mine.data == twin.data
    assert bool(mine.error) == bool(twin.error), twin.error
    assert not twin.error or mine.broken_at == twin.broken_at, twin.error
    return not twin.error


@every
@given(data=texts(), seed=st.integers(0, 2**32))
@settings(max_examples=120, deadline=None)
def test_inflaters_are_equal_on_whole_cut_and_damaged_streams(
    kernel: native.Kernel, kind: Compression, data: bytes, seed: int
) -> None:
    stream, chance = compress(kind, data), random.Random(seed)
    assert assert_same(kernel, kind, stream, len(data))
    assert_same(kernel, kind, stream[: chance.randint(0, len(stream))], len(data))
    assert_same(kernel, kind, stream, max(0, len(data) + chance.randint(-40, 40)))
    damaged = bytearray(stream)
    for _ in range(chance.randint(1, 3) if damaged else 0):
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
    assert_same(kernel, kind, bytes(damaged), len(data))


@every
@given(stream=st.binary(max_size=600), size=st.integers(0, 70_000))
@settings(max_examples=300, deadline=None)
def test_inflaters_are_equal_on_any_bytes(kernel: native.Kernel, kind: Compression, stream: bytes, size: int) -> None:
    assert_same(kernel, kind, stream, size)


def frames() -> st.SearchStrategy[bytes]:
    """Something like events: sizes, types and markers that are mostly right."""
    kinds = st.sampled_from([0x01, 0x02, 0x03, 0x0A, 0x0B, 0x0D, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x77])
    markers = st.sampled_from([0xC0] * 8 + [0x90, 0xD0, 0x00, 0xFF])

    def event(size: int, kind: int, marker: int, hook: int) -> bytes:
        high = kind in (0x01, 0x02, 0x03, 0x04, 0x10, 0x11)
        first = b"\x02\x00" if high else size.to_bytes(2, "little")
        second = size.to_bytes(2, "little") if high else b"\x01\x00"
        head = first + bytes([kind, marker]) + second + hook.to_bytes(2, "little")
        return head + bytes(max(0, ((size + 7) & ~7) - 8))

    one = st.builds(event, st.integers(0, 260), kinds, markers, st.integers(0, 0xFFFF))
    return st.lists(one, max_size=30).map(b"".join)


@given(data=frames(), cut=st.integers(0, 300), start=st.integers(0, 2))
@settings(max_examples=400, deadline=None)
def test_walks_are_equal(kernel: native.Kernel, data: bytes, cut: int, start: int) -> None:
    start, end = 8 * start, max(0, len(data) - cut)
    mine, twin = kernel.walk(data, start, end, _SIZE_SHIFT, _MIN_SIZE), walk_in_python(data, start, end)
    for name in ("offset", "size", "type"):
        assert np.array_equal(getattr(mine, name), getattr(twin, name))
    assert (mine.at, mine.stop) == (twin.at, twin.stop)
    assert not mine.stop or mine.stop_size == twin.stop_size
    assert mine.stop in (0, 1) or mine.stop_type == twin.stop_type


@given(
    data=st.lists(st.sampled_from([b"a", b"b", b"ab" * 9, bytes(24)]), min_size=3, max_size=60).map(b"".join),
    rows=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 9), st.integers(0, 30), st.integers(0, 26))),
)
@settings(max_examples=300, deadline=None)
def test_rows_get_the_same_numbers(kernel: native.Kernel, data: bytes, rows: list[tuple[int, int, int, int]]) -> None:
    data += bytes(60)
    columns = np.array(rows, np.int64).reshape(-1, 4).T
    parts = ((columns[0], columns[1]), (columns[2], columns[3]))
    code, first = kernel.group(data, parts)
    twin, twin_first = group_in_numpy(data, parts)
    assert code.tolist() == twin.tolist()
    assert first.tolist() == twin_first.tolist()
    keys = [(data[a : a + n], data[b : b + m]) for a, n, b, m in rows]
    assert code.tolist() == [list(dict.fromkeys(keys)).index(key) for key in keys]


def test_more_kinds_than_the_first_table_holds_are_numbered(kernel: native.Kernel) -> None:
    data = b"".join(number.to_bytes(4, "little") for number in range(20_000))
    parts = ((np.arange(20_000) * 4, np.full(20_000, 4)),)
    for group in (kernel.group, group_in_numpy):
        code, first = group(data, parts)
        assert code.tolist() == first.tolist() == list(range(20_000))


def test_rows_with_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hotswap.trace.grouping._FACTOR", np.uint64(0))
    data = bytes(range(64))
    code, _ = group_in_numpy(data, ((np.array([0, 8, 0, 16]), np.full(4, 8)),))
    assert code.tolist() == [0, 1, 0, 2]


def test_the_choice_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(native.CHOICE, "python")
    assert native.kernel() is None
    assert native.describe() == f"python ({native.CHOICE} is set)"
    monkeypatch.setenv(native.CHOICE, "rust")
    with pytest.raises(UsageError, match="it is native, python, or not set"):
        native.kernel()


def test_an_absent_kernel_is_no_silent_matter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(native, "FOLDER", tmp_path)
    native._load.cache_clear()
    try:
        monkeypatch.delenv(native.CHOICE, raising=False)
        assert native.kernel() is None
        assert native.describe().startswith("python (it was not built")
        monkeypatch.setenv(native.CHOICE, "native")
        with pytest.raises(LabFault, match="it was not built"):
            native.kernel()
    finally:
        native._load.cache_clear()


def test_a_kernel_of_other_sources_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for path in native.FOLDER.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "walk.c").write_text("/* changed */\n")
    monkeypatch.setattr(native, "FOLDER", tmp_path)
    native._load.cache_clear()
    try:
        assert native._load()[0] is None
        assert "was made of other sources" in native._load()[1]
    finally:
        native._load.cache_clear()


def test_without_a_compiler_the_package_is_built_without_the_kernel(tmp_path: Path) -> None:
    hook = Path(__file__).parents[2] / "harness" / "hatch_build.py"
    code = f"""
import sys; sys.path.insert(0, {str(hook.parent)!r})
from pathlib import Path
from hatch_build import compile_kernel
print(compile_kernel(Path({str(native.FOLDER)!r}), Path({str(tmp_path)!r}) / "k.so"))
"""
    run = [sys.executable, "-c", code]
    without = subprocess.run(run, env={"PATH": "/nonexistent"}, capture_output=True, text=True, check=True)
    assert without.stdout == "False\n"
    assert "no C compiler" in without.stderr
    assert not list(tmp_path.iterdir())
    broken = subprocess.run(run, env={"PATH": "/usr/bin", "CC": "false"}, capture_output=True, text=True, check=True)
    assert broken.stdout == "False\n"
    assert "false could not compile the native kernel" in broken.stderr
    assert not list(tmp_path.iterdir())
