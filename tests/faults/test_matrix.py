"""Faults on purpose end in the right verdict, with evidence, in time, and leave nothing: the matrix's quick part."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotswap.deadline import Deadline
from hotswap.faults.catalog import FAULTS
from hotswap.faults.injector import FaultPlan
from hotswap.faults.matrix import CASES, FAIL, PASS, PLAN, Case, held, judge_case, left_behind, run_case
from hotswap.machine.evidence import Evidence
from hotswap.machine.lease import Lease

QUICK = [case for case in CASES if case.quick]
# Other tests run beside these.
SLACK = 3.0


@pytest.mark.parametrize("case", QUICK, ids=[case.name for case in QUICK])
def test_a_fault_ends_in_its_verdict_with_its_evidence_in_time(case: Case) -> None:
    outcome = run_case(case, slack=SLACK)
    assert outcome.problems == (), outcome.reason


def test_the_matrix_has_at_least_20_cells_with_all_faults_states_and_verdicts() -> None:
    assert len(CASES) >= 20
    assert {case.fault for case in CASES} == set(FAULTS)
    states = {case.state for case in CASES}
    assert states >= {"booting", "idle", "in load", "in drain", "stalled", "after the switch", "at stop"}
    assert {case.verdict for case in CASES} == {"pass", "fail", "inconclusive", "lab fault"}
    assert len({case.name for case in CASES}) == len(CASES)
    for case in CASES:
        FaultPlan.parse(case.text, seconds=PLAN.seconds, seed=PLAN.seed)
        assert case.evidence or case.verdict in (PASS, "inconclusive"), case.name


def test_whatever_is_not_as_it_must_be_is_a_problem(tmp_path: Path) -> None:
    case = Case("panic", "in drain", "SwapStalled:2", FAIL, "panicked", ("machine.json", "memory.kdump"), seconds=10)
    evidence = Evidence(tmp_path / "evidence", Deadline.after(10))
    for name in case.evidence:
        with evidence.step(name, "a test") as path:
            path.write_text("{}")
    evidence.finish()
    assert judge_case(case, FAIL, "the guest panicked", tmp_path, 9.0).problems == ()
    assert judge_case(case, FAIL, "the guest panicked", tmp_path, 19.0, slack=2.0).problems == ()
    evidence.missing("memory.kdump", "QEMU", "no space")
    evidence.finish()
    assert judge_case(case, PASS, "all hold", tmp_path, 11.0).problems == (
        "it ended in pass (all hold), and must end in fail",
        "no memory.kdump: no space",
        "it took 11 s, and may take 10 s",
    )
    assert "says nothing of 'panicked'" in judge_case(case, FAIL, "a worker", tmp_path, 1.0).problems[0]
    assert judge_case(case, FAIL, "panicked", tmp_path / "none", 1.0).problems == ("there is no list of evidence",)
    assert judge_case(case, FAIL, "panicked", None, 1.0).problems == ("there is no run folder",)


def test_a_machine_that_is_left_is_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOTSWAP_CACHE", str(tmp_path))
    others = held()
    lease = Lease.take("qemu", "0000000000")
    assert left_behind(others) == ["the lease of machine 0000000000 is left"]
    assert left_behind(held()) == []
    lease.release()
    assert left_behind(others) == []
