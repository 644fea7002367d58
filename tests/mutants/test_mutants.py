"""Each deliberate defect of the runtime and of the sample turns the check or test red that is named with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from forge import Forge, Mutant
from guest import MutantGuest, failure_of
from image_mutants import IMAGE_MUTANTS
from proxy_mutants import PROXY_MUTANTS
from sample_mutants import SAMPLE_MUTANTS
from schedule_mutants import SCHEDULE_MUTANTS

from hotswap.driver.build import DriverBuild
from hotswap.paths import package_data
from support.counts import MUTANT

MUTANTS = (*PROXY_MUTANTS, *IMAGE_MUTANTS, *SAMPLE_MUTANTS, *SCHEDULE_MUTANTS)
KILLERS = tuple(dict.fromkeys(mutant.killer for mutant in MUTANTS))
AT_LEAST = 20


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_killed(
    mutant: Mutant,
    forge: Forge,
    mutant_guest: MutantGuest,
    build: DriverBuild,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    mutant_guest.use(forge.build_with(mutant, build))
    failure = failure_of(mutant.killer, mutant_guest, tmp_path)
    assert failure is not None, f"{mutant.name} survived {mutant.killer}: {mutant.breaks}"
    assert mutant.says in str(failure), f"{mutant.killer} is red, but for another reason: {failure}"
    record_property(MUTANT, mutant.name)


@pytest.mark.parametrize("killer", KILLERS)
def test_what_kills_mutants_is_green_without_one(
    killer: str, mutant_guest: MutantGuest, build: DriverBuild, tmp_path: Path
) -> None:
    mutant_guest.use(build)
    failure = failure_of(killer, mutant_guest, tmp_path)
    if failure is not None:
        raise failure


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_fits_the_sources(mutant: Mutant) -> None:
    mutant.applied((package_data("driver") / mutant.file).read_text())


def test_there_are_enough_of_them() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= AT_LEAST
