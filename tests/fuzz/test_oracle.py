"""What the judge of a fuzz run objects to, and how a finding is reduced: without a guest."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from hotswap.driver.build import DriverBuild
from hotswap.fuzz.oracle import Finding, Oracle
from hotswap.fuzz.reduce import reduce_steps
from hotswap.fuzz.rules import Facts, Rules
from hotswap.fuzz.script import BEGIN, CALL, OPEN, WAIT, Step
from hotswap.transport.protocol import AgentContract
from hotswap.transport.replies import ScriptItem, ScriptOutcome

DONE, OVERRUN, TIMED_OUT, HUNG = 1, 2, 4, 8
CANCELLED, PENDING_DELETE = 0xC0000120, 0xC0000056


@pytest.fixture
def oracle(rules: Rules, build: DriverBuild) -> Oracle:
    return Oracle(rules, AgentContract.load(build.agent_contract))


def step(rules: Rules, method: str, data: bytes = b"", *, action: int = BEGIN, **more: bool) -> Step:
    ioctl = rules.contract.ioctls[method]
    item = ScriptItem(action, 0, 0, ioctl.code, data, ioctl.output_size)
    expected = rules.expected(ioctl, data, ioctl.output_size, Facts(100, 100))
    return Step(item, method, expected, pended=ioctl.pended, **more)


def output(rules: Rules, method: str, **fields: int) -> bytes:
    return bytes(rules.outputs[method].build(fields))


def judged(oracle: Oracle, step: Step, status: int = 0, data: bytes = b"", *, flags: int = DONE, size: int = -1) -> str:
    outcome = ScriptOutcome(flags, status, len(data) if size < 0 else size, data)
    return "; ".join(finding.text.partition(": ")[2] for finding in oracle.judge([step], [outcome]))


def good_version(rules: Rules) -> bytes:
    return output(rules, "get_version", contract_version=1, ring_slots=64, tick_frequency=10_000_000)


def test_a_good_answer_is_none_of_its_business(oracle: Oracle, rules: Rules) -> None:
    assert judged(oracle, step(rules, "get_version"), 0, good_version(rules)) == ""


@pytest.mark.parametrize(
    ("flags", "status", "size", "says"),
    [
        (DONE | OVERRUN, 0, -1, "output was written behind"),
        (DONE | TIMED_OUT, CANCELLED, 0, "it did not end in time, and ended when it was cancelled"),
        (HUNG, 0, 0, "it did not end in time, nor after it was cancelled"),
        (DONE, 0, 24, "24 bytes of output, the contract says 32"),
        (DONE, CANCELLED, 0, "STATUS_CANCELLED (0xC0000120), expected STATUS_SUCCESS"),
        (DONE, PENDING_DELETE, 0, "STATUS_DELETE_PENDING (0xC0000056), expected STATUS_SUCCESS"),
    ],
)
def test_what_no_request_may_come_to(
    oracle: Oracle, rules: Rules, flags: int, status: int, size: int, says: str
) -> None:
    data = good_version(rules) if status == 0 else b""
    assert says in judged(oracle, step(rules, "get_version"), status, data, flags=flags, size=size)


def test_a_request_that_waits_may_be_cancelled_when_somebody_asked_and_refused_in_a_shutdown(
    oracle: Oracle, rules: Rules
) -> None:
    probe = bytes(12)
    assert judged(oracle, step(rules, "probe_runtime", probe), CANCELLED)
    assert not judged(oracle, step(rules, "probe_runtime", probe, may_cancel=True), CANCELLED)
    assert judged(oracle, step(rules, "probe_runtime", probe), PENDING_DELETE)
    assert not judged(oracle, step(rules, "probe_runtime", probe, in_shutdown=True), PENDING_DELETE)
    # A wrong length is refused before it waits.
    assert judged(oracle, step(rules, "probe_runtime", b"", may_cancel=True), CANCELLED)


def test_bytes_of_no_field_and_values_of_no_enumeration_are_seen(oracle: Oracle, rules: Rules) -> None:
    info = bytearray(output(rules, "query_worker", worker_id=3, event_count=1))
    asked = step(rules, "query_worker", (3).to_bytes(4, "little"))
    assert not judged(oracle, asked, 0, bytes(info))
    reserved = rules.outputs["query_worker"].zero[0]
    info[reserved] = 0xCC
    assert f"byte {reserved} of the output, which holds nothing, is 0xcc" in judged(oracle, asked, 0, bytes(info))
    assert "it names worker 4" in judged(oracle, asked, 0, output(rules, "query_worker", worker_id=4, event_count=1))
    wrong = output(rules, "query_worker", worker_id=3, event_count=1, state=9)
    assert "state" in judged(oracle, asked, 0, wrong)


def test_counters_must_fit_the_replies(oracle: Oracle, rules: Rules) -> None:
    create = rules.inputs["create_worker"].build({"wait_type": 1, "event_count": 1})
    made = output(rules, "create_worker", worker_id=1)
    assert not judged(oracle, step(rules, "create_worker", bytes(create)), 0, made)
    ask = step(rules, "query_counters", action=CALL)
    assert not judged(oracle, ask, 0, output(rules, "query_counters", workers=1))
    assert "the driver counts 2 workers, by its replies there are 1" in judged(
        oracle, ask, 0, output(rules, "query_counters", workers=2)
    )
    negative = output(rules, "query_counters", workers=1, threads=0xFFFFFFFF)
    assert "the counter threads is -1" in judged(oracle, ask, 0, negative)
    last = step(rules, "query_counters", action=CALL, in_shutdown=True)
    held = output(rules, "query_counters", allocations=2, references=1)
    assert "left after the shutdown: 2 allocations, 1 references" in judged(oracle, last, 0, held)


def test_a_request_that_the_contract_refuses_may_not_succeed(oracle: Oracle, rules: Rules) -> None:
    for wrong in ({"event_count": 65}, {"event_count": 0}, {"wait_type": 2}, {"reserved2": 1}, {"altertable": 7}):
        data = bytes(rules.inputs["create_worker"].build({"wait_type": 1, "event_count": 1, **wrong}))
        assert judged(oracle, step(rules, "create_worker", data), 0, output(rules, "create_worker", worker_id=1)), wrong
    # No worker has an id that was not given out yet.
    assert judged(oracle, step(rules, "query_worker", (100).to_bytes(4, "little")), 0, bytes(160))


def test_a_finding_is_reduced_to_the_steps_that_show_it() -> None:
    steps = [Step(ScriptItem(OPEN, 0, handle)) for handle in range(3)]
    steps += [Step(ScriptItem(BEGIN if number in (17, 41) else WAIT, number, code=number)) for number in range(60)]

    def attempt(kept: Sequence[Step]) -> Finding | None:
        assert sum(step.item.action == OPEN for step in kept) == 3, "a script without its handles shows nothing"
        both = {17, 41} <= {step.item.code for step in kept if step.item.action == BEGIN}
        return Finding("status", "both", len(kept) - 1) if both else None

    reduced = reduce_steps(steps, "status", attempt, seconds=60)
    assert reduced is not None
    assert [step.item.code for step in reduced if step.item.action == BEGIN] == [17, 41]
    assert len(reduced) == 5
    assert reduce_steps(steps, "crash", attempt, seconds=60) is None
