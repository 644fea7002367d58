"""Deadlines: handed down they only shrink, and a wait says what it waited for and what it saw."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotswap.deadline import Deadline
from hotswap.errors import DeadlineExpired, LabFault

SECONDS = st.floats(min_value=0, max_value=1e6)


@given(parent=SECONDS, child=SECONDS, reserve=SECONDS)
def test_a_child_never_outlives_its_parent_and_leaves_the_reserve(parent: float, child: float, reserve: float) -> None:
    whole = Deadline.after(parent)
    before = time.monotonic()
    part = whole.within(child, reserve=reserve)
    assert part.at <= whole.at - reserve
    assert part.at <= time.monotonic() + child
    assert part.at == whole.at - reserve or part.at >= before + child


def test_what_remains_is_never_negative() -> None:
    past = Deadline(time.monotonic() - 5)
    assert past.remaining == 0.0
    assert past.expired
    assert not Deadline.after(60).expired
    assert 59 < Deadline.after(60).remaining <= 60


def test_a_wait_returns_the_first_value_that_is_true() -> None:
    answers = iter([None, False, 0, "", [], {}, 1])
    assert Deadline.after(10).wait_for(lambda: next(answers), "an answer", interval=0.001) == 1


def test_an_expired_wait_names_what_it_waited_for_and_what_it_saw() -> None:
    with pytest.raises(DeadlineExpired, match=r"waiting for the agent: the deadline expired; last seen: nothing yet"):
        Deadline.after(0.02).wait_for(lambda: None, "the agent", last_seen=lambda: "nothing yet", interval=0.001)
    assert issubclass(DeadlineExpired, LabFault)


def test_an_expired_deadline_still_looks_once() -> None:
    assert Deadline.after(0).wait_for(lambda: "there", "it") == "there"


def test_a_wait_ends_when_what_it_depends_on_is_gone() -> None:
    lives = iter([None, "the process ended with 3"])
    begun = time.monotonic()
    with pytest.raises(DeadlineExpired, match="waiting for it: the process ended with 3"):
        Deadline.after(60).wait_for(lambda: None, "it", alive=lambda: next(lives), interval=0.001)
    assert time.monotonic() - begun < 30


def test_a_value_counts_more_than_the_death_of_who_gave_it() -> None:
    assert Deadline.after(1).wait_for(lambda: "done", "it", alive=lambda: "gone") == "done"


def test_an_error_of_the_condition_is_not_hidden() -> None:
    def condition() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        Deadline.after(1).wait_for(condition, "it")
