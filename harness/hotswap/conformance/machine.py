"""The Hypothesis state machine: draws steps that fit the state of the model, wrong ones now and then, and shrinks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from hotswap.conformance.choose import CHOICES, PROFILES, Chooser
from hotswap.conformance.script import Step
from hotswap.conformance.session import Disagreement, Session
from hotswap.conformance.shorten import shorten

STEPS_A_SCRIPT = 60
SHRINK_SECONDS = 60.0
"""For Hypothesis, and as much again for leaving out steps."""
_CHOICES = st.binary(min_size=CHOICES, max_size=CHOICES)


class ContractMachine(RuleBasedStateMachine):
    """One script. Made by `search`, with a session of its own."""

    session: Session

    def __init__(self) -> None:
        super().__init__()
        self.session.begin()
        self._weights: tuple[str, ...] = ()

    def teardown(self) -> None:
        """The end of the script: nothing may stay."""
        self.session.end()

    @initialize(profile=st.sampled_from(sorted(PROFILES)), choices=_CHOICES)
    def begin(self, profile: str, choices: bytes) -> None:
        """What the script does most, and most often an extension with all its endpoints."""
        self._weights = PROFILES[profile]
        for step in Chooser(self.session.model.world, choices).first_steps():
            self._make(step)

    @rule(kind=st.integers(0, 99), choices=_CHOICES)
    def step(self, kind: int, choices: bytes) -> None:
        """One step, or two that belong together."""
        for step in Chooser(self.session.model.world, choices).steps(self._weights[kind % len(self._weights)]):
            self._make(step)

    def _make(self, step: Step) -> None:
        self.session.make(step)


@dataclass(frozen=True, slots=True)
class Found:
    """A failure, shrunk to its shortest script."""

    disagreement: Disagreement
    tried: int
    """Scripts that were made on the way, all in all."""

    def save(self, folder: Path) -> Path:
        """Write the script into a folder."""
        script = self.disagreement.script
        return script.save(folder / f"script-{script.seed}.json")


class _Recording(ContractMachine):
    """Keeps the failures, and stops making steps when shrinking has taken long enough.

    A failure that kills or hangs the guest costs seconds each time; a script that then does nothing ends the shrinking.
    """

    seen: list[Disagreement]
    shrink_seconds: float
    until: list[float]
    tried: list[int]

    def __init__(self) -> None:
        self.tried[0] += 1
        super().__init__()

    def _make(self, step: Step) -> None:
        if not self._over:
            with self._kept():
                super()._make(step)

    def teardown(self) -> None:
        """The end of the script."""
        if not self._over:
            with self._kept():
                super().teardown()

    @property
    def _over(self) -> bool:
        return bool(self.until) and monotonic() > self.until[0]

    @contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except Disagreement as found:
            self.seen.append(found)
            if not self.until:
                self.until.append(monotonic() + self.shrink_seconds)
            raise


def search(
    session: Session,
    *,
    seed: int,
    scripts: int,
    steps: int = STEPS_A_SCRIPT,
    shrink_seconds: float = SHRINK_SECONDS,
) -> Found | None:
    """Make `scripts` random scripts; the shortest one found that fails, if any does. Same seed, same scripts."""
    session.seed = seed

    class Machine(_Recording):
        pass

    Machine.session = session
    Machine.seen, Machine.until, Machine.tried = [], [], [0]
    Machine.shrink_seconds = shrink_seconds
    Machine._hypothesis_internal_use_seed = seed
    options = settings(
        max_examples=scripts,
        stateful_step_count=steps,
        phases=(Phase.generate, Phase.shrink),
        database=None,
        deadline=None,
        verbosity=Verbosity.quiet,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(Machine, settings=options)
    except Disagreement as found:
        Machine.seen.append(found)
    except Exception:
        # Hypothesis calls it flaky when a failure does not come again, as it does when the time is over.
        if not Machine.seen:
            raise
    if not Machine.seen:
        return None
    shortest = min(Machine.seen, key=lambda each: len(each.script.steps))
    return Found(shorten(session.subject, shortest, shrink_seconds), Machine.tried[0])
