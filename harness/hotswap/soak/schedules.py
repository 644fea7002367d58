"""Soak `schedules`: every reachable order of signal, wake, wrapper entry, stall, switch, resume and return, forced."""

from __future__ import annotations

import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from hotswap.cli.progress import Progress, duration
from hotswap.errors import GuestFault, UsageError
from hotswap.runs import remove_run
from hotswap.schedule.explore import Schedule, everything, parse, sample
from hotswap.schedule.guest import Diverged, Session
from hotswap.schedule.model import SCENARIOS, Scenario
from hotswap.soak.result import SoakResult
from hotswap.testing.guest import GuestMachine
from hotswap.testing.record import Record

_SESSION = 250
"""Schedules in one start of the driver."""
_MAX_PROBLEMS = 10


def add_options(parser: ArgumentParser) -> None:
    """Their names on the command line."""
    parser.add_argument("--scenario", choices=SCENARIOS, help="only this one [all]")
    parser.add_argument("--count", type=int, default=0, metavar="N", help="a sample of so many; 0: all reachable [0]")
    parser.add_argument("--seed", type=int, default=1, metavar="SEED", help="of the sample [1]")
    parser.add_argument("--replay", metavar="NAME", help="only this schedule, as a failure names it")
    parser.add_argument("--machine", default="wine", metavar="NAME", help="where the guest runs [wine]")


def run(options: Namespace, progress: Progress) -> SoakResult:
    """Each schedule in turn. One that does not hold is a problem; its session ends with it."""
    if options.count < 0:
        raise UsageError(f"count is {options.count}; it must be at least 0")
    chosen, reachable = _choose(options, progress)
    result = SoakResult("schedules")
    begun = monotonic()
    ran: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="hotswap-schedules-") as folder:
        guest = GuestMachine(options.machine, Path(folder), progress)
        try:
            for name, scenario in SCENARIOS.items():
                own = [schedule for other, schedule in chosen if other is scenario]
                for at in range(0, len(own), _SESSION):
                    done = sum(ran.values())
                    rate = (monotonic() - begun) / done if done else 0.0
                    left = f", about {duration(rate * (len(chosen) - done))} left" if done else ""
                    progress.headline = f"schedule {done + 1} of {len(chosen)}{left}"
                    problems = _session(guest, scenario, own[at : at + _SESSION])
                    result.problems += problems
                    ran[name] = ran.get(name, 0) + len(own[at : at + _SESSION])
                    if len(result.problems) >= _MAX_PROBLEMS:
                        break
        finally:
            guest.close()
    result.seconds = monotonic() - begun
    result.figures |= {"schedules": sum(ran.values()), "reachable": reachable, "seed": options.seed, "scenarios": ran}
    result.lines += [f"{name}: {count} schedules" for name, count in ran.items()]
    result.lines.append(f"{sum(ran.values())} of {reachable} reachable orders were forced")
    return result


def _choose(options: Namespace, progress: Progress) -> tuple[Sequence[tuple[Scenario, Schedule]], int]:
    """What is run, and how many there are of it."""
    if options.replay is not None:
        return [parse(options.replay)], 1
    progress("enumerating the reachable orders")
    reachable = [item for item in everything() if options.scenario in (None, item[0].name)]
    return sample(reachable, options.count or len(reachable), options.seed), len(reachable)


def _session(guest: GuestMachine, scenario: Scenario, schedules: Sequence[Schedule]) -> list[str]:
    """Run them in one start of the driver; returns what does not hold. Its run folder stays if there is something."""
    record = Record(guest, None, f"ci/soak schedules: {scenario.name}")
    problems: list[str] = []
    error: BaseException | None = None
    try:
        driver = record.begin()
        session = Session(driver, scenario)
        try:
            session.run_all(schedules)
        except Diverged as diverged:
            problems.append(str(diverged))
            error = diverged
        else:
            session.end()
            driver.stop()
            problems += session.judge(record.trace)
            verdict = record.trace.verdict()
            problems += [f"{id} failed: {verdict.reason}" for id in verdict.failed]
    except BaseException as failure:
        error = failure
        raise
    finally:
        ended = record.end(error)
    if isinstance(ended, GuestFault) and not problems:
        problems.append(str(ended))
    if problems:
        return [f"{problem}\nrun folder {record.folder.path}" for problem in problems]
    remove_run(record.folder.path)
    return []
