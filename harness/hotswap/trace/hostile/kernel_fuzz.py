"""libFuzzer on the native kernel of the reader, with the address and undefined-behaviour sanitizers (target.c)."""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from hotswap.deadline import Deadline
from hotswap.errors import LabFault
from hotswap.paths import cache_home
from hotswap.trace import native
from hotswap.trace.compression import Compression, compress
from hotswap.trace.etl import parse_etl
from hotswap.trace.framing import BUFFER_HEADER_SIZE
from hotswap.trace.hostile.damage import Sample

INPUT_SECONDS = 10
MEMORY_MB = 1024
TARGET = Path(__file__).with_name("target.c")
_OPTIONS = (
    *("-std=c17", "-O1", "-g", "-fno-omit-frame-pointer", "-Wall", "-Wextra", "-Werror"),
    *("-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all", '-DHS_KERNEL_SOURCES="fuzzed"'),
)
_INCLUDED = re.compile(r'^#include "(\w+\.c)"', re.MULTILINE)
_MOST = 16_384
"""Bytes of one input: more finds nothing more, only slower."""
_PIECE = 6000
_GRACE_SECONDS = 120.0
_LOOK_SECONDS = 0.5
_STATISTIC = re.compile(r"^stat::(\w+): *(\d+)", re.MULTILINE)
_COVERED = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)")
_ARTIFACT = re.compile(r"Test unit written to (\S+)")
_SUMMARY = re.compile(r"^SUMMARY: (.*)", re.MULTILINE)
_PACKAGE = "libclang-rt-14-dev"
_SELECT = {Compression.LZNT1: 0, Compression.XPRESS: 1, Compression.XPRESS_HUFFMAN: 2}
_SCAN, _DECODE = 3, 4


@dataclass(slots=True)
class Fuzzed:
    """What came of a run of the fuzzer."""

    runs: int = 0
    seconds: float = 0.0
    covered: int = 0
    """Edges of the kernel and the target."""
    corpus: int = 0
    """Inputs that each cover something that no other does."""
    findings: list[str] = field(default_factory=list)
    """What each was, and the input that shows it."""


def has_runtime() -> bool:
    """Whether there is a clang with the runtime of libFuzzer: Debian has that in a package of its own."""
    if shutil.which("clang") is None:
        return False
    name = "libclang_rt.fuzzer-x86_64.a"
    found = subprocess.run(["clang", f"--print-file-name={name}"], capture_output=True, text=True, check=False)
    if Path(found.stdout.strip()).is_file():
        return True
    resources = subprocess.run(["clang", "--print-resource-dir"], capture_output=True, text=True, check=False)
    return (Path(resources.stdout.strip()) / "lib" / "linux" / name).is_file()


