"""Verdicts and the text of a slice."""

from __future__ import annotations

import itertools

import pytest

from hotswap.trace.etl import parse_etl
from hotswap.trace.expect import ExpectationResult, Verdict, combine, format_slice, reason, slice_records, status_text
from hotswap.trace.schema import EventSchema, Field, InType, OutType
from hotswap.trace.tracelogging import Provider
from hotswap.trace.writer import EventRow, Session, build_etl


def result(name: str, verdict: Verdict) -> ExpectationResult:
    return ExpectationResult(name, verdict, f"{name} says {verdict}")


def test_missing_evidence_is_never_green() -> None:
    for verdicts in itertools.product(Verdict, repeat=3):
        combined = combine(result("x", verdict) for verdict in verdicts)
        if Verdict.FAIL in verdicts:
            assert combined == Verdict.FAIL
        elif Verdict.INCONCLUSIVE in verdicts:
            assert combined == Verdict.INCONCLUSIVE
        else:
            assert combined == Verdict.PASS
    assert combine([]) == Verdict.INCONCLUSIVE


def test_the_reason_is_the_first_result_of_the_deciding_verdict() -> None:
    passed, open_, failed = (result(v.value, v) for v in (Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL))
    assert reason([passed, open_, failed]) == "fail: fail says fail"
    assert reason([passed, open_]) == "inconclusive: inconclusive says inconclusive"
    assert reason([passed, passed]) == "all 2 expectations hold"
    assert reason([]) == "nothing was checked"


@pytest.mark.parametrize(
    ("code", "wait", "text"),
    [
        (0, True, "STATUS_WAIT_0"),
        (3, True, "STATUS_WAIT_3"),
        (0, False, "STATUS_SUCCESS"),
        (0x102, True, "STATUS_TIMEOUT"),
        (0x101, True, "STATUS_ALERTED"),
        (0xC0, True, "STATUS_USER_APC"),
        (-1073741823, False, "STATUS_UNSUCCESSFUL"),
        (0xC0DECAFE, False, "0xc0decafe"),
    ],
)
def test_statuses_are_shown_by_name(code: int, wait: bool, text: str) -> None:
    assert status_text(code, wait=wait) == text


def test_a_slice_reads_like_a_log() -> None:
    schema = EventSchema(
        "IterationBegin",
        (
            Field("Worker", InType.UINT32),
            Field("WaitStatus", InType.HEXINT32, OutType.NTSTATUS),
            Field("Status", InType.HEXINT32, OutType.NTSTATUS),
            Field("Mask", InType.HEXINT64),
        ),
    )
    rows = [
        EventRow(1000 + 15 * i, i, 4, 300 + i, Provider.named("HotSwap.Host"), schema,
                 {"Worker": 2, "WaitStatus": 0x102 if i else 1, "Status": 0, "Mask": 255})
        for i in range(2)
    ]  # fmt: skip
    table = parse_etl(build_etl(rows, Session(first_tick=1000))).events
    lines = format_slice(table, [2, 1, 2]).splitlines()
    assert [line.split() for line in lines] == [
        ["us", "+us", "tid", "cpu", "event"],
        ["0.0", "300", "0", "IterationBegin", "Worker=2", "WaitStatus=STATUS_WAIT_1", "Status=STATUS_SUCCESS",
         "Mask=0xff"],
        ["1.5", "+1.5", "301", "1", "IterationBegin", "Worker=2", "WaitStatus=STATUS_TIMEOUT", "Status=STATUS_SUCCESS",
         "Mask=0xff"],
    ]  # fmt: skip
    assert [record["us"] for record in slice_records(table, [1, 2])] == [0.0, 1.5]
