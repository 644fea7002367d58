"""Makes tests/support importable, and leaves the tests of real samples out where there are none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if (tests := str(Path(__file__).parents[1])) not in sys.path:
    sys.path.insert(0, tests)

from support.real_samples import samples_folder, samples_required, summarize

collect_ignore_glob = [] if samples_folder() or samples_required() else ["test_real_samples*.py"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    summarize(terminalreporter, config)
