"""`hotswap runs`: list, show, open, prune, as a user types them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command import hotswap, on_terminal

from hotswap.machine.proc import Owner
from support.past_runs import make_run

USAGE = 2
LONG = "signals-accounted: lost wake-up: worker 2 event 0: " + "36 signals accepted, " * 20


@pytest.fixture
def three(runs: Path) -> list[Path]:
    """A pass, a failure with its slice, and one that still runs; oldest first."""
    failed = {
        "reason": LONG,
        "seed": 7,
        "expectations": [
            {"id": "a-holds", "verdict": "pass", "message": "fine"},
            {"id": "b-does-not", "verdict": "fail", "message": "ran [twice]"},
        ],
        "slices": {"b-does-not": "  12.5 IterationBegin\n  13.5 IterationBegin"},
        "events": 7806,
        "signals": 26,
        "iterations": 12,
        "phases": [{"from": 1, "to": 2, "status": "0x00000000", "microseconds": {"hold": 737.2}}],
    }
    return [
        make_run(runs, 1, "pass"),
        make_run(runs, 2, "fail", **failed),
        make_run(runs, 3, "inconclusive", state="running", owner=Owner.own().to_json()),
    ]


def test_the_list_is_newest_first_with_what_one_wants_to_know(runs: Path, three: list[Path]) -> None:
    done = hotswap("runs", "list", runs=runs)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines] == [path.name for path in reversed(three)]
    assert [word in line for line, word in zip(lines, ("running", "fail", "pass"), strict=True)] == [True] * 3
    assert LONG.strip() in lines[1], "a pipe has no width"
    assert "(seed 7)" in lines[1]
    assert "1.0 s" in lines[1]


def test_on_a_terminal_each_run_has_one_line_of_its_width(runs: Path, three: list[Path]) -> None:
    for width in (60, 80, 132):
        text = on_terminal(["runs", "list"], runs, {"NO_COLOR": "1", "COLUMNS": str(width)})
        lines = text.splitlines()
        assert len(lines) == 3, text
        assert max(map(len, lines)) <= width
        assert "…" in lines[1]


def test_the_list_is_filtered_and_limited(runs: Path, three: list[Path]) -> None:
    def ids(*arguments: str) -> list[str]:
        done = hotswap("runs", "list", *arguments, "--json", runs=runs)
        assert done.code == 0, done.err
        return [row["id"] for row in json.loads(done.out)["runs"]]

    names = [path.name for path in three]
    assert ids() == names[::-1]
    assert ids("--verdict", "fail") == [names[1]]
    assert ids("--verdict", "fail", "--verdict", "pass") == names[1::-1]
    assert ids("--verdict", "inconclusive") == [], "one that runs has no verdict yet"
    assert ids("--limit", "1") == [names[2]]
    assert json.loads(hotswap("runs", "list", "--limit", "1", "--json", runs=runs).out)["total"] == 3
    text = hotswap("runs", "list", "--limit", "1", runs=runs).out
    assert "and 2 more" in text


def test_no_runs_are_no_error(runs: Path) -> None:
    done = hotswap("runs", "list", runs=runs)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("no runs in ")
    assert json.loads(hotswap("runs", "list", "--json", runs=runs).out)["runs"] == []


def test_a_run_is_shown_with_what_did_not_hold_and_the_events(runs: Path, three: list[Path]) -> None:
    done = hotswap("runs", "show", three[1].name[:17], runs=runs)
    assert (done.code, done.err) == (0, "")
    assert "b-does-not: ran [twice]" in done.out
    assert "12.5 IterationBegin" in done.out
    assert "a-holds" not in done.out
    assert re.search(r"^seed +7$", done.out, re.MULTILINE)
    assert "held 737 µs" in done.out
    assert "report.html" in done.out
    assert json.loads(hotswap("runs", "show", "--json", "-", three[1].name, runs=runs).out)["events"] == 7806
    running = json.loads(hotswap("runs", "show", "last", "--json", runs=runs).out)
    assert running["state"] == "running"


def test_a_run_json_that_is_not_ours_is_shown_as_far_as_it_goes_and_steers_no_terminal(runs: Path) -> None:
    odd = make_run(runs, 1, "fail", reason="red\x1b]0;title\x07", phases=[1], events=5, slices=7)
    (odd / "run.json").write_text((odd / "run.json").read_text().replace('"expectations": []', '"expectations": [3]'))
    done = hotswap("runs", "show", "last", runs=runs)
    assert (done.code, done.err) == (0, "")
    assert "the expectations in run.json cannot be read" in done.out
    assert "report.html" in done.out
    listed = hotswap("runs", "list", runs=runs)
    assert r"red\x1b]0;title\x07" in listed.out
    assert "\x1b" not in done.out + listed.out


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["show", "2026"], "is the beginning of 3 runs"),
        (["show", "nonsense"], "there is no run 'nonsense'"),
        (["show"], "Missing argument 'RUN'"),
        (["open", "last", "more"], "unexpected extra argument"),
        (["list", "--verdict", "green"], "unknown verdict 'green'; known are: pass, fail, inconclusive"),
        (["list", "--limit", "-1"], "--limit is -1"),
        (["prune"], "say which runs to remove"),
        (["prune", "--keep", "-1"], "--keep is -1"),
        (["prune", "--older-than", "nan"], "--older-than is nan"),
        (["prune", "--older-than", "-3"], "--older-than is -3"),
        (["prune", "--keep", "1"], "add --yes"),
        (["burn"], "No such command 'burn'"),
    ],
)
def test_bad_usage_is_one_line_and_removes_nothing(
    runs: Path, three: list[Path], arguments: list[str], why: str
) -> None:
    done = hotswap("runs", *arguments, runs=runs)
    assert why in done.complaint()
    assert (done.code, done.out) == (USAGE, "")
    assert all(path.is_dir() for path in three)


def test_without_a_display_open_prints_where_the_report_is(runs: Path, three: list[Path]) -> None:
    done = without_display("open", "last", runs=runs)
    assert done.returncode == 0
    assert done.stdout == f"{three[2] / 'report.html'}\n"
    assert "no display" in done.stderr


def without_display(*arguments: str, runs: Path) -> subprocess.CompletedProcess[str]:
    bare = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")}
    line = [sys.executable, "-m", "hotswap", "runs", *arguments]
    return subprocess.run(line, env={**bare, "HOTSWAP_RUNS": str(runs)}, capture_output=True, text=True, timeout=60)


def test_open_starts_the_users_browser_on_the_report(runs: Path, three: list[Path], tmp_path: Path) -> None:
    browser, seen = tmp_path / "browser", tmp_path / "seen"
    browser.write_text(f'#!/bin/sh\necho "$1" >"{seen}"\n')
    browser.chmod(0o755)
    done = hotswap("runs", "open", three[0].name, runs=runs, env={"BROWSER": str(browser)})
    assert (done.code, done.out, done.err) == (0, "", "")
    assert seen.read_text().strip() == (three[0] / "report.html").as_uri()


def test_a_run_without_a_report_says_so(runs: Path, three: list[Path]) -> None:
    (three[2] / "report.html").unlink()
    done = hotswap("runs", "open", runs=runs)
    assert done.code == USAGE
    assert "has no report (it is running)" in done.complaint()


def test_prune_says_what_it_would_do_and_then_does_it(runs: Path, three: list[Path]) -> None:
    rehearsal = hotswap("runs", "prune", "--older-than", "0", "--dry-run", runs=runs)
    assert rehearsal.code == 0
    assert re.search(r"^would remove 2 runs of 3 and free [\d.]+ kB; 1 still running$", rehearsal.out, re.MULTILINE)
    assert all(path.is_dir() for path in three)
    done = hotswap("runs", "prune", "--older-than", "0", "--verdict", "pass", "--yes", runs=runs)
    assert (done.code, done.err) == (0, "")
    assert re.match(r"removed 1 run of 3, freed [\d.]+ kB; 1 still running", done.out)
    assert [path.is_dir() for path in three] == [False, True, True]
    told = json.loads(hotswap("runs", "prune", "--keep", "0", "--older-than", "0", "-y", "--json", runs=runs).out)
    assert told["removed"] == [three[1].name]
    assert [path.is_dir() for path in three] == [False, False, True], "one that runs is never touched"


@pytest.mark.parametrize(("answer", "left"), [("n\n", 3), ("\n", 3), ("y\n", 1)])
def test_on_a_terminal_prune_asks_first(runs: Path, three: list[Path], answer: str, left: int) -> None:
    text = on_terminal(["runs", "prune", "--older-than", "0"], runs, {}, answer=answer)
    assert "Remove 2 runs of 3" in text
    assert sum(path.is_dir() for path in three) == left
    assert ("nothing was removed" in text) is (left == 3)


def test_a_reader_that_goes_away_ends_a_list_cleanly(runs: Path) -> None:
    for second in range(60):
        make_run(runs, second, "pass")
    line = f'"{sys.executable}" -m hotswap runs list --limit 0 | head -n 1; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(
        ["bash", "-c", line], env={**os.environ, "HOTSWAP_RUNS": str(runs)}, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1
