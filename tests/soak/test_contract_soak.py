"""`ci/soak contract`: short on a real guest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil

from hotswap.deadline import Deadline
from hotswap.machine.proc import task_ids
from hotswap.soak.starve import starved


def test_a_short_soak_of_the_contract_passes_and_tells_what_it_did(tmp_path: Path) -> None:
    target = tmp_path / "soak.json"
    done = subprocess.run(
        [sys.executable, "-m", "hotswap.soak", "contract", "--steps", "100", "--first-seed", "3", "--json", target],
        env={**os.environ, "HOTSWAP_RUNS": str(tmp_path / "runs")},
        capture_output=True,
        text=True,
        timeout=600,
    )
    content = json.loads(target.read_text())
    assert done.returncode == 0, done.stdout + done.stderr
    assert (content["schema"], content["verdict"], content["problems"]) == (1, "pass", [])
    assert content["steps"] >= 100
    assert content["steps"] == content["coverage"]["steps"] == sum(content["coverage"]["kinds"].values())
    assert content["first_seed"] == 3
    assert content["steps_per_second"] > 0
    assert "steps/s" in done.stdout


def test_starved_threads_run_after_all_others_and_everything_is_as_before_in_the_end() -> None:
    code = "import threading; [threading.Thread(target=input).start() for _ in range(8)]; print(flush=True)"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        before = children()
        with starved(process.pid, 1, busy=2):
            Deadline.after(20).wait_for(lambda: os.SCHED_IDLE in policies(process.pid), "a thread to be starved")
            assert len(children()) == len(before) + 2
        assert policies(process.pid) == {os.SCHED_OTHER}
        assert children() == before
        process.kill()


def policies(pid: int) -> set[int]:
    return {os.sched_getscheduler(tid) for tid in task_ids(pid)}


def children() -> set[int]:
    return {each.pid for each in psutil.Process().children()}


def test_a_soak_of_no_steps_is_refused() -> None:
    command = [sys.executable, "-m", "hotswap.soak", "contract", "--steps", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "steps is 0" in done.stderr
