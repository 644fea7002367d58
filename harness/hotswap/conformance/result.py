"""From outcomes of checks to a result for each clause. Pure: no guest, no terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hotswap.conformance.check import RUNTIMES, Check
from hotswap.conformance.clauses import Clause

_NO_CHECK = "nothing here checks it"


class Outcome(StrEnum):
    """Of one check."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


class Result(StrEnum):
    """Of one clause."""

    PASS = "pass"
    FAIL = "fail"
    NOT_SHOWN = "not-shown"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What came of one check; `message` says why it is not a pass."""

    check: Check
    outcome: Outcome
    message: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ClauseResult:
    """One row of the table."""

    clause: Clause
    runtime: str
    machine: str
    result: Result
    reason: str
    """Of a pass: how many checks it rests on."""
    checks: tuple[CheckResult, ...] = ()
    is_gap: bool = False
    """Not shown, and nobody has said that it cannot be."""

    def to_json(self) -> dict[str, Any]:
        """One of `clauses` of `hotswap conformance --json`."""
        return {
            "clause": self.clause.id,
            "source": self.clause.source,
            "statement": self.clause.statement,
            "runtime": self.runtime,
            "machine": self.machine,
            "result": str(self.result),
            "reason": self.reason,
            "checks": [
                {
                    "check": done.check.id,
                    "statement": done.check.statement,
                    "result": str(done.outcome),
                    "message": done.message,
                    "seconds": round(done.seconds, 3),
                }
                for done in self.checks
            ],
        }


@dataclass(frozen=True, slots=True)
class Report:
    """The conformance table."""

    machine: str
    runtime: str
    clauses: tuple[ClauseResult, ...]

    def count(self, result: Result) -> int:
        """How many clauses have this result."""
        return sum(row.result is result for row in self.clauses)

    @property
    def verdict(self) -> str:
        """`fail` with one clause that fails, `inconclusive` with a gap or with nothing shown at all, else `pass`."""
        if self.count(Result.FAIL):
            return "fail"
        return "inconclusive" if any(row.is_gap for row in self.clauses) or not self.count(Result.PASS) else "pass"

    @property
    def summary(self) -> str:
        """`91 clauses: 81 pass, 0 fail, 10 cannot be shown here`."""
        gaps = sum(row.is_gap for row in self.clauses)
        absent = self.count(Result.NOT_SHOWN) - gaps
        text = f"{self.count(Result.PASS)} pass, {self.count(Result.FAIL)} fail, {absent} cannot be shown here"
        return f"{len(self.clauses)} clauses: {text}{f', {gaps} inconclusive' if gaps else ''}"

    def to_json(self) -> dict[str, Any]:
        """The contract of `hotswap conformance --json`."""
        return {
            "schema": 1,
            "verdict": self.verdict,
            "summary": self.summary,
            "machine": self.machine,
            "runtime": self.runtime,
            "clauses": [row.to_json() for row in self.clauses],
        }


def applicable(clause: Clause, checks: Iterable[Check], runtime: str, machine: str) -> list[Check]:
    """The checks of a clause that can be made on this runtime and machine kind."""
    if clause.reason(machine) is not None:
        return []
    return [one for one in checks if one.clause == clause.id and runtime in one.on]


def judge(
    chosen: Sequence[Clause],
    checks: Sequence[Check],
    done: Mapping[str, CheckResult],
    *,
    runtime: str,
    machine: str,
) -> Report:
    """One row for each clause, whatever was done. `done`: by check id; `machine`: its kind."""
    return Report(machine, runtime, tuple(_row(clause, checks, done, runtime, machine) for clause in chosen))


def _row(
    clause: Clause, checks: Sequence[Check], done: Mapping[str, CheckResult], runtime: str, machine: str
) -> ClauseResult:
    def row(result: Result, reason: str, *, is_gap: bool = False) -> ClauseResult:
        return ClauseResult(clause, runtime, machine, result, reason, results, is_gap)

    wanted = applicable(clause, checks, runtime, machine)
    results = tuple(done[one.id] for one in wanted if one.id in done)
    if not wanted:
        reason = clause.reason(machine) or _other_runtime(clause, checks, runtime)
        return row(Result.NOT_SHOWN, reason or _NO_CHECK, is_gap=reason is None)
    for outcome, result in ((Outcome.FAIL, Result.FAIL), (Outcome.INCONCLUSIVE, Result.NOT_SHOWN)):
        first = next((one for one in results if one.outcome is outcome), None)
        if first is not None:
            return row(result, f"{first.check.id}: {first.message}", is_gap=result is Result.NOT_SHOWN)
    if len(results) < len(wanted):
        missing = next(one for one in wanted if one.id not in done)
        return row(Result.NOT_SHOWN, f"{missing.id} was not made", is_gap=True)
    return row(Result.PASS, f"{len(results)} check{'s' if len(results) != 1 else ''}")


def _other_runtime(clause: Clause, checks: Sequence[Check], runtime: str) -> str | None:
    """Why a clause that has checks has none for this runtime."""
    others = {name for one in checks if one.clause == clause.id for name in one.on}
    if not others:
        return None
    if runtime in ("absent", "stub"):
        return f"this is {RUNTIMES[runtime]}"
    return f"its checks are for {' and '.join(name for name in RUNTIMES if name in others)}"
