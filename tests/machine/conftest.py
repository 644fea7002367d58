"""A cache of the test's own with a ready template, so that a test may break it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotswap.deadline import Deadline
from hotswap.machine.profile import load_profile
from hotswap.machine.storage import remove_tree
from hotswap.machine.wine import WineMachine
from hotswap.machine.wine_install import find_wine
from hotswap.machine.wine_prefix import template_key, templates_home
from hotswap.machine.wine_process import prefix_processes


@pytest.fixture(scope="session")
def template() -> Path:
    """The template in the user's own cache, built by whichever test process comes first."""
    profile = load_profile("wine")
    path = templates_home() / template_key(profile, find_wine(profile))
    if not (path / "template.json").exists():
        with WineMachine(profile) as machine:
            machine.start(Deadline.after(180))
    return path


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache at a path with blanks and non-ASCII letters; afterwards nothing of it runs or lies about."""
    home = tmp_path / "cache für Tests"
    home.mkdir()
    monkeypatch.setenv("HOTSWAP_CACHE", str(home))
    yield home
    prefixes = [*home.glob("clones/*/prefix"), *home.glob("wine/*/prefix")]
    left = [process for prefix in prefixes for process in prefix_processes(prefix)]
    for process in left:
        process.kill()
    remove_tree(home)
    assert left == [], "the test left processes"


@pytest.fixture
def cache(template: Path, empty_cache: Path) -> Path:
    """`empty_cache` with a linked copy of the template."""
    templates_home().mkdir()
    shutil.copytree(template, templates_home() / template.name, symlinks=True, copy_function=link_or_copy)
    return empty_cache


def link_or_copy(source: str, target: str) -> None:
    """A hard link where the file system has them: 800 files in 20 ms."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
