"""What many tests come to together, said at the end of the run: schedules forced, mutants killed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

SCHEDULES = "schedules"
"""Property of a test: `<forced> <reachable> <seed>`."""
MUTANT = "mutant"
"""Property of a test: the name of a mutant that it has killed."""


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


def _properties(terminalreporter: pytest.TerminalReporter, name: str) -> Iterator[object]:
    for report in terminalreporter.stats.get("passed", []):
        if getattr(report, "when", "") == "call":
            yield from (value for key, value in report.user_properties if key == name)
