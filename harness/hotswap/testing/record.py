"""What becomes of one test that uses the driver: its run folder, evidence, verdict and report."""

from __future__ import annotations

import platform
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from hotswap.deadline import Deadline
from hotswap.errors import DeadlineExpired, GuestFault, HotswapError, LabFault
from hotswap.interrupt import uninterrupted
from hotswap.machine.clock_check import ClockOff
from hotswap.machine.proc import Owner
from hotswap.report.html import write_report
from hotswap.report.perfetto import write_perfetto
from hotswap.run import RunFolder, mark_killed_runs
from hotswap.swap.lab import Lab
from hotswap.swap.rejudge import WITNESSES, witnesses_to_json
from hotswap.swap.result import SCHEMA, SwapResult
from hotswap.testing.driver import Driver
from hotswap.testing.evaluation import Evaluation
from hotswap.testing.guest import GuestMachine
from hotswap.testing.trace import Trace
from hotswap.trace.expect import Verdict
from hotswap.trace.export import export
from hotswap.trace.rules.answer import Inconclusive

_START_SECONDS = 60.0
_ALIVE = "driver-host-alive"


class Record:
    """One test, from a freshly started driver to a complete run folder. `begin` and then `end`, whatever happens."""

    def __init__(self, guest: GuestMachine, home: Path | None, test: str) -> None:
        """`home`: where run folders go; None: `$HOTSWAP_RUNS`, else `runs` in the current folder."""
        self.test = test
        self.ended = False
        self._guest = guest
        self._lab: Lab | None = None
        self._driver: Driver | None = None
        self._evaluation: Evaluation | None = None
        self._trace: Trace | None = None
        self._reason = "the test has not ended"
        self._shown = ""
        mark_killed_runs(home)
        self.folder = RunFolder.create(home)
        self._summary("running", Verdict.INCONCLUSIVE, owner=Owner.own().to_json())

    @property
    def trace(self) -> Trace:
        """The trace of the test; complete after the driver's stop."""
        assert self._trace is not None
        return self._trace

    def begin(self) -> Driver:
        """A guest, the driver freshly started in it, the trace running."""
        self._lab = self._guest.lab(self.folder)
        self._lab.start_driver(Deadline.after(_START_SECONDS * self._lab.machine.slowdown))
        self._driver = Driver(self._guest, self._lab, self.folder)
        self._evaluation = Evaluation(self._driver)
        self._trace = Trace(self._evaluation, self._guest.build.codes)
        return self._driver

    def end(self, error: BaseException | None, *, ran: bool = True) -> BaseException | None:
        """Take all down and write all down. `error`: what ended the test; None: it got to its end.

        `ran`: the test itself ran, not only its set-up.
        Returns what the test is to end with: `error`, None, or what the end of the driver brought to light.
        """
        if self.ended:
            return error
        self.ended = True
        self._shown = str(error)
        try:
            if isinstance(error, KeyboardInterrupt):
                with uninterrupted():
                    return self._interrupted(error)
            return self._end(error, ran)
        except KeyboardInterrupt as interrupt:
            with uninterrupted():
                return self._interrupted(interrupt)
        finally:
            self.folder.close()

    def describe(self) -> str:
        """Where the run folder is, and what the expectations say, with the events that show it."""
        lines = [f"run folder: {self.folder.path}", f"report: {self.folder.report}"]
        evaluation = self._evaluation
        if evaluation is not None and evaluation.driver.stopped:
            try:
                explained = evaluation.verdict.explain()
                # The failure itself may show it already.
                shown = repr(evaluation.verdict) if explained in self._shown else explained
                lines.append(f"swap expectations: {shown}")
            except Exception as defect:
                # It is in the report of the test already, and a second one would end the whole session.
                lines.append(f"swap expectations: not evaluated ({type(defect).__name__}: {defect})")
        return "\n".join(lines)

    # The end of a test

    def _end(self, error: BaseException | None, ran: bool) -> BaseException | None:
        fault: HotswapError | None = None
        skipped = _is_skip(error)
        if self._lab is not None and error is not None and not skipped:
            # Evidence that cannot be had, on a very busy computer say, must not cost the stop and the verdict.
            with suppress(HotswapError):
                self._lab.diagnose()
        try:
            fault = self._stop(error)
        except HotswapError as trouble:
            fault = trouble
        # The lab's trouble may be the end of the driver seen from here: then it is the guest's fault.
        result = fault if error is None or (isinstance(fault, GuestFault) and _is_lab_fault(error)) else error
        if result is fault and fault is not None and error is None and self._lab is not None:
            with suppress(HotswapError):
                self._lab.diagnose()
        try:
            self._write(result, undecided=skipped or not ran)
        except HotswapError as trouble:
            if result is None:
                result = trouble
            else:
                result.add_note(f"the run folder {self.folder.path} is not complete: {trouble}")
        except BaseException as defect:
            self._leave(f"{type(defect).__name__}: {defect}")
            raise
        self._leave(self._spent(result))
        return result

    def _leave(self, spent: str | None) -> None:
        if self._lab is not None:
            self._guest.leave(self._lab, spent)

    def _stop(self, error: BaseException | None) -> HotswapError | None:
        """Stop the driver. Returns what the test should fail of, when it has not said that it expects it."""
        driver, trace = self._driver, self._trace
        if driver is None or trace is None:
            return None
        hangs = isinstance(error, DeadlineExpired) and driver._death is None and driver._lab.driver_hangs()
        told = driver._death_told and not _is_lab_fault(error)
        fault: HotswapError | None = driver._finish()
        if driver._death is not None:
            expected = told or _ALIVE in trace._expected_to_fail
            evidence = f"evidence: {self.folder.evidence}"
            return None if expected else GuestFault(f"{driver._death}; {evidence}")
        if hangs:
            return GuestFault(f"{error}; {driver._lab.hang_told}")
        closed = driver._seen.closed
        if fault is None and closed is not None:
            fault = GuestFault(closed.faults[0]) if closed.faults else None
            fault = fault or (LabFault(closed.problems[0]) if closed.problems else None)
        return fault

    def _spent(self, error: BaseException | None) -> str | None:
        """Why the guest should serve no other test."""
        driver = self._driver
        if driver is None:
            return f"the driver did not start: {error}"
        if driver._death is not None:
            return driver._death
        if driver._seen.faults:
            return driver._seen.faults[0]
        if _is_lab_fault(error):
            return str(error)
        evaluation = self._evaluation
        if evaluation is not None and evaluation.verdict.failed:
            # What leaked stays in the driver host.
            return f"an expectation failed: {evaluation.verdict.failed[0]}"
        return None

    def _interrupted(self, error: KeyboardInterrupt) -> KeyboardInterrupt:
        self._reason = "the test was interrupted"
        with suppress(HotswapError):
            if self._driver is not None:
                self._driver._finish()
        with suppress(HotswapError):
            self._guest.discard(self._reason)
        with suppress(HotswapError):
            self._summary("ended", Verdict.INCONCLUSIVE)
        return error

    # The run folder

    def _write(self, error: BaseException | None, *, undecided: bool) -> None:
        verdict = self._verdict(error, undecided=undecided)
        state = "lab-fault" if _is_lab_fault(error) and not isinstance(error, ClockOff) else "ended"
        evaluation = self._evaluation
        if evaluation is None or not evaluation.driver.stopped:
            self._summary(state, verdict)
            return
        # With them and the trace the verdict can be worked out again.
        self.folder.write(WITNESSES, witnesses_to_json(evaluation.witnesses))
        table = evaluation.etl.events
        export(table, self.folder.events, "parquet", np.flatnonzero(table.recorded))
        result = self._result(verdict, evaluation)
        self.folder.write_summary(
            {**result.to_json(), "state": state, "test": self.test, "slices": dict(result.slices)}
        )
        self.folder.timeline.event("verdict", verdict=verdict, reason=self._reason)
        try:
            self.folder.write("report.html", write_report(result, evaluation.etl, evaluation.witnesses))
            if result.events:
                perfetto = write_perfetto(evaluation.etl, evaluation.witnesses)
                self.folder.write("trace.perfetto-trace", perfetto)
        except HotswapError:
            raise
        except Exception as defect:
            # A defect of the report must not stand in front of what the test has to say.
            self.folder.timeline.event("no-report", error=f"{type(defect).__name__}: {defect}")

    def _verdict(self, error: BaseException | None, *, undecided: bool) -> Verdict:
        """The test's own verdict; what the expectations say is in the report, for the test to ask about or not."""
        if error is None:
            self._reason = "the test did not run" if undecided else self._passed_because()
            return Verdict.INCONCLUSIVE if undecided else Verdict.PASS
        self._reason = str(error).strip().partition("\n")[0] or type(error).__name__
        if isinstance(error, GuestFault):
            return Verdict.FAIL
        return Verdict.INCONCLUSIVE if undecided or isinstance(error, LabFault | Inconclusive) else Verdict.FAIL

    def _passed_because(self) -> str:
        if self._evaluation is None or self._trace is None:
            return "the test passed"
        verdict = self._evaluation.verdict
        expected = self._trace._expected_to_fail
        if verdict.failed and set(verdict.failed) <= expected:
            return f"the test passed; it expects this failure: {verdict.reason}"
        return "the test passed" if verdict.passed else f"the test passed; it did not ask about this: {verdict!r}"

    def _result(self, verdict: Verdict, evaluation: Evaluation) -> SwapResult:
        events, driver = evaluation.etl.events, evaluation.driver
        return SwapResult(
            verdict=verdict,
            reason=self._reason,
            run_folder=self.folder.path,
            report=self.folder.report,
            events=len(events),
            signals=len(events.events("SignalEnd")),
            iterations=len(events.events("IterationBegin")),
            updates=tuple(driver._seen.updates),
            tick_frequency=driver._tick_frequency,
            steps=driver._lab.steps,
            expectations=evaluation.verdict.results,
            refusals=evaluation.refusals,
            slices=evaluation.verdict.slices,
            environment=self._environment(),
        )

    def _environment(self) -> dict[str, Any]:
        environment: dict[str, Any] = {
            "machine": self._guest.name,
            "host": f"{platform.system()} {platform.release()} {platform.machine()}",
            "harness": version("hotswap-harness"),
            "command": f"pytest '{self.test}'",
        }
        driver = self._driver
        if driver is None:
            return environment
        hello = driver._lab.hello
        endpoints = {swap.image.image.name for swap in driver.swaps}
        return environment | {
            "runtime": driver._asked_runtime,
            "runtime_in_use": driver._runtime_in_use,
            "guest": None if hello is None else {"os": list(hello.os_version), "wine": hello.wine_version},
            "build": self._guest.build.hash,
            "drivers": {
                item.image.name: item.image.sha256
                for item in driver._lab.package.images
                if item not in driver._lab.package.endpoints or item.image.name in endpoints
            },
            "plan": {
                "test": self.test,
                "updates": [swap.driver for swap in driver.swaps],
                "workers": len(driver.workers),
            },
        }

    def _summary(self, state: str, verdict: Verdict, **more: object) -> None:
        self.folder.write_summary(
            {
                "schema": SCHEMA,
                "verdict": verdict,
                "state": state,
                "reason": self._reason,
                "run_folder": str(self.folder.path),
                "test": self.test,
                "environment": self._environment(),
                **more,
            }
        )


def _is_lab_fault(error: BaseException | None) -> bool:
    return isinstance(error, LabFault)


def _is_skip(error: BaseException | None) -> bool:
    """Whether the test left on purpose, for pytest's own reasons: by a skip, an expected failure, or an exit."""
    return (
        isinstance(error, BaseException)
        and not isinstance(error, Exception)
        and type(error).__name__
        in (
            "Skipped",
            "XFailed",
            "Exit",
        )
    )
