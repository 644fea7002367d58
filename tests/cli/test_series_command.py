"""`hotswap swap --repeat` with real guests."""

from __future__ import annotations

import json
import re
from pathlib import Path
from signal import SIGINT

import pytest
from command import KEYS, Command, hotswap, run_folders, summary

pytestmark = pytest.mark.usefixtures("cache")

QUICK = ("--seconds", "0.1", "--workers", "4")


def test_a_series_passes_with_a_line_for_each_run_and_a_summary(runs: Path, tmp_path: Path) -> None:
    target = tmp_path / "series.json"
    done = hotswap("swap", "--repeat", "3", "--seed", "40", *QUICK, "--keep", "last", "--json", target, runs=runs)
    assert done.code == 0, done.out + done.err
    lines = done.out.splitlines()
    assert [re.match(r"(\d)/3  seed (\d+)  pass ", line).groups() for line in lines[:3]] == [  # type: ignore[union-attr]
        ("1", "40"),
        ("2", "41"),
        ("3", "42"),
    ]
    assert "3 of 3 runs in " in done.out
    assert re.search(r"slowest by seed: 4\d \(", done.out)
    assert done.err == "", "the lines say it all where there is no terminal"
    content = json.loads(target.read_text())
    assert content.keys() >= {"schema", "verdict", "reason", "runs"}
    assert [run["seed"] for run in content["runs"]] == [40, 41, 42]
    assert all(run.keys() >= KEYS for run in content["runs"])
    (kept,) = run_folders(runs)
    assert str(kept) == content["runs"][2]["run_folder"]
    assert "--seed 42" in str(summary(kept)["environment"])
    assert "--repeat" not in str(summary(kept)["environment"])


def test_a_series_ends_at_a_failure_and_says_how_to_repeat_it(runs: Path) -> None:
    done = hotswap("swap", "--repeat", "5", "--to", "twice", "--seconds", "0.4", runs=runs)
    assert done.code == 1, done.err
    assert "repeat it: hotswap swap --to twice --seconds 0.4 --seed 1\n" in done.out
    assert len(run_folders(runs)) == 1
    assert re.search(r"^verdict: fail \(the run ended in fail, first with seed 1: ", done.out, re.MULTILINE)


def test_an_interrupted_series_tells_what_it_had_and_leaves_nothing(runs: Path) -> None:
    command = Command("swap", "--repeat", "50", *QUICK, "--json", runs=runs)
    command.wait_for_step("run load", 4)
    machine = command.machine()
    command.signal(SIGINT)
    done = command.done()
    assert done.code == 130, done.err
    assert "Traceback" not in done.err
    content = json.loads(done.out)
    assert content["verdict"] == "inconclusive"
    assert [run["verdict"] for run in content["runs"]] == ["pass", "inconclusive"]
    assert machine.left() == []


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--repeat", "0"], "repeat is 0"),
        (["--repeat", "two"], "'--repeat'"),
        (["--repeat", "2", "--seed", str((1 << 63) - 1)], "seed is"),
        (["--repeat", "2", "--keep", "none"], "--keep is 'none'; it must be one of all, failed, last"),
        (["--keep", "failed"], "--keep is for a series: add --repeat N"),
        (["--keep-going"], "--keep-going is for a series"),
        (["--repeat", "2", "--to", "v9"], "unknown update 'v9'"),
    ],
)
def test_bad_usage_of_a_series_is_one_line(runs: Path, arguments: list[str], why: str) -> None:
    done = hotswap("swap", *arguments, runs=runs)
    assert why in done.complaint()
    assert (done.code, done.out) == (2, "")
    assert not runs.exists()
