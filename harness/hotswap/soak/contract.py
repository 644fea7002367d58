"""Soak `contract`: random steps on the conformance driver, each compared with the model of the contract."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from hotswap.cli.progress import Progress, duration
from hotswap.conformance.campaign import Campaign, run_campaign
from hotswap.conformance.guest import IMAGE
from hotswap.conformance.replay import driver_subject
from hotswap.errors import GuestFault, HotswapError, UsageError
from hotswap.machine.proc import command_name
from hotswap.machine.wine import WineMachine
from hotswap.paths import runs_home
from hotswap.soak.probe import GUEST_BOUNDS, HARNESS_BOUNDS, harness_figures, process_figures
from hotswap.soak.result import SoakResult
from hotswap.soak.starve import starved
from hotswap.soak.trend import MIN_SAMPLES, Bound, judge_all
from hotswap.swap.outside import DriverHostWatch
from hotswap.testing.guest import GuestMachine

SCRIPTS = "scripts"
_STEPS_FOR_VARIETY = 10_000
"""A run of so many that only ever takes trivial steps proves nothing."""


def add_options(parser: ArgumentParser) -> None:
    """Their names on the command line."""
    parser.add_argument("--steps", type=int, default=100_000, metavar="N", help="steps to make [100000]")
    parser.add_argument("--first-seed", type=int, default=1, metavar="SEED", help="seed of the first round [1]")
    parser.add_argument("--machine", default="wine", metavar="NAME", help="machine to run in [wine]")
    parser.add_argument(
        "--starve",
        type=int,
        default=0,
        metavar="N",
        help="with N busy processes beside, and the driver's threads starved",
    )


def run(options: Namespace, progress: Progress) -> SoakResult:
    """All in one guest. A disagreement, and variety that was not reached, is a problem."""
    if options.steps < 1:
        raise UsageError(f"steps is {options.steps}; it must be at least 1")
    if options.starve < 0:
        raise UsageError(f"starve is {options.starve}; it must be at least 0")
    result = SoakResult("contract")
    begun = monotonic()
    with TemporaryDirectory(prefix="hotswap-soak-") as folder:
        guest = GuestMachine(options.machine, Path(folder), progress)
        try:
            _campaign(options, guest, progress, result)
        except HotswapError as error:
            error.add_note(f"after {duration(monotonic() - begun)} of the soak")
            raise
        finally:
            guest.close()
    result.seconds = monotonic() - begun
    return result


def _campaign(options: Namespace, guest: GuestMachine, progress: Progress, result: SoakResult) -> None:
    with driver_subject(guest) as subject:
        watch = _Watch(guest, options.steps, progress)
        disturbed = (
            starved(watch.driver_host, options.first_seed, busy=options.starve) if options.starve else nullcontext()
        )
        with disturbed:
            campaign = run_campaign(
                subject,
                first_seed=options.first_seed,
                enough=lambda steps, _seconds: steps >= options.steps,
                after_round=watch.after_round,
            )
        for prefix, samples, bounds in watch.series():
            if len(samples) >= MIN_SAMPLES:
                result.trends += judge_all(prefix, watch.thousands, samples, bounds)
    _tell(campaign, result)


def _tell(campaign: Campaign, result: SoakResult) -> None:
    failure = campaign.failure(runs_home() / SCRIPTS)
    if failure is not None:
        result.problems.append(failure)
    elif missing := campaign.coverage.missing():
        never = f"{campaign.steps} steps never reached: {', '.join(missing)}"
        (result.problems if campaign.steps >= _STEPS_FOR_VARIETY else result.lines).append(never)
    result.lines.append(campaign.line)
    coverage = campaign.coverage
    for what, counts in (("steps", coverage.kinds), ("answers", coverage.answers), ("reached", coverage.marks)):
        told = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
        result.lines.append(f"{what}: {told}")
    result.figures |= {
        "steps": campaign.steps,
        "steps_per_second": round(campaign.steps / campaign.seconds, 1) if campaign.seconds else 0.0,
        "first_seed": campaign.first_seed,
        "rounds": campaign.rounds,
        "coverage": coverage.to_json(),
    }


class _Watch:
    """Looks at driver host, wineserver and this process after every round; steps are counted in thousands."""

    def __init__(self, guest: GuestMachine, steps: int, progress: Progress) -> None:
        self._steps = steps
        self._progress = progress
        machine = guest.current
        host = DriverHostWatch.find(machine, IMAGE) if isinstance(machine, WineMachine) else None
        if host is None or not isinstance(machine, WineMachine):
            raise GuestFault("the driver host cannot be seen from outside, so its growth cannot be judged")
        host.close()
        servers = (each.pid for each in machine.processes() if command_name(each.pid).startswith("wineserver"))
        self.driver_host = host.process.pid
        self._pids = {"driver host: ": self.driver_host, "wineserver: ": next(servers)}
        self.thousands: list[float] = []
        self._guest: dict[str, list[dict[str, float]]] = {name: [] for name in self._pids}
        self._own: list[dict[str, float]] = []

    def after_round(self, steps: int) -> None:
        """Take a sample."""
        self._progress.headline = f"{steps:,} of {self._steps:,} steps"
        self._progress("comparing the driver with the model of the contract")
        self.thousands.append(steps / 1000)
        for name, pid in self._pids.items():
            self._guest[name].append(process_figures(pid))
        self._own.append(harness_figures(()))

    def series(self) -> list[tuple[str, list[dict[str, float]], Mapping[str, Bound]]]:
        """Prefix, samples and bounds of each source."""
        guest = [(name, samples, GUEST_BOUNDS) for name, samples in self._guest.items()]
        return [*guest, ("", self._own, HARNESS_BOUNDS)]
