"""The Hypothesis state machine: draws steps that fit the state of the model, wrong ones now and then, and shrinks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

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

    @rule(kind=st.integers(0, 99), choices=_CHOICES)
    def step(self, kind: int, choices: bytes) -> None:
        """One step, or some that belong together."""
        chooser = Chooser(self.session.model.world, choices)
        steps = chooser.steps(self._weights[kind % len(self._weights)]) if self._weights else self._first(kind, chooser)
        for step in steps:
            self._make(step)

    def _first(self, kind: int, chooser: Chooser) -> Iterable[Step]:
        """What the script does most, and most often an extension with all its endpoints.

        No `initialize`: Hypothesis makes strategies of it for every script, and keeps a thousand of them.
        """
        self._weights = PROFILES[sorted(PROFILES)[kind % len(PROFILES)]]
        return chooser.first_steps()

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

    # One class for all: Hypothesis keeps what it knows of a class for good.
    _Recording.session = session
    _Recording.seen, _Recording.until, _Recording.tried = [], [], [0]
    _Recording.shrink_seconds = shrink_seconds
    _Recording._hypothesis_internal_use_seed = seed
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
        run_state_machine_as_test(_Recording, settings=options)
    except Disagreement as found:
        _Recording.seen.append(found)
    except Exception:
        # Hypothesis calls it flaky when a failure does not come again, as it does when the time is over.
        if not _Recording.seen:
            raise
    if not _Recording.seen:
        return None
    shortest = min(_Recording.seen, key=lambda each: len(each.script.steps))
    return Found(shorten(session.subject, shortest, shrink_seconds), _Recording.tried[0])
