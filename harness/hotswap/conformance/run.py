"""Makes checks on a guest, one after the other, each on a conformance driver that holds nothing of the one before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from types import TracebackType
from typing import Self

from hotswap.conformance.check import Check, Inconclusive
from hotswap.conformance.clauses import Clause
from hotswap.conformance.driver import ConformanceDriver
from hotswap.conformance.guest import brought_back, start_conformance
from hotswap.conformance.replies import ResetReply, Runtime
from hotswap.conformance.requests import SelectRuntime
from hotswap.conformance.result import CheckResult, Outcome, applicable
from hotswap.errors import DeadlineExpired, GuestFault, HotswapError, LabFault
from hotswap.swap.lab import Lab
from hotswap.testing.guest import GuestMachine


class CheckRunner:
    """The guest of a series of checks and the conformance driver in it; both are replaced when a check spent them."""

    def __init__(self, guest: GuestMachine, runtime: str = "auto") -> None:
        """`runtime`: auto, compat or native. Nothing is started before it is needed, and `guest` is not closed here."""
        self._guest = guest
        self._wanted = runtime
        self._driver: ConformanceDriver | None = None
        self._lab: Lab | None = None
        self._runtime = ""

    @property
    def runtime(self) -> str:
        """What is under test, one of `check.RUNTIMES`."""
        self._open()
        return self._runtime

    def run(self, check: Check) -> CheckResult:
        """Make one check; again, on a fresh guest, after a fault of the lab. Raises LabFault when that failed as well.

        Never raises for what the guest does.
        """
        begun = monotonic()
        before = ""
        while True:
            try:
                outcome, message = self._make(check)
                return CheckResult(check, outcome, message or before, monotonic() - begun)
            except LabFault as error:
                self._discard(f"{check.id}: {error}")
                if before:
                    error.add_note(f"while making the check {check.id}, for the second time")
                    raise
                before = f"made again after a fault of the lab: {_told(error)}"
            except BaseException as error:
                self._discard(f"{check.id}: {type(error).__name__}")
                raise

    def run_clauses(
        self,
        chosen: Iterable[Clause],
        checks: Sequence[Check],
        machine: str,
        progress: Callable[[str], None] = lambda _line: None,
    ) -> dict[str, CheckResult]:
        """Make the checks of these clauses that can be made here, and return what came of them by check id.

        `machine` is its kind; `progress` is told of each clause that begins.
        """
        done = {}
        runtime = self.runtime
        for clause in chosen:
            wanted = applicable(clause, checks, runtime, machine)
            if wanted:
                progress(f"{clause.id}: {clause.statement}")
            for one in wanted:
                done[one.id] = self.run(one)
        return done

    def _make(self, check: Check) -> tuple[Outcome, str]:
        driver = self._open()
        outcome, message = Outcome.PASS, ""
        try:
            check.run(driver)
        except Inconclusive as error:
            outcome, message = Outcome.INCONCLUSIVE, _told(error)
        except GuestFault as error:
            outcome, message = Outcome.FAIL, _told(error)
        except DeadlineExpired as error:
            # Whatever may wait is pended, and the checks' own waits have limits: it is the runtime that hangs.
            self._raise_if_lab_is_gone(error)
            outcome, message = Outcome.FAIL, f"the runtime did not answer: {_told(error)}"
        if check.spends:
            self._discard(f"{check.id} spends it")
            return outcome, message
        left = self._reset(driver, check)
        if left and outcome is not Outcome.FAIL:
            return Outcome.FAIL, left
        return outcome, message

    def _reset(self, driver: ConformanceDriver, check: Check) -> str | None:
        """Release what the check made. Returns what stayed; then this guest serves no other check."""
        try:
            left = _left(brought_back(driver.reset()))
        except (GuestFault, DeadlineExpired) as error:
            self._raise_if_lab_is_gone(error)
            left = _told(error)
        if left:
            self._discard(f"{check.id}: {left}")
        return left

    def _raise_if_lab_is_gone(self, error: HotswapError) -> None:
        """A guest that ended under the driver is the lab's matter."""
        gone = self._lab.machine.alive() if self._lab is not None else None
        if gone is not None:
            raise LabFault(f"the guest is gone: {gone}") from error

    def _open(self) -> ConformanceDriver:
        # Others may have used the guest since: what runs in it is asked for, and chosen, each time.
        self._lab = self._guest.lab()
        self._driver = start_conformance(self._lab, self._guest.build)
        if not self._runtime:
            brought_back(self._driver.reset())
        self._runtime = _select(self._driver, self._wanted)
        return self._driver

    def _discard(self, why: str) -> None:
        self._driver = self._lab = None
        self._guest.discard(why)

    def close(self) -> None:
        """Leave the driver as it was found; a guest in which that fails is thrown away."""
        driver, self._driver, self._lab = self._driver, None, None
        if driver is None:
            return
        try:
            brought_back(driver.reset())
            driver.run(SelectRuntime(Runtime.AUTO))
        except HotswapError as error:
            self._guest.discard(f"leaving the conformance driver: {error}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _select(driver: ConformanceDriver, wanted: str) -> str:
    """Choose the runtime; returns what is under test then, one of `check.RUNTIMES`."""
    status = driver.run(SelectRuntime(Runtime.AUTO)).native_status
    if wanted == "compat" or (wanted == "auto" and status.name != "STATUS_SUCCESS"):
        driver.run(SelectRuntime(Runtime.COMPAT))
        return "compat"
    if status.name == "STATUS_PROCEDURE_NOT_FOUND":
        return "absent"
    driver.run(SelectRuntime(Runtime.NATIVE))
    return "native" if status.succeeded else "stub"


def _left(reply: ResetReply) -> str | None:
    """What the runtime still counts of a driver that holds nothing any more."""
    counts = {
        "extensions": reply.extensions,
        "wrappers": reply.wrappers,
        "worker threads": reply.proxy_threads,
        "allocations": reply.proxy_allocations,
        "calls inside": reply.active_calls,
        "held calls": reply.held_calls,
    }
    told = [f"{count} {what}" for what, count in counts.items() if count]
    return f"the runtime keeps {', '.join(told)} after all was released" if told else None


def _told(error: HotswapError) -> str:
    return "; ".join([str(error), *getattr(error, "__notes__", ())])
