"""The swap test: build, preflight, guest, swaps under load, evidence, verdict, run folder."""

from __future__ import annotations

import json
import platform
from contextlib import suppress
from dataclasses import asdict, replace
from importlib.metadata import version
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild, build_drivers
from hotswap.driver.package import DriverPackage, check_update_file, resolve_update
from hotswap.driver.preflight import PreflightReport
from hotswap.errors import DeadlineExpired, GuestFault, HotswapError, LabFault, UsageError
from hotswap.interrupt import uninterrupted
from hotswap.machine.base import Machine
from hotswap.machine.clock_check import ClockOff
from hotswap.machine.proc import Owner
from hotswap.machine.registry import create_machine
from hotswap.report.html import write_report
from hotswap.report.perfetto import write_perfetto
from hotswap.run import RunFolder, mark_killed_runs
from hotswap.swap.check_swap import refusals
from hotswap.swap.drive import RUNTIMES, Interference, drive
from hotswap.swap.expectations import SWAP_EXPECTATIONS, judge
from hotswap.swap.lab import EVIDENCE_SECONDS, Lab, Progress
from hotswap.swap.live import LiveCheck, live_question
from hotswap.swap.observe import Observations
from hotswap.swap.plan import SwapPlan
from hotswap.swap.rejudge import WITNESSES, witnesses_to_json
from hotswap.swap.result import SCHEMA, SwapResult
from hotswap.swap.swap_trace import SwapTrace
from hotswap.trace.etl import EtlFile, parse_etl, read_etl
from hotswap.trace.expect import ExpectationResult, Verdict, combine, format_slice, reason
from hotswap.trace.export import export
from hotswap.trace.writer import build_etl

if TYPE_CHECKING:
    from hotswap.faults.injector import Injector

# Beyond the load itself: a cold template takes half a minute, a loaded machine several times that.
_BASE_SECONDS = 180.0
# The guest answers for a driver host that dies before its process has ended here.
_DEATH_SECONDS = 2.0
_FACTS_SECONDS = 5.0
_CLOCK_SECONDS = 5.0


_PLAN_FACTS = (
    "updates", "workers", "waits", "load", "rate", "seconds", "update_at", "seed", "work_us", "load_threads",
    "ring_slots", "drain_timeout_ms", "hold_budget_ms", "fault",
)  # fmt: skip


class Interrupted(KeyboardInterrupt):
    """The run was interrupted, cleaned up, and ended as inconclusive; `result` is what there is."""

    def __init__(self, result: SwapResult) -> None:
        super().__init__()
        self.result = result


def run_swap(
    plan: SwapPlan,
    *,
    progress: Progress | None = None,
    command: str = "",
    interfere: Interference | None = None,
    machine: Machine | None = None,
) -> SwapResult:
    """Run one swap test and return its result; its run folder is complete then.

    `machine` may be given, also one whose guest runs already; it is stopped in the end all the same.

    Raises UsageError before anything is made, LabFault when the lab could not do it (the run folder says so), and
    Interrupted after Ctrl-C. A guest that misbehaves is a result, not an exception.
    """
    say = progress or (lambda _line: None)
    if plan.runtime not in RUNTIMES:
        raise UsageError(f"unknown runtime {plan.runtime!r}; known are: {', '.join(RUNTIMES)}")
    known = {expectation.id for expectation in SWAP_EXPECTATIONS}
    if unknown := sorted(plan.disabled - known):
        raise UsageError(f"unknown expectation {unknown[0]!r}; known are: {', '.join(sorted(known))}")
    for wanted in plan.updates:
        check_update_file(wanted)
    begun = monotonic()
    machine = machine or create_machine(plan.machine, say)
    injector = _injector(plan, machine, say)
    say("build drivers")
    build = build_drivers(say)
    package = DriverPackage.of(build, plan.updates)
    host_fault = _host_fault(build, plan)
    steps = {"build drivers": monotonic() - begun}
    say("preflight")
    begun = monotonic()
    reports = _preflight(package, machine)
    steps["preflight"] = monotonic() - begun
    mark_killed_runs()
    run = RunFolder.create()
    try:
        run.write(
            "evidence/preflight.json", json.dumps([asdict(report) for report in reports], indent=1, default=str) + "\n"
        )
        return _Test(plan, machine, build, package, host_fault, run, say, command, interfere, injector, steps).run()
    finally:
        if injector is not None:
            injector.close()
        run.close()


