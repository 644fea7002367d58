"""`ci/soak fuzz`: a short run, a run that finds something, and what it is not asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hotswap.errors import LabFault
from hotswap.fuzz.campaign import Campaign, FuzzPlan, FuzzResult
from hotswap.soak.__main__ import main


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch, runs: Path) -> dict[str, Any]:
    """What the campaign is made to come to: no guest is started."""
    told: dict[str, Any] = {"result": FuzzResult(requests=5, statuses=FuzzResult().statuses)}

    def run(_self: Campaign, plan: FuzzPlan) -> FuzzResult:
        told["plan"] = plan
        if isinstance(told["result"], Exception):
            raise told["result"]
        assert isinstance(told["result"], FuzzResult)
        return told["result"]

    monkeypatch.setattr(Campaign, "run", run)
    return told


def summary(runs: Path) -> dict[str, Any]:
    (file,) = runs.glob("*/run.json")
    content: dict[str, Any] = json.loads(file.read_text())
    return content


def test_a_run_without_a_finding_passes(found: dict[str, Any], runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fuzz", "--count", "5", "--seed", "9", "--quiet"]) == 0
    assert (found["plan"].seed, found["plan"].count) == (9, 5)
    assert "5 IOCTLs in" in capsys.readouterr().out
    assert summary(runs)["verdict"] == "pass"


def test_a_finding_is_told_with_its_stack_and_the_command_that_repeats_it(
    found: dict[str, Any], runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found["result"] = FuzzResult(
        finding="the driver host died", kind="crash", stack="#0 here", repeat="ci/soak fuzz --replay f"
    )
    assert main(["fuzz", "--quiet"]) == 1
    output = capsys.readouterr().out
    assert "problem: crash: the driver host died" in output
    assert "#0 here" in output
    assert "repeat it with: ci/soak fuzz --replay f" in output
    assert (summary(runs)["verdict"], summary(runs)["reason"]) == ("fail", "the driver host died")


def test_a_run_that_the_lab_ended_is_inconclusive(
    found: dict[str, Any], runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found["result"] = LabFault("no guest")
    assert main(["fuzz", "--quiet"]) == 4
    assert "no guest" in capsys.readouterr().err
    assert summary(runs)["verdict"] == "inconclusive"


@pytest.mark.parametrize("wrong", [["--count", "0"], ["--epoch", "-1"], ["--replay", "no-such-file"], ["--seed", "x"]])
def test_bad_usage_is_one_line(wrong: list[str], runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fuzz", *wrong]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
