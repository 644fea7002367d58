"""A run: one folder with all that is known about it, complete at every moment."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from threading import Lock
from time import monotonic, monotonic_ns
from typing import Any

from hotswap.errors import HotswapError, LabFault
from hotswap.machine.proc import Owner
from hotswap.paths import runs_home

_RECENT = 100


def _write_fault(path: Path, error: OSError) -> LabFault:
    return LabFault(
        f"writing to the run folder failed on {path}: {error.strerror}; "
        "free some space, or set HOTSWAP_RUNS to a folder that can be written"
    )


def write_whole(target: Path, content: str | bytes) -> Path:
    """Write a file in one step; LabFault when it cannot be, and then nothing half written stays."""
    partial = target.with_name(f".{target.name}.{token_hex(3)}.tmp")
    try:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        partial.replace(target)
    except OSError as error:
        raise _write_fault(target, error) from error
    finally:
        # Also when Ctrl-C came in between; after the replacement there is none of that name.
        partial.unlink(missing_ok=True)
    return target


class Timeline:
    """`timeline.jsonl`: one JSON object a line, `utc`, `ns` (monotonic), `event` and the caller's fields.

    Every line is written whole and at once, so that a killed run keeps all but the line it was writing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise _write_fault(path, error) from error

    def event(self, event: str, **fields: object) -> None:
        """Note that something happened now. Values that JSON does not know are written as text."""
        line = {"utc": datetime.now(UTC).isoformat(), "ns": monotonic_ns(), "event": event, **fields}
        data = (json.dumps(line, default=str) + "\n").encode()
        with self._lock:
            try:
                if os.write(self._file, data) != len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError as error:
                raise _write_fault(self.path, error) from error

    @contextmanager
    def step(self, name: str, **fields: object) -> Iterator[None]:
        """Note begin and end of a step, with its seconds, and the error that ended it if one did."""
        begun = monotonic()
        self.event("step-begin", step=name, **fields)
        try:
            yield
        except BaseException as error:
            self.event("step-end", step=name, seconds=monotonic() - begun, error=f"{type(error).__name__}: {error}")
            raise
        self.event("step-end", step=name, seconds=monotonic() - begun)

    def close(self) -> None:
        """Close the file; further events are an error."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run's folder: `run.json`, `timeline.jsonl`, `trace.etl`, `events.parquet`, `report.html`, `evidence/`."""

    path: Path
    timeline: Timeline

    @classmethod
    def create(cls, home: Path | None = None) -> RunFolder:
        """Make a new folder, named by UTC time and a random part, under `home` (default: `runs_home()`)."""
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{token_hex(3)}"
        path = (home or runs_home()) / name
        try:
            path.mkdir(parents=True)
            (path / "evidence").mkdir()
            return cls(path, Timeline(path / "timeline.jsonl"))
        except OSError as error:
            shutil.rmtree(path, ignore_errors=True)
            raise _write_fault(path, error) from error
        except LabFault:
            shutil.rmtree(path, ignore_errors=True)
            raise

    @property
    def evidence(self) -> Path:
        """Where evidence goes."""
        return self.path / "evidence"

    @property
    def trace(self) -> Path:
        """The trace as the guest wrote it."""
        return self.path / "trace.etl"

    @property
    def events(self) -> Path:
        """The decoded trace."""
        return self.path / "events.parquet"

    @property
    def report(self) -> Path:
        """The report for people."""
        return self.path / "report.html"

    @property
    def summary(self) -> Path:
        """What the run was and how it ended."""
        return self.path / "run.json"

    def write_summary(self, content: dict[str, Any]) -> None:
        """Replace `run.json` in one step: a reader sees the old or the new one, never a part."""
        self.write("run.json", json.dumps(content, indent=1, default=str) + "\n")

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file of the run in one step; LabFault when it cannot be, and then nothing half written stays."""
        return write_whole(self.path / name, content)

    def close(self) -> None:
        """Close the timeline."""
        self.timeline.close()


def mark_killed_runs(home: Path | None = None) -> list[Path]:
    """Note in the `run.json` of each run that says it is running, and whose process is gone, that it was killed.

    Looks at the newest `_RECENT` folders only: a killed run is found by the next start. Returns the folders.
    """
    try:
        folders = sorted((home or runs_home()).iterdir(), reverse=True)[:_RECENT]
    except OSError:
        return []
    marked = []
    for folder in folders:
        try:
            content = json.loads((folder / "run.json").read_bytes())
            if content["state"] != "running" or not Owner.of_json(content["owner"]).is_dead():
                continue
            content |= {"state": "killed", "reason": "the process that ran it was killed before its end"}
            write_whole(folder / "run.json", json.dumps(content, indent=1) + "\n")
            marked.append(folder)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, HotswapError):
            # Somebody else's folder, or one that resists: no reason not to start.
            continue
    return marked
