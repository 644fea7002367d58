"""Live checking of a swap run: a broken update is caught before the end, and no beginning of a good run is blamed."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from test_expectations import FAILS, Mutation

from hotswap.deadline import Deadline
from hotswap.swap.expectations import SWAP_EXPECTATIONS
from hotswap.swap.live import LIVE, live_question
from hotswap.trace.follow import Follower, Prefix, Together
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
