"""Hostile callers: nothing is found in the sample, each planted defect is, and what was found can be run again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from planted import PLANTED, Planted

from hotswap.driver.build import DriverBuild
from hotswap.fuzz.campaign import Campaign, FuzzPlan
from hotswap.paths import package_data
from mutants.forge import Forge
from mutants.guest import MutantGuest

SEED = 3
MakeCampaign = Callable[[], Campaign]


def test_nothing_is_found_in_the_sample(guest: MutantGuest, build: DriverBuild, campaign: MakeCampaign) -> None:
    guest.use(build)
    result = campaign().run(FuzzPlan(SEED, 10_000))
    assert result.passed, f"{result.kind}: {result.finding}\n{result.stack}\n{result.repeat}"
    assert result.requests >= 10_000
    assert result.epochs >= 2
    # All that the contract names was reached, and not only refusals.
    assert {"STATUS_SUCCESS (0x00000000)", "STATUS_DELETE_PENDING (0xC0000056)"} <= set(result.statuses)
    assert len(result.statuses) >= 8
    assert result.statuses["STATUS_SUCCESS (0x00000000)"] > 300


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.mutant.name)
def test_a_planted_defect_is_found(
    planted: Planted,
    forge: Forge,
    guest: MutantGuest,
    build: DriverBuild,
    campaign: MakeCampaign,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Some of them make the driver hang, by luck.
    monkeypatch.setattr("hotswap.fuzz.guest.BATCH_SECONDS", 8.0 if planted.kinds == ("hang",) else 20.0)
    guest.use(forge.build_with(planted.mutant, build))
    result = campaign().run(FuzzPlan(SEED, 1, reduce=False))
    assert not result.passed, f"{planted.mutant.name} was not found: {planted.mutant.breaks}"
    assert result.kind in planted.kinds, f"{result.kind}: {result.finding}"
    assert result.repeat.startswith(f"ci/soak fuzz --seed {SEED} ")
    if result.kind == "crash" or planted.kinds == ("hang",):
        assert planted.stack in result.stack, result.stack
        assert planted.stack.rpartition("/")[2] in result.finding


def test_a_finding_is_reduced_and_the_file_of_it_finds_it_again(
    forge: Forge,
    guest: MutantGuest,
    build: DriverBuild,
    campaign: MakeCampaign,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hotswap.fuzz.campaign.REDUCE_SECONDS", 15.0)
    planted = next(each for each in PLANTED if each.mutant.name == "output-size-off")
    guest.use(forge.build_with(planted.mutant, build))
    first = campaign()
    result = first.run(FuzzPlan(SEED, 2000, sweep=False))
    assert result.kind == "status"
    # One request on one handle shows it; a slow computer does not get that far.
    assert 0 < result.reduced < 200
    file = first.folder / "fuzz.json"
    assert result.repeat == f"ci/soak fuzz --replay {file}"
    again = campaign().replay(file)
    assert (again.kind, again.passed) == (result.kind, False)
    guest.discard("next comes the good driver")
    guest.use(build)
    assert campaign().replay(file).passed


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.mutant.name)
def test_a_planted_defect_fits_the_sources(planted: Planted) -> None:
    planted.mutant.applied((package_data("driver") / planted.mutant.file).read_text())


def test_there_are_enough_of_them() -> None:
    assert len({planted.mutant.name for planted in PLANTED}) == len(PLANTED) >= 6
