"""Soak `machine`: forks of a QEMU guest in a row, and harnesses killed at random moments; nothing may be left."""

from __future__ import annotations

import random
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from time import monotonic

from hotswap.cli.progress import Progress, duration
from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild, build_drivers
from hotswap.errors import HotswapError, UsageError
from hotswap.machine.lease import leases
from hotswap.machine.proc import ProcessId, environment, running
from hotswap.machine.profile import load_profile
from hotswap.machine.qemu import QemuMachine
from hotswap.machine.qemu_folder import MARK, machines_home, templates_home
from hotswap.machine.sweep import sweep
from hotswap.soak.probe import HARNESS_BOUNDS, harness_figures
from hotswap.soak.result import SoakResult
from hotswap.soak.trend import MIN_SAMPLES, judge_all
from hotswap.transport.agent import Agent
from hotswap.transport.protocol import AgentContract

_SECONDS = 600.0
_LATEST_KILL = 4.0
_VICTIM = """
import sys
from pathlib import Path
from hotswap.deadline import Deadline
from hotswap.machine.profile import load_profile
from hotswap.machine.qemu import QemuMachine
print("begun", flush=True)
while True:
    machine = QemuMachine(load_profile("standin"))
    machine.expect_agent(Path(sys.argv[1]))
    with machine:
        machine.start(Deadline.after(600))
        machine.connect_agent(Path(sys.argv[1]), Deadline.after(60)).close()
        machine.ssh(Deadline.after(60))
"""


def add_options(parser: ArgumentParser) -> None:
    """Their names on the command line."""
    parser.add_argument("--forks", type=int, default=200, metavar="N", help="forks of a guest in a row [200]")
    parser.add_argument("--kills", type=int, default=20, metavar="N", help="harnesses killed at random moments [20]")
    parser.add_argument("--kill-seed", type=int, default=1, metavar="SEED", help="of these moments [1]")


def run(options: Namespace, progress: Progress) -> SoakResult:
    """Forks first, then kills. Whatever is left, or grows, is a problem."""
    if options.forks < 0 or options.kills < 0:
        raise UsageError("--forks and --kills must not be negative")
    begun = monotonic()
    result = SoakResult("machine")
    build = build_drivers(progress)
    machine = QemuMachine(load_profile("standin"), progress)
    machine.expect_agent(build.agent)
    machine.prepare(Deadline.after(_SECONDS))
    before = _loop_devices()
    _forks(build, options.forks, result, progress)
    _kills(build, options.kills, options.kill_seed, result, progress)
    if after := sorted(set(_loop_devices()) - set(before)):
        result.problems.append(f"{len(after)} loop devices more than before: {', '.join(after)}")
    result.seconds = monotonic() - begun
    result.figures |= {"forks": options.forks, "kills": options.kills, "kill_seed": options.kill_seed}
    return result


def _forks(build: DriverBuild, count: int, result: SoakResult, progress: Progress) -> None:
    samples: list[dict[str, float]] = []
    begun = monotonic()
    for number in range(1, count + 1):
        progress.headline = f"fork {number} of {count}"
        try:
            machine = QemuMachine(load_profile("standin"))
            machine.expect_agent(build.agent)
            deadline = Deadline.after(_SECONDS)
            with machine:
                machine.start(deadline)
                transport = machine.connect_agent(build.agent, deadline)
                with Agent(transport, AgentContract.load(build.agent_contract)) as agent:
                    agent.hello(deadline=deadline)
        except HotswapError as error:
            result.problems.append(f"fork {number}: {error}")
        result.problems += [f"fork {number}: {line}" for line in left_behind()]
        samples.append(harness_figures(()))
    if len(samples) >= MIN_SAMPLES:
        result.trends += judge_all("", range(len(samples)), samples, HARNESS_BOUNDS)
    if count:
        result.lines.append(f"{count} forks of a guest, one after the other, in {duration(monotonic() - begun)}")


def _kills(build: DriverBuild, count: int, seed: int, result: SoakResult, progress: Progress) -> None:
    moments = random.Random(seed)
    for number in range(1, count + 1):
        progress.headline = f"kill {number} of {count}"
        after = moments.uniform(0, _LATEST_KILL)
        with subprocess.Popen(
            [sys.executable, "-c", _VICTIM, str(build.agent)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        ) as victim:
            assert victim.stdout is not None
            victim.stdout.readline()
            try:
                victim.wait(after)
                result.problems.append(f"kill {number}: the harness ended by itself with {victim.returncode}")
            except subprocess.TimeoutExpired:
                victim.kill()
        report = sweep()
        result.problems += [f"kill {number} after {after:.2f} s: {name}: {why}" for name, why in report.failed.items()]
        result.problems += [f"kill {number} after {after:.2f} s: {line}" for line in left_behind()]
    if count:
        result.lines.append(f"{count} harnesses killed at random moments (seed {seed}), and swept")


def left_behind() -> list[str]:
    """What nobody alive leases: processes of machines, and folders."""
    homes = (machines_home(), templates_home())
    processes = [(process, _folder(process)) for process in running()]
    folders = [*machines_home().glob("*"), *templates_home().glob("build-*")]
    # Only now, and looked at once more below: others start and stop machines meanwhile. A lease is taken before its
    # machine is made, and released when that is gone.
    held = {lease.id for lease in leases() if not lease.owner_is_dead()}
    found = []
    for process, folder in processes:
        if folder.parent in homes and folder.name.removeprefix("build-") not in held and process.alive():
            found.append(f"process {process.pid} of machine {folder.name} is left")
    for folder in folders:
        if folder.name.removeprefix("build-") not in held and folder.exists():
            found.append(f"the folder {folder} is left")
    return found


def _folder(process: ProcessId) -> Path:
    """The machine's that a process serves; an empty path: none's."""
    return Path(environment(process.pid).get(MARK.encode(), b"").decode(errors="replace"))


def _loop_devices() -> list[str]:
    return [path.parent.name for path in Path("/sys/block").glob("loop*/backing_file")]
