"""Scripts on a machine: what the stateful test, the soak and the command that repeats a failure share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hotswap.conformance.driver import ConformanceDriver
from hotswap.conformance.guest import start_conformance
from hotswap.conformance.script import Script
from hotswap.conformance.session import Disagreement, replay
from hotswap.conformance.subject import DriverSubject
from hotswap.testing.guest import GuestMachine
from hotswap.trace.expect import Verdict

SCHEMA = 1


@contextmanager
def driver_subject(guest: GuestMachine) -> Iterator[DriverSubject]:
    """The conformance driver of a guest as the subject of scripts; a guest that a script spent is replaced."""

    def start() -> ConformanceDriver:
        return start_conformance(guest.lab(), guest.build)

    def renew(why: str) -> ConformanceDriver:
        guest.discard(why)
        return start()

    subject = DriverSubject(start(), renew)
    subject.reset()
    try:
        yield subject
    finally:
        subject.reset()


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
