"""What many tests come to together, said at the end of the run: schedules forced, mutants killed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

SCHEDULES = "schedules"
"""Property of a test: `<forced> <reachable> <seed>`."""
MUTANT = "mutant"
"""Property of a test: the name of a mutant that it has killed."""

TRACE_MUTANTS = "trace-mutants"
"""Property of a test: `<operator>:<killed>:<total>:<equivalent>:<seed>`, of changes to a correct trace."""
TRACE_SURVIVOR = "trace-survivor"
"""Property of a test, once for each change that nobody noticed: what it was, who should have, and the events there."""


def tell(terminalreporter: pytest.TerminalReporter) -> None:
    """Sums over all processes of the run; nothing when there is nothing to sum."""
    forced = [str(value).split() for value in _properties(terminalreporter, SCHEDULES)]
    if forced:
        _, reachable, seed = forced[0]
        total = sum(int(count) for count, _, _ in forced)
        terminalreporter.write_line(
            f"schedules: {total} of {reachable} reachable orders forced (seed {seed}); all of them: ci/soak schedules"
        )
    tried = {
        report.nodeid
        for key in ("passed", "failed", "error")
        for report in terminalreporter.stats.get(key, [])
        if "test_a_mutant_is_killed" in report.nodeid
    }
    if tried:
        killed = len(list(_properties(terminalreporter, MUTANT)))
        score = 100 * killed / len(tried)
        terminalreporter.write_line(f"mutants: {killed} of {len(tried)} killed ({score:.0f} %)")
    _tell_trace_mutants(terminalreporter)


def _tell_trace_mutants(terminalreporter: pytest.TerminalReporter) -> None:
    found = [str(value).split(":") for value in _properties(terminalreporter, TRACE_MUTANTS, "passed", "failed")]
    if not found:
        return
    killed, total, equivalent = (sum(int(item[at]) for item in found) for at in (1, 2, 3))
    each = ", ".join(f"{item[0]} {item[1]}/{item[2]}" for item in found)
    terminalreporter.write_line(
        f"trace mutants: {killed} of {total} killed ({100 * killed / total:.1f} %): {each}; "
        f"{equivalent} equivalent by rule (seed {found[0][4]})"
    )
    for survivor in _properties(terminalreporter, TRACE_SURVIVOR, "passed", "failed"):
        for line in str(survivor).splitlines():
            terminalreporter.write_line(f"  {line}")


def _properties(terminalreporter: pytest.TerminalReporter, name: str, *outcomes: str) -> Iterator[object]:
    """Of the tests that passed, or that ended in one of these ways."""
    for outcome in outcomes or ("passed",):
        for report in terminalreporter.stats.get(outcome, []):
            if getattr(report, "when", "") == "call":
                yield from (value for key, value in report.user_properties if key == name)
