"""How commands of a remote shell are run: as processes of this computer (Wine's), or in a guest over SSH."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol


class RunningCommand(Protocol):
    """A command that was started: three binary streams, an end, and a way to force it."""

    stdin: IO[bytes]
    stdout: IO[bytes]
    stderr: IO[bytes]

    def wait(self) -> int:
        """Wait for its end; its exit code."""
        ...

    def kill(self) -> None:
        """End it now, with all that it has started. Harmless when it has ended."""
        ...


class Runner(Protocol):
    """Starts commands."""

    def start(self, line: str, *, shell: bool, folder: str, environment: Mapping[str, str]) -> RunningCommand:
        """Start a Windows command line, by cmd.exe or (`shell` false) by itself. OSError when it cannot be."""
        ...


class _Process:
    """A process with a session of its own."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self.stdin: IO[bytes] = process.stdin
        self.stdout: IO[bytes] = process.stdout
        self.stderr: IO[bytes] = process.stderr

    def wait(self) -> int:
        return self._process.wait()

    def kill(self) -> None:
        if self._process.poll() is None:
            # It may have ended meanwhile, and another thread waits for it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class WineRunner:
    """Runs commands in a Wine prefix of this computer, which `environment` names; in `folder`, or where asked to."""

    loader: str
    environment: Mapping[str, str]
    folder: Path

    def start(self, line: str, *, shell: bool, folder: str, environment: Mapping[str, str]) -> RunningCommand:
        """As Runner.start."""
        argv = [self.loader, *(["cmd.exe", "/c", line] if shell else split_line(line))]
        process = subprocess.Popen(
            argv,
            env={**self.environment, **environment},
            cwd=self._folder(folder) if folder else self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            bufsize=0,
        )
        return _Process(process)

    def _folder(self, guest: str) -> Path:
        drive, _, rest = guest.replace("\\", "/").partition("/")
        return Path(self.environment.get("WINEPREFIX", "/")) / "dosdevices" / drive.lower() / rest


def split_line(line: str) -> Sequence[str]:
    r"""A Windows command line as the C runtime takes it apart: \" is a quote, and backslashes before one are halved."""
    arguments: list[str] = []
    word, inside, started, at = "", False, False, 0
    while at < len(line):
        letter = line[at]
        if letter == "\\":
            end = at
            while end < len(line) and line[end] == "\\":
                end += 1
            count, quoted = end - at, end < len(line) and line[end] == '"'
            word += "\\" * (count // 2 if quoted else count)
            at, started = end, True
            if quoted and count % 2:
                word, at = word + '"', end + 1
            continue
        if letter == '"':
            inside, started = not inside, True
        elif letter in " \t" and not inside:
            if started:
                arguments.append(word)
            word, started = "", False
        else:
            word, started = word + letter, True
        at += 1
    return [*arguments, word] if started else arguments
