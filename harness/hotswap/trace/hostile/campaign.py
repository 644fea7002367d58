"""Damaged files by seed through the whole reader, in processes that may crash, hang or grow: each is a finding."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any

from hotswap.deadline import Deadline
from hotswap.errors import LabFault
from hotswap.trace.hostile.damage import Sample, damage
from hotswap.trace.native import CHOICE

WORKER = (sys.executable, "-m", "hotswap.trace.hostile.worker")
INPUT_SECONDS = 60.0
"""What one input may take; thousands of times what it does take."""
MEMORY_BOUND = 1 << 30
"""Of one process, whatever it reads."""
_GOOD = ("read", "refused")
_START_SECONDS = 120.0
_END_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """An input on which the reader did what it must not: `what` is crash, hang, memory, error, or differs."""

    what: str
    why: str
    sample: str
    seed: int
    kernel: str
    file: Path
    """The input."""

    @property
    def line(self) -> str:
        """For people."""
        return f"{self.what} ({self.kernel} kernel) on {self.sample} with seed {self.seed}: {self.why}; {self.file}"


@dataclass(slots=True)
class Campaign:
    """What came of it so far."""

    inputs: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    peak: int = 0
    """Bytes that the largest process had."""
    slowest: float = 0.0
    """Seconds that one input took."""


class Reader:
    """One worker process with one kernel. Use `with`."""

    def __init__(
        self,
        kernel: str,
        folder: Path | None,
        worker: Sequence[str] = WORKER,
        input_seconds: float = INPUT_SECONDS,
    ) -> None:
        self.kernel = kernel
        self._worker = worker
        self.seconds = input_seconds
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._rest = b""

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(OSError):
            process.stdin.close()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def ask(self, request: str) -> dict[str, Any]:
        """What became of one input: the worker's answer, or an `outcome` of crash or hang."""
        process = self._started()
        assert process.stdin is not None
        process.stdin.write(f"{request}\n".encode())
        process.stdin.flush()
        if self._line(Deadline.after(_START_SECONDS)) != "begin":
            raise LabFault(f"the worker that reads damaged files did not begin {request}: {self._end()}")
        answer = self._line(Deadline.after(self.seconds))
        if answer:
            return dict(json.loads(answer))
        hangs = process.poll() is None and answer is None
        why = f"no answer in {self.seconds:g} s" if hangs else f"the process ended with {self._end()}"
        process.kill()
        self.close()
        return {"outcome": "hang" if hangs else "crash", "why": why, "peak": 0}

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            command = [*self._worker, *([str(self._folder)] if self._folder else [])]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, CHOICE: self.kernel}
            )
            self._rest = b""
        return self._process

    def _line(self, deadline: Deadline) -> str | None:
        """The next line; empty at the end of the stream, None when it does not come in time."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        while b"\n" not in self._rest:
            ready, _, _ = select.select([process.stdout], [], [], deadline.remaining)
            if not ready:
                return None
            part = os.read(process.stdout.fileno(), 1 << 16)
            if not part:
                return ""
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    def _end(self) -> str:
        process = self._process
        assert process is not None
        try:
            return str(process.wait(_END_SECONDS))
        except subprocess.TimeoutExpired:
            return "nothing yet"


def run_damaged(
    samples: list[Sample],
    kernels: Sequence[str],
    folder: Path | None,
    seeds: Iterator[int],
    until: Deadline,
    keep: Path,
    *,
    stop: Event | None = None,
    worker: Sequence[str] = WORKER,
    input_seconds: float = INPUT_SECONDS,
) -> Campaign:
    """Damage each sample in turn with one seed after the other until the time or the seeds are over, or `stop`.

    Each file is read with each kernel, and all must read the same. `folder` is that of the real samples among them;
    findings are kept in `keep`.
    """
    campaign = Campaign()
    by_size = [sample for sample in samples for _ in range(max(1, min(8, 400_000 // max(len(sample.data), 1))))]
    with ExitStack() as stack:
        readers = [stack.enter_context(Reader(kernel, folder, worker, input_seconds)) for kernel in kernels]
        for seed in seeds:
            if until.expired or (stop is not None and stop.is_set()):
                break
            sample = by_size[seed % len(by_size)]
            campaign.inputs += 1
            answers = [_ask(campaign, reader, sample, seed) for reader in readers]
            found = [answer for answer in answers if answer["outcome"] not in _GOOD]
            digests = {str(answer.get("digest")) for answer in answers}
            if not found and len(digests) > 1:
                found = [
                    {"outcome": "differs", "why": f"{' and '.join(kernels)} read something else", "kernel": "each"}
                ]
            campaign.outcomes[str((found or answers)[0]["outcome"])] += 1
            campaign.findings += [_kept(keep, answer, sample, seed) for answer in found]
    return campaign


def _ask(campaign: Campaign, reader: Reader, sample: Sample, seed: int) -> dict[str, Any]:
    """One answer of one reader; an outcome that is not good is a finding."""
    begun = monotonic()
    answer = reader.ask(f"{sample.name} {seed}")
    campaign.slowest = max(campaign.slowest, monotonic() - begun)
    campaign.peak = max(campaign.peak, int(answer["peak"]))
    if answer["outcome"] in _GOOD and int(answer["peak"]) > MEMORY_BOUND:
        answer |= {"outcome": "memory", "why": f"{answer['peak']} bytes, {MEMORY_BOUND} is the bound"}
        reader.close()
    return {**answer, "kernel": reader.kernel}


def _kept(keep: Path, answer: dict[str, Any], sample: Sample, seed: int) -> Finding:
    what, kernel = str(answer["outcome"]), str(answer["kernel"])
    keep.mkdir(parents=True, exist_ok=True)
    path = keep / f"{what}-{kernel}-{Path(sample.name).stem}-{seed}.etl"
    path.write_bytes(damage(sample, seed))
    if "traceback" in answer:
        path.with_suffix(".txt").write_text(str(answer["traceback"]))
    return Finding(what, str(answer["why"]), sample.name, seed, kernel, path)
