"""Every broken update is caught by its own expectations and by no other; a refused one is a pass with its reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotswap.driver.build import DriverBuild
from hotswap.driver.package import known_updates
from hotswap.swap.expectations import SWAP_EXPECTATIONS
from hotswap.swap.plan import SwapPlan
from hotswap.swap.rejudge import rejudge
from hotswap.swap.result import SwapResult
from hotswap.swap.runner import run_swap
from hotswap.swap.updates import CAUGHT_BY, REFUSED
from hotswap.trace.expect import ExpectationResult, Verdict, combine

pytestmark = pytest.mark.usefixtures("runs", "nothing_left")

# Where the guest is gone, what was not seen stays open: without its expectations such a run is never green either.
LEAVES_NO_GUEST = {"crash"}


def run(update: str) -> SwapResult:
    # Worker 1 alone misbehaves in most of them: enough signals that it is called in any phase.
    return run_swap(SwapPlan(updates=("v1", update, "v1"), seconds=0.4, rate=4000, drain_timeout_ms=2500))


def failed(results: tuple[ExpectationResult, ...]) -> set[str]:
    return {item.id for item in results if item.verdict is Verdict.FAIL}


def test_every_update_is_good_caught_or_refused(build: DriverBuild) -> None:
    updates = {update.name: update.breaks for update in known_updates(build)}
    broken = {name for name, breaks in updates.items() if breaks}
    assert broken == set(CAUGHT_BY) | set(REFUSED)
    assert not set(CAUGHT_BY) & set(REFUSED)
    assert len(CAUGHT_BY) >= 14
    assert {"v1", "v2", "v3", "v4"} == set(updates) - broken


def test_updates_are_caught_by_expectations_that_there_are() -> None:
    known = {expectation.id for expectation in SWAP_EXPECTATIONS}
    assert all(ids and set(ids) <= known for ids in CAUGHT_BY.values())


@pytest.mark.parametrize("update", sorted(CAUGHT_BY))
def test_a_broken_update_is_caught_for_its_own_reason_alone(update: str) -> None:
    caught_by = set(CAUGHT_BY[update])
    result = run(update)
    assert result.verdict is Verdict.FAIL, result.reason
    assert failed(result.expectations) == caught_by, [f"{item.id}: {item.message}" for item in result.expectations]
    assert result.reason.partition(":")[0] in caught_by
    for expectation in caught_by:
        alone = rejudge(result.run_folder, disabled=caught_by - {expectation})
        assert failed(alone) == {expectation}
    without = rejudge(result.run_folder, disabled=caught_by)
    expected = Verdict.INCONCLUSIVE if update in LEAVES_NO_GUEST else Verdict.PASS
    assert combine(without) is expected, [f"{item.id}: {item.message}" for item in without]


@pytest.mark.parametrize("update", sorted(REFUSED))
def test_an_update_that_is_refused_cleanly_passes_and_says_why(update: str) -> None:
    result = run(update)
    assert result.verdict is Verdict.PASS, result.reason
    assert len(result.refusals) == 1
    assert REFUSED[update] in result.refusals[0]
    assert result.reason.startswith("swap 2 (1->2) was refused and version 1 stayed in force: ")
    first, refused, after = result.updates
    assert (first.status, first.to_version) == (0, 1)
    assert refused.status_name.startswith(REFUSED[update])
    assert (refused.from_version, refused.to_version) == (1, 1)
    assert (after.status, after.from_version, after.to_version) == (0, 1, 1), "the next update goes through"
    assert result.to_json()["refusals"] == list(result.refusals)


@pytest.mark.parametrize("update", ["v2", "v3", "v4"])
def test_a_good_update_is_caught_by_nothing(update: str) -> None:
    result = run(update)
    assert result.verdict is Verdict.PASS, [f"{item.id}: {item.message}" for item in result.expectations]
    assert result.refusals == ()
    assert [reply.status for reply in result.updates] == [0, 0, 0]


def test_a_first_driver_that_is_refused_fails_the_test(tmp_path: Path) -> None:
    result = run_swap(SwapPlan(updates=("refuse-pre-process", "v2"), seconds=0.2))
    assert result.verdict is Verdict.FAIL
    named = "the first endpoint driver, hotswap_refuse_pre_process.sys, did not come into force"
    assert f"{named}: STATUS_DEVICE_NOT_READY (0xC00000A3)" in result.reason
