"""Checks for a retail Windows kernel, on made-up kernels: the right one passes, each wrong one is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from hotswap.conformance.check import Check, CheckFailed, Inconclusive, all_checks
from hotswap.conformance.driver import ConformanceDriver
from hotswap.conformance.objects import NONE, UNTOUCHED
from hotswap.conformance.replies import (
    ExtensionReply,
    FeaturesReply,
    HelperInfo,
    Result,
    Runtime,
    RuntimeInfo,
)
from hotswap.conformance.requests import CreateExtension, Features, FromDriver, LoadHelper, SelectRuntime
from hotswap.conformance.swap_rig import DRIVER_BLOCKED, NOT_SUPPORTED, PROCEDURE_NOT_FOUND, SUCCESS
from hotswap.driver.ioctl import NtStatus

PATTERN = UNTOUCHED & 0xFFFFFFFF
POINTER = 0xFFFF_8000_1234_5678
STUB = {
    check.id: check for check in all_checks() if "stub" in check.on and check.clause in ("N1", "N2", "N3", "N4", "R1")
}


def result(status: int = SUCCESS) -> Result:
    return Result(NtStatus(status), 0, 0, 0, 0, 0)


@dataclass(frozen=True)
class Kernel:
    """A guest's kernel, as the conformance driver shows it. By default that of retail 25H2."""

    missing_mask: int = 0
    flags: int = 0
    guard: int = PATTERN
    create_status: int = NOT_SUPPORTED
    pointer: int = 0
    owned: int = 0
    taken: Runtime = Runtime.COMPAT
    native_status: int = NOT_SUPPORTED

    def run(self, request: object) -> Any:
        answers: dict[type, Callable[[], Any]] = {
            SelectRuntime: lambda: RuntimeInfo(
                self.taken, NtStatus(self.native_status), self.missing_mask, self.flags & 0xFFFFFFFF
            ),
            Features: lambda: FeaturesReply(result(), PATTERN, self.flags, self.guard),
            CreateExtension: lambda: ExtensionReply(result(self.create_status), self.pointer, NONE),
            FromDriver: lambda: ExtensionReply(result(), self.owned, NONE),
            LoadHelper: lambda: HelperInfo(result(), 1, 0x4000, POINTER, POINTER),
        }
        return answers[type(request)]()


RETAIL = Kernel()


def make(check: Check, kernel: Kernel) -> None:
    check.run(cast(ConformanceDriver, kernel))


def test_there_are_checks_for_a_retail_kernel() -> None:
    assert {check.clause for check in STUB.values()} == {"N1", "N2", "N3", "N4", "R1"}


@pytest.mark.parametrize("check", STUB.values(), ids=STUB)
@pytest.mark.parametrize("kernel", [RETAIL, replace(RETAIL, create_status=DRIVER_BLOCKED)], ids=["retail", "blocked"])
def test_the_answers_of_retail_kernels_pass(check: Check, kernel: Kernel) -> None:
    make(check, kernel)


@pytest.mark.parametrize(
    ("kernel", "found_by"),
    [
        pytest.param(replace(RETAIL, flags=1), {"N1", "N3", "R1"}, id="enabled-but-does-nothing"),
        pytest.param(replace(RETAIL, flags=2), {"N3", "R1"}, id="a-reserved-bit"),
        pytest.param(replace(RETAIL, flags=PATTERN), {"N1", "N3", "R1"}, id="flags-not-written"),
        pytest.param(replace(RETAIL, guard=0), {"N3", "R1"}, id="8-bytes-written"),
        pytest.param(replace(RETAIL, create_status=SUCCESS), {"N4", "R1"}, id="creates-though-not-enabled"),
        pytest.param(replace(RETAIL, create_status=0xC000000D), {"N4", "R1"}, id="another-status"),
        pytest.param(replace(RETAIL, pointer=UNTOUCHED), {"N4", "R1"}, id="pointer-not-stored"),
        pytest.param(replace(RETAIL, pointer=POINTER), {"N4", "R1"}, id="a-pointer-stored"),
        pytest.param(replace(RETAIL, owned=POINTER), {"N4"}, id="an-extension-that-nobody-made"),
        pytest.param(replace(RETAIL, taken=Runtime.NATIVE), {"N1"}, id="native-taken-though-not-enabled"),
        pytest.param(replace(RETAIL, native_status=SUCCESS), {"N1"}, id="no-reason-told"),
        pytest.param(replace(RETAIL, missing_mask=1), {"N1", "N2"}, id="an-export-missing-and-another-reason"),
        pytest.param(replace(RETAIL, missing_mask=1 << 7), {"N1", "N2"}, id="an-export-that-there-is-not"),
    ],
)
def test_a_wrong_answer_is_found(kernel: Kernel, found_by: set[str]) -> None:
    found = set()
    for check in STUB.values():
        try:
            make(check, kernel)
        except (CheckFailed, Inconclusive):
            found.add(check.clause)
    assert found == found_by


def test_a_kernel_of_24h2_is_known_and_an_unknown_one_is_not_judged() -> None:
    (check,) = (check for check in STUB.values() if check.id == "N2-exports-of-a-known-kernel")
    for missing in (0, 1 << 4 | 1 << 5, 0x7F):
        make(check, replace(RETAIL, missing_mask=missing, native_status=PROCEDURE_NOT_FOUND))
    with pytest.raises(Inconclusive, match="0x2c"):
        make(check, replace(RETAIL, missing_mask=0x2C, native_status=PROCEDURE_NOT_FOUND))


def test_a_kernel_that_implements_the_family_is_taken() -> None:
    (check,) = (check for check in STUB.values() if check.clause == "N1")
    works = replace(RETAIL, flags=1, native_status=SUCCESS, taken=Runtime.NATIVE)
    make(check, works)
    with pytest.raises(CheckFailed, match="status and runtime"):
        make(check, replace(works, taken=Runtime.COMPAT))
