"""Soak `swaps`: good swaps in a row. First many runs, each in a guest of its own; then many swaps in one guest."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, Namespace
from pathlib import Path
from time import monotonic

from hotswap.cli.progress import Progress, duration
from hotswap.errors import GuestFault, HotswapError, UsageError
from hotswap.machine.proc import command_name
from hotswap.machine.wine import WineMachine
from hotswap.runs import remove_run
from hotswap.soak.leak import Leak
from hotswap.soak.probe import GUEST_BOUNDS, HARNESS_BOUNDS, harness_figures, process_figures
from hotswap.soak.result import SoakResult
from hotswap.soak.trend import MIN_SAMPLES, Bound, judge_all
from hotswap.swap.lab import Lab
from hotswap.swap.observe import counters
from hotswap.swap.plan import SwapPlan
from hotswap.swap.repeat import SeriesRun, Span, span_figures, span_lines
from hotswap.swap.result import SwapResult
from hotswap.swap.runner import run_swap
from hotswap.trace.expect import Verdict

# Iterations long and frequent enough that most swaps meet calls, so that there are hold times to look at.
_WORK_US = 200
_RATE = 4000
_RUN_SECONDS = 0.3
_GUEST_SECONDS = 0.1
_SAMPLE_EVERY = 10
# Of the driver's counters those that say what it did, not what it holds.
_CUMULATIVE = frozenset({"EventsWritten", "Iterations", "Signals"})
_COUNTER = Bound("", 0.01)
_COUNTER_BYTES = Bound("bytes", 1.0)
_MAX_PROBLEMS = 20


def add_options(parser: ArgumentParser) -> None:
    """Their names on the command line."""
    parser.add_argument("--count", type=int, default=200, metavar="N", help="runs, each in its own guest [200]")
    parser.add_argument("--first-seed", type=int, default=1, metavar="SEED", help="seed of the first run [1]")
    parser.add_argument("--swaps", type=int, default=200, metavar="N", help="swaps in one guest; 0: none [200]")
    parser.add_argument("--to", default="v2", metavar="UPDATE", help="endpoint driver to swap in [v2]")
    parser.add_argument("--leak", choices=Leak.KINDS, help=SUPPRESS)


def run(options: Namespace, progress: Progress) -> SoakResult:
    """Both parts. A run that does not pass is a problem and ends its part."""
    for name, value, low in (
        ("count", options.count, 0),
        ("swaps", options.swaps, 0),
        ("count + swaps", options.count + options.swaps, 1),
    ):
        if value < low:
            raise UsageError(f"{name} is {value}; it must be at least {low}")
    if 0 < options.count < MIN_SAMPLES or 0 < options.swaps < _SAMPLE_EVERY * MIN_SAMPLES:
        raise UsageError(
            f"fewer than {MIN_SAMPLES} runs or {_SAMPLE_EVERY * MIN_SAMPLES} swaps in one guest show no trend; 0: none"
        )
    result = SoakResult("swaps")
    begun = monotonic()
    try:
        if options.count:
            _many_runs(options, progress, result)
        if options.swaps and not result.problems:
            _one_guest(options, progress, result)
    except HotswapError as error:
        error.add_note(f"after {duration(monotonic() - begun)} of the soak")
        raise
    result.seconds = monotonic() - begun
    return result


def _many_runs(options: Namespace, progress: Progress, result: SoakResult) -> None:
    holds: list[Span] = []
    windows: list[Span] = []
    folders: set[Path] = set()
    samples: list[dict[str, float]] = []
    leak = Leak(options.leak) if options.leak else None
    begun = monotonic()
    try:
        for done, seed in enumerate(range(options.first_seed, options.first_seed + options.count)):
            left = f", about {duration((monotonic() - begun) / done * (options.count - done))} left" if done else ""
            progress.headline = f"run {done + 1} of {options.count} (seed {seed}){left}"
            plan = SwapPlan(
                updates=("v1", options.to, "v1"), seconds=_RUN_SECONDS, rate=_RATE, work_us=_WORK_US, seed=seed
            )
            run_begun = monotonic()
            swapped = run_swap(plan, progress=progress, command=_command(options, seed))
            folders.add(swapped.run_folder)
            problems = check(plan, swapped)
            result.problems += [f"seed {seed}: {problem}" for problem in problems]
            spans = SeriesRun(seed, swapped, monotonic() - run_begun)
            holds += spans.holds()
            windows += spans.windows()
            if problems:
                break
            remove_run(swapped.run_folder)
            if leak:
                leak.step()
            samples.append(harness_figures(folders))
    finally:
        if leak:
            leak.end()
    if len(samples) >= MIN_SAMPLES:
        result.trends += judge_all("", range(len(samples)), samples, HARNESS_BOUNDS)
    result.figures |= {
        "runs": len(samples),
        "first_seed": options.first_seed,
        "hold_us": span_figures(holds),
        "stall_us": span_figures(windows),
    }
    result.lines.append(f"{len(samples)} of {options.count} runs passed, seeds from {options.first_seed} on")
    result.lines += span_lines(holds, windows)


def _command(options: Namespace, seed: int) -> str:
    to = "" if options.to == "v2" else f" --to {options.to}"
    return f"hotswap swap{to} --seconds {_RUN_SECONDS} --rate {_RATE} --work-us {_WORK_US} --seed {seed}"


def check(plan: SwapPlan, swapped: SwapResult) -> list[str]:
    """What is not as it must be in a good run; a refused update is a pass for some tests and none for this."""
    problems = []
    if swapped.verdict is not Verdict.PASS:
        problems.append(f"verdict {swapped.verdict}: {swapped.reason}; see {swapped.run_folder}")
    if len(swapped.updates) != len(plan.updates):
        problems.append(f"{len(swapped.updates)} of {len(plan.updates)} updates were made; see {swapped.run_folder}")
    for number, update in enumerate(swapped.updates):
        if update.status != 0 or update.rolled_back:
            what = "was rolled back" if update.rolled_back else "did not succeed"
            status = update.status_name or f"0x{update.status & 0xFFFFFFFF:08x}"
            problems.append(f"update {number} {what}: {status}; see {swapped.run_folder}")
    return problems[:_MAX_PROBLEMS]


def _one_guest(options: Namespace, progress: Progress, result: SoakResult) -> None:
    updates = tuple(options.to if number % 2 else "v1" for number in range(options.swaps + 1))
    plan = SwapPlan(updates=updates, seconds=_GUEST_SECONDS, rate=_RATE, work_us=_WORK_US, seed=options.first_seed)
    watch = _GuestWatch(options.swaps, progress)
    swapped = run_swap(plan, progress=progress, command=f"ci/soak swaps --swaps {options.swaps}", interfere=watch)
    problems = check(plan, swapped)
    result.problems += [f"{options.swaps} swaps in one guest: {problem}" for problem in problems]
    if len(watch.steps) >= MIN_SAMPLES:
        for prefix, samples, bounds in watch.series():
            result.trends += judge_all(prefix, watch.steps, samples, bounds)
    spans = SeriesRun(plan.seed, swapped, 0)
    result.figures["one_guest"] = {
        "swaps": len(swapped.updates) - 1,
        "events": swapped.events,
        "hold_us": span_figures(spans.holds()),
        "stall_us": span_figures(spans.windows()),
    }
    result.lines.append(f"{len(swapped.updates) - 1} swaps in one guest, {swapped.events:,} events")
    result.lines += span_lines(spans.holds(), spans.windows(), by="swap")
    if not problems:
        remove_run(swapped.run_folder)


class _GuestWatch:
    """Looks at driver host, wineserver and the driver's counters after every tenth swap, while the load runs."""

    def __init__(self, swaps: int, progress: Progress) -> None:
        self._swaps = swaps
        self._progress = progress
        self._done = -1
        self.steps: list[int] = []
        self._host: list[dict[str, float]] = []
        self._server: list[dict[str, float]] = []
        self._counters: list[dict[str, float]] = []

    def __call__(self, point: str, lab: Lab) -> None:
        """Called by the test at its named points."""
        if point != "load-running":
            return
        self._done += 1
        self._progress.headline = f"swap {min(self._done + 1, self._swaps)} of {self._swaps} in one guest"
        if self._done % _SAMPLE_EVERY:
            return
        if lab.host is None or not isinstance(lab.machine, WineMachine):
            raise GuestFault("the driver host cannot be seen from outside, so its growth cannot be judged")
        processes = lab.machine.processes()
        server = next(process.pid for process in processes if command_name(process.pid).startswith("wineserver"))
        self.steps.append(self._done)
        self._host.append(process_figures(lab.host.process.pid))
        self._server.append(process_figures(server))
        told = counters(lab.device.query_counters())
        self._counters.append({name: float(value) for name, value in told.items() if name not in _CUMULATIVE})

    def series(self) -> list[tuple[str, list[dict[str, float]], dict[str, Bound]]]:
        """Prefix, samples and bounds of each source."""
        names = self._counters[0] if self._counters else ()
        bounds = {name: _COUNTER_BYTES if name.endswith("Bytes") else _COUNTER for name in names}
        return [
            ("driver host: ", self._host, GUEST_BOUNDS),
            ("wineserver: ", self._server, GUEST_BOUNDS),
            ("driver: ", self._counters, bounds),
        ]
