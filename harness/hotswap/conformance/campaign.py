"""Many random scripts, round after round, each round with a seed of its own, until enough steps or time are through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from hotswap.conformance.machine import SHRINK_SECONDS, Found, search
from hotswap.conformance.session import Coverage, Session, Subject, repeat_command

SCRIPTS_A_ROUND = 20


@dataclass(frozen=True, slots=True)
class Campaign:
    """What was made and what it came to."""

    first_seed: int
    rounds: int
    seconds: float
    coverage: Coverage
    found: Found | None

    @property
    def steps(self) -> int:
        """That were made and compared."""
        return self.coverage.steps

    @property
    def line(self) -> str:
        """For people."""
        rate = self.steps / self.seconds if self.seconds else 0.0
        return (
            f"{self.steps:,} steps in {self.coverage.scripts:,} scripts, seeds {self.first_seed} to "
            f"{self.first_seed + self.rounds - 1}, in {self.seconds:.1f} s: {rate:,.0f} steps/s"
        )

    def failure(self, folder: Path) -> str | None:
        """Keep the script of what was found in a folder, and say how to repeat it; None when nothing was found."""
        if self.found is None:
            return None
        path = self.found.save(folder)
        steps = self.found.disagreement.script.steps
        script = "\n".join(f"{at:>4}  {step}" for at, step in enumerate(steps))
        return f"{self.found.disagreement}\n{script}\nto repeat it: {repeat_command(path)}"


def run_campaign(
    subject: Subject,
    *,
    first_seed: int,
    enough: Callable[[int, float], bool],
    after_round: Callable[[int], None] = lambda _steps: None,
    shrink_seconds: float = SHRINK_SECONDS,
) -> Campaign:
    """Rounds until `enough(steps, seconds)`, or until a step disagrees."""
    session = Session(subject)
    begun = monotonic()
    found: Found | None = None
    rounds = 0
    while found is None and not (rounds and enough(session.coverage.steps, monotonic() - begun)):
        found = search(session, seed=first_seed + rounds, scripts=SCRIPTS_A_ROUND, shrink_seconds=shrink_seconds)
        rounds += 1
        after_round(session.coverage.steps)
    return Campaign(first_seed, rounds, monotonic() - begun, session.coverage, found)
