"""Whole swap tests on the embedded guest: the verdict must be the truth about the drivers."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import pyarrow.parquet as pq
import pytest

from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild
from hotswap.errors import UsageError
from hotswap.machine.standin_view import StandinView
from hotswap.swap.lab import Lab
from hotswap.swap.plan import SwapPlan
from hotswap.swap.result import SwapResult
from hotswap.swap.runner import run_swap
from hotswap.trace.expect import Verdict
from support.dissect_multiset import dissect_multiset, our_multiset

pytestmark = pytest.mark.usefixtures("runs", "nothing_left")

SHORT = 0.3


def results(result: SwapResult) -> dict[str, Verdict]:
    return {item.id: item.verdict for item in result.expectations}


def not_passed(result: SwapResult) -> list[str]:
    return [f"{item.id}: {item.message}" for item in result.expectations if item.verdict is not Verdict.PASS]


# The same test wherever a guest runs, and however agent and drivers come there. A COM port carries few events a second.
MACHINES = {
    "wine": {},
    "standin": {},
    "standin-disc": {"workers": 2, "rate": 500},
    "standin-com": {"workers": 2, "rate": 200, "seconds": 0.1},
    "standin-ssh": {"workers": 2, "rate": 500},
    "standin-winrm": {"workers": 2, "rate": 500},
}


@pytest.mark.parametrize("machine", MACHINES)
def test_a_good_update_passes_and_leaves_a_complete_run_folder(machine: str) -> None:
    result = run_swap(SwapPlan(**{"machine": machine, "seconds": SHORT, **MACHINES[machine]}), command="the command")
    assert result.verdict is Verdict.PASS, not_passed(result)
    assert [(update.from_version, update.to_version) for update in result.updates] == [(0, 1), (1, 2), (2, 1)]
    assert result.iterations > (50 if machine == "wine" else 5)
    assert result.environment["machine"] == machine
    folder = result.run_folder
    names = {path.name for path in folder.iterdir()}
    written = {"run.json", "timeline.jsonl", "trace.etl", "events.parquet", "report.html", "trace.perfetto-trace"}
    assert names == written | {"evidence"}
    assert json.loads((folder / "run.json").read_text())["verdict"] == "pass"
    assert pq.read_table(folder / "events.parquet").num_rows == result.events
    assert {"preflight.json", "witnesses.json"} <= {path.name for path in (folder / "evidence").iterdir()}
    steps = [json.loads(line) for line in (folder / "timeline.jsonl").read_text().splitlines()]
    assert steps[-1]["event"] == "verdict"
    assert "the command" in result.report.read_text()
    assert result.environment["runtime_in_use"] == "compat"


def test_our_reader_and_dissect_see_the_same_events_in_a_real_trace() -> None:
    result = run_swap(SwapPlan(seconds=SHORT))
    trace = result.run_folder / "trace.etl"
    ours = our_multiset(trace)
    assert sum(ours.values()) == result.events > 500
    theirs = dissect_multiset(trace)
    assert ours == theirs


@pytest.mark.parametrize("machine", ["wine", "standin"])
def test_a_failed_run_shows_the_fewest_events_that_prove_it(machine: str) -> None:
    result = run_swap(SwapPlan(machine=machine, updates=("v1", "lose-wakeup", "v1"), seconds=0.6))
    failed = next(item for item in result.expectations if item.id == "signals-accounted")
    assert 1 <= len(failed.slice) <= 12
    assert "signals-accounted" in result.reason
    assert "SignalBegin" in result.slices["signals-accounted"]
    assert "SignalBegin" in result.report.read_text()


def test_an_expectation_that_is_disabled_is_not_asked() -> None:
    plan = SwapPlan(updates=("v1", "twice", "v1"), seconds=SHORT, disabled=frozenset({"work-once-per-iteration"}))
    result = run_swap(plan)
    assert result.verdict is Verdict.PASS, not_passed(result)
    assert "work-once-per-iteration" not in results(result)


def test_a_ring_that_drops_events_is_inconclusive() -> None:
    result = run_swap(SwapPlan(seconds=SHORT, ring_slots=64, rate=20_000))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert results(result)["evidence-complete"] is Verdict.INCONCLUSIVE
    assert "dropped" in result.reason
    assert Verdict.FAIL not in results(result).values()


def kill_host_at(point: str) -> Callable[[str, Lab], None]:
    """Kill the driver host when the test reaches a point for the second time: the first is before there is load."""
    seen: list[str] = []

    def interfere(name: str, lab: Lab) -> None:
        seen.append(name)
        if name == point and (point != "update-begun" or "load-running" in seen):
            assert lab.host is not None
            if isinstance(lab.machine, StandinView):
                (victim,) = [one for one in lab.machine.driver_host_processes() if one == lab.host.process]
                lab.machine.control.kill(victim, deadline=Deadline.after(20))
            else:
                os.kill(lab.host.process.pid, signal.SIGKILL)

    return interfere


@pytest.mark.parametrize(
    ("machine", "point"), [("wine", "update-begun"), ("wine", "load-running"), ("standin", "update-begun")]
)
def test_a_driver_host_killed_in_mid_test_fails_within_ten_seconds_with_evidence(machine: str, point: str) -> None:
    killed: list[float] = []
    kill = kill_host_at(point)

    def interfere(name: str, lab: Lab) -> None:
        kill(name, lab)
        killed.append(monotonic())

    result = run_swap(SwapPlan(machine=machine, seconds=SHORT), interfere=interfere)
    slowdown = 1 if machine == "wine" else 6
    assert monotonic() - killed[-1] < 10 * slowdown
    assert result.verdict is Verdict.FAIL
    assert result.reason.startswith("driver-host-alive: the driver host died")
    assert any((result.run_folder / "evidence").glob("*log*")) or any(
        path.stat().st_size for path in (result.run_folder / "evidence").rglob("*.log")
    )
    assert result.events > 0, "what had been traced until then is kept"


def test_a_drivers_own_file_is_swapped_like_a_known_update(build: DriverBuild, tmp_path: Path) -> None:
    mine = tmp_path / "my driver.sys"
    mine.write_bytes(build.driver("hotswap_v2").path.read_bytes())
    result = run_swap(SwapPlan(updates=("v1", str(mine), "v1"), seconds=SHORT))
    assert result.verdict is Verdict.PASS, not_passed(result)


def test_a_restart_update_passes_what_applies_to_it() -> None:
    result = run_swap(SwapPlan(runtime="plain", seconds=SHORT))
    assert result.verdict is Verdict.PASS, not_passed(result)
    assert "worker-threads-survive" not in results(result)
    assert result.environment["runtime_in_use"] == "plain"


def test_the_native_runtime_is_refused_where_the_guest_has_none() -> None:
    result = run_swap(SwapPlan(runtime="native", seconds=SHORT))
    assert result.verdict is Verdict.FAIL
    assert "STATUS_PROCEDURE_NOT_FOUND" in result.reason


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"machine": "vax"}, "unknown machine 'vax'; known machines: .*standin, .*wine"),
        ({"updates": ("v1", "v9", "v1")}, "unknown update 'v9'"),
        ({"runtime": "magic"}, "unknown runtime 'magic'"),
        ({"disabled": frozenset({"nothing"})}, "unknown expectation 'nothing'"),
        ({"workers": 0}, "workers is 0"),
        ({"workers": 65}, "workers is 65"),
        ({"seconds": 0.0}, "seconds is 0"),
        ({"updates": ("v1",)}, "at least two"),
        ({"updates": ("v1", "host-old-call", "host-keep-image")}, "one way at a time"),
        ({"updates": ("v1", "host-old-call"), "runtime": "plain"}, "not with the runtime plain"),
        ({"waits": "sometimes"}, "waits is 'sometimes'; it must be one of mixed, any"),
        ({"load": "heavy"}, "load is 'heavy'"),
        ({"update_at": "noon"}, "update-at is 'noon'"),
        ({"hold_budget_ms": 0.0}, "hold-budget-ms is 0"),
    ],
)
def test_bad_input_is_refused_before_anything_is_made(runs: Path, plan: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run_swap(SwapPlan(**plan))  # type: ignore[arg-type]
    assert not runs.exists()


def test_a_driver_that_cannot_work_in_the_guest_is_refused_before_a_guest_is_started(
    build: DriverBuild, tmp_path: Path, runs: Path
) -> None:
    broken = tmp_path / "broken.sys"
    data = build.driver("hotswap_v2").path.read_bytes()
    broken.write_bytes(data.replace(b"HsOfferEndpoints", b"HsOfferEndpointX"))
    with pytest.raises(UsageError, match=r"preflight of broken\.sys.*HsOfferEndpointX"):
        run_swap(SwapPlan(updates=("v1", str(broken), "v1"), seconds=SHORT))
    assert not runs.exists()
