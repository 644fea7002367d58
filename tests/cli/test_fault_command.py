"""`hotswap swap --fault`: what there is, what becomes of it, and clear words for what cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import hotswap, run_folders, summary

PANIC = "panic@SwapDrained:2"


def test_faults_are_listed_with_what_they_do(runs: Path) -> None:
    done = hotswap("swap", "--fault", "list", "--json", runs=runs)
    assert done.code == 0
    faults = {item["name"]: item["does"] for item in json.loads(done.out)["faults"]}
    assert {"power-cut", "reset", "pause", "hang", "panic", "kill-qemu", "kill-agent", "full-disk"} <= faults.keys()
    assert all(faults.values())
    assert "SIGKILL to QEMU" in hotswap("swap", "--fault", "list", runs=runs).out
    assert not runs.exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--fault", "unplug", "--machine", "standin"), "there is no fault 'unplug'"),
        (("--fault", "panic@SwapStaled", "--machine", "standin"), "there is no moment 'SwapStaled'"),
        (("--fault", "panic"), "take --machine standin"),
    ],
)
def test_what_cannot_be_made_is_bad_input_and_makes_nothing(runs: Path, arguments: tuple[str, ...], told: str) -> None:
    done = hotswap("swap", *arguments, runs=runs)
    assert done.code == 2
    assert told in done.err.splitlines()[-1]
    assert "Traceback" not in done.err
    assert not runs.exists()


def test_a_fault_is_in_plan_timeline_verdict_and_report(runs: Path) -> None:
    options = ("--machine", "standin", "--workers", "3", "--seconds", "0.2", "--hold-budget-ms", "60000")
    done = hotswap("swap", *options, "--fault", PANIC, runs=runs)
    assert done.code == 1, done.err
    assert "planned: the guest's kernel panics (panic at SwapDrained:2)" in done.err
    (folder,) = run_folders(runs)
    assert summary(folder)["verdict"] == "fail"
    assert summary(folder)["environment"]["plan"]["fault"] == PANIC  # type: ignore[index]
    lines = [json.loads(line) for line in (folder / "timeline.jsonl").read_text().splitlines()]
    (made,) = [line for line in lines if line["event"] == "fault"]
    assert made["fault"] == "panic"
    events = [json.loads(line) for line in (folder / "evidence" / "qmp-events.jsonl").read_text().splitlines()]
    (panicked,) = [event for event in events if event["event"] == "GUEST_PANICKED"]
    assert panicked["ns"] >= made["ns"] - 50_000_000, "one clock: QEMU's stamp is of this host's UTC"
    report = (folder / "report.html").read_text()
    assert "memory.kdump" in report
    assert "the guest panicked" in report
