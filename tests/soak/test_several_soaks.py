"""`ci/soak NAME NAME`: several soaks in one run, with one summary and one JSON object."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path

import pytest

from hotswap.cli.progress import Progress
from hotswap.errors import LabFault
from hotswap.soak import __main__ as command
from hotswap.soak.__main__ import SOAKS, Soak, main
from hotswap.soak.result import SoakResult

Run = Callable[[Namespace, Progress], SoakResult]


def soak(monkeypatch: pytest.MonkeyPatch, **runs: Run) -> None:
    """Each with an option of its own name, 7 unless it is given, and one that all have."""

    def made(name: str, run: Run) -> Soak:
        def add_options(parser: ArgumentParser) -> None:
            parser.add_argument(f"--{name}", type=int, default=7)
            parser.add_argument("--machine", default="wine")

        return Soak(name, add_options, run)

    monkeypatch.setattr(command, "SOAKS", {name: made(name, run) for name, run in runs.items()})


def good(options: Namespace, _progress: Progress) -> SoakResult:
    return SoakResult("good", seconds=1.5, figures={"asked": (options.good, options.machine)})


def bad(options: Namespace, _progress: Progress) -> SoakResult:
    return SoakResult("bad", problems=["it broke"], seconds=2.0, figures={"asked": (options.bad, options.machine)})


def broken(_options: Namespace, _progress: Progress) -> SoakResult:
    raise LabFault("no guest")


def test_two_soaks_have_one_summary_and_one_json_object(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soak(monkeypatch, good=good, bad=bad)
    target = tmp_path / "soak.json"
    assert main(["good", "bad", "--bad", "3", "--machine", "other", "--quiet", "--json", str(target)]) == 1
    content = json.loads(target.read_text())
    assert (content["soak"], content["verdict"], content["seconds"]) == ("good bad", "fail", 3.5)
    assert [(each["soak"], each["verdict"], each["asked"]) for each in content["soaks"]] == [
        ("good", "pass", [7, "other"]),
        ("bad", "fail", [3, "other"]),
    ]
    output = capsys.readouterr().out
    assert "ci/soak good bad: total time: 3.5 s" in output
    assert output.count("problem: it broke") == 1


def test_all_pass_when_each_does(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    soak(monkeypatch, good=good, more=lambda options, _: SoakResult("more", seconds=options.more))
    assert main(["good", "more", "--quiet"]) == 0
    assert "verdict of all: pass" in capsys.readouterr().out


def test_what_was_made_is_told_when_the_lab_ends_the_rest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    soak(monkeypatch, good=good, broken=broken)
    assert main(["good", "broken", "--quiet"]) == 4
    error = capsys.readouterr().err
    assert "verdict: pass" in error
    assert "no guest" in error


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ([], "which one?"),
        (["contract", "contract"], "twice"),
        (["contract", "nothing"], "no soak nothing"),
        (["swaps", "fuzz"], "--count is not the same for swaps and fuzz"),
        (["contract", "--count", "5"], "--count"),
    ],
)
def test_bad_usage_is_one_line(wrong: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(wrong) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert says in line


def test_the_contract_and_hostile_ioctls_can_be_one_run() -> None:
    names, options = command._parse(["contract", "fuzz", "--steps", "5", "--count", "6", "--seed", "7"])
    assert names == ["contract", "fuzz"]
    assert (options.steps, options.first_seed, options.count, options.seed, options.machine) == (5, 1, 6, 7, "wine")
    assert set(names) <= set(SOAKS)
