"""`ci/setup` where it cannot install anything says what to install, and touches nothing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("bash", "cat", "dirname", "flock", "grep", "readlink", "sha256sum", "touch", "mkdir", "rm")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout at a path with a blank, with no environment yet."""
    copy = tmp_path / "check out"
    (copy / "ci").mkdir(parents=True)
    for name in ("ci/setup", "ci/swap", "ci/test", "requirements.lock", "pyproject.toml"):
        shutil.copy2(ROOT / name, copy / name)
    return copy


def bare_path(folder: Path, *more: str) -> str:
    """A PATH with hardly anything on it."""
    folder.mkdir()
    for tool in (*TOOLS, *more):
        found = shutil.which(tool)
        assert found, tool
        (folder / tool).symlink_to(found)
    return str(folder)


@pytest.mark.parametrize("script", ["setup", "swap", "test"])
def test_missing_packages_are_named_and_end_in_a_lab_fault(checkout: Path, tmp_path: Path, script: str) -> None:
    done = subprocess.run(
        [checkout / "ci" / script],
        env={"PATH": bare_path(tmp_path / "bin", "env"), "HOTSWAP_CHROMIUM": str(tmp_path / "chromium")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 4
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    for package in ("clang", "lld", "llvm", "cmake", "ninja-build", "osslsigncode", "chromium"):
        assert package in line.replace(",", " ").split(), f"{package} is not named"
    assert "run ci/setup again" in line
    assert not (checkout / ".venv").exists()


def test_an_environment_that_cannot_be_made_does_not_pass_for_ready(checkout: Path, tmp_path: Path) -> None:
    # pip has nowhere to take packages from, as without a network.
    environment = {"PATH": "/usr/bin:/bin", "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null", "HOME": str(tmp_path)}
    done = subprocess.run(
        [checkout / "ci/setup"], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 4, done.stderr
    assert "pip could not install requirements.lock" in done.stderr
    assert not (checkout / ".venv/ready").exists()
    assert (checkout / ".venv/unfinished").exists()


def test_the_lock_names_no_place_and_pins_every_package() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    entries = text.replace("\\\n", " ").splitlines()
    assert len(entries) > 40
    assert all("==" in entry and "--hash=sha256:" in entry for entry in entries), "an entry without version or hash"
