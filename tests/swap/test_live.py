"""Live checking of a swap run: a broken update is caught before the end, and no beginning of a good run is blamed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import pytest
from test_expectations import FAILS, Mutation

from hotswap.deadline import Deadline
from hotswap.machine.wine import WineMachine
from hotswap.swap.expectations import SWAP_EXPECTATIONS
from hotswap.swap.live import LIVE, LiveCheck, live_question
from hotswap.swap.plan import SwapPlan
from hotswap.swap.runner import run_swap
from hotswap.swap.swap_rules import host
from hotswap.trace.expect import Verdict
from hotswap.trace.follow import Follower, Prefix, Together
from hotswap.trace.rules import View, at_most
from hotswap.trace.rules.answer import Answer
from hotswap.trace.rules.live import ask_prefix, watch
from hotswap.trace.writer import EtlWriter
from support.growing import Recording, States
from support.swap_trace import Run, good_run

ASK = live_question()


def states_of(run: Run, rounds: int) -> list[bytes]:
    """The run's file as the agent would have written it: `rounds` times all buffers and then the header."""
    stream = Recording()
    rows, session = run.rows(), run.session
    with EtlWriter(stream, session) as writer:
        step = -(-len(rows) // rounds)
        for begin in range(0, len(rows), step):
            writer.write(rows[begin : begin + step])
            writer.flush()
            writer.update_header()
    return stream.states


def follower_of(states: list[bytes]) -> Follower:
    return Follower(States(states), Deadline.after(60), watermark=Together())


def test_every_live_expectation_is_one_of_the_test() -> None:
    assert set(LIVE) <= {expectation.id for expectation in SWAP_EXPECTATIONS}
    assert len(LIVE) == 8


@pytest.mark.parametrize("seed", [1, 2])
def test_no_beginning_of_a_good_run_is_blamed(seed: int) -> None:
    """Asked after each of many rounds; iterations and signals are under way at most of them."""
    run = good_run(seed, rounds=12)
    follower, prefix = follower_of(states_of(run, 45)), Prefix()
    asked = 0
    for table in follower:
        prefix.add(table)
        assert ask_prefix(follower, prefix, ASK) == []
        asked += 1
    assert asked > 35
    assert follower.closed


MINE = [(expectation, mutation) for expectation, _, mutation, _ in FAILS if expectation in LIVE]
AT_THE_END = {"thread_without_end"}
"""What is not there can still come until the session is stopped."""


@pytest.mark.parametrize(("expectation", "mutation"), MINE, ids=[mutation.__name__ for _, mutation in MINE])
def test_a_broken_run_is_caught_while_it_runs(expectation: str, mutation: Mutation) -> None:
    """Each mutation that the expectation is there for."""
    run = good_run(rounds=20)
    mutation(run)
    states = states_of(run, 12)
    source = States(states)
    failures = watch(Follower(source, Deadline.after(60), watermark=Together()), ASK, share=math.inf)
    assert expectation in {answer.id for answer in failures}
    assert all(answer.rows for answer in failures)
    assert (source.at < len(states) - 3) == (mutation.__name__ not in AT_THE_END)


def doubled_work(run: Run) -> None:
    run.copy(run.find("EndpointWork")[10])
    run.recount()


# ---- In a guest ----


@pytest.mark.usefixtures("runs", "nothing_left")
@pytest.mark.parametrize("shared", [True, False])
def test_a_broken_update_ends_a_real_run_long_before_its_plan(shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the file itself, and through the agent as on machines whose files cannot be seen."""
    monkeypatch.setattr(WineMachine, "shares_files", shared)
    begun = monotonic()
    # The broken version comes first: the plan is 120 s of load on it and on each after it.
    result = run_swap(SwapPlan(updates=("skips-work", "v1", "v2"), seconds=120.0, check_live=True))
    assert monotonic() - begun < 100
    assert result.verdict is Verdict.FAIL
    assert result.reason.startswith("work-once-per-iteration: ")
    assert "found while the test ran" in result.reason
    assert [item.id for item in result.expectations if item.verdict is Verdict.FAIL] == ["work-once-per-iteration"]
    assert len(result.updates) == 1
    told = [json.loads(line) for line in (result.run_folder / "timeline.jsonl").read_text().splitlines()]
    (live,) = [line for line in told if line["event"] == "live-check"]
    assert live["expectation"] == "work-once-per-iteration"
    assert 0 < live["events"] <= result.events
    assert "trouble" not in live


@pytest.mark.usefixtures("runs", "nothing_left")
def test_a_good_run_is_not_disturbed_by_live_checks() -> None:
    result = run_swap(SwapPlan(seconds=0.5, check_live=True))
    assert result.verdict is Verdict.PASS, result.reason
    told = [json.loads(line) for line in (result.run_folder / "timeline.jsonl").read_text().splitlines()]
    (live,) = [line for line in told if line["event"] == "live-check"]
    assert "expectation" not in live
    assert "trouble" not in live
    assert live["events"] > 0


def test_what_only_the_live_check_saw_leaves_the_verdict_open(
    monkeypatch: pytest.MonkeyPatch, runs: Path, nothing_left: None
) -> None:
    """It must not happen; were it so, neither a pass nor a failure would be the truth."""
    monkeypatch.setitem(LIVE, "nothing-runs-while-held", at_most(5, host("IterationBegin")))
    result = run_swap(SwapPlan(seconds=0.5, check_live=True))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.reason.startswith(
        "the complete trace does not show what was found while it was written: nothing-runs"
    )


def test_trouble_of_a_live_check_is_told_and_stops_nothing() -> None:
    def broken(view: View) -> list[Answer]:
        raise ValueError("a defect")

    check = LiveCheck(States(states_of(good_run(rounds=5), 3)), broken, Deadline.after(60))
    check.start()
    assert not check.failed_within(0.2)
    check.stop()
    assert (check.failure, check.trouble) == (None, "ValueError: a defect")


# ---- What is asked ----


def test_what_is_disabled_or_not_asked_of_a_restart_is_not_asked_live() -> None:
    run = good_run(1, rounds=10)
    doubled_work(run)
    follower = follower_of(states_of(run, 5))

    def ask(ask: Callable[..., list[Answer]]) -> list[str]:
        prefix = Prefix()
        for table in follower_of(states_of(run, 5)):
            prefix.add(table)
        return [answer.id for answer in ask_prefix(follower, prefix, ask)]

    list(follower)
    assert ask(live_question()) == ["work-once-per-iteration"]
    assert ask(live_question({"work-once-per-iteration"})) == []
    assert "nothing-runs-while-held" not in live_question_ids(restart=True)


def live_question_ids(*, restart: bool) -> set[str]:
    prefix, follower = Prefix(), follower_of(states_of(good_run(1, rounds=5), 2))
    for table in follower:
        prefix.add(table)
    seen: set[str] = set()
    ask_prefix(follower, prefix, lambda view: [seen.add(a.id) or a for a in live_question(restart=restart)(view)])
    return seen
