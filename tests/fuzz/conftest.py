"""Fuzz runs against the good driver and against planted defects, in a guest of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hotswap.driver.build import DriverBuild
from hotswap.fuzz.campaign import Campaign
from hotswap.fuzz.rules import Rules
from hotswap.run import RunFolder
from mutants.forge import Forge
from mutants.guest import MutantGuest


@pytest.fixture(scope="session")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Forge:
    """The build tree that the tests of mutants use as well."""
    own = tmp_path_factory.getbasetemp()
    # The processes of xdist have their folders side by side.
    return Forge((own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "forge")


@pytest.fixture(scope="module")
def guest(build: DriverBuild, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MutantGuest]:
    """Its drivers can be changed."""
    guest = MutantGuest(build, tmp_path_factory.mktemp("fuzz"))
    yield guest
    guest.close()


@pytest.fixture
def campaign(guest: MutantGuest, tmp_path: Path) -> Iterator[Callable[[], Campaign]]:
    """Makes a campaign in the guest, with the drivers that it has then."""
    runs = []

    def make() -> Campaign:
        runs.append(RunFolder.create(tmp_path / f"run-{len(runs)}"))
        return Campaign(guest, runs[-1])

    yield make
    guest.discard("the test has ended")
    for run in runs:
        run.close()


@pytest.fixture(scope="module")
def rules(build: DriverBuild) -> Rules:
    return Rules(build.ioctl, build.codes)
