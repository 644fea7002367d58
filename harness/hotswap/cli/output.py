"""What the commands share: exit codes, the two terminals and their colours, JSON to a file or to standard output."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum
from pathlib import Path
from secrets import token_hex
from typing import Any, Literal, TextIO

from rich.console import Console

from hotswap.errors import LabFault, UsageError


class Exit(IntEnum):
    """Exit codes of every command (design, section 6)."""

    PASS = 0
    FAIL = 1
    USAGE = 2
    INCONCLUSIVE = 3
    LAB_FAULT = 4
    INTERRUPTED = 130


# By the text of hotswap.trace.expect.Verdict, which takes half of a second to import.
VERDICT_EXITS: Mapping[str, Exit] = {"pass": Exit.PASS, "fail": Exit.FAIL, "inconclusive": Exit.INCONCLUSIVE}
VERDICT_STYLES: Mapping[str, str] = {"pass": "bold cyan", "fail": "bold red", "inconclusive": "bold yellow"}


class Terminal(Console):
    """Standard output or standard error. Nobody who stops reading one of them (`head`) ends a run or its verdict."""

    def __init__(self, *, stderr: bool = False, colour: bool | None = None) -> None:
        """`colour`: what was asked for on the command line, which counts before all else."""
        stream = sys.stderr if stderr else sys.stdout
        self._is_tty = _is_tty(stream)
        self._colours = wants_colour(os.environ, is_tty=self._is_tty) if colour is None else colour
        super().__init__(
            stderr=stderr,
            highlight=False,
            emoji=False,
            soft_wrap=True,
            force_terminal=self._is_tty or self._colours,
            color_system=self._color_system_name() if self._colours else None,
            no_color=not self._colours,
        )

    def print(self, *objects: Any, **options: Any) -> None:
        """As rich does, with control characters made visible: a driver's or a run's text may not steer the terminal."""
        super().print(*(_harmless(item) if isinstance(item, str) else item for item in objects), **options)

    @property
    def is_live(self) -> bool:
        """Whether lines can be written over. Colours asked for on a pipe do not make it a terminal."""
        return self._is_tty and not self.quiet and os.environ.get("TERM", "") not in _DUMB

    @property
    def columns(self) -> int:
        """Width of the terminal; as good as endless where nobody's eyes are limited to it."""
        return self.width if self._is_tty else 10_000

    def on_broken_pipe(self) -> None:
        """From now on nothing is said here."""
        self.quiet = True
        forget_output(sys.stderr if self.stderr else sys.stdout)

    @property
    def has_colours(self) -> bool:
        """Whether what is written here may be coloured."""
        return self._colours

    def write_lines(self, lines: Iterable[Iterable[tuple[str, str]]]) -> None:
        """Many lines of (text, SGR codes), which are free of control characters: rich takes its time for each."""
        pending: list[str] = []
        for line in lines:
            for text, codes in line:
                pending.append(f"\x1b[{codes}m{text}\x1b[0m" if codes and self._colours else text)
            pending.append("\n")
            if len(pending) > _BLOCK:
                self._write("".join(pending))
                pending.clear()
            if self.quiet:
                return
        self._write("".join(pending))

    def _write(self, text: str) -> None:
        try:
            self.file.write(text)
            self.file.flush()
        except BrokenPipeError:
            self.on_broken_pipe()

    @staticmethod
    def _color_system_name() -> Literal["auto", "standard"]:
        # Colours that were asked for on what looks like no terminal: those that every terminal has.
        return "standard" if os.environ.get("TERM", "") in _DUMB else "auto"


_DUMB = ("", "dumb", "unknown")
_BLOCK = 4096
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def _harmless(text: str) -> str:
    return text.translate(_CONTROLS)


def wants_colour(environment: Mapping[str, str], *, is_tty: bool) -> bool:
    """NO_COLOR before all, then CLICOLOR_FORCE or FORCE_COLOR; else a terminal that knows them, but for CLICOLOR=0."""
    if environment.get("NO_COLOR"):
        return False
    if any(environment.get(name, "0") not in ("", "0") for name in ("CLICOLOR_FORCE", "FORCE_COLOR")):
        return True
    return is_tty and environment.get("TERM", "") not in _DUMB and environment.get("CLICOLOR") != "0"


def _is_tty(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (OSError, ValueError):
        return False


def shorten(path: Path) -> Path:
    """As it is seen from here, where it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def forget_output(stream: TextIO) -> None:
    """Lead a stream that cannot be written any more into nothing: Python will flush it once more in the end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class JsonTarget:
    """Where `--json` writes: a file, `-` (standard output), or nothing. Bad targets are found before there is work.

    A file appears whole or not at all; a pipe or a device is written to as it is.
    """

    def __init__(self, target: str | None, option: str = "--json") -> None:
        """Raises UsageError when nothing can be written there. `option` is what gave the target."""
        self.target = target
        self._option = option
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
            raise UsageError(f"{option} {target} cannot be written: {error.strerror or error}") from error

    def write(self, content: Any) -> None:
        """Write the result there; LabFault when that fails after all. A reader that went away is no fault."""
        if self.target is not None:
            self.write_text(json.dumps(content, indent=2, default=str) + "\n")

    def write_text(self, text: str) -> None:
        """Write what is no JSON, as `write` does."""
        if self.target is not None:
            with self.stream() as stream:
                stream.write(text)

    @contextlib.contextmanager
    def stream(self) -> Iterator[TextIO]:
        """Write piece by piece what is too long to be held, as `write` does; there must be a target."""
        partial: Path | None = None
        try:
            if self.is_standard_output:
                yield sys.stdout
                sys.stdout.flush()
            elif self._in_place:
                with self._path.open("w", encoding="utf-8") as file:
                    yield file
            else:
                partial = self._partial()
                with partial.open("x", encoding="utf-8") as file:
                    yield file
                partial.replace(self._path)
        except OSError as error:
            if self.is_standard_output:
                forget_output(sys.stdout)
            if isinstance(error, BrokenPipeError):
                return
            where = "standard output" if self.is_standard_output else self.target
            raise LabFault(f"writing {self._option} to {where}: {error.strerror or error}") from error
        finally:
            if partial is not None:
                partial.unlink(missing_ok=True)

    def _resolved(self, target: str) -> Path:
        path = Path(target)
        if not target or path.is_dir():
            what = "a folder" if target else "empty"
            raise UsageError(f"{self._option} {target!r} is {what}; give a file, or - for stdout")
        # What a link points to is replaced, not the link: /dev/stdout is one.
        return path.resolve() if path.is_symlink() and path.is_file() else path

    @property
    def _in_place(self) -> bool:
        return self._path.exists() and not self._path.is_file()

    def _partial(self) -> Path:
        return self._path.with_name(f".{self._path.name}.{token_hex(3)}.tmp")
