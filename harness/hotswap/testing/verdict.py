"""The verdict of the swap expectations on one test, and which of them there was something to ask about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hotswap.swap.expectations import SWAP_EXPECTATIONS, Subject
from hotswap.swap.witnesses import SwapWitnesses
from hotswap.trace.expect import ExpectationResult, Verdict, combine, reason

# What a test must have done before an expectation has a subject. One that is not named here is always asked.
_OPEN_SHOWN = 3


@dataclass(frozen=True, slots=True, eq=False)
class SwapVerdict:
    """What the swap expectations say of one test. `slices` are the events behind an answer, as text, by its id."""

    verdict: Verdict
    reason: str
    results: tuple[ExpectationResult, ...]
    slices: Mapping[str, str]

    @classmethod
    def of(cls, results: tuple[ExpectationResult, ...], slices: Mapping[str, str]) -> SwapVerdict:
        """Combine results: one failure fails all, one open question leaves all open."""
        return cls(combine(results), reason(results), results, slices)

    @property
    def passed(self) -> bool:
        """Whether every expectation that applies holds. Inconclusive is not passed."""
        return self.verdict is Verdict.PASS

    @property
    def failed(self) -> tuple[str, ...]:
        """Ids of the expectations that failed, the most telling first."""
        return tuple(item.id for item in self.results if item.verdict is Verdict.FAIL)

    def result(self, id: str) -> ExpectationResult | None:
        """The answer of one expectation; None when it was not asked."""
        return next((item for item in self.results if item.id == id), None)

    def explain(self) -> str:
        """One sentence, and what decides the verdict with the events that show it."""
        lines = [repr(self)]
        deciding = [item for item in self.results if item.verdict is self.verdict is not Verdict.PASS]
        # What is open has one cause most of the time, and the first tells it.
        shown = deciding if self.verdict is Verdict.FAIL else deciding[:_OPEN_SHOWN]
        for item in shown:
            lines.append(f"{item.verdict}  {item.id}: {item.message}")
            if item.id in self.slices:
                lines.append(self.slices[item.id])
        more = sum(item.verdict is Verdict.INCONCLUSIVE for item in self.results if item not in shown)
        if more:
            lines.append(f"and {more} more are inconclusive")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"{self.verdict}: {self.reason}"


def applicable(
    results: Iterable[ExpectationResult], witnesses: SwapWitnesses, *, load: bool
) -> tuple[ExpectationResult, ...]:
    """The answers without those that are open only because the test did nothing of the kind.

    What it did is known from the replies to it and from the driver's counters, never from the trace, so that a trace
    that lost events does not excuse anything. `load`: driver threads signalled events.
    """
    counted = witnesses.final_counters or {}
    did: dict[Subject, bool] = {
        "worker": bool(witnesses.workers) or witnesses.workers is None,
        "iteration": bool(counted.get("Iterations", 1)),
        "signal": bool(counted.get("Signals", 1)),
        "update": bool(witnesses.updates) or witnesses.updates is None,
        "swap": witnesses.updates is None or any(reply.from_version for reply in witnesses.updates),
        "load": load,
    }
    about = {expectation.id: expectation.about for expectation in SWAP_EXPECTATIONS}
    return tuple(item for item in results if item.verdict is not Verdict.INCONCLUSIVE or _did(did, about.get(item.id)))


def _did(did: Mapping[Subject, bool], about: Subject | None) -> bool:
    return about is None or did[about]
