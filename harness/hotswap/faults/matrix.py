"""The matrix: faults in states of a swap test, the verdict that each must end in, and the evidence there must be."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

from hotswap.errors import LabFault
from hotswap.machine.evidence import read_manifest
from hotswap.machine.lease import leases
from hotswap.machine.proc import Owner, environment, running
from hotswap.machine.qemu_folder import MACHINE_KIND, MARK, machines_home
from hotswap.swap.plan import SwapPlan
from hotswap.swap.runner import run_swap

PASS, FAIL, INCONCLUSIVE, LAB_FAULT = "pass", "fail", "inconclusive", "lab fault"
PLAN = SwapPlan(machine="standin", workers=4, rate=500, seconds=0.3, hold_budget_ms=600_000)
"""Small, and with a wide budget for holding calls: a thread stands still while a fault is made."""

_LOGS = ("machine.json", "qmp-events.jsonl", "logs/console.log")
_DISK = (*_LOGS, "logs/agent-virtio.log")
_STILL = (*_DISK, "processors.txt", "screens/000.png")
_MEMORY = (*_STILL, "memory.kdump")
_ASKED = (*_LOGS, "processes.json", "logs/kernel.log", "logs/agent-virtio.log", "screens/000.png")


@dataclass(frozen=True, slots=True)
class Case:
    """One cell. `moment` as on the command line; `state` is its name for people.

    `verdict`: PASS, FAIL (GuestFault), INCONCLUSIVE or LAB_FAULT. `says` is a pattern of the reason. `evidence` are
    files of the run's evidence folder. `seconds` is what it may take at most, on a quiet computer under TCG. `quick`:
    also in every test run.
    """

    fault: str
    state: str
    moment: str
    verdict: str
    says: str
    evidence: tuple[str, ...] = ()
    seconds: float = 60.0
    quick: bool = False

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.fault}, {self.state}"

    @property
    def text(self) -> str:
        """As on the command line."""
        return f"{self.fault}@{self.moment}"


_WAITS = 110.0
"""For what is only noticed when an answer does not come: a request's limit, then a look, then evidence."""
_RETURNS = 150.0
"""For a stream that may still come back: as long as that takes where all takes longer, and then as above."""

