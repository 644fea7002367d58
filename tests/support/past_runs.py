"""Run folders as past runs left them, for tests of the commands that read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def make_run(home: Path, second: int, verdict: str, *, seed: int = 1, seconds: float = 1.0, **content: Any) -> Path:
    """A run that began at this second of 2026-11-01; further members of its run.json by name."""
    path = home / f"20261101T0000{second:02}Z-{second:06x}"
    (path / "evidence").mkdir(parents=True)
    summary = {
        "schema": 1,
        "state": "ended",
        "verdict": verdict,
        "reason": "all 20 expectations hold" if verdict == "pass" else "something does not hold",
        "environment": {"machine": "wine", "command": "hotswap swap", "plan": {"seed": seed}},
        "expectations": [],
        **content,
    }
    (path / "run.json").write_text(json.dumps(summary))
    lines = [{"ns": 1_000_000_000, "event": "first"}, {"ns": int((1 + seconds) * 1e9), "event": "last"}]
    (path / "timeline.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (path / "report.html").write_text("<!doctype html>")
    return path
