"""Soak `fuzz`: hostile IOCTLs by seed, a million unless told otherwise, against a driver that is often restarted."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, Namespace
from pathlib import Path

from hotswap.cli.progress import Progress, duration
from hotswap.errors import UsageError
from hotswap.fuzz.campaign import Campaign, FuzzPlan, FuzzResult
from hotswap.run import RunFolder
from hotswap.soak.result import SoakResult
from hotswap.testing.guest import GuestMachine


def add_options(parser: ArgumentParser) -> None:
    """Their names on the command line."""
    parser.add_argument("--count", type=int, default=1_000_000, metavar="N", help="IOCTLs [1000000]")
    parser.add_argument("--seed", type=int, default=1, metavar="SEED", help="everything follows from it [1]")
    parser.add_argument("--epoch", type=int, metavar="N", help="only this part of the seed: what a finding names")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="the steps of a finding (fuzz.json)")
    parser.add_argument("--machine", default="wine", help=SUPPRESS)


def run(options: Namespace, progress: Progress) -> SoakResult:
    """One campaign. A finding is a problem, and ends it."""
    if options.count < 1:
        raise UsageError(f"count is {options.count}; it must be at least 1")
    if options.epoch is not None and options.epoch < 0:
        raise UsageError(f"epoch is {options.epoch}; it must be at least 0")
    if options.replay is not None and not options.replay.is_file():
        raise UsageError(f"there is no file {options.replay}")
    folder = RunFolder.create()
    machine = GuestMachine(options.machine, folder.path / "guest", progress)
    campaign = Campaign(machine, folder, lambda line: setattr(progress, "headline", line))
    verdict, why = "inconclusive", "the run did not get to its end"
    try:
        if options.replay is not None:
            found = campaign.replay(options.replay)
        else:
            found = campaign.run(FuzzPlan(options.seed, options.count, options.epoch))
        verdict, why = ("pass", "nothing was found") if found.passed else ("fail", found.finding)
    finally:
        campaign.close()
        machine.close()
        facts = {"run_folder": str(folder.path), "environment": {"machine": options.machine}}
        folder.write_summary({"schema": 1, "verdict": verdict, "state": "ended", "reason": why, **facts})
        folder.close()
    return _result(found, options.seed, folder)


def _result(found: FuzzResult, seed: int, folder: RunFolder) -> SoakResult:
    result = SoakResult("fuzz", seconds=found.seconds)
    if not found.passed:
        result.problems.append(f"{found.kind}: {found.finding}")
        result.lines += [found.stack, f"repeat it with: {found.repeat}"]
        if found.reduced:
            result.lines.append(f"reduced to {found.reduced} steps")
        result.lines.append(f"run folder: {folder.path}")
    rate = found.requests / found.script_seconds if found.script_seconds else 0.0
    result.lines.append(
        f"{found.requests:,} IOCTLs in {duration(found.seconds)} (seed {seed}): {rate:,.0f} per second in scripts, "
        f"{found.batches:,} scripts, the driver started and stopped {found.epochs:,} times"
    )
    shown = ", ".join(f"{name} {count:,}" for name, count in found.statuses.most_common())
    result.lines.append(f"answers: {shown or 'none'}")
    result.lines.append(
        f"{found.orphans:,} requests left behind by a close, {found.cancelled_orphans:,} of them cancelled by it"
    )
    result.figures |= {
        "seed": seed,
        "requests": found.requests,
        "requests_per_second": round(rate, 1),
        "epochs": found.epochs,
        "finding": found.finding,
        "stack": found.stack,
        "repeat": found.repeat,
        "answers": dict(found.statuses),
    }
    return result