def _injector(plan: SwapPlan, machine: Machine, say: Progress) -> Injector | None:
    """Who makes the plan's fault. UsageError when there is no such fault, or not in this machine."""
    if not plan.fault:
        return None
    # With machines of all kinds behind it: who breaks nothing need not wait for it.
    from hotswap.faults.injector import FaultPlan, Injector

    planned = FaultPlan.parse(plan.fault, seconds=plan.seconds, seed=plan.seed)
    planned.check_machine(machine)
    say(f"planned: {planned.fault.told} ({planned})")
    return Injector(planned)


def _host_fault(build: DriverBuild, plan: SwapPlan) -> str:
    """What the host has to do wrong for the plan's updates: one thing at most."""
    faults = sorted({fault for wanted in plan.updates if (fault := resolve_update(build, wanted).host_fault)})
    if faults and plan.runtime == "plain":
        raise UsageError(f"the host is broken in a hot-swap only ({faults[0]}): not with the runtime plain")
    if len(faults) > 1:
        raise UsageError(f"the host can be broken in one way at a time, not in {' and '.join(faults)}")
    return faults[0] if faults else ""


def _preflight(package: DriverPackage, machine: Machine) -> tuple[PreflightReport, ...]:
    """A driver that cannot work in this guest is bad input: no guest is started for it."""
    reports = package.preflight(machine.ntoskrnl)
    for report in reports:
        if not report.ok:
            problems = "; ".join(f"{problem.id}: {problem.message}" for problem in report.problems)
            raise UsageError(f"preflight of {report.image.name} for machine {machine.name!r} failed: {problems}")
    return reports


