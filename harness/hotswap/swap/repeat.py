"""The same swap test again and again, each time with the next seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from statistics import median
from time import monotonic
from typing import Any, Protocol

from hotswap.errors import LabFault, UsageError
from hotswap.interrupt import uninterrupted
from hotswap.runs import remove_run
from hotswap.swap.lab import Progress
from hotswap.swap.plan import SwapPlan
from hotswap.swap.result import SwapResult, phase_ticks
from hotswap.swap.runner import Interrupted, run_swap
from hotswap.swap.witnesses import UpdateReply
from hotswap.trace.expect import Verdict

MAX_RUNS = 1_000_000
SCHEMA = 1
_WORST_FIRST = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)


@dataclass(frozen=True, slots=True)
class Span:
    """How long something took in one swap; `swap` counts from 1 within its run."""

    seed: int
    swap: int
    microseconds: float


@dataclass(frozen=True, slots=True)
class SeriesRun:
    """One run of a series: its result, how long it took in all, and whether its folder was kept."""

    seed: int
    result: SwapResult
    seconds: float
    kept: bool = True

    def holds(self) -> list[Span]:
        """First call held to release, of the swaps that were met by a call."""
        return self._spans(lambda update: phase_ticks(update)["hold"])

    def windows(self) -> list[Span]:
        """Stall to release, the most that a call could be held: every swap that got so far has one."""
        return self._spans(_window)

    def _spans(self, ticks_of: Callable[[UpdateReply], int | None]) -> list[Span]:
        frequency = self.result.tick_frequency
        return [
            # A call that was still taken in while the release was under way is stamped after it: held for no time.
            Span(self.seed, number, round(ticks * 1e6 / frequency, 1))
            for number, update in enumerate(self.result.updates)
            if number and (ticks := ticks_of(update)) is not None
        ]

    def to_json(self) -> dict[str, Any]:
        """What `swap --json` gives for this run, and its place in the series."""
        return {**self.result.to_json(), "seed": self.seed, "seconds": round(self.seconds, 3), "kept": self.kept}


def _window(update: UpdateReply) -> int | None:
    begin, end = update.ticks.get("stalled"), update.ticks.get("released")
    return end - begin if begin and end else None


@dataclass(slots=True)
class Series:
    """What a series has come to: filled in while it goes on."""

    planned: int
    runs: list[SeriesRun] = field(default_factory=list)
    interrupted: bool = False
    fault: LabFault | None = None
    """What ended it early, when that was the lab."""
    fault_seed: int | None = None

    @property
    def verdict(self) -> Verdict:
        """The worst one; inconclusive when the series did not come to its end for another reason than a verdict."""
        worst = next((v for v in _WORST_FIRST if v in self.verdicts), Verdict.INCONCLUSIVE)
        cut_short = self.interrupted or self.fault is not None
        return Verdict.INCONCLUSIVE if cut_short and worst is Verdict.PASS else worst

    @property
    def verdicts(self) -> Mapping[Verdict, int]:
        """How many runs came to each verdict."""
        return Counter(run.result.verdict for run in self.runs)

    @property
    def reason(self) -> str:
        """In one sentence."""
        if self.fault is not None:
            return f"the lab failed in the run with seed {self.fault_seed}, after {len(self.runs)} runs: {self.fault}"
        if self.interrupted:
            return f"the series was interrupted after {len(self.runs)} of {self.planned} runs"
        wrong = [run for run in self.runs if run.result.verdict is self.verdict]
        if self.verdict is Verdict.PASS:
            return f"{len(self.runs)} of {self.planned} runs passed"
        first = wrong[0]
        count = f"{len(wrong)} of {len(self.runs)} runs" if len(self.runs) > 1 else "the run"
        return f"{count} ended in {self.verdict}, first with seed {first.seed}: {first.result.reason}"

    @property
    def first_not_passed(self) -> SeriesRun | None:
        """The run to look at: the first of the worst verdict."""
        if self.verdicts.get(Verdict.PASS, 0) == len(self.runs):
            return None
        worst = next(verdict for verdict in _WORST_FIRST if verdict in self.verdicts)
        return next(run for run in self.runs if run.result.verdict is worst)

    def holds(self) -> list[Span]:
        """All hold times."""
        return [hold for run in self.runs for hold in run.holds()]

    def windows(self) -> list[Span]:
        """All times from stall to release."""
        return [window for run in self.runs for window in run.windows()]

    def to_json(self) -> dict[str, Any]:
        """The contract of `swap --repeat N --json`."""
        return {
            "schema": SCHEMA,
            "verdict": str(self.verdict),
            "reason": self.reason,
            "planned": self.planned,
            "verdicts": {str(verdict): count for verdict, count in self.verdicts.items()},
            "hold_us": span_figures(self.holds()),
            "stall_us": span_figures(self.windows()),
            "runs": [run.to_json() for run in self.runs],
        }


def span_figures(spans: Sequence[Span], slowest: int = 5) -> dict[str, Any]:
    """Count, median, 99th percentile (nearest rank) and maximum in microseconds, and the slowest, longest first."""
    spans = sorted(spans, key=lambda span: span.microseconds, reverse=True)
    times = [span.microseconds for span in spans]
    if not times:
        return {"count": 0, "median": None, "p99": None, "max": None, "slowest": []}
    return {
        "count": len(times),
        "median": round(median(times), 1),
        "p99": times[len(times) - ceil(0.99 * len(times))],
        "max": times[0],
        "slowest": [
            {"seed": span.seed, "swap": span.swap, "microseconds": span.microseconds} for span in spans[:slowest]
        ],
    }


def span_lines(holds: Sequence[Span], windows: Sequence[Span], *, by: str = "seed") -> list[str]:
    """The figures for people, and the slowest by `seed`, or by `swap` where all are of one run."""
    lines = []
    for what, spans in (("hold time", holds), ("stall to release, the most a call can be held", windows)):
        figures = span_figures(spans)
        if not figures["count"]:
            lines.append(f"{what}: no call was held" if spans is holds else f"{what}: no swap got so far")
            continue
        lines.append(
            f"{what}: median {figures['median']:,.0f} µs, p99 {figures['p99']:,.0f} µs, max {figures['max']:,.0f} µs "
            f"({figures['count']} swaps)"
        )
        slowest = ", ".join(f"{span[by]} ({span['microseconds']:,.0f} µs)" for span in figures["slowest"])
        lines.append(f"  slowest by {by}: {slowest}")
    return lines


class Listener(Protocol):
    """Told what happens in a series."""

    def begins(self, number: int, seed: int, series: Series) -> None:
        """Run `number`, from 1, begins."""

    def ended(self, run: SeriesRun, series: Series) -> None:
        """A run ended and counts."""


def run_series(
    plan: SwapPlan,
    count: int,
    *,
    keep_going: bool = False,
    keep: str = "all",
    progress: Progress | None = None,
    command: Callable[[int], str] = lambda _seed: "",
    listener: Listener | None = None,
) -> Series:
    """Run `plan` with its seed and the `count - 1` that follow; ends at the first verdict that is not pass.

    With `keep_going` it goes on. A fault of the lab or an interrupt always ends it: the series says so, and has what
    there was until then. `keep`: `all` run folders, `failed` only (a pass is dropped at once), or `last`: those and the
    last one. `command(seed)` is the line that repeats one run. UsageError before anything is made.
    """
    if not 1 <= count <= MAX_RUNS:
        raise UsageError(f"repeat is {count}; it must lie between 1 and {MAX_RUNS}")
    last = plan.seed + count - 1
    # Whatever is wrong with the last of them is to be said now.
    replace(plan, seed=last)
    series = Series(count)
    for number, seed in enumerate(range(plan.seed, last + 1), 1):
        if listener:
            listener.begins(number, seed, series)
        begun = monotonic()
        try:
            result = run_swap(replace(plan, seed=seed), progress=progress, command=command(seed))
        except Interrupted as interrupted:
            series.interrupted = True
            series.runs.append(SeriesRun(seed, interrupted.result, monotonic() - begun))
            break
        except KeyboardInterrupt:
            series.interrupted = True
            break
        except LabFault as fault:
            series.fault, series.fault_seed = fault, seed
            break
        run = SeriesRun(seed, result, monotonic() - begun)
        series.runs.append(run)
        _drop(series, keep)
        if listener:
            listener.ended(series.runs[-1], series)
        if result.verdict is not Verdict.PASS and not keep_going:
            break
    return series


def _drop(series: Series, keep: str) -> None:
    """Remove the run folder that is not to be kept: of the pass that just ended, or of the one before it."""
    at = {"failed": len(series.runs) - 1, "last": len(series.runs) - 2}.get(keep, -1)
    if at < 0 or series.runs[at].result.verdict is not Verdict.PASS:
        return
    with uninterrupted():
        try:
            remove_run(series.runs[at].result.run_folder)
        except FileNotFoundError:
            # Somebody pruned meanwhile.
            pass
        except OSError:
            # It stays and is listed; a folder too many is no reason to end a series.
            return
        series.runs[at] = replace(series.runs[at], kept=False)
