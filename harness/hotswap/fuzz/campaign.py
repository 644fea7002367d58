"""A fuzz run: epochs of batches by seed, judged one by one; a finding is reduced to the fewest steps that show it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import monotonic

from hotswap.errors import GuestFault
from hotswap.fuzz.guest import FuzzGuest, HostDied
from hotswap.fuzz.oracle import Finding, Oracle
from hotswap.fuzz.reduce import Trial, reduce_steps
from hotswap.fuzz.replay import steps_from_json, steps_to_json
from hotswap.fuzz.rules import Rules
from hotswap.fuzz.script import Scripts, Step
from hotswap.run import RunFolder
from hotswap.testing.guest import GuestMachine
from hotswap.transport.protocol import AgentContract

SERVICES = ("v1", "v2", "v3", "refuse-proxy-stalled", "wrong-parameters")
"""Endpoint drivers that updates name: good ones, and two that are refused."""
_NAMES = ("hotswap_v1", "hotswap_v2", "hotswap_v3", "hotswap_refuse_proxy_stalled", "hotswap_wrong_parameters")
BATCH = 1000
EPOCH_BATCHES = 20
REDUCE_SECONDS = 90.0
"""So long a finding is made smaller at most."""
# So many requests left behind by a close, and not one of them cancelled, is no accident.
_ORPHANS = 40

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class FuzzPlan:
    """How much, and from which seed on. `epoch`: that one alone; `sweep`: every field and length first."""

    seed: int = 1
    count: int = 100_000
    epoch: int | None = None
    sweep: bool = True
    reduce: bool = True


@dataclass(slots=True)
class FuzzResult:
    """What came of a run. `finding` is the first; with it the run ends. `seconds`: in scripts alone, and of all."""

    steps: int = 0
    requests: int = 0
    batches: int = 0
    epochs: int = 0
    script_seconds: float = 0.0
    seconds: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    orphans: int = 0
    cancelled_orphans: int = 0
    finding: str = ""
    kind: str = ""
    stack: str = ""
    repeat: str = ""
    reduced: int = 0

    @property
    def passed(self) -> bool:
        """Nothing was found."""
        return not self.finding


class Campaign:
    """One run in guests of one machine."""

    def __init__(self, machine: GuestMachine, run: RunFolder, say: Say | None = None) -> None:
        self._say = say or (lambda _line: None)
        build = machine.build
        self._machine = machine.name
        self._codes = build.codes
        self._contract = build.ioctl
        self._rules = Rules(build.ioctl, build.codes)
        self._agent = AgentContract.load(build.agent_contract)
        self._run = run
        self._guest = FuzzGuest(machine, SERVICES, run)
        self.result = FuzzResult()

    @property
    def folder(self) -> Path:
        """The run folder: evidence, and fuzz.json where something was found."""
        return self._run.path

    def run(self, plan: FuzzPlan) -> FuzzResult:
        """All of the plan, or up to the first finding. LabFault when the lab could not do its part."""
        begun = monotonic()
        result = self.result
        try:
            if plan.sweep and plan.epoch is None:
                self._epoch(plan, "sweep", self._sweep(plan.seed))
            epoch = plan.epoch or 0
            while result.passed and (result.requests < plan.count if plan.epoch is None else epoch == plan.epoch):
                self._epoch(plan, str(epoch), self._batches(plan, epoch))
                epoch += 1
            # Wine 8 has no IRP_MJ_CLEANUP: its server sends IRP_MJ_CLOSE alone.
            told = self._machine != "wine"
            if told and result.passed and result.orphans >= _ORPHANS and not result.cancelled_orphans:
                result.kind = "cleanup"
                result.finding = (
                    f"{result.orphans} requests were queued when their handle was closed; none was cancelled"
                )
                result.repeat = self._command(plan, 0)
        finally:
            result.seconds = monotonic() - begun
        return result

    def replay(self, file: Path) -> FuzzResult:
        """Run the steps that a finding was reduced to."""
        content = json.loads(file.read_text(encoding="utf-8"))
        steps = steps_from_json(content["steps"])
        trial = self._try(steps)
        self.result.steps = self.result.requests = len(steps)
        if trial is not None:
            self._found(trial, f"ci/soak fuzz --replay {file}")
        return self.result

    # One epoch: from a freshly started driver to its stop

    def _batches(self, plan: FuzzPlan, epoch: int) -> Iterator[list[Step]]:
        scripts = Scripts(self._contract, self._rules, _NAMES, Random(f"{plan.seed}:{epoch}"))
        yield scripts.opening()
        for number in range(EPOCH_BATCHES):
            # The last one of an epoch shuts the driver down somewhere in its middle.
            last = number == EPOCH_BATCHES - 1 or (
                plan.epoch is None and self.result.requests + 2 * BATCH > plan.count and number
            )
            yield scripts.batch(BATCH, shutdown_at=scripts.random.randrange(BATCH) if last else None)
            if last:
                return

    def _sweep(self, seed: int) -> Iterator[list[Step]]:
        scripts = Scripts(self._contract, self._rules, _NAMES, Random(f"{seed}:sweep"))
        yield scripts.opening()
        yield from scripts.fields()
        yield from scripts.sweep()
        yield scripts.batch(10, shutdown_at=0)

    def _epoch(self, plan: FuzzPlan, name: str, batches: Iterator[list[Step]]) -> None:
        result = self.result
        oracle = Oracle(self._rules, self._agent)
        self._guest.start()
        ran: list[list[Step]] = []
        for steps in batches:
            ran.append(steps)
            finding = self._batch(oracle, steps)
            result.batches += 1
            result.steps += len(steps)
            result.requests += sum(step.method is not None for step in steps)
            if finding is not None:
                self._finding(plan, name, ran, finding)
                return
        try:
            self._guest.stop()
        except GuestFault as fault:
            self._finding(plan, name, ran, Finding("crash" if isinstance(fault, HostDied) else "stop", str(fault)))
            return
        result.epochs += 1
        result.orphans += oracle.model.orphans
        result.cancelled_orphans += oracle.model.cancelled
        for status, count in oracle.model.statuses.items():
            result.statuses[self._codes.ntstatus(status)] += count
        self._say(
            f"{result.requests:,} requests, {result.requests / max(result.script_seconds, 0.001):,.0f} per second"
        )

    def _batch(self, oracle: Oracle, steps: Sequence[Step]) -> Finding | None:
        begun = monotonic()
        try:
            outcomes = self._guest.run(steps)
        except HostDied as fault:
            return Finding("crash", str(fault))
        except GuestFault as fault:
            return Finding("hang", str(fault))
        finally:
            self.result.script_seconds += monotonic() - begun
        findings = oracle.judge(steps, outcomes)
        if findings:
            # A driver host on its way down answers first, and dies then.
            try:
                self._guest.check(1.0)
            except HostDied as fault:
                return Finding("crash", str(fault))
            return findings[0]
        return None

    # What becomes of a finding

    def _finding(self, plan: FuzzPlan, epoch: str, ran: list[list[Step]], finding: Finding) -> None:
        result = self.result
        self._found(finding, self._command(plan, int(epoch) if epoch.isdigit() else None))
        self._say(f"found: {finding.text}")
        self._keep_evidence()
        self._leave(finding)
        if not plan.reduce:
            return
        opening, last = ran[0], ran[-1]
        # Mostly the batch shows it alone; else all of the epoch is what repeats it.
        for steps in ([*opening, *last], [step for batch in ran for step in batch]):
            reduced = reduce_steps(steps, finding.kind, self._try, seconds=REDUCE_SECONDS, say=self._say)
            if reduced is not None:
                path = self._run.write(
                    "fuzz.json",
                    json.dumps(
                        {"schema": 1, "kind": finding.kind, "finding": finding.text, "seed": plan.seed, "epoch": epoch,
                         "steps": steps_to_json(reduced)}, indent=1,
                    ) + "\n",
                )  # fmt: skip
                result.reduced = len(reduced)
                result.repeat = f"ci/soak fuzz --replay {path}"
                return

    def _found(self, finding: Finding, repeat: str) -> None:
        self.result.kind = finding.kind
        self.result.finding = finding.text
        self.result.repeat = repeat

    def _keep_evidence(self) -> None:
        self._guest.lab.diagnose()
        crash = self._guest.lab.crash()
        hang = self._guest.lab.hang
        self.result.stack = crash.text if crash else hang.text if hang else ""

    def _try(self, steps: Sequence[Step]) -> Trial | None:
        """Run steps against a fresh driver; what is found there, or None."""
        self._guest.start()
        finding = self._batch(Oracle(self._rules, self._agent), steps)
        if finding is None:
            try:
                self._guest.stop()
            except GuestFault as fault:
                finding = Finding("crash" if isinstance(fault, HostDied) else "stop", str(fault))
        if finding is not None:
            if not self.result.stack and finding.kind in ("crash", "hang"):
                self._keep_evidence()
            self._leave(finding)
        return finding

    def _leave(self, finding: Finding) -> None:
        """A driver that lives is stopped, so that the guest can go on; else that is over."""
        if finding.kind in ("status", "output", "counters"):
            try:
                self._guest.stop()
            except GuestFault:
                pass
            else:
                return
        self._guest.renew(finding.kind)

    def _command(self, plan: FuzzPlan, epoch: int | None) -> str:
        if epoch is None:
            return f"ci/soak fuzz --seed {plan.seed} --count 1"
        return f"ci/soak fuzz --seed {plan.seed} --epoch {epoch}"

    def close(self) -> None:
        """Stop using the guest; the machine is the caller's."""
        self._guest.renew("the fuzz run has ended")
