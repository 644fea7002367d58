"""Checks of the contract as tests: one id each, in the guest that the tests of a process share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from hotswap.conformance.check import Check
from hotswap.conformance.clauses import clauses
from hotswap.conformance.result import Outcome
from hotswap.conformance.run import CheckRunner
from hotswap.machine.profile import load_profile
from hotswap.testing.guest import GuestMachine


@pytest.fixture(scope="session")
def compat_runner(machine: GuestMachine) -> Iterator[CheckRunner]:
    with CheckRunner(machine, "compat") as runner:
        yield runner


@pytest.fixture(scope="session")
def native_runner(machine: GuestMachine) -> Iterator[CheckRunner]:
    """Of what the guest's kernel has, even if that is nothing."""
    with CheckRunner(machine, "native") as runner:
        yield runner


@pytest.fixture
def show(machine: GuestMachine, request: pytest.FixtureRequest) -> Callable[[Check], None]:
    """Makes one check, on the runtime that it is for; the test fails with what the check says."""

    def make(check: Check) -> None:
        __tracebackhide__ = True
        if (reason := clauses()[check.clause].reason(load_profile(machine.name).kind)) is not None:
            pytest.skip(f"cannot be shown here: {reason}")
        runner: CheckRunner = request.getfixturevalue("compat_runner" if "compat" in check.on else "native_runner")
        if runner.runtime not in check.on:
            pytest.skip(f"for runtime {', '.join(check.on)}; here it is {runner.runtime}")
        result = runner.run(check)
        if result.outcome is not Outcome.PASS:
            pytest.fail(f"{check.id}: {check.statement}\n{result.outcome}: {result.message}", pytrace=False)

    return make
