"""`ci/soak swaps`: whole and short on real guests; with made-up runs it is seen to find every kind of leak."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hotswap.deadline import Deadline
from hotswap.machine.lease import Lease, leases
from hotswap.machine.proc import Owner
from hotswap.soak import __main__ as command
from hotswap.soak import swaps
from hotswap.soak.leak import Leak
from hotswap.swap.plan import SwapPlan
from hotswap.swap.result import SwapResult
from hotswap.trace.expect import Verdict
from support.swap_results import swap_result, update

TREND = {"what", "unit", "samples", "first", "last", "slope", "low", "bound", "judged", "grows"}
LEAKS_INTO = {
    "memory": "memory",
    "thread": "threads",
    "open-file": "open files",
    "process": "child processes",
    "lease": "leases",
    "cache-file": "files in the cache",
    "run-file": "files of its runs",
}


def soak(*arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hotswap.soak", *map(str, arguments)],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_a_short_soak_on_real_guests_passes_and_tells_all_figures(runs: Path, tmp_path: Path) -> None:
    target = tmp_path / "soak.json"
    done = soak("swaps", "--count", "5", "--first-seed", "70", "--swaps", "40", "--json", target)
    content = json.loads(target.read_text())
    assert done.returncode == 0, done.stdout + done.stderr
    assert (content["schema"], content["verdict"], content["problems"]) == (1, "pass", [])
    assert (content["runs"], content["first_seed"], content["one_guest"]["swaps"]) == (5, 70, 40)
    assert content["stall_us"]["count"] == 10
    assert all(70 <= row["seed"] <= 74 for row in content["stall_us"]["slowest"])
    assert all(trend.keys() == TREND for trend in content["trends"])
    figures = {trend["what"]: trend for trend in content["trends"]}
    for name in (*LEAKS_INTO.values(), "guest processes", "driver host: threads", "wineserver: open files"):
        assert name in figures
    assert figures["driver: Workers"]["first"] == 8, "the counters were asked while the load ran"
    assert figures["driver host: memory"]["first"] > 1000
    assert figures["child processes"]["last"] == 0
    assert "slowest by seed: 7" in done.stdout
    assert "total time: " in done.stdout
    assert [*runs.iterdir()] == [], "run folders of passes are dropped"


def test_a_run_that_does_not_pass_ends_the_soak_in_one_and_its_folder_stays(runs: Path) -> None:
    done = soak("swaps", "--count", "4", "--swaps", "0", "--to", "twice")
    assert done.returncode == 1, done.stderr
    assert "problem: seed 1: verdict fail: work-once-per-iteration" in done.stdout
    assert len([*runs.iterdir()]) == 1


def test_a_driver_that_leaks_in_one_guest_is_seen_from_outside(runs: Path, tmp_path: Path) -> None:
    target = tmp_path / "soak.json"
    done = soak("swaps", "--count", "0", "--swaps", "40", "--to", "leak-thread", "--json", target)
    assert done.returncode == 1, done.stderr
    grown = {trend["what"]: trend["slope"] for trend in json.loads(target.read_text())["trends"] if trend["grows"]}
    assert grown["driver host: threads"] == pytest.approx(0.5, abs=0.1), "one each time that version 2 is loaded"


def test_an_interrupted_soak_leaves_nothing(runs: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "hotswap.soak", "swaps", "--count", "50"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )

    def owned() -> list[Lease]:
        return [lease for lease in leases() if lease.owner.pid == process.pid]

    Deadline.after(60).wait_for(owned, "its first guest")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert err == "ci/soak: interrupted\n"
    assert owned() == []


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "which one? There are contract, "),
        (["nonsense"], "there is no soak nonsense; there are contract, "),
        (["swaps", "--count", "x"], "invalid int value: 'x'"),
        (["swaps", "--count", "-1"], "count is -1"),
        (["swaps", "--count", "0", "--swaps", "0"], "count + swaps is 0"),
        (["swaps", "--count", "2"], "show no trend"),
        (["swaps", "--swaps", "20"], "show no trend"),
        (["swaps", "--json", "/no/such/folder/x.json"], "cannot be written"),
        (["swaps", "--to", "v9"], "unknown update 'v9'"),
    ],
)
def test_bad_usage_is_one_line_and_found_before_anything_runs(runs: Path, arguments: list[str], why: str) -> None:
    done = soak(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("ci/soak: ")
    assert why in line
    assert not runs.exists()


@pytest.fixture
def made_up(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Runs that only make a folder; members of their results can be set. The cache is empty and the test's own."""
    monkeypatch.setenv("HOTSWAP_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    more: dict[str, object] = {}

    def run_swap(plan: SwapPlan, **_: object) -> SwapResult:
        return swap_result(runs / f"20261101T000000Z-{plan.seed:06x}", **more)  # type: ignore[arg-type]

    monkeypatch.setattr(swaps, "run_swap", run_swap)
    return more


def judged(target: Path, *arguments: str) -> tuple[int, dict[str, object], list[str]]:
    code = command.main(["swaps", "--count", "14", "--swaps", "0", "--quiet", "--json", str(target), *arguments])
    content = json.loads(target.read_text())
    return code, content, [trend["what"] for trend in content["trends"] if trend["grows"]]


def test_without_a_leak_nothing_grows(made_up: dict[str, object], tmp_path: Path) -> None:
    assert judged(tmp_path / "x.json")[::2] == (0, [])


@pytest.mark.parametrize(("name", "grows"), [("{:032x}", []), (".building-{:032x}", ["files in the cache"])])
def test_builds_of_others_are_no_growth_and_half_a_build_is(
    made_up: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, grows: list[str]
) -> None:
    made = swaps.run_swap

    def run_swap(plan: SwapPlan, **more: Any) -> SwapResult:
        folder = tmp_path / "cache" / "drivers" / name.format(plan.seed)
        folder.mkdir(parents=True)
        (folder / "x.sys").touch()
        return made(plan, **more)

    monkeypatch.setattr(swaps, "run_swap", run_swap)
    assert judged(tmp_path / "x.json")[2] == grows


@pytest.mark.parametrize("kind", Leak.KINDS)
def test_every_kind_of_leak_is_found_and_given_back(made_up: dict[str, object], tmp_path: Path, kind: str) -> None:
    code, content, growing = judged(tmp_path / "x.json", "--leak", kind)
    assert code == 1
    assert growing == [LEAKS_INTO[kind]] or (kind == "lease" and growing == ["leases", "files in the cache"])
    assert content["verdict"] == "fail"
    assert f"growth of {growing[0]}" in str(content["reason"])
    assert not [lease for lease in leases() if lease.owner == Owner.own().process]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"verdict": Verdict.INCONCLUSIVE}, "seed 1: verdict inconclusive: "),
        (
            {"updates": (update(0, 1), update(1, 2, status=-1073741823), update(1, 1))},
            "update 1 did not succeed: 0xc0000001",
        ),
        ({"updates": (update(0, 1), update(1, 2, rolled_back=True), update(1, 1))}, "update 1 was rolled back"),
        ({"updates": (update(0, 1), update(1, 2))}, "2 of 3 updates were made"),
    ],
)
def test_a_refusal_is_no_good_swap(
    made_up: dict[str, object], tmp_path: Path, more: dict[str, object], why: str
) -> None:
    """A clean refusal is a pass of a swap test; a soak of good swaps must not count it."""
    made_up.update(more)
    code, content, _ = judged(tmp_path / "x.json")
    assert code == 1
    assert why in str(content["problems"])
    assert content["runs"] == 0
