"""`hotswap swap --repeat`: one line a run while it goes on, a summary in the end."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from time import monotonic

from hotswap.cli.output import VERDICT_EXITS, VERDICT_STYLES, Exit, JsonTarget, Terminal, shorten
from hotswap.cli.progress import Progress, duration
from hotswap.swap.plan import SwapPlan
from hotswap.swap.repeat import Series, SeriesRun, run_series, span_lines
from hotswap.trace.expect import Verdict

# What makes a series of a command; the rest repeats one of its runs.
_WITH_VALUE = ("--repeat", "--keep", "--seed", "--json")
_ALONE = ("--keep-going", "--quiet", "-q")


def swap_series(
    plan: SwapPlan,
    count: int,
    progress: Progress,
    target: JsonTarget,
    arguments: Sequence[str],
    *,
    keep_going: bool,
    keep: str,
    quiet: bool,
) -> Exit:
    """Run the series, show it, and answer with the exit code of its worst verdict."""
    console = Terminal(stderr=target.is_standard_output)
    lines = _Lines(console, progress, quiet=quiet and target.is_standard_output)
    begun = monotonic()
    with progress.live():
        series = run_series(
            plan,
            count,
            keep_going=keep_going,
            keep=keep,
            progress=progress,
            command=lambda seed: one_run(arguments, seed),
            listener=lines,
        )
    target.write(series.to_json())
    if not target.is_standard_output:
        _summarize(console, series, monotonic() - begun, arguments)
    if series.interrupted:
        return Exit.INTERRUPTED
    if series.fault is not None:
        raise series.fault
    return VERDICT_EXITS[series.verdict]


def one_run(arguments: Sequence[str], seed: int) -> str:
    """The command that repeats one run of the series that these arguments made."""
    kept: list[str] = []
    at = 0
    while at < len(arguments):
        argument, following = arguments[at], arguments[at + 1 : at + 2]
        at += 1
        if argument in _WITH_VALUE:
            # --json needs none.
            bare = argument == "--json" and following and following[0].startswith("-") and following[0] != "-"
            at += 0 if bare else 1
        elif argument not in _ALONE and not argument.startswith(tuple(f"{name}=" for name in _WITH_VALUE)):
            kept.append(argument)
    return shlex.join(["hotswap", *kept, "--seed", str(seed)])


class _Lines:
    """A line for each run, and on the live line how far the series is."""

    def __init__(self, console: Terminal, progress: Progress, *, quiet: bool) -> None:
        self._console = console
        self._progress = progress
        self._quiet = quiet
        self._begun = monotonic()

    def begins(self, number: int, seed: int, series: Series) -> None:
        """Shown until the next one begins."""
        left = ""
        if series.runs:
            # The runs differ little, so the mean so far tells the rest.
            mean = (monotonic() - self._begun) / len(series.runs)
            left = f", about {duration(mean * (series.planned - number + 1))} left"
        self._progress.headline = f"run {number} of {series.planned} (seed {seed}){left}"

    def ended(self, run: SeriesRun, series: Series) -> None:
        """The line that stays."""
        if self._quiet:
            return
        windows = [window.microseconds for window in run.windows()]
        held = f"stalled {max(windows):,.0f} µs at most" if windows else "no swap was made"
        reason = "" if run.result.verdict is Verdict.PASS else f"  {' '.join(run.result.reason.split())}"
        width = len(str(series.planned))
        with self._progress.aside():
            self._console.print(
                f"{len(series.runs):>{width}}/{series.planned}  seed {run.seed}  ", end="", markup=False
            )
            self._console.print(f"{run.result.verdict}", end="", style=VERDICT_STYLES[run.result.verdict], markup=False)
            self._console.print(f"  {run.seconds:.1f} s  {held}{reason}", markup=False)


def _summarize(console: Terminal, series: Series, seconds: float, arguments: Sequence[str]) -> None:
    counts = ", ".join(f"{series.verdicts[verdict]} {verdict}" for verdict in Verdict if verdict in series.verdicts)
    console.print(
        f"{len(series.runs)} of {series.planned} runs in {duration(seconds)}: {counts or 'none'}", markup=False
    )
    for line in span_lines(series.holds(), series.windows()):
        console.print(line, markup=False)
    if (wrong := series.first_not_passed) is not None:
        console.print(f"repeat it: {one_run(arguments, wrong.seed)}", markup=False)
        console.print(f"report: {shorten(wrong.result.report)}", markup=False)
    style = VERDICT_STYLES[series.verdict]
    console.print(f"verdict: {series.verdict} ({' '.join(series.reason.split())})", style=style, markup=False)
