"""What `hotswap swap` prints, where, and with which exit code (design, section 6)."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from command import FINISHED, KEYS, SHORT, Command, hotswap, on_terminal, run_folders, summary

ANSI = "\x1b"


def test_two_runs_at_once_pass_and_json_is_all_that_standard_output_gets(runs: Path, tmp_path: Path) -> None:
    """The contract's keys on standard output, and in a file beside the text for people."""
    target = tmp_path / "result.json"
    first = Command("swap", *SHORT, "--json", runs=runs)
    second = Command("swap", *SHORT, "--json", target, "--quiet", "--workers", "3", runs=runs)
    one, two = first.done(), second.done()
    assert (one.code, two.code) == (0, 0), one.err + two.err

    result = json.loads(one.out)
    assert result.keys() >= KEYS
    assert result["schema"] == 1
    assert result["verdict"] == "pass"
    folder = Path(result["run_folder"])
    assert {path.name for path in folder.iterdir()} == FINISHED | {
        "trace.etl",
        "events.parquet",
        "trace.perfetto-trace",
    }
    assert Path(result["report"]) == folder / "report.html"
    assert all(isinstance(result[name], int) and result[name] > 0 for name in ("events", "signals", "iterations"))
    assert [(phase["from"], phase["to"]) for phase in result["phases"]] == [(0, 1), (1, 2), (2, 1)]
    assert all({"ticks", "microseconds"} <= phase.keys() for phase in result["phases"])
    assert all(isinstance(seconds, float) for seconds in result["steps"].values())
    assert all({"id", "verdict", "message"} == item.keys() for item in result["expectations"])
    assert summary(folder)["state"] == "ended"
    assert "run load …" in one.err, "progress belongs on standard error"
    assert ANSI not in one.err, "no terminal, no escape codes"

    assert json.loads(target.read_text()).keys() == result.keys()
    assert json.loads(target.read_text())["run_folder"] != result["run_folder"]
    assert re.search(r"^verdict: pass", two.out, re.MULTILINE)
    assert ANSI not in two.out
    assert two.err == "", "--quiet"
    assert {path.name for path in tmp_path.iterdir()} == {"runs", "result.json"}, "nothing half written"
    assert len(run_folders(runs)) == 2


def test_the_updates_are_listed_with_what_catches_them(runs: Path) -> None:
    done = hotswap("swap", "--list", "--json", runs=runs)
    assert done.code == 0
    updates = {item["name"]: item for item in json.loads(done.out)["updates"]}
    assert {"v1", "v2", "lose-wakeup", "twice"} <= updates.keys()
    assert updates["v2"] == {"name": "v2", "breaks": None, "caught_by": [], "refused": None}
    assert updates["refuse-pre-process"]["refused"] == "STATUS_DEVICE_NOT_READY"
    assert len([item for item in updates.values() if item["breaks"] and item["caught_by"]]) >= 14
    assert updates["lose-wakeup"]["caught_by"] == ["signals-accounted"]
    assert updates["lose-wakeup"]["breaks"]
    text = hotswap("swap", "--list", runs=runs).out
    assert re.search(r"^twice .*caught by work-once-per-iteration", text, re.MULTILINE)
    assert not runs.exists()


def test_several_updates_of_any_shape_are_asked_for_in_one_line(runs: Path) -> None:
    shape = ("--waits", "timeout", "--load", "stalled", "--update-at", "together")
    done = hotswap("swap", "--to", "v2", "--to", "v3", *shape, "--seconds", "0.3", "--json", runs=runs)
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert [(phase["from"], phase["to"]) for phase in result["phases"]] == [(0, 1), (1, 2), (2, 3), (3, 1)]
    plan = result["environment"]["plan"]
    assert (plan["waits"], plan["load"], plan["update_at"]) == ("timeout", "stalled", "together")


def test_an_update_that_is_refused_passes_and_the_last_line_says_why(runs: Path) -> None:
    done = hotswap("swap", "--to", "refuse-proxy-stalled", "--seconds", "0.3", runs=runs)
    assert done.code == 0, done.out
    assert "update from 1: STATUS_DEVICE_NOT_READY (0xC00000A3), version 1 in force" in done.out
    assert re.search(r"^verdict: pass \(swap 2 \(1->2\) was refused and version 1 stayed", done.out, re.MULTILINE)


def test_a_failed_swap_ends_in_one_and_shows_the_events_also_without_a_reader(runs: Path) -> None:
    """`| head -1` must neither end the run early nor change what it ends in."""
    command = Command("swap", "--to", "twice", "--seconds", "0.6", runs=runs)
    assert command.process.stderr is not None
    command.process.stderr.readline()
    command.process.stderr.close()
    out = command.process.stdout
    assert out is not None
    text = out.read()
    assert command.process.wait(30) == 1
    assert re.search(r"^fail  work-once-per-iteration: ", text, re.MULTILINE)
    assert "IterationBegin" in text
    assert re.search(r"^verdict: fail", text, re.MULTILINE)
    assert summary(command.folder)["verdict"] == "fail"


def test_a_ring_that_drops_ends_in_three_even_when_nobody_reads_the_result(runs: Path) -> None:
    command = Command("swap", *SHORT, "--ring-slots", "64", "--rate", "4000", "--json", runs=runs)
    assert command.process.stdout is not None
    command.process.stdout.close()
    assert command.process.stderr is not None
    err = command.process.stderr.read()
    assert command.process.wait(30) == 3, err
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    assert summary(command.folder)["verdict"] == "inconclusive"


@pytest.mark.skipif(shutil.which("script") is None, reason="needs script(1) for a pseudo-terminal")
@pytest.mark.parametrize(("env", "live", "colour"), [({}, True, True), ({"NO_COLOR": "1"}, True, False)])
def test_a_terminal_gets_one_live_line(runs: Path, env: dict[str, str], live: bool, colour: bool) -> None:
    text = on_terminal(["swap", *SHORT, "--workers", "1"], runs, env)
    assert ("\x1b[2K" in text) is live
    assert "run load …" in text
    assert bool(re.search(r"\x1b\[(1;)?3\dm", text)) is colour
    failing = on_terminal(["swap", "--workers", "0"], runs, env)
    assert "hotswap: workers is 0" in failing