def build(kernel: Path = native.FOLDER) -> Path:
    """The fuzzer's program, from the cache when it was built before. LabFault when it cannot be built."""
    sources = sorted(kernel.glob("*.[ch]"))
    digest = hashlib.sha256(" ".join(_OPTIONS).encode())
    for path in (TARGET, *sources):
        digest.update(path.read_bytes())
    program = cache_home() / "etl-fuzzer" / digest.hexdigest()[:16] / "fuzz"
    if program.is_file():
        return program
    if not has_runtime():
        raise LabFault(f"the fuzzer needs clang with libFuzzer: apt-get install clang {_PACKAGE}")
    program.parent.mkdir(parents=True, exist_ok=True)
    included = set(_INCLUDED.findall(TARGET.read_text()))
    files = [str(path) for path in sources if path.suffix == ".c" and path.name not in included]
    partial = program.with_name(f"fuzz.{os.getpid()}.partial")
    command = ["clang", *_OPTIONS, "-I", str(kernel), "-o", str(partial), str(TARGET), *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        partial.unlink(missing_ok=True)
        raise LabFault(f"clang could not build the fuzzer: {done.stderr.strip()}")
    partial.replace(program)
    return program


def write_seeds(samples: list[Sample], folder: Path) -> int:
    """Inputs to begin with: compressed streams of each kind, buffers and payloads of the samples; returns how many."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for seed in (*_streams(samples), *_buffers(samples), *_payloads(samples)):
        (folder / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
        count += 1
    return count


def _streams(samples: list[Sample]) -> Iterator[bytes]:
    chance = random.Random(1)
    texts = (b"", b"a", b"abcabc" * 40, bytes(5000), chance.randbytes(300), b"event %d;" * 200)
    for kind in Compression:
        for text in texts:
            yield _stream(kind, compress(kind, text), len(text))
    for sample in samples:
        etl = parse_etl(sample.data)
        try:
            kind = Compression(int.from_bytes(sample.data[0x2C:0x2E], "little"))
        except ValueError:
            continue
        for buffer in etl.buffers[etl.buffers["inflated"]][:4]:
            begin = int(buffer["offset"])
            stored = sample.data[begin + BUFFER_HEADER_SIZE : begin + int(buffer["size"])]
            yield _stream(kind, stored[:_MOST], int(buffer["filled"]) - BUFFER_HEADER_SIZE)


def _stream(kind: Compression, stored: bytes, size: int) -> bytes:
    return bytes([_SELECT[kind]]) + struct.pack("<I", size & 0x1FFFF)[:3] + stored


def _buffers(samples: list[Sample]) -> Iterator[bytes]:
    chance = random.Random(2)
    for sample in samples:
        etl = parse_etl(sample.data)
        starts = etl.frames.offset
        if len(starts) < 2:
            continue
        for at in sorted(chance.sample(range(len(starts)), min(6, len(starts)))):
            begin = int(starts[at])
            piece = etl.events.data[begin : begin + _PIECE]
            ends = sorted(chance.randrange(len(piece) // 8 + 1) for _ in range(5))
            choices = chance.randrange(32)
            arguments = struct.pack("<B5H2H", choices, *ends, chance.randrange(65536), chance.randrange(65536))
            yield bytes([_SCAN]) + arguments + bytes(piece)


def _payloads(samples: list[Sample]) -> Iterator[bytes]:
    chance = random.Random(3)
    for sample in samples:
        table = parse_etl(sample.data).events
        for _ in range(6):
            plan, first = chance.randbytes(chance.randrange(8, 40)), chance.randrange(len(table))
            rows = b"".join(table.payload(row) for row in range(first, min(first + 4, len(table))))
            yield bytes([_DECODE, len(plan)]) + plan + rows[:_PIECE]


def run_fuzzer(
    program: Path,
    corpus: Path,
    findings: Path,
    seconds: float,
    seed: int,
    *,
    runs: int | None = None,
    stop: Event | None = None,
) -> Fuzzed:
    """Fuzz this long, or so many inputs, or until `stop`: what it finds is kept in `findings`, what covers more in
    `corpus`."""
    findings.mkdir(parents=True, exist_ok=True)
    command = [
        str(program), str(corpus), f"-max_total_time={max(1, round(seconds))}", f"-timeout={INPUT_SECONDS}",
        f"-rss_limit_mb={MEMORY_MB}", f"-max_len={_MOST}", f"-seed={seed}", f"-artifact_prefix={findings}/",
        "-print_final_stats=1", "-use_value_profile=1", *([f"-runs={runs}"] if runs else []),
    ]  # fmt: skip
    deadline = Deadline.after(seconds + _GRACE_SECONDS)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace") as process:
        try:
            while True:
                try:
                    _, log = process.communicate(timeout=_LOOK_SECONDS)
                    return _read_log(log, process.returncode, seconds)
                except subprocess.TimeoutExpired:
                    if stop is not None and stop.is_set():
                        return Fuzzed()
                    if deadline.expired:
                        raise LabFault(f"the fuzzer did not end {_GRACE_SECONDS:g} s after its time") from None
        finally:
            process.kill()


def replay(program: Path, path: Path) -> Fuzzed:
    """Run one input again."""
    command = [str(program), str(path), f"-timeout={INPUT_SECONDS}", f"-rss_limit_mb={MEMORY_MB}"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return _read_log(done.stderr, done.returncode, 0.0)


def _read_log(log: str, code: int, seconds: float) -> Fuzzed:
    statistics = {name: int(value) for name, value in _STATISTIC.findall(log)}
    fuzzed = Fuzzed(statistics.get("number_of_executed_units", 0), seconds)
    covered = _COVERED.findall(log)
    if covered:
        fuzzed.covered, fuzzed.corpus = int(covered[-1][0]), int(covered[-1][2])
    if code:
        found = _SUMMARY.search(log)
        kept = _ARTIFACT.search(log)
        why = found[1] if found else (log.strip().splitlines() or [f"it ended with {code}"])[-1]
        fuzzed.findings.append(f"{why}; {kept[1] if kept else 'no input was kept'}")
    return fuzzed
