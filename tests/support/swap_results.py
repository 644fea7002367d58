"""Results of swap tests that were never run, for tests of what is made of results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hotswap.swap.result import SwapResult
from hotswap.swap.witnesses import UpdateReply
from hotswap.trace.expect import ExpectationResult, Verdict


def update(
    from_version: int, to_version: int, *, held_us: float | None = None, window_us: float = 5, **more: Any
) -> UpdateReply:
    """A good update. Ticks are 100 ns."""
    ticks = {"begin": 100, "stalled": 1000, "released": 1000 + int(window_us * 10), "end": 100_000}
    if held_us is not None:
        ticks["first_held"] = ticks["released"] - int(held_us * 10)
    return UpdateReply(**{"status": 0, "from_version": from_version, "to_version": to_version, "ticks": ticks, **more})


def swap_result(folder: Path, verdict: Verdict = Verdict.PASS, **more: Any) -> SwapResult:
    """A result with a run folder that is there."""
    (folder / "evidence").mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text("{}")
    content: dict[str, Any] = {
        "verdict": verdict,
        "reason": "all 1 expectations hold" if verdict is Verdict.PASS else "x: it does not hold",
        "run_folder": folder,
        "report": folder / "report.html",
        "events": 1,
        "signals": 1,
        "iterations": 1,
        "updates": (update(0, 1), update(1, 2), update(2, 1)),
        "tick_frequency": 10_000_000,
        "steps": {},
        "expectations": (ExpectationResult("x", verdict, "it does"),),
        "slices": {},
        "refusals": (),
        "environment": {},
        **more,
    }
    return SwapResult(**content)