CASES = (
    Case("kill-qemu", "booting", "booting", LAB_FAULT, "ended with -9", _LOGS, seconds=120),
    Case("reset", "booting", "booting", PASS, "", seconds=240),
    Case("kill-qemu", "idle", "driver-open", LAB_FAULT, "ended with -9", _DISK, quick=True),
    Case("kill-qemu", "in load", "load-running", LAB_FAULT, "ended with -9", _DISK),
    Case("kill-qemu", "in drain", "SwapStalled:2", LAB_FAULT, "ended with -9", _DISK),
    Case("kill-qemu", "at stop", "stopping", LAB_FAULT, "ended with -9", _DISK),
    Case("power-cut", "stalled", "SwapDrained:2", LAB_FAULT, "host-qmp-quit", _DISK),
    Case("power-cut", "after the switch", "SwapSwitched:2", LAB_FAULT, "host-qmp-quit", _DISK, quick=True),
    Case("power-off", "in load", "load-running", FAIL, "guest-shutdown", _DISK),
    Case("power-off", "stalled", "SwapDrained:2", FAIL, "guest-shutdown", _DISK),
    Case("panic", "idle", "driver-open", FAIL, "panicked", _MEMORY),
    Case("panic", "in drain", "SwapStalled:2", FAIL, "panicked", _MEMORY, quick=True),
    Case("panic", "after the switch", "SwapSwitched:2", FAIL, "panicked", _MEMORY),
    Case("nmi", "in load", "load-running", FAIL, "panicked", _MEMORY),
    Case("hang", "idle", "driver-open", FAIL, "the guest hangs", _MEMORY, seconds=_WAITS),
    Case("hang", "stalled", "SwapDrained:2", FAIL, "the guest hangs", _MEMORY, seconds=_WAITS),
    Case("pause", "in load", "load-running", LAB_FAULT, "stands still", _STILL, seconds=_WAITS),
    Case("pause", "in drain", "SwapStalled:2", LAB_FAULT, "stands still", _STILL, seconds=_WAITS),
    # All goes on, but the guest's clock has stood still: nothing it measured could be believed.
    Case("pause-briefly", "in load", "load-running", INCONCLUSIVE, "clock check"),
    Case("pause-briefly", "stalled", "SwapDrained:2", INCONCLUSIVE, "clock check"),
    Case("freeze-qemu", "idle", "driver-open", LAB_FAULT, "stopped by a signal", _DISK, seconds=_WAITS),
    Case("freeze-qemu", "in drain", "SwapStalled:2", LAB_FAULT, "stopped by a signal", _DISK, seconds=_WAITS),
    Case("reset", "in load", "load-running", LAB_FAULT, "reset by the host", _LOGS),
    Case("reset", "after the switch", "SwapSwitched:2", LAB_FAULT, "reset by the host", _LOGS),
    Case("kill-agent", "idle", "driver-open", LAB_FAULT, "agent", _ASKED, quick=True),
    Case("kill-agent", "in drain", "SwapStalled:2", LAB_FAULT, "agent", _ASKED),
    Case("hang-agent", "in load", "load-running", LAB_FAULT, "agent .* is stopped", _ASKED, seconds=_WAITS),
    Case("kill-driver-host", "in load", "load-running", FAIL, "driver host", _ASKED, quick=True),
    Case("kill-driver-host", "stalled", "SwapDrained:2", FAIL, "driver host", _ASKED),
    Case("full-disk", "idle", "driver-open", INCONCLUSIVE, "", seconds=90),
    Case("cut-stream", "in load", "load-running", PASS, "", quick=True),
    Case("cut-stream", "in drain", "SwapStalled:2", PASS, ""),
    Case("lose-stream", "in load", "load-running", LAB_FAULT, "stream", _ASKED, seconds=_RETURNS),
    Case("slow-stream", "all the time", "machine-started", PASS, "", seconds=120),
    Case("lossy-stream", "all the time", "machine-started", PASS, "", seconds=240),
    Case("kill-qemu", "by a seed", "seed:1", LAB_FAULT, "ended with -9", _DISK),
    Case("panic", "by a seed", "seed:2", FAIL, "panicked", _MEMORY),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a case: `problems` is empty when all was as it must be."""

    case: Case
    verdict: str
    reason: str
    seconds: float
    run_folder: Path | None
    problems: tuple[str, ...]


def run_case(case: Case, progress: Callable[[str], None] | None = None, *, slack: float = 1.0) -> Outcome:
    """Run it. `slack` times as long as it says may it take: on a computer that does other things, too."""
    begun = monotonic()
    others = held()
    folder: Path | None = None
    try:
        result = run_swap(replace(PLAN, fault=case.text), progress=progress, command=f"--fault {case.text}")
        verdict, why, folder = str(result.verdict), result.reason, result.run_folder
    except LabFault as error:
        verdict, why = LAB_FAULT, str(error)
        for note in getattr(error, "__notes__", ()):
            folder = Path(note.removeprefix("run folder: "))
    outcome = judge_case(case, verdict, why, folder, monotonic() - begun, slack=slack)
    return replace(outcome, problems=(*outcome.problems, *left_behind(others)))


def judge_case(
    case: Case, verdict: str, why: str, folder: Path | None, seconds: float, *, slack: float = 1.0
) -> Outcome:
    """Hold what became of a case against what must. `folder` is its run folder, if there is one."""
    problems = [*_problems(case, verdict, why, folder)]
    if seconds > case.seconds * slack:
        problems.append(f"it took {seconds:.0f} s, and may take {case.seconds * slack:.0f} s")
    return Outcome(case, verdict, why, seconds, folder, tuple(problems))


def _problems(case: Case, verdict: str, why: str, folder: Path | None) -> Iterable[str]:
    if verdict != case.verdict:
        yield f"it ended in {verdict} ({why}), and must end in {case.verdict}"
    elif not re.search(case.says, why):
        yield f"its reason says nothing of {case.says!r}: {why}"
    if folder is None:
        yield "there is no run folder"
        return
    manifest = read_manifest(folder / "evidence") if case.evidence else {"pieces": []}
    if manifest is None:
        yield "there is no list of evidence"
        return
    pieces = {piece["name"]: piece for piece in manifest["pieces"]}
    for name in case.evidence:
        piece = pieces.get(name)
        if piece is None or piece.get("sha256") is None:
            yield f"no {name}: {piece['problem'] if piece else 'it was not tried'}"


def held() -> frozenset[str]:
    """The machines that this process holds, by their ids."""
    own = Owner.own().process
    return frozenset(lease.id for lease in leases() if lease.owner == own and lease.kind == MACHINE_KIND)


def left_behind(others: frozenset[str]) -> list[str]:
    """Machines of this process that are there and are none of the others, one line each."""
    mine = held() - others
    found = [f"the lease of machine {id} is left" for id in sorted(mine)]
    for process in running():
        folder = Path(environment(process.pid).get(MARK.encode(), b"").decode(errors="replace"))
        if folder.parent == machines_home() and folder.name in mine:
            found.append(f"process {process.pid} of machine {folder.name} is left")
    return found
