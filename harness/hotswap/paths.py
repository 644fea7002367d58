"""Where things are kept: package data, the user's cache, the user's state."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path


def package_data(name: str) -> Path:
    """A folder of package data: `driver` (C sources), `vm` (machine profiles and guest files), `rules` (of traces)."""
    return Path(str(files("hotswap").joinpath("_data", name))).resolve()


def cache_home() -> Path:
    """Built drivers, machine templates and keys: `$HOTSWAP_CACHE`, else `$XDG_CACHE_HOME/hotswap`."""
    if override := os.environ.get("HOTSWAP_CACHE"):
        return Path(override).resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hotswap"


def runs_home() -> Path:
    """Run folders: `$HOTSWAP_RUNS`, else `runs` in the current folder."""
    return Path(os.environ.get("HOTSWAP_RUNS") or "runs").resolve()
