"""The agent against the way without one: a process start in the guest for every question."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from hotswap.bench.table import Row, compare
from hotswap.deadline import Deadline
from hotswap.driver.build import build_drivers
from hotswap.driver.package import DriverPackage
from hotswap.machine.wine import WineMachine
from hotswap.run import RunFolder
from hotswap.swap.lab import Lab

CALLS = 500
STARTS = 15


def run(calls: int = CALLS, starts: int = STARTS) -> tuple[list[Row], dict[str, Any]]:
    """Medians in microseconds: ping and IOCTL through the agent, and starting a program that ends at once."""
    build = build_drivers()
    machine = WineMachine()
    package = DriverPackage.of(build, ["v1"])
    deadline = Deadline.after(300)
    # A run folder is of a test, with a verdict; this is none.
    with TemporaryDirectory(prefix="hotswap-bench-") as scratch:
        folder = RunFolder.create(Path(scratch))
        try:
            with Lab(machine, build, package, folder, lambda _line: None) as lab:
                lab.open(deadline)
                processes = _measure(lambda: _start_program(machine), starts)
                pings = _measure(lambda: lab.agent.ping(deadline=deadline), calls)
                ioctls = _measure(lambda: lab.device.get_version(deadline=deadline), calls)
                lab.close()
        finally:
            folder.close()
    rows = [
        compare("ping through the agent against a process start", pings, processes, "µs", 100),
        compare("IOCTL through the agent against a process start", ioctls, processes, "µs", 100),
    ]
    return rows, {"calls": calls, "starts": starts}


def _measure(call: Callable[[], object], count: int) -> list[float]:
    """Microseconds of each of `count` calls, after one that is not counted."""
    call()
    seconds = []
    for _ in range(count):
        begun = perf_counter()
        call()
        seconds.append((perf_counter() - begun) * 1e6)
    return seconds


def _start_program(machine: WineMachine) -> None:
    """What a harness without an agent does: start the loader with a program and wait for its end."""
    subprocess.run(
        machine.wine.command("cmd.exe", "/c", "exit"),
        env=machine.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
        timeout=60,
    )
