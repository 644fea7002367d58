"""Colours and progress: what a terminal gets, what a pipe gets, and what their users ask for by the environment."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest
from command import COLOUR_VARIABLES, on_terminal

from hotswap.cli.output import Terminal, wants_colour
from hotswap.cli.progress import Progress, duration
from support.past_runs import make_run

ESCAPE = "\x1b"


@pytest.mark.parametrize(
    ("environment", "on_terminal", "on_pipe"),
    [
        ({"TERM": "xterm"}, True, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True, False),
        ({"TERM": "dumb"}, False, False),
        ({}, False, False),
        ({"TERM": "xterm", "CLICOLOR_FORCE": "1"}, True, True),
        ({"TERM": "xterm", "FORCE_COLOR": "1"}, True, True),
        ({"TERM": "xterm", "CLICOLOR_FORCE": "0", "FORCE_COLOR": ""}, True, False),
        ({"TERM": "dumb", "CLICOLOR_FORCE": "1"}, True, True),
        ({"TERM": "xterm", "CLICOLOR": "0"}, False, False),
        ({"TERM": "xterm", "CLICOLOR": "0", "CLICOLOR_FORCE": "1"}, True, True),
        ({"TERM": "xterm", "NO_COLOR": "1", "FORCE_COLOR": "1"}, False, False),
    ],
)
def test_who_gets_colours(environment: dict[str, str], on_terminal: bool, on_pipe: bool) -> None:
    assert wants_colour(environment, is_tty=True) is on_terminal
    assert wants_colour(environment, is_tty=False) is on_pipe


@pytest.mark.parametrize("force", ["CLICOLOR_FORCE", "FORCE_COLOR"])
def test_colours_on_a_pipe_are_given_when_asked_for_and_make_it_no_terminal(runs: Path, force: str) -> None:
    make_run(runs, 1, "pass")
    plain = {key: value for key, value in os.environ.items() if key not in COLOUR_VARIABLES}
    environment = {**plain, "HOTSWAP_RUNS": str(runs), "TERM": "xterm"}

    def told(*arguments: str, **more: str) -> tuple[str, str]:
        line = [sys.executable, "-m", "hotswap", *arguments]
        done = subprocess.run(line, env={**environment, **more}, capture_output=True, text=True)
        return done.stdout, done.stderr

    def listed(**more: str) -> str:
        return told("runs", "list", **more)[0]

    assert ESCAPE not in listed()
    assert re.search(r"\x1b\[1;36mpass", listed(**{force: "1"}))
    assert re.sub(r"\x1b\[[\d;]*m", "", listed(**{force: "1"})) == listed(), "colours only, no cursor movements"
    assert told("sweep", **{force: "1"})[1] == "\x1b[2mremoving what killed runs left …\x1b[0m\n", "no live line"


@pytest.mark.parametrize(
    ("env", "live", "colour"),
    [({}, True, True), ({"NO_COLOR": "1"}, True, False), ({"TERM": "dumb"}, False, False)],
    ids=["terminal", "NO_COLOR", "dumb"],
)
def test_a_terminal_gets_a_live_line_and_colours_as_it_can(
    runs: Path, env: dict[str, str], live: bool, colour: bool
) -> None:
    text = on_terminal(["sweep"], runs, env)
    assert ("\x1b[2K" in text) is live
    assert ("\x1b[2m" in text) is colour
    assert "removing what killed runs left …" in text
    assert on_terminal(["sweep", "--quiet"], runs, env).strip() == "nothing was left"


def test_a_pipe_gets_one_line_a_step_and_a_quiet_one_none(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(Terminal(stderr=True), quiet=False)
    with progress.live():
        progress("build drivers")
        progress("run load")
        with progress.aside():
            print("a result")
    assert capsys.readouterr() == ("a result\n", "build drivers …\nrun load …\n")
    Progress(Terminal(stderr=True), quiet=True)("build drivers")
    Progress(Terminal(stderr=True), quiet=False, steps=False)("one of many")
    assert capsys.readouterr() == ("", "")


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch) -> Tty:
    """Standard error is a terminal of 40 columns. Not a fixture: pytest puts its own there before each test."""
    stream = Tty()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    return stream


def frames(stream: Tty) -> list[str]:
    return [frame for frame in re.split(r"\r\x1b\[2K", stream.getvalue()) if frame]


def test_the_live_line_goes_on_with_the_time_while_a_step_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    tty = terminal(monkeypatch)
    progress = Progress(Terminal(stderr=True), quiet=False)
    with progress.live():
        progress("build drivers")
        # A step that takes its time: the line is drawn by a thread of its own.
        Event().wait(1.3)
    assert any(re.fullmatch(r". build drivers … 1\.\d s", frame) for frame in frames(tty)), frames(tty)
    assert tty.getvalue().endswith("\x1b[2K"), "the line is gone in the end"


def test_a_long_line_stays_one_line_with_the_time_in_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    tty = terminal(monkeypatch)
    progress = Progress(Terminal(stderr=True), quiet=False)
    progress.headline = "run 17 of 200 (seed 17), about 12 min left"
    with progress.live():
        progress("a step with a name that is longer than the terminal is wide")
        Event().wait(1.2)
    assert max(map(len, frames(tty))) < 40
    assert re.search(r" 1\.\d s$", frames(tty)[-1])


def test_a_line_that_stays_does_not_mix_with_the_live_one(monkeypatch: pytest.MonkeyPatch) -> None:
    tty = terminal(monkeypatch)
    progress = Progress(Terminal(stderr=True), quiet=False)
    console = Terminal(stderr=True)
    with progress.live():
        progress("run load")
        with progress.aside():
            console.print("run 1 passed")
    text = tty.getvalue()
    assert "\x1b[2Krun 1 passed\n" in text
    assert text.index("run load") < text.index("run 1 passed") < text.rindex("run load")


def test_a_terminal_that_goes_away_ends_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    tty = terminal(monkeypatch)

    def gone(_text: str) -> int:
        raise OSError(5, "Input/output error")

    progress = Progress(Terminal(stderr=True), quiet=False)
    monkeypatch.setattr(tty, "write", gone)
    with progress.live():
        progress("run load")
        progress("swap")


def test_times_are_told_as_people_do() -> None:
    assert [duration(seconds) for seconds in (0.04, 59.94, 61, 3599.4, 3600, 7384)] == [
        *("0.0 s", "59.9 s", "1 min 01 s", "59 min 59 s", "1 h 00 min", "2 h 03 min")
    ]
