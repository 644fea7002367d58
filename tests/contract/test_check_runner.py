"""What becomes of a check, by what it raises and what it leaves. On a made-up driver; no guest is started."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hotswap.conformance import run as runner_module
from hotswap.conformance.check import Check, CheckFailed, Inconclusive, expect, expect_equal
from hotswap.conformance.clauses import Clause
from hotswap.conformance.replies import ResetReply, Runtime, RuntimeInfo
from hotswap.conformance.requests import SelectRuntime
from hotswap.conformance.result import CheckResult
from hotswap.conformance.run import CheckRunner
from hotswap.driver.ioctl import NtStatus
from hotswap.errors import DeadlineExpired, GuestFault, HotswapError, LabFault
from hotswap.testing.guest import GuestMachine

_SUCCESS = NtStatus(0)
CLEAN = ResetReply(_SUCCESS, 0, 0, 0, 0, _SUCCESS, 0, 0, 0, 0, 0, 0, 0)
LEAKING = replace(CLEAN, proxy_allocations=2, proxy_threads=1)


class StandIn:
    """A driver that answers resets as it is told, and a guest that can be discarded."""

    def __init__(self, native: str = "STATUS_PROCEDURE_NOT_FOUND") -> None:
        self.resets: list[ResetReply | HotswapError] = []
        self.discarded: list[str] = []
        self.gone: str | None = None
        self.selected: list[Runtime] = []
        self._native = native

    def reset(self) -> ResetReply:
        answer = self.resets.pop(0) if self.resets else CLEAN
        if isinstance(answer, HotswapError):
            raise answer
        return answer

    def run(self, request: object) -> RuntimeInfo:
        assert isinstance(request, SelectRuntime)
        self.selected.append(request.runtime)
        status = NtStatus(0 if self._native == "STATUS_SUCCESS" else 0xC0000000)
        status.name = self._native
        return RuntimeInfo(Runtime.COMPAT, status, 0, 0)

    def lab(self) -> Any:
        return SimpleNamespace(machine=SimpleNamespace(alive=lambda: self.gone))

    def discard(self, why: str) -> None:
        self.discarded.append(why)

    build = None


@pytest.fixture
def guest(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn()
    monkeypatch.setattr(runner_module, "start_conformance", lambda _lab, _build: stand_in)
    return stand_in


def made(guest: StandIn, does: Callable[[], object], *, spends: bool = False, wanted: str = "compat") -> CheckResult:
    check = Check("W2-made-up", "W2", "a statement", lambda _driver: cast(None, does()), spends=spends)
    return CheckRunner(cast(GuestMachine, guest), wanted).run(check)


def raising(*errors: BaseException) -> Callable[[], None]:
    """Raises them one after the other, then nothing more."""
    left = list(errors)

    def does() -> None:
        if left:
            raise left.pop(0)

    return does


def test_a_check_that_returns_passes_and_keeps_the_guest(guest: StandIn) -> None:
    assert made(guest, lambda: None).outcome == "pass"
    assert guest.discarded == []


def test_a_check_that_fails_says_why_and_keeps_the_guest(guest: StandIn) -> None:
    result = made(guest, raising(CheckFailed("expected 1, saw 2")))
    assert (result.outcome, result.message) == ("fail", "expected 1, saw 2")
    assert guest.discarded == []


def test_what_a_check_leaves_in_the_runtime_is_its_failure(guest: StandIn) -> None:
    guest.resets = [CLEAN, LEAKING]
    result = made(guest, lambda: None)
    assert result.outcome == "fail"
    assert "1 worker threads, 2 allocations" in result.message
    assert len(guest.discarded) == 1


def test_what_cannot_be_released_is_its_failure(guest: StandIn) -> None:
    guest.resets = [CLEAN, replace(CLEAN, stuck_workers=0b101)]
    result = made(guest, lambda: None)
    assert result.outcome == "fail"
    assert "workers 0, 2" in result.message
    assert len(guest.discarded) == 1


def test_a_check_that_spends_its_guest_may_leave_something(guest: StandIn) -> None:
    guest.resets = [CLEAN, LEAKING]
    assert made(guest, lambda: None, spends=True).outcome == "pass"
    assert len(guest.discarded) == 1


def test_its_own_failure_is_told_before_what_it_left(guest: StandIn) -> None:
    guest.resets = [CLEAN, LEAKING]
    assert made(guest, raising(CheckFailed("expected 1, saw 2"))).message == "expected 1, saw 2"


def test_what_cannot_be_told_is_inconclusive(guest: StandIn) -> None:
    result = made(guest, raising(Inconclusive("no clock")))
    assert (result.outcome, result.message) == ("inconclusive", "no clock")


def test_a_driver_that_crashes_fails_the_check_and_the_guest_is_replaced(guest: StandIn) -> None:
    guest.resets = [CLEAN, GuestFault("the driver host died: error 5")]
    result = made(guest, raising(GuestFault("the driver host died: error 2")))
    assert (result.outcome, result.message) == ("fail", "the driver host died: error 2")
    assert len(guest.discarded) == 1


def test_a_runtime_that_hangs_fails_the_check(guest: StandIn) -> None:
    guest.resets = [CLEAN, DeadlineExpired("IOCTL reset")]
    result = made(guest, raising(DeadlineExpired("IOCTL register")))
    assert result.outcome == "fail"
    assert result.message == "the runtime did not answer: IOCTL register"
    assert len(guest.discarded) == 1


def test_a_fault_of_the_lab_is_tried_again_on_a_fresh_guest(guest: StandIn) -> None:
    result = made(guest, raising(LabFault("the pipe broke")))
    assert (result.outcome, result.message) == ("pass", "made again after a fault of the lab: the pipe broke")
    assert len(guest.discarded) == 1


def test_a_lab_that_fails_twice_is_never_the_runtimes_failure(guest: StandIn) -> None:
    with pytest.raises(LabFault, match="the pipe broke") as caught:
        made(guest, raising(LabFault("the pipe broke"), LabFault("the pipe broke again")))
    assert caught.value.__notes__ == ["while making the check W2-made-up, for the second time"]
    assert len(guest.discarded) == 2


def test_a_guest_that_ended_is_the_labs_matter(guest: StandIn) -> None:
    def ends() -> None:
        guest.gone = "it was killed"
        raise DeadlineExpired("IOCTL register")

    with pytest.raises(LabFault, match="the guest is gone: it was killed"):
        made(guest, ends)


def test_a_defect_of_a_check_is_no_result(guest: StandIn) -> None:
    with pytest.raises(ZeroDivisionError):
        made(guest, lambda: 1 // 0)
    assert len(guest.discarded) == 1


@pytest.mark.parametrize(
    ("wanted", "native", "runtime", "selected"),
    [
        ("auto", "STATUS_PROCEDURE_NOT_FOUND", "compat", Runtime.COMPAT),
        ("auto", "STATUS_NOT_SUPPORTED", "compat", Runtime.COMPAT),
        ("auto", "STATUS_SUCCESS", "native", Runtime.NATIVE),
        ("compat", "STATUS_SUCCESS", "compat", Runtime.COMPAT),
        ("native", "STATUS_SUCCESS", "native", Runtime.NATIVE),
        ("native", "STATUS_NOT_SUPPORTED", "stub", Runtime.NATIVE),
        ("native", "STATUS_PROCEDURE_NOT_FOUND", "absent", Runtime.AUTO),
    ],
)
def test_the_runtime_under_test(
    monkeypatch: pytest.MonkeyPatch, wanted: str, native: str, runtime: str, selected: Runtime
) -> None:
    guest = StandIn(native)
    monkeypatch.setattr(runner_module, "start_conformance", lambda _lab, _build: guest)
    assert CheckRunner(cast(GuestMachine, guest), wanted).runtime == runtime
    assert guest.selected[-1] is selected


def test_only_checks_for_this_runtime_and_machine_are_made(guest: StandIn) -> None:
    clauses = [Clause("W1", "D", "x.", {"wine": "why"}), Clause("W2", "D", "y."), Clause("W3", "D", "z.")]
    checks = [Check(f"{clause.id}-one", clause.id, "", lambda _driver: None) for clause in clauses]
    checks[2] = replace(checks[2], on=("native",))
    told: list[str] = []
    runner = CheckRunner(cast(GuestMachine, guest), "compat")
    done = runner.run_clauses(clauses, checks, "wine", told.append)
    assert list(done) == ["W2-one"]
    assert told == ["W2: y."]


def test_expectations_of_a_check_say_what_was_seen() -> None:
    expect(True, "unused")
    expect_equal(1, 1, "unused")
    with pytest.raises(CheckFailed, match=r"^it is late$"):
        expect(0, "it is late")
    with pytest.raises(CheckFailed, match=r"^threads: expected 0, saw 3$"):
        expect_equal(3, 0, "threads")
