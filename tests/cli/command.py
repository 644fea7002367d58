"""`hotswap` as its users start it: a process of its own, watched through its run folder and its lease."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

from hotswap.cli.main import run
from hotswap.deadline import Deadline
from hotswap.machine.lease import Lease, leases
from hotswap.machine.proc import ProcessId
from hotswap.machine.wine_prefix import clones_home
from hotswap.machine.wine_process import prefix_processes

SHORT = ("--seconds", "0.3")
FINISHED = {"run.json", "timeline.jsonl", "report.html", "evidence"}
COLOUR_VARIABLES = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "CI")
KEYS = {
    *("schema", "verdict", "reason", "run_folder", "report", "events", "signals", "iterations"),
    *("phases", "steps", "expectations"),
}
_SECONDS = 120.0


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    def complaint(self, *, progress: bool = True) -> str:
        """The one line that tells what is wrong; anything else on stderr is progress."""
        lines = self.err.splitlines()
        said = [line for line in lines if not (progress and line.endswith(" …"))]
        assert len(said) == 1, self.err
        assert said[0].startswith("hotswap: "), self.err
        assert "Traceback" not in self.err
        return said[0].removeprefix("hotswap: ")


class Command:
    """One `hotswap`, in a session of its own so that its process group can be signalled."""

    def __init__(self, *arguments: str | Path, runs: Path, env: Mapping[str, str] | None = None) -> None:
        self.runs = runs
        self._known = set(run_folders(runs))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hotswap", *map(str, arguments)],
            env={**os.environ, "HOTSWAP_RUNS": str(runs), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def done(self) -> Done:
        """Wait for its end."""
        out, err = self.process.communicate(timeout=_SECONDS)
        return Done(self.process.returncode, out, err)

    def kill(self) -> None:
        """Like `kill -9`: of this process only."""
        self.process.kill()
        self.process.communicate(timeout=_SECONDS)

    def signal(self, number: signal.Signals, *, group: bool = False) -> None:
        if group:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    @property
    def folder(self) -> Path:
        """Its run folder; only where no other run of that home starts meanwhile."""
        (folder,) = set(run_folders(self.runs)) - self._known
        return folder

    def wait_for_step(self, name: str, count: int = 1) -> None:
        """Wait until a step begins for the `count`-th time."""

        def begun() -> bool:
            assert self.process.poll() is None, f"it ended before it came to {name!r}: {self.process.communicate()}"
            return len([step for step in self._steps() if step == name]) >= count

        Deadline.after(_SECONDS).wait_for(begun, f"step {name!r}", interval=0.005)

    def _steps(self) -> list[str]:
        new = set(run_folders(self.runs)) - self._known
        lines = [line for folder in new for line in timeline(folder)]
        return [str(line["step"]) for line in lines if line["event"] == "step-begin"]

    def machine(self) -> Machine:
        """What it leases now."""

        def leased() -> Lease | None:
            return next((lease for lease in leases() if lease.owner.pid == self.process.pid), None)

        return Machine(Deadline.after(20).wait_for(leased, "its lease"))


@dataclass(frozen=True)
class Machine:
    """The machine that a command leased."""

    lease: Lease

    @property
    def folder(self) -> Path:
        return clones_home() / self.lease.id

    def processes(self) -> list[ProcessId]:
        return prefix_processes(self.folder / "prefix")

    def left(self) -> list[object]:
        """Whatever is there of it."""
        files = [path for path in (self.lease.path, self.folder) if path.exists()]
        return [*files, *self.processes()]


def hotswap(*arguments: str | Path, runs: Path, env: Mapping[str, str] | None = None) -> Done:
    """Run it to its end."""
    return Command(*arguments, runs=runs, env=env).done()


def called(*arguments: str | Path, runs: Path, env: Mapping[str, str] | None = None) -> Done:
    """The same command in this process, which has imported all of it already. Its streams are no terminal."""
    out, err = StringIO(), StringIO()
    given = list(map(str, arguments))
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        for name, value in {"HOTSWAP_RUNS": str(runs), **(env or {})}.items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["hotswap", *given])
        code = run(given)
    return Done(int(code), out.getvalue(), err.getvalue())


def on_terminal(arguments: list[str], runs: Path, env: Mapping[str, str], *, answer: str | None = None) -> str:
    """What a terminal would get, 80 columns wide unless COLUMNS says otherwise; `answer` is typed at once."""
    line = f"stty cols {env.get('COLUMNS', 80)}; {shlex.join([sys.executable, '-m', 'hotswap', *arguments])}"
    environment = {key: value for key, value in os.environ.items() if key not in COLOUR_VARIABLES}
    done = subprocess.run(
        ["script", "-qec", line, "/dev/null"],
        env={**environment, "TERM": "xterm-256color", "HOTSWAP_RUNS": str(runs), **env},
        # script(1) leaves at the end of its input, unless nothing was to be read from the beginning.
        **({"stdin": subprocess.DEVNULL} if answer is None else {"input": answer}),
        capture_output=True,
        text=True,
        timeout=_SECONDS,
    )
    return done.stdout


def run_folders(runs: Path) -> list[Path]:
    return sorted(runs.iterdir()) if runs.is_dir() else []


def timeline(folder: Path) -> list[dict[str, object]]:
    """The whole lines of a timeline that may still be written."""
    try:
        text = (folder / "timeline.jsonl").read_text()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def summary(folder: Path) -> dict[str, object]:
    content = json.loads((folder / "run.json").read_text())
    assert isinstance(content, dict)
    return content
