"""Run folders: each of its own, complete at every moment, and a timeline that a killed run keeps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hotswap.errors import LabFault
from hotswap.run import RunFolder, Timeline


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_runs_at_once_get_folders_of_their_own_in_order_of_time(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        runs = [*pool.map(lambda _: RunFolder.create(tmp_path / "runs"), range(24))]
    assert len({run.path for run in runs}) == 24
    assert all(run.evidence.is_dir() and run.timeline.path.is_file() for run in runs)
    for run in runs:
        run.close()


def test_the_default_place_follows_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOTSWAP_RUNS", str(tmp_path / "here"))
    run = RunFolder.create()
    run.close()
    assert run.path.parent == tmp_path / "here"


def test_the_summary_is_replaced_in_one_step(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path)
    run.write_summary({"verdict": "inconclusive", "path": tmp_path})
    before = run.summary.stat().st_ino
    run.write_summary({"verdict": "pass"})
    assert json.loads(run.summary.read_text()) == {"verdict": "pass"}
    assert run.summary.stat().st_ino != before, "the old file was written into"
    run.write("evidence/note.txt", "ä")
    assert (run.evidence / "note.txt").read_text() == "ä"
    assert sorted(path.name for path in run.path.iterdir()) == ["evidence", "run.json", "timeline.jsonl"]
    run.close()


def test_a_summary_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunFolder.create(tmp_path)
    run.write_summary({"verdict": "inconclusive"})

    def full(_path: Path, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(LabFault, match="No space left on device; free some space") as caught:
        run.write_summary({"verdict": "pass"})
    assert "\n" not in str(caught.value)
    assert json.loads(run.summary.read_text()) == {"verdict": "inconclusive"}
    run.close()


def test_a_full_disk_ends_the_timeline_in_one_line() -> None:
    timeline = Timeline(Path("/dev/full"))
    with pytest.raises(LabFault, match="No space left on device"):
        timeline.event("x")
    timeline.close()


def test_a_place_that_cannot_hold_runs_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LabFault, match="HOTSWAP_RUNS"):
        RunFolder.create(tmp_path / "file")


def test_the_timeline_has_both_clocks_and_the_callers_fields(tmp_path: Path) -> None:
    timeline = Timeline(tmp_path / "t.jsonl")
    timeline.event("machine-started", path=tmp_path, seconds=0.5)
    with timeline.step("build", image="a.sys"):
        timeline.event("inside")
    with pytest.raises(ValueError, match="broken"), timeline.step("bad"):
        raise ValueError("broken")
    timeline.close()
    found = lines(tmp_path / "t.jsonl")
    assert [line["event"] for line in found] == [
        *("machine-started", "step-begin", "inside", "step-end", "step-begin", "step-end")
    ]
    assert all(isinstance(line["utc"], str) and isinstance(line["ns"], int) for line in found)
    assert found[0]["path"] == str(tmp_path)
    assert found[0]["seconds"] == 0.5
    assert "error" not in found[3]
    assert found[3]["seconds"] >= 0  # type: ignore[operator]
    assert found[5]["error"] == "ValueError: broken"
    times = [line["ns"] for line in found]
    assert times == sorted(times)  # type: ignore[type-var]


def test_lines_of_many_threads_do_not_mix(tmp_path: Path) -> None:
    timeline = Timeline(tmp_path / "t.jsonl")
    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(lambda number: timeline.event("x", number=number, text="y" * 5000), range(200)):
            pass
    timeline.close()
    assert sorted(line["number"] for line in lines(tmp_path / "t.jsonl")) == [*range(200)]  # type: ignore[type-var]


def test_a_killed_run_keeps_its_timeline(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from hotswap.run import RunFolder\n"
        "run = RunFolder.create(Path(sys.argv[1]))\n"
        "run.timeline.event('before'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path], env={**os.environ})
    assert done.returncode == -9
    (run,) = tmp_path.iterdir()
    assert [line["event"] for line in lines(run / "timeline.jsonl")] == ["before"]
