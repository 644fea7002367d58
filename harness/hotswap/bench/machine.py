"""Machines under QEMU: a fork of a booted guest, and a restored snapshot, against booting one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from statistics import median
from time import perf_counter
from typing import Any

import psutil

from hotswap.bench.table import Row, compare, single
from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild, build_drivers
from hotswap.machine.profile import load_profile
from hotswap.machine.qemu import QemuMachine
from hotswap.transport.agent import Agent
from hotswap.transport.protocol import AgentContract

_SECONDS = 600.0
_AT_ONCE = 4


def run(boots: int = 3, forks: int = 12, restores: int = 5, at_once: int = 3) -> tuple[list[Row], dict[str, Any]]:
    """Medians in seconds from nothing to an agent that answers; memory in MB of one more fork."""
    build = build_drivers()
    prepared = QemuMachine(load_profile("standin"))
    prepared.expect_agent(build.agent)
    prepared.prepare(Deadline.after(_SECONDS))
    booted = [_until_agent(build, fork=False) for _ in range(boots)]
    forked = [_until_agent(build, fork=True) for _ in range(forks)]
    restored = _restores(build, restores)
    together, memory = zip(*(_several(build) for _ in range(at_once)), strict=True)
    one = median(forked)
    rows = [
        single("cold boot to agent", booted, "s"),
        compare("fork to agent against a cold boot", forked, booted, "s", 30),
        Row(f"fork to agent ({prepared.accelerator.name})", round(one, 2), None, "s", None, "<= 1.5 s", one <= 1.5),
        compare("restore of a snapshot to agent against a cold boot", restored, booted, "s", 1),
        single(f"{_AT_ONCE} forks at once, until the last agent answers", together, "s"),
        _memory_row([used for several in memory for used in several]),
    ]
    details = {
        "machine": "standin",
        "accelerator": prepared.accelerator.found,
        "qemu": prepared.qemu.version,
        "boots": boots,
        "forks": forks,
        "processors": prepared.profile.processors,
        "memory_mib": prepared.profile.memory_mib,
    }
    return rows, details


def _memory_row(used: list[float]) -> Row:
    own = median(used)
    return Row("memory of one more fork", round(own, 1), None, "MB", None, "<= 150 MB", own <= 150)


def _until_agent(build: DriverBuild, *, fork: bool) -> float:
    with _machine(build, fork=fork) as machine:
        begun = perf_counter()
        _answer(machine, build)
        return perf_counter() - begun


def _machine(build: DriverBuild, *, fork: bool = True) -> QemuMachine:
    machine = QemuMachine(load_profile("standin"), fork=fork)
    machine.expect_agent(build.agent)
    # Not a matter of the start: both are there already, and looked up once.
    _ = (machine.image, machine.accelerator)
    return machine


def _answer(machine: QemuMachine, build: DriverBuild) -> None:
    """Start it, and wait for the agent's first answer."""
    deadline = Deadline.after(_SECONDS)
    machine.start(deadline)
    _hello(machine, build, deadline)


def _hello(machine: QemuMachine, build: DriverBuild, deadline: Deadline) -> None:
    transport = machine.connect_agent(build.agent, deadline)
    with Agent(transport, AgentContract.load(build.agent_contract)) as agent:
        agent.hello(deadline=deadline)


def _restores(build: DriverBuild, count: int) -> list[float]:
    deadline = Deadline.after(_SECONDS)
    with _machine(build) as machine:
        _answer(machine, build)
        machine.snapshot("bench", deadline)

        def once() -> None:
            machine.restore("bench", deadline)
            _hello(machine, build, deadline)

        return [_timed(once) for _ in range(count)]


def _timed(action: Callable[[], None]) -> float:
    begun = perf_counter()
    action()
    return perf_counter() - begun


def _several(build: DriverBuild) -> tuple[float, list[float]]:
    """Seconds until all answer, and the memory that each has for itself (USS, MB)."""
    with ExitStack() as stack:
        machines = [stack.enter_context(_machine(build)) for _ in range(_AT_ONCE)]
        begun = perf_counter()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda machine: _answer(machine, build), machines))
        seconds = perf_counter() - begun
        pids = [process.pid for machine in machines for process in machine.folder.processes()]
        return seconds, [psutil.Process(pid).memory_full_info().uss / 1e6 for pid in pids]
