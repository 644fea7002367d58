"""Soak `faults`: every fault in every state that the matrix names, and power cuts in mid-swap at every point."""

from __future__ import annotations

import shutil
from argparse import ArgumentParser, Namespace
from time import monotonic

from hotswap.cli.progress import Progress
from hotswap.driver.build import build_drivers
from hotswap.errors import UsageError
from hotswap.faults.matrix import CASES, Outcome, run_case
from hotswap.faults.power_cut import CUT_POINTS, cut_power
from hotswap.soak.result import SoakResult


def add_options(parser: ArgumentParser) -> None:
    """Their names on the command line."""
    parser.add_argument("--only", default="", metavar="TEXT", help="only cases in whose name this is")
    parser.add_argument("--cuts", type=int, default=len(CUT_POINTS), metavar="N", help="power cuts in mid-swap [all]")
    parser.add_argument(
        "--slack", type=float, default=2.0, metavar="X", help="so many times as long as on a quiet computer [2]"
    )
    parser.add_argument("--keep", action="store_true", help="keep the run folders of cases that ended as they must")


def run(options: Namespace, progress: Progress) -> SoakResult:
    """The matrix first, then the cuts. Whatever ends in another verdict, lacks evidence or is late is a problem."""
    if options.slack <= 0 or not 0 <= options.cuts <= len(CUT_POINTS):
        raise UsageError(f"--slack must be positive, and --cuts between 0 and {len(CUT_POINTS)}")
    chosen = [case for case in CASES if options.only in case.name]
    if not chosen and not options.cuts:
        raise UsageError(f"--only {options.only}: no case is called so")
    begun = monotonic()
    result = SoakResult("faults")
    width = max((len(case.name) for case in chosen), default=0)
    for number, case in enumerate(chosen, 1):
        progress.headline = f"case {number} of {len(chosen)}: {case.name}"
        outcome = run_case(case, slack=options.slack)
        result.lines.append(_line(outcome, width))
        result.problems += [f"{case.name}: {problem}" for problem in outcome.problems]
        if not outcome.problems and not options.keep and outcome.run_folder is not None:
            shutil.rmtree(outcome.run_folder, ignore_errors=True)
    build = build_drivers(progress)
    for number, point in enumerate(CUT_POINTS[: options.cuts], 1):
        progress.headline = f"power cut {number} of {options.cuts}: {point.told}"
        cut = cut_power(build, point)
        result.lines.append(f"power cut {point.told}: {cut.told} ({cut.seconds:.0f} s)")
        result.problems += [f"power cut {point.told}: {problem}" for problem in cut.problems]
    result.seconds = monotonic() - begun
    result.figures |= {"cases": len(chosen), "cuts": options.cuts}
    return result


def _line(outcome: Outcome, width: int) -> str:
    case = outcome.case
    mark = "as it must" if not outcome.problems else "NOT as it must"
    return (
        f"{case.name:<{width}}  {outcome.verdict:<12}  {outcome.seconds:6.1f} s of {case.seconds:.0f}  "
        f"{len(case.evidence)} kinds of evidence  {mark}"
    )
