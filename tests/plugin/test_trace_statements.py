"""Statements about a trace: what holds passes, what does not is a sentence with the events that show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from hotswap.codes import CodeTable
from hotswap.driver.host_events import host_events
from hotswap.errors import UsageError
from hotswap.testing import Inconclusive, Trace, event
from hotswap.testing.trace_event import EventFields, NumberField, StatusField, field_name
from hotswap.testing.verdict import SwapVerdict
from hotswap.trace.etl import EtlFile
from hotswap.trace.expect import ExpectationResult, Verdict
from support.swap_trace import good_run

CODES = CodeTable.of([("STATUS_TIMEOUT", 0x102)], [])
ETL = good_run().etl()


@dataclass
class Source:
    etl: EtlFile = ETL
    missing: str = ""
    results: tuple[ExpectationResult, ...] = ()

    @property
    def verdict(self) -> SwapVerdict:
        return SwapVerdict.of(self.results, {item.id: f"slice of {item.id}" for item in self.results if item.slice})


def trace(**source: object) -> Trace:
    return Trace(Source(**source), CODES)  # type: ignore[arg-type]


def failure(statement: Callable[[], object]) -> str:
    with pytest.raises(AssertionError) as caught:
        statement()
    return str(caught.value)


def test_events_are_found_by_either_spelling_of_their_fields() -> None:
    by_header = trace().events("IterationBegin", Worker=1, Version=2)
    by_python = trace().events("IterationBegin", worker=1, version=2)
    assert len(by_header) > 3
    assert by_header.rows.tolist() == by_python.rows.tolist()
    assert set(by_header.column("Worker").tolist()) == {1}
    first = by_header[0]
    assert (first.worker, first["Worker"], first.wait_status) == (1, 1, first["WaitStatus"])
    assert [item.row for item in by_header[:2]] == by_header.rows[:2].tolist()


def test_values_may_be_names_of_codes_several_numbers_or_columns_that_all_events_have() -> None:
    found = trace()
    timeouts = found.events("IterationBegin", wait_status="STATUS_TIMEOUT")
    assert len(timeouts) > 0
    assert set(timeouts.column("WaitStatus").tolist()) == {0x102}
    two = found.events("IterationBegin", worker=(1, 2))
    assert len(two) == found.count("IterationBegin", worker=1) + found.count("IterationBegin", worker=2)
    thread = two[0].tid
    assert set(found.events("IterationBegin", tid=thread).column("tid").tolist()) == {thread}


def test_an_event_prints_its_codes_by_name_and_completes_what_it_has() -> None:
    timeout = trace().events("IterationBegin", wait_status="STATUS_TIMEOUT", worker=3)[0]
    text = f"IterationBegin Worker=3 Iteration={timeout.iteration} Version={timeout.version} WaitStatus=STATUS_TIMEOUT"
    assert (str(timeout), repr(timeout).startswith(f"<{text}, ")) == (text, True)
    assert (timeout.wait_status, timeout.wait_status.name) == (0x102, "STATUS_TIMEOUT")
    signalled = trace().events("IterationBegin", wait_status=1)[0]
    assert str(signalled).endswith("WaitStatus=STATUS_WAIT_1")
    assert {"worker", "iteration", "version", "wait_status", "us", "tid"} <= set(dir(timeout))
    assert not {"swap", "status", "held_calls"} & set(dir(timeout)), "what other events have"
    with pytest.raises(AttributeError, match="IterationBegin has no field 'swap'"):
        _ = timeout.swap
    (end,) = trace().events("SwapEnd", swap=1)
    assert (end.status.name or end.status, end.held_calls >= 0) == (0, True), "these codes name no other"
    assert trace().events("IterationEnd", continue_=1)[0].continue_ == 1


def test_the_fields_that_editors_know_are_the_headers() -> None:
    stated = {field_name(name): kind for fields in host_events().values() for name, kind in fields.items()}
    ours = {name: kind for name, kind in vars(EventFields).items() if isinstance(kind, NumberField)}
    assert {"worker", "iteration", "version", "wait_status", "swap"} <= ours.keys()
    for name, kind in ours.items():
        assert isinstance(kind, StatusField) == (stated[name] == "NTSTATUS"), name


def test_messages_name_codes_where_a_field_is_one() -> None:
    text = failure(lambda: trace().assert_count("IterationBegin", 999, wait_status=(1, 0x102)))
    assert text.startswith("expected exactly 999 IterationBegin (WaitStatus=STATUS_WAIT_1 or STATUS_TIMEOUT)")
    text = failure(lambda: trace().assert_order("HostStop", event("SwapRolledBack", status="STATUS_TIMEOUT", swap=258)))
    assert "SwapRolledBack (Status=STATUS_TIMEOUT, Swap=258)" in text


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (lambda t: t.events("IteratoinBegin"), r"no event 'IteratoinBegin' \(did you mean IterationBegin\?\)"),
        (lambda t: t.events("IterationBegin", wroker=1), r"IterationBegin has no field 'wroker' .*did you mean Worker"),
        (lambda t: t.events("IterationBegin")[0]["nothing"], "IterationBegin has no field 'nothing'"),
        (lambda t: t.events("IterationBegin", wait_status="STATUS_NOTHING"), "'STATUS_NOTHING' is no NTSTATUS"),
        (lambda t: t.assert_order("SwapEnd"), "at least two"),
        (lambda t: t.assert_order("SwapEnd", "SwapBegin", worker=1), "none of SwapEnd, SwapBegin has a field 'worker'"),
        (lambda t: t.assert_count("SwapEnd"), "needs a number"),
        (lambda t: t.expect_failure(), "needs the id"),
        (lambda t: t.expect_failure("signals-acounted"), r"did you mean signals-accounted\?"),
    ],
)
def test_a_slip_of_the_pen_is_told_with_what_there_is(statement: Callable[[Trace], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        statement(trace())


def test_the_fields_of_an_event_that_never_came_are_known_all_the_same() -> None:
    found = trace()
    assert found.count("SwapRolledBack", status=0) == 0
    with pytest.raises(UsageError, match="SwapRolledBack has no field 'worker'"):
        found.count("SwapRolledBack", worker=1)


def test_an_order_returns_the_first_events_that_show_it() -> None:
    signal, begin = trace().assert_order("SignalEnd", "IterationBegin", worker=1)
    assert signal.worker == begin.worker == 1
    assert signal.row < begin.row
    switched, ran = trace().assert_order("SwapSwitched", event("IterationBegin", version=2), worker=2)
    assert (ran.worker, ran.version) == (2, 2)
    assert switched.us < ran.us


def test_a_broken_order_names_the_step_that_never_came_and_shows_what_did() -> None:
    text = failure(lambda: trace().assert_order("HostStop", "IterationBegin", worker=1))
    sentence, header, *rows = text.splitlines()
    assert (
        sentence
        == "expected HostStop, then IterationBegin (Worker=1): no IterationBegin (Worker=1) comes after the HostStop"
    )
    assert "event" in header
    assert any("HostStop" in row for row in rows)
    assert any("IterationBegin" in row for row in rows), "the last of those that came too early"
    assert "no HostStart comes after" in failure(lambda: trace().assert_order("HostStart", "HostStart"))
    text = failure(lambda: trace().assert_order("SwapBegin", event("IterationBegin", version=9)))
    assert "there is no IterationBegin (Version=9) in the trace" in text


def test_counts_hold_exactly_at_least_and_at_most() -> None:
    found = trace()
    ends = found.count("SwapEnd")
    assert len(found.assert_count("SwapEnd", ends)) == ends
    found.assert_count("SwapEnd", at_least=1, at_most=ends)
    text = failure(lambda: found.assert_count("SwapEnd", ends - 1))
    assert text.startswith(f"expected exactly {ends - 1} SwapEnd, the trace has {ends}\n")
    assert len(text.splitlines()) <= 14
    assert f"at least {ends + 1}" in failure(lambda: found.assert_count("SwapEnd", at_least=ends + 1))
    assert "at least 1 and at most 2" in failure(lambda: found.assert_count("SwapEnd", at_least=1, at_most=2))
    assert failure(lambda: found.assert_count("SwapRolledBack", 1)) == (
        "expected exactly 1 SwapRolledBack, the trace has 0"
    )


def test_never_looks_at_the_whole_trace_or_between_two_events() -> None:
    found = trace()
    found.assert_never("SwapRolledBack")
    found.assert_never("IterationBegin", between=("SwapDrained", "SwapReleased"))
    found.assert_never("IterationBegin", between=(event("SwapDrained", swap=2), "SwapReleased"), worker=1)
    text = failure(lambda: found.assert_never("SwapDrained", between=("SwapBegin", "SwapEnd")))
    assert text.startswith("SwapDrained between SwapBegin and SwapEnd")
    assert [name for name in ("SwapBegin", "SwapDrained", "SwapEnd") if name in text.partition("\n")[2]] == [
        "SwapBegin",
        "SwapDrained",
        "SwapEnd",
    ]
    assert "expected no SwapEnd" in failure(lambda: found.assert_never("SwapEnd"))


def test_nothing_between_events_that_are_not_there_proves_nothing() -> None:
    text = failure(lambda: trace().assert_never("IterationBegin", between=("SwapRolledBack", "SwapEnd")))
    assert "no SwapRolledBack in the trace" in text


def test_a_start_without_an_end_is_open_to_the_end_of_the_trace() -> None:
    text = failure(lambda: trace().assert_never("HostStop", between=("SwapSwitched", "SwapRolledBack")))
    assert text.startswith("HostStop between SwapSwitched and SwapRolledBack")


@pytest.mark.parametrize(
    "statement",
    [
        lambda t: t.assert_order("HostStop", "HostStart"),
        lambda t: t.assert_count("HostStart", 2),
        lambda t: t.assert_count("HostStart", 1),
        lambda t: t.assert_never("SwapRolledBack"),
        lambda t: t.assert_never("IterationBegin", between=("SwapDrained", "SwapReleased")),
    ],
)
def test_with_events_missing_what_rests_on_absence_is_inconclusive(statement: Callable[[Trace], object]) -> None:
    with pytest.raises(Inconclusive, match="with events missing this proves nothing: 3 events dropped"):
        statement(trace(missing="3 events dropped"))


def test_with_events_missing_what_is_there_still_counts() -> None:
    lossy = trace(missing="3 events dropped")
    lossy.assert_order("HostStart", "HostStop")
    lossy.assert_count("HostStart", at_least=1)


FAILED = ExpectationResult("signals-accounted", Verdict.FAIL, "lost wake-up", (1,))
HOLDS = ExpectationResult("work-once-per-iteration", Verdict.PASS, "all well")
OPEN = ExpectationResult("threads-gone", Verdict.INCONCLUSIVE, "not counted")
OTHER = ExpectationResult("old-image-gone", Verdict.FAIL, "still there", (2,))


def test_an_expected_failure_is_one_that_is_there_alone() -> None:
    found = trace(results=(HOLDS, FAILED, OPEN))
    assert found.expect_failure("signals-accounted") == (FAILED,)
    assert found._expected_to_fail == {"signals-accounted"}
    text = failure(lambda: trace(results=(FAILED, OTHER)).expect_failure("signals-accounted"))
    assert "besides signals-accounted also old-image-gone failed" in text
    assert "slice of old-image-gone" in text
    assert trace(results=(FAILED, OTHER)).expect_failure("signals-accounted", "old-image-gone") == (FAILED, OTHER)


def test_an_expected_failure_that_does_not_come_says_what_came_instead() -> None:
    text = failure(lambda: trace(results=(HOLDS,)).expect_failure(HOLDS.id))
    assert "but it holds: all well; no other failed either" in text
    for id in (HOLDS.id, "signals-accounted"):
        text = failure(lambda id=id: trace(results=(HOLDS, OTHER)).expect_failure(id))
        assert "\nwhat came instead: fail: old-image-gone: still there" in text
        assert "slice of old-image-gone" in text
    assert "could be asked about" in failure(lambda: trace(results=(HOLDS,)).expect_failure("signals-accounted"))
    with pytest.raises(Inconclusive, match="is inconclusive: not counted"):
        trace(results=(OPEN,)).expect_failure(OPEN.id)


def test_a_verdict_says_why_in_one_sentence_and_shows_the_slice() -> None:
    assert trace(results=(HOLDS,)).assert_passed().passed
    text = failure(trace(results=(HOLDS, FAILED, OPEN)).assert_passed)
    assert text.splitlines()[0] == "fail: signals-accounted: lost wake-up"
    assert "slice of signals-accounted" in text
    assert repr(trace(results=(FAILED,)).verdict()) == "fail: signals-accounted: lost wake-up"
    with pytest.raises(Inconclusive):
        trace(results=(HOLDS, OPEN)).assert_passed()
    assert not trace(results=(HOLDS, OPEN)).verdict().passed
