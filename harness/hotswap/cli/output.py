"""What the commands share: exit codes, progress on a terminal, JSON to a file or to standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.status import Status

from hotswap.errors import UsageError
from hotswap.trace.expect import Verdict


class Exit(IntEnum):
    """Exit codes of every command (design, section 6)."""

    PASS = 0
    FAIL = 1
    USAGE = 2
    INCONCLUSIVE = 3
    LAB_FAULT = 4
    INTERRUPTED = 130


VERDICT_EXITS = {Verdict.PASS: Exit.PASS, Verdict.FAIL: Exit.FAIL, Verdict.INCONCLUSIVE: Exit.INCONCLUSIVE}
VERDICT_STYLES = {Verdict.PASS: "bold cyan", Verdict.FAIL: "bold red", Verdict.INCONCLUSIVE: "bold yellow"}


class Progress:
    """What is being done now, on standard error: a live line on a terminal, one line a step elsewhere."""

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet
        self._status: Status | None = None

    def __call__(self, line: str) -> None:
        """Say what begins now."""
        if self._quiet:
            return
        if self._status is not None:
            self._status.update(f"{line} …")
        else:
            self._console.print(f"{line} …", style="dim", highlight=False)

    @contextmanager
    def live(self) -> Iterator[None]:
        """While a command runs."""
        if self._quiet or not self._console.is_terminal:
            yield
            return
        with self._console.status("") as self._status:
            yield
        self._status = None


def write_json(content: Any, target: str) -> None:
    """To a file, or to standard output when the target is `-`. The file appears whole or not at all."""
    text = json.dumps(content, indent=2, default=str) + "\n"
    if target == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    path = Path(target)
    partial = path.with_name(f".{path.name}.tmp")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UsageError(f"writing {target}: {error.strerror or error}") from error
