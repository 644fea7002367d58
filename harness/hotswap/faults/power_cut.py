"""A power cut in the middle of a swap, the next boot from the same disk, and what is left of the drivers then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import monotonic

from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild
from hotswap.driver.package import DriverPackage
from hotswap.errors import HotswapError, LabFault
from hotswap.faults.consistency import Consistency, check_consistency
from hotswap.faults.injector import FaultPlan, Injector
from hotswap.faults.matrix import PLAN
from hotswap.machine.profile import load_profile
from hotswap.machine.qemu import QemuMachine
from hotswap.machine.standin_view import DRIVE_C
from hotswap.run import RunFolder
from hotswap.swap.drive import drive
from hotswap.swap.lab import Lab
from hotswap.swap.observe import Observations
from hotswap.swap.runner import run_swap
from hotswap.transport.agent import Agent
from hotswap.transport.protocol import AgentContract

_START_SECONDS = 100.0
_CHECK_SECONDS = 20.0
_SAVE_SECONDS = 60.0
_REGISTRY = f"{DRIVE_C}/../system.reg"
_REGISTRY_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class CutPoint:
    """Where the power goes. `saved`: only once the guest has written its registry, with the services, to its disk.

    Wine does so every 30 s: without that a cut takes the services away, and leaves files that nobody speaks of.
    """

    told: str
    moment: str
    fault: str = "power-cut"
    saved: bool = False


CUT_POINTS = (
    CutPoint("before version 2 is loaded", "SwapBegin:2"),
    CutPoint("when it is loaded", "EndpointLoaded:2"),
    CutPoint("in the drain", "SwapStalled:2", fault="kill-qemu", saved=True),
    CutPoint("while all calls are held", "SwapDrained:2", saved=True),
    CutPoint("after the switch", "SwapSwitched:2", fault="kill-qemu", saved=True),
    CutPoint("before version 1 is unloaded", "SwapPostProcess:2"),
    CutPoint("when it is unloaded", "EndpointUnloaded:1", saved=True),
    CutPoint("after the update", "SwapEnd:2"),
)


@dataclass(frozen=True, slots=True)
class CutOutcome:
    """What became of one: `problems` is empty when the guest came back whole and swaps again."""

    consistency: Consistency | None
    verdict: str
    seconds: float
    problems: tuple[str, ...]

    @property
    def told(self) -> str:
        """In one line."""
        left = self.consistency.told if self.consistency else "not looked at"
        return f"left {left}; the swap test after it: {self.verdict}"


def cut_power(build: DriverBuild, point: CutPoint, *, progress: Callable[[str], None] | None = None) -> CutOutcome:
    """Swap under load, cut the power at the point, boot again, look at services and images, and swap again in there."""
    begun = monotonic()
    machine = QemuMachine(load_profile(PLAN.machine), progress)
    with machine:
        package = _swap_until_cut(machine, build, point)
        machine.boot_again(Deadline.after(_START_SECONDS * machine.slowdown))
        consistency, problems = _look(machine, build, package)
        if point.saved and consistency is not None and any(each.lost for each in consistency.found):
            problems.append(f"a service is gone that was on the disk: left {consistency.told}")
        verdict = "not run"
        if not problems:
            try:
                result = run_swap(replace(PLAN), machine=machine, progress=progress)
                verdict = str(result.verdict)
                problems = [] if verdict == "pass" else [f"the swap test after it: {verdict}: {result.reason}"]
            except LabFault as error:
                verdict, problems = "lab fault", [f"the swap test after it: {error}"]
    return CutOutcome(consistency, verdict, monotonic() - begun, tuple(problems))


def _swap_until_cut(machine: QemuMachine, build: DriverBuild, point: CutPoint) -> DriverPackage:
    """The machine has no power when this returns; its disk is as the cut left it."""
    package = DriverPackage.of(build, PLAN.updates)
    injector = Injector(FaultPlan.parse(f"{point.fault}@{point.moment}", seconds=PLAN.seconds, seed=PLAN.seed))
    run = RunFolder.create()
    # Not as a context: the machine must outlive its end.
    lab = Lab(machine, build, package, run, lambda _line: None)

    def interfere(name: str) -> None:
        if name == "load-running" and point.saved:
            _until_saved(machine, package)
        injector(name, lab)

    lab.interfere = interfere
    deadline = Deadline.after(_START_SECONDS * machine.slowdown)
    try:
        lab.open(deadline)
        drive(lab, PLAN, Observations(), deadline)
    except HotswapError:
        # It may still be busy with what the test has noticed already.
        injector.close()
        injector.check()
        Deadline.after(_CHECK_SECONDS).wait_for(machine.alive, "the end of QEMU")
    else:
        raise LabFault(f"the swap test ended without a power cut: {injector.plan}")
    finally:
        injector.close()
        lab.abandon()
        run.close()
    return package


def _until_saved(machine: QemuMachine, package: DriverPackage) -> None:
    names = [image.service.encode() for image in package.images if image.service is not None]

    def saved() -> bool:
        registry = machine.control.read(_REGISTRY, _REGISTRY_BYTES, deadline=Deadline.after(_CHECK_SECONDS))
        return all(b"\\Services\\\\" + name + b"]" in registry for name in names)

    Deadline.after(_SAVE_SECONDS * machine.slowdown).wait_for(
        saved, "the guest to save its registry", alive=machine.alive, interval=1.0
    )
    machine.control.ask("sync", deadline=Deadline.after(_CHECK_SECONDS))


def _look(machine: QemuMachine, build: DriverBuild, package: DriverPackage) -> tuple[Consistency | None, list[str]]:
    deadline = Deadline.after(_CHECK_SECONDS * machine.slowdown)
    try:
        transport = machine.connect_agent(build.agent, deadline)
        with Agent(transport, AgentContract.load(build.agent_contract), build.codes) as agent:
            found = check_consistency(agent, package.images, deadline)
    except HotswapError as error:
        return None, [f"looking at services and images: {error}"]
    return found, list(found.problems)
