"""Faults on purpose end in the right verdict, with evidence, in time, and leave nothing: the matrix's quick part."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hotswap.faults.catalog import FAULTS
from hotswap.faults.injector import FaultPlan
from hotswap.faults.matrix import CASES, FAIL, PASS, PLAN, Case, run_case
from hotswap.machine.evidence import read_manifest

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


def test_a_wrong_expectation_and_missing_evidence_are_seen() -> None:
    """The matrix itself can fail: the same run, held against what it must not be."""
    wrong = replace(QUICK[0], verdict=FAIL, evidence=("memory.kdump",), seconds=0.01)
    outcome = run_case(wrong)
    told = " | ".join(outcome.problems)
    assert "must end in fail" in told
    assert "no memory.kdump: it was not tried" in told
    assert "it took" in told
    assert outcome.run_folder is not None
    assert read_manifest(outcome.run_folder / "evidence") is not None
