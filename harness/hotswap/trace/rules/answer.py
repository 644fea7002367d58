"""What a rule says of a trace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hotswap.errors import HotswapError
from hotswap.trace.expect import ExpectationResult, Verdict, format_slice, slice_records
from hotswap.trace.table import EventTable

MAX_SLICE = 12


class Inconclusive(AssertionError):
    """The statement cannot be told from this trace."""


def explain_assertion(error: BaseException) -> None:
    """Give a failed `assert rule.on(trace)` the explanation of the answer, where pytest has rewritten the assert.

    pytest keeps what an assert was made of in variables of the test, and shows of each one line.
    """
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    kept = at.tb_frame.f_locals if at is not None else {}
    answers = [value for name, value in kept.items() if name.startswith("@py_assert") and isinstance(value, Answer)]
    if explained := [answer.explain() for answer in dict.fromkeys(answers) if not answer]:
        own, found, _ = str(error).partition("\nassert ")
        error.args = ("\n".join([own, *explained] if found else explained),)


@dataclass(frozen=True)
class Proof:
    """Why one instance of a statement fails: a sentence, the fewest events that show it, and which of them is wrong.

    `lanes` names for rows what they belong to, for the picture; a row that is not in it is drawn on its thread.
    """

    message: str
    rows: tuple[int, ...] = ()
    marked: tuple[int, ...] = ()
    lanes: Mapping[int, str] = field(default_factory=dict)
    window: tuple[int, int] | None = None
    """Raw ticks between which the statement was looked at; an end that is no event's is left out of the picture."""


@dataclass(frozen=True, eq=False)
class Answer:
    """True when the statement holds, false when it fails or cannot be told: `assert rule.on(trace)`."""

    id: str
    statement: str
    verdict: Verdict
    message: str
    table: EventTable = field(repr=False)
    proof: Proof | None = None
    checked: int = 0
    """Instances that were looked at."""
    failed: int = 0
    """Instances that fail."""
    open: int = 0
    """Instances that cannot be told."""

    def __bool__(self) -> bool:
        return self.verdict is Verdict.PASS

    @property
    def rows(self) -> tuple[int, ...]:
        """Row numbers of the fewest events that show a failure, in time order."""
        return tuple(sorted(set(self.proof.rows)))[:MAX_SLICE] if self.proof is not None else ()

    @property
    def result(self) -> ExpectationResult:
        """As the expectations of the swap test give it."""
        return ExpectationResult(self.id, self.verdict, self.message, self.rows)

    def explain(self) -> str:
        """The verdict in a sentence, what was stated, and the events that show it."""
        lines = [repr(self)]
        if self.verdict is not Verdict.PASS and self.statement:
            lines.append(f"stated: {self.statement}")
        if self.rows:
            lines.append(format_slice(self.table, self.rows))
        return "\n".join(lines)

    def require(self) -> Answer:
        """Itself when the statement holds; else raises AssertionError, or Inconclusive, with the explanation."""
        __tracebackhide__ = True
        if self.verdict is Verdict.FAIL:
            raise AssertionError(self.explain())
        if self.verdict is Verdict.INCONCLUSIVE:
            raise Inconclusive(self.explain())
        return self

    def picture(self) -> str:
        """The events of the proof as an SVG of its own; raises HotswapError when there are none."""
        if not self.rows or self.proof is None:
            raise HotswapError(f"{self.id}: there is no event to draw")
        from hotswap.trace.rules.picture import draw

        return draw(self)

    def to_json(self) -> dict[str, object]:
        """For machines."""
        return {
            "id": self.id,
            "statement": self.statement,
            "verdict": str(self.verdict),
            "message": self.message,
            "checked": self.checked,
            "failed": self.failed,
            "open": self.open,
            "slice": slice_records(self.table, self.rows),
        }

    def __repr__(self) -> str:
        return f"{self.verdict}: {self.id}: {self.message}" if self.id else f"{self.verdict}: {self.message}"

    def __str__(self) -> str:
        return self.explain()
