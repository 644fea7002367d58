"""Two runs of one script in a real guest leave traces that are equal by what they mean, and no others are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from hotswap.trace.diff.compare import compare
from hotswap.trace.diff.meaning import Meaning, Side
from hotswap.trace.etl import read_etl

SCRIPT = """
import pytest
from hotswap.testing import Driver


@pytest.mark.parametrize("more", [0, 0, 1])
def test_script(driver: Driver, more: int) -> None:
    driver.load("v1")
    workers = [driver.create_worker(events=2), driver.create_worker(events=3)]
    for turn in range(1, 11 + more):
        if turn == 6:
            driver.swap("v2")
        for worker in workers if turn % 2 else workers[::-1]:
            worker.signal(turn % 2)
            worker.wait_for_iterations(turn)
    driver.stop()
"""


BY_THE_WORKER = {"WorkerThreadStart", "IterationBegin", "EndpointWork", "IterationEnd", "WorkerThreadEnd"}
"""Written by the worker's own thread: what others write of it, its signals say, has no order against these."""


def side(path: Path) -> Side:
    table = read_etl(path).events
    return Side(table, np.flatnonzero(table.recorded))


def own_work(whole: Side) -> Side:
    kinds = [number for number, kind in enumerate(whole.table.kinds) if kind.name in BY_THE_WORKER]
    return Side(whole.table, whole.rows[np.isin(whole.table.kind[whole.rows], kinds)])


def test_two_runs_of_a_script_are_equal_and_a_longer_one_is_not(tmp_path: Path) -> None:
    (tmp_path / "test_script.py").write_text(SCRIPT)
    runs = tmp_path / "runs"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_script.py"],
        cwd=tmp_path,
        env={**os.environ, "HOTSWAP_RUNS": str(runs)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    traces = sorted((folder / "trace.etl" for folder in runs.iterdir()), key=lambda path: path.stat().st_mtime_ns)
    first, again, longer = map(side, traces)
    assert len(first.rows) > 100
    assert compare(first, again, Meaning()).differences == ()
    own = own_work(first)
    assert len(own.rows) > 60
    assert compare(own, own_work(again), Meaning(), per="Worker").differences == ()
    found = compare(own, own_work(longer), Meaning(), per="Worker")
    assert not found.equal
    assert any(name.endswith("/IterationBegin") for name, _, _ in found.counts)
