"""A home for the runs of a test, and a cache whose clones and leases are the test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild
from hotswap.machine.profile import load_profile
from hotswap.machine.wine import WineMachine
from hotswap.machine.wine_install import find_wine
from hotswap.machine.wine_prefix import template_key, templates_home
from hotswap.paths import cache_home


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture(scope="session")
def fill_cache(build: DriverBuild) -> Callable[[Path], None]:
    """Links what is expensive to make into another cache: the drivers, their key, and the Wine template."""
    profile = load_profile("wine")
    template = templates_home() / template_key(profile, find_wine(profile))
    if not (template / "template.json").exists():
        with WineMachine(profile) as machine:
            machine.start(Deadline.after(180))
    sources = {"drivers": build.folder.parent, "signing": cache_home() / "signing", f"wine/{template.name}": template}

    def fill(cache: Path) -> None:
        # Not the folder of all templates: a sweep would take what others build there for left over.
        (cache / "wine").mkdir(parents=True)
        for name, source in sources.items():
            (cache / name).symlink_to(source)

    return fill


@pytest.fixture
def cache(fill_cache: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nobody else's start sweeps here, and nobody else's run is seen."""
    home = tmp_path / "cache"
    fill_cache(home)
    monkeypatch.setenv("HOTSWAP_CACHE", str(home))
    return home
