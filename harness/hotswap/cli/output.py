"""What the commands share: exit codes, progress on a terminal, JSON to a file or to standard output."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from secrets import token_hex
from typing import Any, TextIO

from rich.console import Console
from rich.status import Status
from rich.text import Text

from hotswap.errors import LabFault, UsageError
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


class Terminal(Console):
    """Standard output or standard error. Nobody who stops reading one of them (`head`) ends a run or its verdict."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, soft_wrap=True)

    @property
    def is_live(self) -> bool:
        """Whether lines can be written over."""
        return self.is_terminal and not self.is_dumb_terminal

    def on_broken_pipe(self) -> None:
        """From now on nothing is said here."""
        self.quiet = True
        forget_output(sys.stderr if self.stderr else sys.stdout)


def forget_output(stream: TextIO) -> None:
    """Lead a stream that cannot be written any more into nothing: Python will flush it once more in the end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class Progress:
    """What is being done now, on standard error: a live line on a terminal, one line a step elsewhere."""

    def __init__(self, console: Terminal, *, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet
        self._status: Status | None = None

    def __call__(self, line: str) -> None:
        """Say what begins now."""
        if self._quiet:
            return
        text = Text(f"{line} …", style="dim")
        try:
            if self._status is not None:
                self._status.update(text)
            else:
                self._console.print(text)
        except OSError:
            # The terminal went away: what is being done, clean-up above all, goes on.
            self._quiet = True

    @contextmanager
    def live(self) -> Iterator[None]:
        """While a command runs."""
        if self._quiet or not self._console.is_live:
            yield
            return
        with self._console.status("") as self._status:
            yield
        self._status = None


class JsonTarget:
    """Where `--json` writes: a file, `-` (standard output), or nothing. Bad targets are found before there is work.

    A file appears whole or not at all; a pipe or a device is written to as it is.
    """

    def __init__(self, target: str | None) -> None:
        """Raises UsageError when nothing can be written there."""
        self.target = target
        self.is_standard_output = target == "-"
        if target is None or self.is_standard_output:
            return
        self._path = self._resolved(target)
        if self._in_place:
            return
        partial = self._partial()
        try:
            partial.touch(exist_ok=False)
            partial.unlink()
        except OSError as error:
            raise UsageError(f"--json {target} cannot be written: {error.strerror or error}") from error

    def write(self, content: Any) -> None:
        """Write the result there; LabFault when that fails after all. A reader that went away is no fault."""
        if self.target is None:
            return
        text = json.dumps(content, indent=2, default=str) + "\n"
        try:
            if self.is_standard_output:
                sys.stdout.write(text)
                sys.stdout.flush()
            elif self._in_place:
                self._path.write_text(text, encoding="utf-8")
            else:
                self._replace(text)
        except OSError as error:
            if self.is_standard_output:
                forget_output(sys.stdout)
            if isinstance(error, BrokenPipeError):
                return
            where = "standard output" if self.is_standard_output else self.target
            raise LabFault(f"writing JSON to {where}: {error.strerror or error}") from error

    @staticmethod
    def _resolved(target: str) -> Path:
        path = Path(target)
        if not target or path.is_dir():
            raise UsageError(f"--json {target!r} is {'a folder' if target else 'empty'}; give a file, or - for stdout")
        # What a link points to is replaced, not the link: /dev/stdout is one.
        return path.resolve() if path.is_symlink() and path.is_file() else path

    @property
    def _in_place(self) -> bool:
        return self._path.exists() and not self._path.is_file()

    def _partial(self) -> Path:
        return self._path.with_name(f".{self._path.name}.{token_hex(3)}.tmp")

    def _replace(self, text: str) -> None:
        partial = self._partial()
        try:
            partial.write_text(text, encoding="utf-8")
            partial.replace(self._path)
        finally:
            partial.unlink(missing_ok=True)
