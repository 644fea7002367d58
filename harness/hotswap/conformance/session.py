"""Steps made on a subject and on the model at once, compared after every one; and how often what was reached."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, get_args

from hotswap.conformance.model import Difference, Model, Unmodelled, View, differences
from hotswap.conformance.model_records import Status
from hotswap.conformance.script import AnyStep, Register, Script, Step
from hotswap.errors import GuestFault


class Subject(Protocol):
    """What the steps are made on."""

    def run(self, step: Step, allowed: Sequence[View]) -> View:
        """Make the step, wait until one of `allowed` is seen or a limit is over, and return what is seen then.

        Raises GuestFault when the driver crashed or hangs.
        """
        ...

    def reset(self) -> Sequence[str]:
        """Let go of everything; what did not go or has leaked, one line each. The next script begins anew."""
        ...


class Disagreement(GuestFault):
    """Driver and contract disagree: at which step of the script, and in what."""

    def __init__(self, script: Script, at: int, problems: Sequence[str]) -> None:
        self.script = script
        self.at = at
        self.problems = tuple(problems)
        super().__init__(script.problem)


@dataclass(slots=True)
class Coverage:
    """How often each kind of step, each answer, and each event of note was reached."""

    kinds: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    marks: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    """Steps drawn and not made, for the model says nothing of them: by why."""
    scripts: int = 0
    ambiguous: int = 0
    """Steps of which more than one outcome was right."""

    @property
    def steps(self) -> int:
        """That were made."""
        return self.kinds.total()

    def note(self, step: Step, seen: View, marks: frozenset[str], outcomes: int) -> None:
        """Count one step."""
        self.kinds[step.kind] += 1
        self.ambiguous += outcomes > 1
        self.marks.update(marks)
        for part in seen["result",]:
            if isinstance(part, int):
                self.answers[f"{step.kind}: {status_name(part)}"] += 1
        if isinstance(step, Register):
            lane = seen.get(("lane", step.lane), ("",))
            answer = status_name(lane[2][0]) if lane[0] == "idle" else "waits"
            self.answers[f"register: {answer}"] += 1

    def to_json(self) -> Mapping[str, object]:
        """For a report."""
        return {
            "scripts": self.scripts,
            "steps": self.steps,
            "ambiguous": self.ambiguous,
            "kinds": dict(sorted(self.kinds.items())),
            "answers": dict(sorted(self.answers.items())),
            "marks": dict(sorted(self.marks.items())),
            "skipped": dict(sorted(self.skipped.items())),
        }

    def missing(self) -> list[str]:
        """What a run of any length worth the name must have reached, and this one has not."""
        kinds = [kind for kind in KINDS if not self.kinds[kind]]
        answers = [answer for answer in ANSWERS if not self.answers[answer]]
        return [*kinds, *answers, *(mark for mark in MARKS if not self.marks[mark])]


def status_name(status: int) -> str:
    """As in ntstatus.h, of those that the model knows."""
    try:
        return f"STATUS_{Status(status).name}"
    except ValueError:
        return f"0x{status:08X}"


KINDS = tuple(kind.__struct_config__.tag for kind in get_args(AnyStep))
ANSWERS = (
    "create-extension: STATUS_SUCCESS",
    "create-extension: STATUS_INVALID_PARAMETER_2",
    "create-extension: STATUS_RESOURCE_IN_USE",
    "delete-extension: STATUS_SUCCESS",
    "delete-extension: STATUS_DEVICE_BUSY",
    "create-worker: STATUS_SUCCESS",
    "create-worker: STATUS_INVALID_PARAMETER",
    "create-worker: STATUS_INSUFFICIENT_RESOURCES",
    "register: STATUS_SUCCESS",
    "register: STATUS_INVALID_PARAMETER_1",
    "register: STATUS_INVALID_PARAMETER_2",
    "register: STATUS_INVALID_PARAMETER_3",
    "register: STATUS_UNSUCCESSFUL",
    "register: STATUS_INSUFFICIENT_RESOURCES",
    "register: waits",
)
MARKS = (
    "drain timed out",
    "drain waits",
    "gone with its owner",
    "held call",
    "held worker",
    "kept after PostProcess",
    "nested call",
    "nested call in a stall",
    "out of memory",
    "partly signalled",
    "refused in PreProcess",
    "refused in ProxyStalled",
    "registered",
    "registration queued",
    "registration refused",
    "rolled back",
    "set again",
    "swapped",
    "woken by all",
    "woken by any",
    "woken by timeout",
    "worker gone with its owner",
    "worker ended",
    "worker refused",
)


class Session:
    """One script at a time on one subject."""

    def __init__(self, subject: Subject, *, seed: int | None = None) -> None:
        self.subject = subject
        self.coverage = Coverage()
        self.seed = seed
        self.model = Model()
        self.steps: list[Step] = []
        self._failed = False

    def begin(self) -> None:
        """A new script, on a subject that was reset."""
        self.model = Model()
        self.steps = []
        self._failed = False
        self.coverage.scripts += 1

    def make(self, step: Step) -> bool:
        """Make a step and compare; False when the model says nothing of it, and it was not made.

        Raises Disagreement.
        """
        try:
            allowed = self.model.predict(step)
        except Unmodelled as why:
            self.coverage.skipped[f"{step.kind}: {why}"] += 1
            return False
        self.steps.append(step)
        try:
            seen = self.subject.run(step, allowed)
        except GuestFault as fault:
            raise self._disagreement([str(fault)]) from fault
        problems: Sequence[Difference] = differences(allowed, seen)
        if problems:
            raise self._disagreement([str(problem) for problem in problems])
        self.coverage.note(step, seen, self.model.observe(seen), len(allowed))
        return True

    def end(self) -> None:
        """Reset the subject. Raises Disagreement when something stayed."""
        problems = self.subject.reset()
        if problems and not self._failed:
            raise self._disagreement([f"after the script: {problem}" for problem in problems])

    def _disagreement(self, problems: Sequence[str]) -> Disagreement:
        self._failed = True
        at = len(self.steps) - 1
        what = self.steps[at] if self.steps else None
        problem = f"step {at} ({what.kind if what else 'none'}): {'; '.join(problems)}"
        return Disagreement(Script.of(self.steps, seed=self.seed, problem=problem), at, problems)


def replay(subject: Subject, script: Script) -> Disagreement | None:
    """Make the steps of a script; the disagreement that it shows, if it does.

    Steps of which the model says nothing are left out.
    """
    subject.reset()
    session = Session(subject, seed=script.seed)
    session.begin()
    try:
        for step in script.steps:
            session.make(step)
        session.end()
    except Disagreement as found:
        return found
    return None


def repeat_command(path: Path) -> str:
    """The one command that repeats a failure."""
    return f"hotswap conformance --replay {path}"
