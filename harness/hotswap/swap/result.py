"""The result of a swap test: what the command prints, what `run.json` holds, what the report draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hotswap.swap.witnesses import UpdateReply
from hotswap.trace.expect import ExpectationResult, Verdict, status_text

SCHEMA = 1

# Parts of a swap by the ticks of HOTSWAP_UPDATE_REPLY: (name, from, to). Hold: first call held to release.
PHASES = (
    ("load", "begin", "loaded"),
    ("pre_process", "loaded", "pre_process"),
    ("drain", "stalled", "drained"),
    ("switch", "drained", "switched"),
    ("release", "switched", "released"),
    ("post_process", "released", "post_process"),
    ("unload", "post_process", "unloaded"),
    ("hold", "first_held", "released"),
    ("total", "begin", "end"),
)


@dataclass(frozen=True, slots=True)
class SwapResult:
    """One finished swap test."""

    verdict: Verdict
    reason: str
    run_folder: Path
    report: Path
    events: int
    signals: int
    iterations: int
    updates: tuple[UpdateReply, ...]
    tick_frequency: int
    steps: Mapping[str, float]
    expectations: tuple[ExpectationResult, ...]
    refusals: tuple[str, ...]
    """For each update that was refused, one sentence that says so; a refusal that leaves all as it was is a pass."""
    slices: Mapping[str, str]
    """The events behind an expectation's answer, as text, by its id."""
    environment: Mapping[str, Any]

    def phases(self) -> list[dict[str, Any]]:
        """Per update: versions, NTSTATUS, calls held, and each phase in ticks and microseconds (None: not reached)."""
        return [
            {
                "from": update.from_version,
                "to": update.to_version,
                "status": f"0x{update.status & 0xFFFFFFFF:08x}",
                "status_name": update.status_name or status_text(update.status, wait=False),
                "held_calls": update.held_calls,
                "ticks": (ticks := phase_ticks(update)),
                "microseconds": {
                    name: None if value is None else round(value * 1e6 / self.tick_frequency, 1)
                    for name, value in ticks.items()
                },
            }
            for update in self.updates
        ]

    def to_json(self) -> dict[str, Any]:
        """The contract of `swap --json`."""
        return {
            "schema": SCHEMA,
            "verdict": str(self.verdict),
            "reason": self.reason,
            "run_folder": str(self.run_folder),
            "report": str(self.report),
            "events": self.events,
            "signals": self.signals,
            "iterations": self.iterations,
            "phases": self.phases(),
            "refusals": list(self.refusals),
            "steps": {name: round(seconds, 4) for name, seconds in self.steps.items()},
            "expectations": [
                {"id": item.id, "verdict": str(item.verdict), "message": item.message} for item in self.expectations
            ],
            "environment": dict(self.environment),
        }


def phase_ticks(update: UpdateReply) -> dict[str, int | None]:
    """Each phase of an update in ticks; None where one of its ends was not reached.

    A call that is held in the very moment of the release reads the clock after it: that hold is 0.
    """
    return {name: _between(update, begin, end) for name, begin, end in PHASES}


def _between(update: UpdateReply, begin: str, end: str) -> int | None:
    first, last = update.ticks.get(begin), update.ticks.get(end)
    if not first or not last:
        return None
    return max(0, last - first) if begin == "first_held" else last - first
