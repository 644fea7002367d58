"""Scripts on a machine: what the stateful test, the soak and the command that repeats a failure share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hotswap.conformance import objects
from hotswap.conformance.driver import ConformanceDriver
from hotswap.conformance.guest import IMAGE, start_conformance
from hotswap.conformance.requests import Features
from hotswap.conformance.rest import HostThreads, Rest
from hotswap.conformance.script import LANES, Script
from hotswap.conformance.session import Disagreement, replay
from hotswap.conformance.subject import DriverSubject
from hotswap.errors import LabFault
from hotswap.swap.lab import Lab
from hotswap.swap.outside import DriverHostWatch, OutsideView
from hotswap.testing.guest import GuestMachine
from hotswap.trace.expect import Verdict

SCHEMA = 1


@contextmanager
def driver_subject(guest: GuestMachine) -> Iterator[DriverSubject]:
    """The conformance driver of a guest as the subject of scripts; a guest that a script spent is replaced."""

    with ExitStack() as watched:

        def start() -> tuple[ConformanceDriver, Rest]:
            driver = start_conformance(guest.lab(), guest.build)
            watched.close()
            return driver, watched.enter_context(closing(host_threads(guest.lab(), driver)))

        def renew(why: str) -> tuple[ConformanceDriver, Rest]:
            guest.discard(why)
            return start()

        subject = DriverSubject(*start(), renew)
        subject.reset()
        try:
            yield subject
        finally:
            subject.reset()


def host_threads(lab: Lab, driver: ConformanceDriver) -> HostThreads:
    """Of the process that the conformance driver runs in. Raises LabFault where it cannot be seen from here."""
    host = DriverHostWatch.find(lab.machine, IMAGE) if isinstance(lab.machine, OutsideView) else None
    if host is None:
        raise LabFault(
            "the threads of the driver host cannot be seen from here, and nothing else tells when they rest: "
            "steps are compared with the model on a machine of this computer only (wine)"
        )
    host.close()
    return HostThreads(
        host.process.pid, driver.snapshot, lambda lane: driver.run(Features(objects.NO_DRIVER), lane=lane), LANES
    )


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a script came to."""

    path: Path
    machine: str
    steps: int
    found: Disagreement | None

    @property
    def verdict(self) -> Verdict:
        """Whether driver and contract agreed."""
        return Verdict.FAIL if self.found else Verdict.PASS

    @property
    def message(self) -> str:
        """For people: at which step what differs."""
        if self.found is None:
            return f"pass: {self.steps} steps of {self.path}, and driver and contract agree after each of them"
        steps = self.found.script.steps
        lines = [f"{at:>4}  {step}" for at, step in enumerate(steps[: self.found.at + 1])]
        problems = [f"      {problem}" for problem in self.found.problems]
        return "\n".join([*lines, *problems, f"fail: {self.found}"])

    def to_json(self) -> Mapping[str, Any]:
        """For machines."""
        return {
            "schema": SCHEMA,
            "verdict": str(self.verdict),
            "script": str(self.path),
            "machine": self.machine,
            "steps": self.steps,
            "step": self.found.at if self.found else None,
            "problems": list(self.found.problems) if self.found else [],
        }


def replay_file(machine: str, path: Path, progress: Callable[[str], None]) -> Replayed:
    """Make the steps of a script in a fresh guest. Raises UsageError: no script that can be read."""
    script = Script.load(path)
    with TemporaryDirectory(prefix="hotswap-replay-") as folder:
        guest = GuestMachine(machine, Path(folder), progress)
        try:
            with driver_subject(guest) as subject:
                progress(f"making the {len(script.steps)} steps of {path}")
                found = replay(subject, script)
        finally:
            guest.close()
    return Replayed(path, machine, len(script.steps), found)
