"""The campaigns against the reader: each kind of finding is found and kept, and the reader has none."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from hotswap.deadline import Deadline
from hotswap.trace import native
from hotswap.trace.hostile import kernel_fuzz
from hotswap.trace.hostile.campaign import Campaign, run_damaged
from hotswap.trace.hostile.damage import damage
from hotswap.trace.hostile.samples import made_up_samples

SAMPLES = made_up_samples()
MISBEHAVE = """
import json, os, sys, time
for line in sys.stdin:
    print("begin", flush=True)
    seed = int(line.split()[1])
    if seed == 1: os.abort()
    if seed == 2: time.sleep(60)
    answer = {"outcome": "read", "peak": 1 << 40 if seed == 3 else 1 << 20}
    if seed == 4: answer |= {"outcome": "error", "why": "IndexError: list", "traceback": "Traceback ..."}
    print(json.dumps(answer), flush=True)
"""


def test_a_seed_says_all_of_a_damage() -> None:
    for sample in SAMPLES:
        files = [damage(sample, seed) for seed in range(40)]
        assert files == [damage(sample, seed) for seed in range(40)]
        assert len(set(files)) > 35
        assert sum(data != sample.data for data in files) > 35


def test_every_kind_of_finding_is_told_and_kept(tmp_path: Path) -> None:
    """By a worker that does what the reader must not."""
    campaign = run_damaged(
        SAMPLES, ["python"], None, iter(range(6)), Deadline.after(60), tmp_path,
        worker=(sys.executable, "-c", MISBEHAVE), input_seconds=1.0,
    )  # fmt: skip
    assert (campaign.inputs, dict(campaign.outcomes)) == (
        6,
        {"read": 2, "crash": 1, "hang": 1, "memory": 1, "error": 1},
    )
    found = {finding.what: finding for finding in campaign.findings}
    assert "ended with -6" in found["crash"].why
    assert "no answer in 1 s" in found["hang"].why
    assert "is the bound" in found["memory"].why
    assert found["error"].why == "IndexError: list"
    assert found["error"].file.with_suffix(".txt").read_text() == "Traceback ..."
    for finding in campaign.findings:
        sample = next(sample for sample in SAMPLES if sample.name == finding.sample)
        assert finding.file.read_bytes() == damage(sample, finding.seed)


def test_kernels_that_differ_are_told(tmp_path: Path) -> None:
    """Here of a worker that says which kernel it has."""
    differ = (
        'import os, sys\nfor line in sys.stdin:\n print("begin", flush=True)\n print(\'{"outcome": "read", "peak": 1,'
    )
    differ += ' "digest": "%s"}\' % os.environ["HOTSWAP_ETL_KERNEL"], flush=True)'
    campaign = run_damaged(
        SAMPLES,
        ["native", "python"],
        None,
        iter([5]),
        Deadline.after(60),
        tmp_path,
        worker=(sys.executable, "-c", differ),
    )
    assert [finding.what for finding in campaign.findings] == ["differs"]


def test_the_reader_takes_damaged_files(tmp_path: Path) -> None:
    """A taste of `ci/soak etl`."""
    kernels = ["native", "python"] if native.kernel() is not None else ["python"]
    seeds = iter(range(7_000_000, 7_000_030))
    campaign: Campaign = run_damaged(SAMPLES, kernels, None, seeds, Deadline.after(300), tmp_path)
    assert campaign.findings == []
    assert campaign.inputs == 30
    assert set(campaign.outcomes) <= {"read", "refused"}


# ---- The fuzzer ----


def test_the_fuzzer_calls_every_function_of_the_kernel() -> None:
    exported = {
        name
        for path in native.FOLDER.glob("*.c")
        for name in re.findall(r"^HS_EXPORT .*?(\w+)\(", path.read_text(), re.M)
    }
    assert len(exported) >= 6
    called = set(re.findall(r"\b(hs_\w+)\b", kernel_fuzz.TARGET.read_text()))
    assert exported <= called


def test_the_fuzzer_finds_nothing_in_the_kernel(tmp_path: Path) -> None:
    seeds = kernel_fuzz.write_seeds(SAMPLES, tmp_path / "corpus")
    fuzzed = kernel_fuzz.run_fuzzer(
        kernel_fuzz.build(), tmp_path / "corpus", tmp_path / "found", 120, seed=1, runs=2000
    )
    assert fuzzed.findings == []
    assert fuzzed.runs >= 2000 > seeds > 30
    assert fuzzed.covered > 150


@pytest.mark.parametrize(
    ("file", "guard", "hole"),
    [
        ("scan.c", "if (size > end - at)", "if (size > end - at + 64)"),
        ("decode.c", "if (rest > left(decode)) {", "if (rest > left(decode) + 16) {"),
        ("xpress.c", "if (offset > made) {", "if (offset > made + 64) {"),
    ],
)
def test_the_fuzzer_finds_a_bound_that_is_missing(tmp_path: Path, file: str, guard: str, hole: str) -> None:
    """And keeps an input that shows it again."""
    broken = tmp_path / "kernel"
    shutil.copytree(native.FOLDER, broken, ignore=shutil.ignore_patterns("*.so", "*.py"))
    source = (broken / file).read_text()
    assert guard in source
    (broken / file).write_text(source.replace(guard, hole))
    kernel_fuzz.write_seeds(SAMPLES, tmp_path / "corpus")
    program = kernel_fuzz.build(broken)
    try:
        fuzzed = kernel_fuzz.run_fuzzer(program, tmp_path / "corpus", tmp_path / "found", 120, seed=1, runs=1_000_000)
        assert len(fuzzed.findings) == 1
        assert any(what in fuzzed.findings[0] for what in ("heap-buffer-overflow", "deadly signal"))
        (kept,) = (tmp_path / "found").iterdir()
        assert str(kept) in fuzzed.findings[0]
        assert kernel_fuzz.replay(program, kept).findings
        assert kernel_fuzz.replay(kernel_fuzz.build(), kept).findings == []
    finally:
        shutil.rmtree(program.parent)
