"""`ci/soak etl-large` with a small file: what it must say, and that it sees memory, loss and failure."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest

from hotswap.errors import UsageError
from hotswap.soak import etl_large
from hotswap.soak.etl_large import Reading
from hotswap.soak.result import SoakResult


def soaked(folder: Path, *only: str, gigabytes: float = 0.00406) -> SoakResult:
    def say(_: str) -> None:
        """Progress."""

    return etl_large.run(Namespace(gigabytes=gigabytes, folder=folder, only=list(only)), say)  # type: ignore[arg-type]


def test_commands_read_the_file_in_little_memory(tmp_path: Path) -> None:
    result = soaked(tmp_path, "decode", "stats", "export")
    assert result.problems == []
    readings = result.figures["readings"]
    assert list(readings) == ["decode", "stats", "export"]
    assert all(10 << 20 < facts["peak_bytes"] < etl_large.MEMORY_BOUND for facts in readings.values())
    assert result.figures["events"] == 20_000
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "events", "bound", "says"),
    [
        ("print(19_999)", int, 1 << 30, "made up found 19,999 of 20,000 events"),
        ("raise SystemExit('broken')", int, 1 << 30, "made up ended with 1: ['broken']"),
        ("held = b'x' * (200 << 20); print(20_000)", int, 150 << 20, "MiB of memory; 150 are the bound"),
    ],
)
def test_what_goes_wrong_is_a_problem(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    events: Callable[[str], int],
    bound: int,
    says: str,
) -> None:
    made_up = Reading("made up", lambda *_: [sys.executable, "-c", code], lambda output, _: events(output))
    monkeypatch.setattr(etl_large, "READINGS", (made_up,))
    monkeypatch.setattr(etl_large, "MEMORY_BOUND", bound)
    (problem,) = soaked(tmp_path).problems
    assert says in problem


def test_a_file_for_which_there_is_no_room_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"GB free, and 150000000\.0 GB are needed"):
        soaked(tmp_path, gigabytes=1e8)
    with pytest.raises(UsageError, match="gigabytes is 0"):
        soaked(tmp_path, gigabytes=0)
    assert list(tmp_path.iterdir()) == []
