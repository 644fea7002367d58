"""Where the real traces are, and what the summary says about them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_SAID = pytest.StashKey[bool]()


def samples_folder() -> Path | None:
    """The folder of the real samples (HOTSWAP_ETL_SAMPLES, else ../shared/etl-samples); None when it is not there."""
    default = Path(__file__).parents[3] / "shared" / "etl-samples"
    folder = Path(os.environ.get("HOTSWAP_ETL_SAMPLES") or default)
    return folder if (folder / "expected.json").is_file() else None


def samples_required() -> bool:
    """Whether missing samples are a failure (HOTSWAP_REQUIRE_SAMPLES=1)."""
    return os.environ.get("HOTSWAP_REQUIRE_SAMPLES") == "1"


def summarize(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say once in the terminal summary whether the real samples were there."""
    if config.stash.get(_SAID, False):
        return
    config.stash[_SAID] = True
    folder = samples_folder()
    terminalreporter.write_line(f"real samples: {folder}" if folder else "real samples: not run")
