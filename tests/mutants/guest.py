"""A guest whose runtime and host driver are changed between tests, and named tests run against it."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hotswap.conformance import driver as conformance_driver
from hotswap.conformance.check import CheckFailed, all_checks
from hotswap.conformance.guest import stop_conformance
from hotswap.conformance.result import Outcome
from hotswap.conformance.run import CheckRunner
from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild
from hotswap.driver.package import DeployedImage, DriverPackage
from hotswap.errors import DeadlineExpired, LabFault, UsageError
from hotswap.run import RunFolder
from hotswap.schedule.explore import everything, sample
from hotswap.schedule.guest import Session
from hotswap.schedule.model import SCENARIOS, Scenario
from hotswap.swap.lab import Lab
from hotswap.testing.guest import GuestMachine
from hotswap.testing.record import Record

_TESTS = Path(__file__).parents[1]
_COPY_SECONDS = 30.0
_TEST_SECONDS = 60.0
PATIENCE_SECONDS = 3.0
SCHEDULES = 40


class MutantGuest(GuestMachine):
    """A guest of its own, so that no other test meets a mutant. `use` changes the drivers in it, while none runs."""

    def __init__(self, build: DriverBuild, folder: Path) -> None:
        super().__init__("wine", folder)
        self._build = build

    @property
    def started(self) -> bool:
        """Whether there is a guest now."""
        return self._lab is not None

    def use(self, build: DriverBuild) -> None:
        """From now on these drivers; the guest stays, if there is one."""
        self._build = build
        lab = self._lab
        if lab is not None and self._gone(lab) is not None:
            self.discard("it has ended")
            lab = None
        if lab is None:
            return
        stop_conformance(lab)
        lab.build = build
        fixed = tuple(self._put(lab, deployed) for deployed in lab.package.images)
        lab.package = DriverPackage(fixed, lab.package.endpoints)

    def leave(self, lab: Lab, spent: str | None = None) -> None:
        """What a mutant has broken is not taken down step by step, each with a limit of its own: the guest goes."""
        if spent is None:
            return super().leave(lab)
        return self.discard(spent)

    def _put(self, lab: Lab, deployed: DeployedImage) -> DeployedImage:
        image = self.build.drivers.get(deployed.image.name)
        if image is None or image.sha256 == deployed.image.sha256:
            return deployed
        deadline = Deadline.after(_COPY_SECONDS)
        lab.agent.remove(deployed.guest_path, deadline=deadline)
        arrived = lab.agent.put(image.path, deployed.guest_path, deadline=deadline)
        assert arrived == image.sha256
        return DeployedImage(image, deployed.service, deployed.guest_path)


def failure_of(killer: str, guest: MutantGuest, folder: Path) -> BaseException | None:
    """Run the named check or test against the guest; returns what it failed with.

    Trouble of the lab and misuse are no failure of a test: they are raised.
    """
    try:
        if "::" in killer:
            _run_test(killer, guest, folder)
        elif killer in SCENARIOS:
            _run_schedules(SCENARIOS[killer], guest, folder)
        else:
            _run_check(killer, guest)
    except DeadlineExpired as error:
        return error  # what the test waited for did not come
    except (LabFault, UsageError):
        raise
    except Exception as error:
        return error
    return None


def _run_test(killer: str, guest: MutantGuest, folder: Path) -> None:
    """A test of this project, called with the fixtures that it asks for; `test_x[count=64]`: with a parameter."""
    path, _, name = killer.partition("::")
    name, _, given = name.removesuffix("]").partition("[")
    test = getattr(_module(_TESTS.parent / path), name)
    values: dict[str, Any] = {"deadline": Deadline.after(_TEST_SECONDS), "machine": guest}
    for pair in filter(None, given.split(",")):
        key, _, value = pair.partition("=")
        values[key] = int(value)
    wanted = inspect.signature(test).parameters
    if "lab" in wanted:
        _with_lab(guest, folder, lambda lab: test(**{key: {**values, "lab": lab}[key] for key in wanted}))
    else:
        _with_driver(killer, guest, folder, lambda own: test(**{key: {**values, **own}[key] for key in wanted}))


def _with_lab(guest: MutantGuest, folder: Path, test: Callable[[Lab], None]) -> None:
    run = RunFolder.create(folder)
    try:
        with guest.driver(run, ("v1", "v2")) as lab:
            with _impatience():
                test(lab)
            alive = lab.host is None or lab.host.alive
    finally:
        run.close()
    assert alive, "the driver host died"


def _with_driver(killer: str, guest: MutantGuest, folder: Path, test: Callable[[dict[str, Any]], None]) -> None:
    record = Record(guest, folder, killer)
    try:
        driver = record.begin()
        with _impatience():
            test({"driver": driver, "trace": record.trace})
    except Exception as error:
        guest.discard(f"{type(error).__name__}: {error}")
        record.folder.close()
        raise
    failure = record.end(None)
    if failure is not None:
        raise failure


@contextmanager
def _impatience() -> Iterator[None]:
    """Tests wait long for what must come, as a guard against a hang: here many a test waits for what never comes."""
    waiting = Deadline.wait_for

    def wait_for(deadline: Deadline, *arguments: Any, **named: Any) -> Any:
        return waiting(deadline.within(PATIENCE_SECONDS), *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Deadline, "wait_for", wait_for)
        patch.setattr(conformance_driver, "WAIT_SECONDS", PATIENCE_SECONDS)
        yield


@cache
def _module(path: Path) -> ModuleType:
    """A test file, under a name of its own: pytest has it under another."""
    spec = importlib.util.spec_from_file_location(f"killer_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _run_check(killer: str, guest: MutantGuest) -> None:
    """A check of `hotswap conformance`, as that makes it."""
    check = next((one for one in all_checks() if one.id == killer), None)
    if check is None:
        raise UsageError(f"there is no check {killer!r}")
    with CheckRunner(guest, "compat") as runner, _impatience():
        result = runner.run(check)
    if guest.started:
        # Tests of the host driver look at all that runs beside it.
        stop_conformance(guest.lab())
    if result.outcome is not Outcome.PASS:
        raise CheckFailed(f"{result.outcome}: {result.message}")


def _run_schedules(scenario: Scenario, guest: MutantGuest, folder: Path) -> None:
    """A sample of the schedules of a scenario."""

    def explore(own: dict[str, Any]) -> None:
        session = Session(own["driver"], scenario, hang_seconds=PATIENCE_SECONDS)
        of_scenario = [schedule for other, schedule in everything() if other is scenario]
        session.run_all(sample(of_scenario, SCHEDULES, seed=1))
        session.end()
        own["driver"].stop()
        problems = session.judge(own["trace"])
        assert not problems, problems[0]
        own["trace"].assert_passed()

    _with_driver(f"schedules of {scenario.name}", guest, folder, explore)
