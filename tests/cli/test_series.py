"""A series of swap tests: seeds, verdicts, what is kept, and how it ends. The runs themselves are made up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hotswap.cli.swap_series import one_run
from hotswap.errors import LabFault, UsageError
from hotswap.swap import repeat
from hotswap.swap.plan import SwapPlan
from hotswap.swap.repeat import Series, Span, run_series, span_figures, span_lines
from hotswap.swap.result import SwapResult
from hotswap.swap.runner import Interrupted
from hotswap.trace.expect import Verdict
from support.swap_results import swap_result, update

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
Runs = Callable[..., list[tuple[int, str]]]


@pytest.fixture
def runs_end_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """Lets the runs end in these verdicts or errors; returns the list of (seed, command) that were run."""

    def prepare(*outcomes: object) -> list[tuple[int, str]]:
        ran: list[tuple[int, str]] = []

        def run_swap(plan: SwapPlan, *, command: str = "", **_: object) -> SwapResult:
            outcome = outcomes[len(ran)]
            ran.append((plan.seed, command))
            result = swap_result(folder_of(tmp_path, plan.seed), outcome if isinstance(outcome, Verdict) else PASS)
            if outcome is Interrupted:
                raise Interrupted(swap_result(folder_of(tmp_path, plan.seed), INCONCLUSIVE))
            if isinstance(outcome, BaseException):
                raise outcome
            return result

        monkeypatch.setattr(repeat, "run_swap", run_swap)
        return ran

    return prepare


def folder_of(home: Path, seed: int) -> Path:
    return home / f"20261101T0000{seed:02}Z-{seed:06x}"


def left(home: Path) -> list[int]:
    return sorted(int(path.name[-6:], 16) for path in home.iterdir())


def test_seeds_follow_one_another_and_each_run_knows_its_own_command(runs_end_in: Runs, tmp_path: Path) -> None:
    ran = runs_end_in(PASS, PASS, PASS)
    series = run_series(SwapPlan(seed=7), 3, command=lambda seed: f"again {seed}")
    assert ran == [(7, "again 7"), (8, "again 8"), (9, "again 9")]
    assert (series.verdict, series.reason) == (PASS, "3 of 3 runs passed")
    assert left(tmp_path) == [7, 8, 9]


def test_it_stops_at_the_first_that_is_not_pass_unless_told_to_go_on(runs_end_in: Runs) -> None:
    outcomes = (PASS, INCONCLUSIVE, PASS, FAIL)
    ran = runs_end_in(*outcomes)
    stopped = run_series(SwapPlan(seed=1), 4)
    assert len(ran) == 2
    assert stopped.verdict is INCONCLUSIVE
    runs_end_in(*outcomes)
    whole = run_series(SwapPlan(seed=1), 4, keep_going=True)
    assert whole.verdict is FAIL, "a failure is worse than an open question, whatever came first"
    assert whole.verdicts == {PASS: 2, INCONCLUSIVE: 1, FAIL: 1}
    assert whole.first_not_passed is not None
    assert whole.first_not_passed.seed == 4
    assert "first with seed 4" in whole.reason


@pytest.mark.parametrize(("keep", "kept"), [("all", [1, 2, 3, 4, 5]), ("failed", [2]), ("last", [2, 5])])
def test_what_is_not_to_be_kept_is_dropped_and_never_what_did_not_pass(
    runs_end_in: Runs, tmp_path: Path, keep: str, kept: list[int]
) -> None:
    runs_end_in(PASS, FAIL, PASS, PASS, PASS)
    series = run_series(SwapPlan(seed=1), 5, keep_going=True, keep=keep)
    assert left(tmp_path) == kept
    assert [run.seed for run in series.runs if run.kept] == kept
    assert [row["kept"] for row in series.to_json()["runs"]] == [seed in kept for seed in range(1, 6)]


def test_a_fault_of_the_lab_ends_it_even_when_it_is_to_go_on(runs_end_in: Runs) -> None:
    runs_end_in(PASS, LabFault("the disk is full"), PASS)
    series = run_series(SwapPlan(seed=1), 3, keep_going=True)
    assert series.verdict is INCONCLUSIVE
    assert str(series.fault) == "the disk is full"
    assert "seed 2, after 1 runs: the disk is full" in series.reason


@pytest.mark.parametrize("outcome", [Interrupted, KeyboardInterrupt()])
def test_an_interrupt_ends_it_with_what_there_is(runs_end_in: Runs, outcome: object) -> None:
    runs_end_in(PASS, outcome, PASS)
    series = run_series(SwapPlan(seed=1), 3)
    assert series.interrupted
    assert series.verdict is INCONCLUSIVE
    assert series.runs[0].result.verdict is PASS
    assert "interrupted after" in series.reason


@pytest.mark.parametrize(("count", "seed"), [(0, 1), (-1, 1), (2, (1 << 63) - 1), (10**9, 1)])
def test_a_series_that_cannot_be_is_refused_before_its_first_run(runs_end_in: Runs, count: int, seed: int) -> None:
    ran = runs_end_in(PASS)
    with pytest.raises(UsageError):
        run_series(SwapPlan(seed=seed), count)
    assert ran == []


def test_nothing_that_ran_is_no_pass() -> None:
    assert Series(3).verdict is INCONCLUSIVE


def test_figures_are_those_of_the_spans() -> None:
    spans = [Span(seed, 1, float(seed)) for seed in range(1, 201)]
    figures = span_figures(spans)
    assert (figures["count"], figures["median"], figures["p99"], figures["max"]) == (200, 100.5, 198.0, 200.0)
    assert [row["seed"] for row in figures["slowest"]] == [200, 199, 198, 197, 196]
    assert span_figures([Span(1, 1, 3.0)])["p99"] == 3.0
    assert span_figures([])["max"] is None
    assert "no call was held" in span_lines([], spans)[0]
    assert span_lines([], spans)[-1].strip().startswith("slowest by seed: 200 (200 µs), 199")


def test_hold_times_are_of_swaps_only_and_in_microseconds(tmp_path: Path) -> None:
    updates = (update(0, 1, held_us=999), update(1, 2, held_us=30, window_us=40), update(2, 1))
    run = repeat.SeriesRun(4, swap_result(tmp_path, updates=updates), 1.0)
    assert run.holds() == [Span(4, 1, 30.0)]
    late = swap_result(tmp_path, updates=(update(0, 1), update(1, 2, held_us=-1)))
    assert repeat.SeriesRun(4, late, 1.0).holds() == [Span(4, 1, 0.0)]
    assert run.windows() == [Span(4, 1, 40.0), Span(4, 2, 5.0)]


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ("swap --repeat 5", "hotswap swap --seed 3"),
        ("swap --repeat=5 --seed 1 --to twice", "hotswap swap --to twice --seed 3"),
        ("swap --keep failed --repeat 2 -q --json --keep-going --workers 3", "hotswap swap --workers 3 --seed 3"),
        ("swap --json x.json --seed=9 --repeat 2 --rate 5", "hotswap swap --rate 5 --seed 3"),
        ("swap --json - --repeat 2", "hotswap swap --seed 3"),
        ("swap --repeat 2 --json", "hotswap swap --seed 3"),
    ],
)
def test_the_command_that_repeats_one_run_is_without_the_series(arguments: str, command: str) -> None:
    assert one_run(arguments.split(), 3) == command
