"""A build tree and a guest for mutants, one of each per process of the test run."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotswap.driver.build import DriverBuild

if (here := str(Path(__file__).parent)) not in sys.path:
    sys.path.insert(0, here)

from forge import Forge
from guest import MutantGuest


@pytest.fixture(scope="session")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Forge:
    own = tmp_path_factory.getbasetemp()
    # The processes of xdist have their folders side by side.
    return Forge((own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "forge")


@pytest.fixture(scope="session")
def mutant_guest(build: DriverBuild, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MutantGuest]:
    guest = MutantGuest(build, tmp_path_factory.mktemp("mutants"))
    yield guest
    guest.close()
