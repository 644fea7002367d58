"""Whose fault it is when things go wrong in mid-test, and that the run folder tells it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from command import run_folders, summary

from hotswap.deadline import Deadline
from hotswap.errors import LabFault
from hotswap.machine.lease import leases
from hotswap.machine.proc import Owner, command_name
from hotswap.machine.wine import WineMachine
from hotswap.run import RunFolder
from hotswap.swap import drive
from hotswap.swap import lab as lab_module
from hotswap.swap.lab import Lab
from hotswap.swap.plan import SwapPlan
from hotswap.swap.runner import run_swap
from hotswap.trace.etl import read_etl
from hotswap.trace.expect import Verdict

pytestmark = pytest.mark.usefixtures("runs", "cache")


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOTSWAP_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.mark.parametrize("agent", ["waits with it", "comes to wait with it later"])
def test_a_driver_that_does_not_answer_in_time_fails_with_evidence(agent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Agent and driver host live, so it is the driver that hangs: a result of the test, not a fault of the lab."""
    monkeypatch.setattr(drive, "_CALL_SECONDS", 2.0)
    if agent == "comes to wait with it later":
        monkeypatch.setattr(lab_module, "_CLOSE_SECONDS", 1.0)
        answers = iter([True])
        ping = Lab._ping
        monkeypatch.setattr(Lab, "_ping", lambda lab: next(answers, None) or ping(lab))
    seen: list[str] = []

    def stop_host(point: str, lab: Lab) -> None:
        seen.append(point)
        if point == "load-running":
            assert isinstance(lab.machine, WineMachine)
            trace = lab.machine.host_path(lab_module.GUEST_TRACE)
            # The agent writes once a second; the first event is the file's own.
            Deadline.after(30).wait_for(
                lambda: len(read_etl(trace).events) > 1, "the driver's events in the agent's file"
            )
        if point == "update-begun" and "load-running" in seen:
            assert lab.host is not None
            os.kill(lab.host.process.pid, signal.SIGSTOP)

    result = run_swap(SwapPlan(seconds=0.1), interfere=stop_host)
    assert result.verdict is Verdict.FAIL
    failed = {item.id: item.message for item in result.expectations if item.verdict is Verdict.FAIL}
    assert "operations-succeed" in failed, failed
    assert {"processes.json", "preflight.json"} <= {path.name for path in (result.run_folder / "evidence").iterdir()}
    events = [json.loads(line) for line in (result.run_folder / "timeline.jsonl").read_text().splitlines()]
    assert len([event for event in events if event.get("what") == "stacks of the driver that hangs"]) == 1
    assert result.events > 0, "what the agent wrote before"
    assert not [lease for lease in leases() if lease.owner == Owner.own().process]


def test_a_guest_that_dies_is_a_fault_of_the_lab_and_the_run_folder_says_so(runs: Path) -> None:
    def kill_server(point: str, lab: Lab) -> None:
        assert isinstance(lab.machine, WineMachine)
        if point == "load-running":
            for process in lab.machine.processes():
                if command_name(process.pid).startswith("hsagent"):
                    process.kill()

    with pytest.raises(LabFault, match="agent's process") as caught:
        run_swap(SwapPlan(seconds=0.1), interfere=kill_server)
    (folder,) = run_folders(runs)
    assert caught.value.__notes__ == [f"run folder: {folder}"]
    assert summary(folder)["state"] == "lab-fault"
    assert summary(folder)["verdict"] == "inconclusive"
    assert "agent's process" in str(summary(folder)["reason"])
    assert "the lab could not do its part" in (folder / "report.html").read_text()
    assert (folder / "evidence" / "processes.json").is_file()
    assert not [lease for lease in leases() if lease.owner == Owner.own().process]


def test_a_timeline_that_cannot_be_written_any_more_does_not_keep_the_machine(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_point: str, lab: Lab) -> None:
        os.dup2(os.open("/dev/full", os.O_WRONLY), lab.run.timeline._file)

    with pytest.raises(LabFault, match="No space left on device"):
        run_swap(SwapPlan(seconds=0.1), interfere=full)
    assert not [lease for lease in leases() if lease.owner == Owner.own().process]


def test_a_defect_of_ours_does_not_leave_a_run_that_seems_to_go_on(runs: Path) -> None:
    def broken(point: str, _lab: Lab) -> None:
        raise ZeroDivisionError(point)

    with pytest.raises(ZeroDivisionError):
        run_swap(SwapPlan(seconds=0.1), interfere=broken)
    (folder,) = run_folders(runs)
    assert summary(folder)["state"] == "lab-fault"
    assert not [lease for lease in leases() if lease.owner == Owner.own().process]


def test_a_run_folder_that_cannot_be_completed_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_timeline(*_: object) -> None:
        raise LabFault("no space")

    monkeypatch.setattr("hotswap.run.Timeline", no_timeline)
    with pytest.raises(LabFault):
        RunFolder.create(tmp_path / "home")
    assert run_folders(tmp_path / "home") == []
