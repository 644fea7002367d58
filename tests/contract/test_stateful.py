"""The state machine on the real driver: every step compared with the model of the contract."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from hotswap.conformance.campaign import run_campaign
from hotswap.conformance.guest import IMAGE
from hotswap.conformance.replay import driver_subject
from hotswap.conformance.script import Script
from hotswap.conformance.session import replay
from hotswap.conformance.subject import DriverSubject
from hotswap.paths import runs_home
from hotswap.soak.starve import starved
from hotswap.swap.outside import DriverHostWatch, OutsideView
from hotswap.testing.guest import GuestMachine

SEED = 20_261
SECONDS = float(os.environ.get("HOTSWAP_STATEFUL_SECONDS", "30"))
SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.json"))


@pytest.fixture(scope="module")
def subject(machine: GuestMachine) -> Iterator[DriverSubject]:
    with driver_subject(machine) as subject:
        yield subject


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_driver_and_contract_agree_in_a_script_that_once_showed_a_defect(subject: DriverSubject, path: Path) -> None:
    found = replay(subject, Script.load(path))
    assert found is None, str(found)


@pytest.mark.parametrize("disturbed", [False, True], ids=["undisturbed", "starved"])
def test_driver_and_contract_agree_after_every_random_step(
    subject: DriverSubject,
    machine: GuestMachine,
    disturbed: bool,
    record_property: pytest.RecordProperty,
    capsys: pytest.CaptureFixture[str],
) -> None:
    host = DriverHostWatch.find(machine.current, IMAGE) if isinstance(machine.current, OutsideView) else None
    assert host is not None
    host.close()
    seed = SEED + 1000 * disturbed
    with starved(host.process.pid, seed, busy=0) if disturbed else nullcontext():
        campaign = run_campaign(subject, first_seed=seed, enough=lambda _steps, seconds: seconds >= SECONDS / 2)
    with capsys.disabled():
        print(f"\nstateful: {campaign.line}{' (starved)' if disturbed else ''}")
    record_property("steps", campaign.steps)
    failure = campaign.failure(runs_home() / "scripts")
    if failure is not None:
        pytest.fail(failure, pytrace=False)
    # A run that only ever takes trivial steps proves nothing; one on a slow machine may miss what is rare.
    missing = campaign.coverage.missing()
    assert len(missing) <= (0 if campaign.steps >= 6000 else 15), f"{campaign.steps} steps never reached: {missing}"