class _Test:
    def __init__(
        self,
        plan: SwapPlan,
        machine: Machine,
        build: DriverBuild,
        package: DriverPackage,
        host_fault: str,
        run: RunFolder,
        progress: Progress,
        command: str,
        interfere: Interference | None,
        injector: Injector | None,
        steps: dict[str, float],
    ) -> None:
        self.plan = plan
        self.build = build
        self.package = package
        self.host_fault = host_fault
        self.folder = run
        self.command = command
        self.seen = Observations()
        self.lab = Lab(machine, build, package, run, progress)
        self.interferences = [each for each in (interfere, injector) if each is not None]
        self.lab.interfere = self._interfere
        self.injector = injector
        self.lab.steps.update(steps)
        self.info: dict[str, Any] = {}
        self.refusals: tuple[str, ...] = ()

    def run(self) -> SwapResult:
        try:
            self._summary("running", "the run has not ended", owner=Owner.own().to_json())
            interrupted = self._interrupted_in_guest()
            with self.lab.step("evaluate"):
                etl = self._trace()
                results = self._evaluate(etl)
            result = self._result(etl, results, interrupted)
            self._finish(result, etl)
        except KeyboardInterrupt as interrupt:
            # In the evaluation, or once more in the clean-up: end it without asking the trace.
            with uninterrupted():
                etl = _no_trace()
                result = self._result(etl, (), True)
                self._finish(result, etl)
            raise Interrupted(result) from interrupt
        except Exception as error:
            # On a full disk it cannot be noted; the next start will find that this process has ended.
            with suppress(LabFault):
                self._summary("lab-fault", str(error) or type(error).__name__)
            # Nor may a second fault hide the first.
            with suppress(Exception):
                self._report_lab_fault(error)
            error.add_note(f"run folder: {self.folder.path}")
            raise
        if interrupted:
            raise Interrupted(result)
        return result

    def _interrupted_in_guest(self) -> bool:
        try:
            self._in_guest()
        except KeyboardInterrupt:
            return True
        return False

    def _in_guest(self) -> None:
        base = _BASE_SECONDS * self.lab.machine.slowdown
        deadline = Deadline.after(base + len(self.plan.updates) * self.plan.seconds * 2)
        with self.lab:
            try:
                self.lab.open(deadline.within(deadline.remaining, reserve=EVIDENCE_SECONDS))
                self.info = self._guest_facts(deadline.within(_FACTS_SECONDS * self.lab.machine.slowdown))
                self._check_live(deadline)
                drive(
                    self.lab,
                    self.plan,
                    self.seen,
                    deadline.within(deadline.remaining, reserve=EVIDENCE_SECONDS),
                    host_fault=self.host_fault,
                )
            except ClockOff as fault:
                # Nothing was done, and nothing could be believed: no fault to be repeated, but a run without a verdict.
                self.seen.clock_problem = str(fault)
            except (GuestFault, LabFault) as fault:
                self._blame(fault)
            except KeyboardInterrupt:
                self._close()
                raise
            self._close()
            problems = self.seen.closed.problems if self.seen.closed else ()
            if problems and not self.seen.faults and self.seen.host_alive is not False:
                # With the guest at fault they follow from that; without, the lab did not do its part.
                self._blame(LabFault(problems[0]))
            if self.injector is not None:
                self.injector.check(self.seen.faults)

    def _interfere(self, point: str) -> None:
        for each in self.interferences:
            each(point, self.lab)

    def _blame(self, fault: GuestFault | LabFault) -> None:
        """Note what is the guest's fault, raise what is the lab's, with evidence. The machine itself is asked first."""
        blame = self.lab.blame(fault)
        if isinstance(blame, LabFault):
            self.lab.diagnose()
            showed = "" if str(blame) in str(fault) else f"; it showed as: {fault}"
            raise LabFault(f"{blame}{showed}") from fault
        if isinstance(blame, GuestFault):
            self.seen.faults += [str(blame), str(fault)]
            return
        if isinstance(fault, GuestFault):
            self.seen.faults.append(str(fault))
            return
        # The lab's trouble may be the driver host's end seen from here: then it is the guest's fault.
        self.seen.note_host(self.lab, seconds=_DEATH_SECONDS)
        if self.seen.host_alive is False:
            self.seen.faults.append(str(fault))
        elif isinstance(fault, DeadlineExpired) and self.lab.driver_hangs():
            self.seen.faults.append(f"{fault}; {self.lab.hang_told}")
        else:
            self.lab.diagnose()
            raise fault

    def _check_live(self, deadline: Deadline) -> None:
        if self.plan.check_live:
            ask = live_question(self.plan.disabled, restart=self.plan.runtime == "plain")
            self.lab.live = LiveCheck(self.lab.trace_source(), ask, deadline)
            self.lab.live.start()

    def _end_live(self) -> None:
        """Before the agent is gone. What was found is in the timeline; the verdict comes from the complete trace."""
        live = self.lab.live
        if live is None:
            return
        live.stop()
        found = {}
        if live.failure is not None:  # an answer that fails is false
            found = {"expectation": live.failure.id, "message": live.failure.message}
        trouble = {"trouble": live.trouble} if live.trouble else {}
        self.folder.timeline.event("live-check", events=live.events, **found, **trouble)

    def _close(self) -> None:
        self._end_live()
        self.seen.note_clock(self.lab, Deadline.after(_CLOCK_SECONDS * self.lab.machine.slowdown))
        self.seen.note_host(self.lab, seconds=_DEATH_SECONDS if self.seen.faults else 0.0)
        if self.seen.faults:
            self.lab.diagnose()
        self.seen.closed = self.lab.close()
        if self.seen.host_alive is not False:
            self.seen.faults.extend(self.seen.closed.faults)
        for problem in self.seen.closed.problems:
            self.folder.timeline.event("close-failed", error=problem)
        if self.seen.final_counters is not None:
            deadline = Deadline.after(5.0 * self.lab.machine.slowdown)
            self.seen.snapshots.append(self.lab.snapshot("after the stop", "", host_loaded=False, deadline=deadline))
        for failure in self.lab.undeploy():
            self.folder.timeline.event("undeploy-failed", error=failure)

    def _guest_facts(self, deadline: Deadline) -> dict[str, Any]:
        described = self.lab.device.get_version(deadline=deadline)
        return {"tick_frequency": described.tick_frequency, "contract_version": described.contract_version}

    def _trace(self) -> EtlFile:
        """The decoded trace; without a file one that holds nothing, which proves nothing."""
        if self.folder.trace.exists():
            etl = read_etl(self.folder.trace)
            export(etl.events, self.folder.events, "parquet", np.flatnonzero(etl.events.recorded))
            return etl
        return _no_trace()

    def _evaluate(self, etl: EtlFile) -> tuple[ExpectationResult, ...]:
        witnesses = self.seen.witnesses(self.package, self.plan.hold_budget_ms)
        # With it and the trace the verdict can be worked out again.
        self.folder.write(WITNESSES, witnesses_to_json(witnesses))
        trace = SwapTrace(etl, witnesses, restart=self.plan.runtime == "plain")
        self.refusals = tuple(refusals(trace))
        return judge(trace, self.plan.disabled)

    def _result(self, etl: EtlFile, results: tuple[ExpectationResult, ...], interrupted: bool) -> SwapResult:
        verdict, why = combine(results), reason(results)
        if verdict is Verdict.PASS and self.refusals:
            why = "; ".join([*self.refusals, why])
        live = self.lab.live
        if live is not None and live.failure is not None:
            if verdict is Verdict.FAIL:
                why += f" (found while the test ran, after {live.events:,} events)"
            else:
                verdict = Verdict.INCONCLUSIVE
                found = f"{live.failure.id}: {live.failure.message}"
                why = f"the complete trace does not show what was found while it was written: {found}"
        if verdict is Verdict.INCONCLUSIVE and self.seen.clock_problem:
            why = self.seen.clock_problem
        if interrupted:
            # What an interrupted test did not get to looks like what a bad driver did not do.
            verdict, why = Verdict.INCONCLUSIVE, "the run was interrupted"
        return SwapResult(
            verdict=verdict,
            reason=why,
            run_folder=self.folder.path,
            report=self.folder.report,
            events=etl.recorded,
            signals=len(etl.events.events("SignalEnd")),
            iterations=len(etl.events.events("IterationBegin")),
            updates=tuple(self.seen.updates),
            tick_frequency=self.info.get("tick_frequency", 10_000_000),
            steps=self.lab.steps,
            expectations=results,
            refusals=self.refusals,
            slices={item.id: format_slice(etl.events, item.slice) for item in results if item.slice},
            environment={**self._environment(), "runtime_in_use": _runtime_in_use(etl)},
        )

    def _environment(self) -> dict[str, Any]:
        hello = self.lab.hello
        return {
            "machine": self.plan.machine,
            "runtime": self.plan.runtime,
            "guest": None if hello is None else {"os": list(hello.os_version), "wine": hello.wine_version},
            "host": f"{platform.system()} {platform.release()} {platform.machine()}",
            "harness": version("hotswap-harness"),
            "build": self.build.hash,
            "drivers": {item.image.name: item.image.sha256 for item in self.package.images},
            "plan": {name: getattr(self.plan, name) for name in _PLAN_FACTS},
            "command": self.command,
        }

    def _finish(self, result: SwapResult, etl: EtlFile) -> None:
        witnesses = self.seen.witnesses(self.package, self.plan.hold_budget_ms)
        self.folder.write("report.html", write_report(result, etl, witnesses))
        if etl.recorded:
            self.folder.write("trace.perfetto-trace", write_perfetto(etl, witnesses))
        self.folder.write_summary({**result.to_json(), "state": "ended", "slices": dict(result.slices)})
        self.folder.timeline.event("verdict", verdict=result.verdict, reason=result.reason)

    def _report_lab_fault(self, error: Exception) -> None:
        """What there is until then, with the fault as its reason: whoever comes to the folder need not search."""
        try:
            etl = self._trace()
        except (HotswapError, OSError):
            etl = _no_trace()
        why = f"the lab could not do its part: {str(error) or type(error).__name__}"
        self.folder.write("report.html", write_report(replace(self._result(etl, (), False), reason=why), etl, None))

    def _summary(self, state: str, why: str, **more: object) -> None:
        self.folder.write_summary(
            {
                "schema": SCHEMA,
                "verdict": "inconclusive",
                "state": state,
                "reason": why,
                "run_folder": str(self.folder.path),
                "environment": self._environment(),
                **more,
            }
        )


def _runtime_in_use(etl: EtlFile) -> str | None:
    """What the host driver chose, by its own word; None when it did not get to it."""
    chosen = etl.events.events("RuntimeChosen")
    names = {number: name for name, number in RUNTIMES.items()}
    return names.get(int(chosen["Runtime"][0])) if len(chosen) else None


def _no_trace() -> EtlFile:
    return parse_etl(build_etl([]))
