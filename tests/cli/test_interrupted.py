"""Ctrl-C, SIGTERM, SIGHUP and kill -9 at any moment: the right exit code, and nothing left running or half written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGTERM

import pytest
from command import FINISHED, SHORT, Command, hotswap, run_folders, summary, timeline

from hotswap.deadline import Deadline

INTERRUPTED = 130

pytestmark = pytest.mark.usefixtures("cache")


@pytest.mark.parametrize(
    ("step", "count", "number", "group"),
    [
        ("start machine", 1, SIGINT, False),
        ("start driver", 1, SIGTERM, True),
        ("run load", 1, SIGINT, True),
        ("swap", 1, SIGINT, False),
        ("stop workers", 1, SIGHUP, False),
        ("stop machine", 1, SIGINT, True),
        ("evaluate", 1, SIGTERM, False),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_an_interrupted_run_ends_as_such_and_leaves_nothing(
    runs: Path, step: str, count: int, number: signal.Signals, group: bool
) -> None:
    command = Command("swap", *SHORT, "--json", runs=runs)
    command.wait_for_step("start machine")
    machine = command.machine()
    command.wait_for_step(step, count)
    command.signal(number, group=group)
    done = command.done()
    assert done.code == INTERRUPTED, done.err
    assert "Traceback" not in done.err
    assert machine.left() == []
    told = summary(command.folder)
    assert told["verdict"] == "inconclusive"
    assert told["reason"] == "the run was interrupted"
    assert told["state"] == "ended"
    names = {path.name for path in command.folder.iterdir()}
    assert names >= FINISHED
    assert not [name for name in names if name.startswith(".")], "half written"
    assert json.loads(done.out)["verdict"] == "inconclusive"


def test_who_keeps_pressing_ctrl_c_leaves_nothing_either(runs: Path) -> None:
    command = Command("swap", *SHORT, runs=runs)
    command.wait_for_step("start machine")
    machine = command.machine()
    command.wait_for_step("run load")
    while command.process.poll() is None:
        command.signal(SIGINT, group=True)
        _pause(0.05)
    done = command.done()
    assert done.code == INTERRUPTED, done.err
    assert "Traceback" not in done.err
    assert machine.left() == []
    assert summary(command.folder)["verdict"] == "inconclusive"
    assert not [path for path in command.folder.rglob("*") if path.name.startswith(".")]


def _pause(seconds: float) -> None:
    subprocess.run(["sleep", str(seconds)], check=True)


@pytest.mark.parametrize("group", [False, True])
def test_an_interrupted_build_leaves_nothing(runs: Path, tmp_path: Path, group: bool) -> None:
    cache = tmp_path / "empty"
    command = Command("swap", "--list", runs=runs, env={"HOTSWAP_CACHE": str(cache)})
    assert command.process.stderr is not None
    for line in command.process.stderr:
        if line.startswith("compiling"):
            break
    # Until the compilers run.
    Deadline.after(30).wait_for(lambda: [*cache.rglob("*.obj"), *cache.rglob("*.o")], "the first object file")
    command.signal(SIGINT, group=group)
    done = command.done()
    assert done.code == INTERRUPTED
    assert done.err == "hotswap: interrupted\n"
    left = [path for path in (cache / "drivers").iterdir() if path.is_dir()]
    assert left == []
    compilers = _running_in(cache)
    Deadline.after(5).wait_for(lambda: not _running_in(cache), f"the end of {compilers}")
    assert [path for path in (cache / "drivers").iterdir() if path.is_dir()] == []


def _running_in(folder: Path) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.fsencode(folder) in (entry / "cmdline").read_bytes():
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def test_ctrl_c_while_python_still_imports_is_one_line(tmp_path: Path) -> None:
    """Half a second of a command's life."""
    # A module that is imported late takes its time, so that the moment is certain: in many short waits, because a
    # signal just before a wait is answered after it, and in a string, as dataclasses do it, because then Python by
    # itself would end by SIGINT instead of with a code.
    slow = "import os, threading\nos.write(1, b'importing\\n')\nfor _ in range(3000): threading.Event().wait(0.01)"
    (tmp_path / "typer.py").write_text(f"exec({slow!r})\n")
    search = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-m", "hotswap"],
        env={**os.environ, "PYTHONPATH": search},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "importing\n"
    process.send_signal(SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == INTERRUPTED
    assert err == "hotswap: interrupted\n"


def test_a_killed_run_harms_no_other_and_the_next_start_removes_what_it_left(runs: Path) -> None:
    killed = Command("swap", "--seconds", "30", runs=runs)
    killed.wait_for_step("run load")
    (folder,) = run_folders(runs)
    machine = killed.machine()
    other = Command("swap", *SHORT, "--json", runs=runs)
    other.wait_for_step("run load")
    killed.kill()
    beside = other.done()
    assert beside.code == 0, beside.err + beside.out
    assert machine.processes(), "nothing was left: this test shows nothing"
    assert machine.lease.path.exists()
    assert summary(folder)["state"] == "running"
    assert summary(folder)["verdict"] == "inconclusive"
    assert timeline(folder)

    after = hotswap("swap", *SHORT, runs=runs)
    assert after.code == 0, after.err
    assert machine.left() == []
    assert summary(folder)["state"] == "killed"
    assert summary(folder)["verdict"] == "inconclusive"
    assert "killed" in str(summary(folder)["reason"])
    states = [summary(found)["state"] for found in run_folders(runs)]
    assert sorted(map(str, states)) == ["ended", "ended", "killed"]
