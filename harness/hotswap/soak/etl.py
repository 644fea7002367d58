"""Soak `etl`: a fuzzer on the reader's native kernel for half of the time, then damaged files on the whole reader."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from time import monotonic

from hotswap.cli.progress import Progress, duration
from hotswap.deadline import Deadline
from hotswap.errors import UsageError
from hotswap.run import RunFolder
from hotswap.soak.result import SoakResult
from hotswap.trace import native
from hotswap.trace.hostile import kernel_fuzz
from hotswap.trace.hostile.campaign import MEMORY_BOUND, Campaign, Reader, run_damaged
from hotswap.trace.hostile.damage import Sample
from hotswap.trace.hostile.worker import all_samples

_STEP = 1_000_000
"""Between the seeds of processes that run at once."""


def add_options(parser: ArgumentParser) -> None:
    """Their names on the command line."""
    parser.add_argument("--minutes", type=float, default=10.0, metavar="N", help="how long, altogether [10]")
    parser.add_argument("--seed", type=int, default=1, metavar="SEED", help="what damages come first [1]")
    parser.add_argument("--samples", type=Path, metavar="FOLDER", help="real traces to damage, too")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes at once [2]")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="an input that was found")


def run(options: Namespace, progress: Progress) -> SoakResult:
    """Both parts. A finding is a problem; all of them are kept in a run folder."""
    if options.minutes <= 0:
        raise UsageError(f"minutes is {options.minutes:g}; it must be more than 0")
    if options.workers < 1:
        raise UsageError(f"workers is {options.workers}; it must be at least 1")
    folder = options.samples or _default_samples()
    if options.samples is not None and not any(options.samples.glob("*.etl")):
        raise UsageError(f"there is no .etl in {options.samples}")
    if options.replay is not None:
        return _replay(options.replay)
    result, begun = SoakResult("etl"), monotonic()
    progress("build the fuzzer")
    program = kernel_fuzz.build()
    samples = all_samples(folder)
    home = RunFolder.create()
    try:
        half = options.minutes * 30
        progress.headline = "fuzz the native kernel"
        _fuzz(result, program, samples, home.evidence, half, options)
        progress.headline = "read damaged files"
        _damage(result, samples, folder, home.evidence, half, options)
        result.seconds = monotonic() - begun
        result.figures |= {"seed": options.seed, "samples": len(samples), "real_samples": folder is not None}
        if result.problems:
            result.lines.append("repeat one with: ci/soak etl --replay FILE")
            result.lines.append(f"run folder: {home.path}")
        verdict = "pass" if result.passed else "fail"
        facts = {"run_folder": str(home.path), "environment": {}}
        home.write_summary({"schema": 1, "verdict": verdict, "state": "ended", "reason": result.reason, **facts})
    finally:
        home.close()
    return result


def _default_samples() -> Path | None:
    """The folder that tests take them from, where it is."""
    given = os.environ.get("HOTSWAP_ETL_SAMPLES")
    folder = Path(given) if given else Path.cwd().parent / "shared" / "etl-samples"
    return folder if any(folder.glob("*.etl")) else None


@contextmanager
def _together(workers: int) -> Iterator[tuple[ThreadPoolExecutor, Event]]:
    """Threads, and what tells them to stop: it is set when anything goes wrong, Ctrl-C among it."""
    stop = Event()
    with ThreadPoolExecutor(workers) as pool:
        try:
            yield pool, stop
        except BaseException:
            stop.set()
            raise


def _fuzz(
    result: SoakResult, program: Path, samples: list[Sample], keep: Path, seconds: float, options: Namespace
) -> None:
    with TemporaryDirectory(prefix="hotswap-fuzz-") as scratch, _together(options.workers) as (pool, stop):
        runs: list[Future[kernel_fuzz.Fuzzed]] = []
        for worker in range(options.workers):
            corpus = Path(scratch) / str(worker)
            seeds = kernel_fuzz.write_seeds(samples, corpus)
            seed = options.seed + worker * _STEP
            runs.append(pool.submit(kernel_fuzz.run_fuzzer, program, corpus, keep, seconds, seed, stop=stop))
        done = [future.result() for future in runs]
    executed = sum(fuzzed.runs for fuzzed in done)
    result.problems += [f"native kernel: {finding}" for fuzzed in done for finding in fuzzed.findings]
    if not executed:
        result.problems.append("native kernel: the fuzzer did not run a single input")
    covered = max(fuzzed.covered for fuzzed in done)
    corpus_size = max(fuzzed.corpus for fuzzed in done)
    result.lines.append(
        f"native kernel: {executed:,} inputs in {options.workers} processes of {duration(seconds)} from {seeds} seeds, "
        f"{covered} edges covered by {corpus_size} inputs, with the address and undefined-behaviour sanitizers"
    )
    result.figures |= {
        "fuzzer_inputs": executed,
        "edges_covered": covered,
        "corpus": corpus_size,
        "fuzzer_seeds": seeds,
    }


def _damage(
    result: SoakResult, samples: list[Sample], folder: Path | None, keep: Path, seconds: float, options: Namespace
) -> None:
    kernels = ["native", "python"] if native.kernel() is not None else ["python"]
    until = Deadline.after(seconds)
    # One of the kernels reads while the other waits.
    workers = options.workers
    with _together(workers) as (pool, stop):
        runs = []
        for worker in range(workers):
            seeds = count(options.seed + worker * _STEP)
            runs.append(pool.submit(run_damaged, samples, kernels, folder, seeds, until, keep, stop=stop))
        done = [future.result() for future in runs]
    whole = Campaign()
    for part in done:
        whole.inputs += part.inputs
        whole.outcomes += part.outcomes
        whole.findings += part.findings
        whole.peak, whole.slowest = max(whole.peak, part.peak), max(whole.slowest, part.slowest)
    result.problems += [finding.line for finding in whole.findings]
    if not whole.inputs:
        result.problems.append("whole reader: no damaged file was read in the time")
    outcomes = ", ".join(f"{name} {number:,}" for name, number in sorted(whole.outcomes.items()))
    result.lines.append(
        f"whole reader: {whole.inputs:,} damaged files with the kernels {' and '.join(kernels)} ({outcomes}); "
        f"{whole.peak / 1e6:.0f} MB at most of {MEMORY_BOUND / 1e6:.0f}, {whole.slowest:.1f} s for the slowest"
    )
    result.figures |= {
        "damaged_files": whole.inputs, "outcomes": dict(whole.outcomes), "peak_bytes": whole.peak,
        "memory_bound": MEMORY_BOUND, "slowest_seconds": round(whole.slowest, 2), "kernels": kernels,
    }  # fmt: skip


def _replay(path: Path) -> SoakResult:
    """One input again: a trace by the whole reader, with each kernel; any other by the fuzzer's program."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    result = SoakResult("etl")
    if path.suffix != ".etl":
        result.problems += kernel_fuzz.replay(kernel_fuzz.build(), path).findings
        return result
    digests = set()
    for kernel in ("native", "python") if native.kernel() is not None else ("python",):
        with Reader(kernel, None) as reader:
            answer = reader.ask(f"= {path.resolve()}")
        digests.add(answer.get("digest"))
        if answer["outcome"] not in ("read", "refused"):
            result.problems.append(f"{answer['outcome']} ({kernel} kernel): {answer['why']}")
            result.lines += str(answer.get("traceback", "")).splitlines()
    if not result.problems and len(digests) > 1:
        result.problems.append("the kernels read something else")
    return result
