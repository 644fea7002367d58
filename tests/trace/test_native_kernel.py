"""The native kernel of the reader and its twins in Python: equal to the bit, on good, cut and damaged input."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.errors import LabFault, UsageError
from hotswap.trace import native
from hotswap.trace.compression import Compression, compress, inflate_in_python

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
    (tmp_path / "scan.c").write_text("/* changed */\n")
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
