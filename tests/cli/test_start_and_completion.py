"""The command starts fast, and the shells' completion gets option values without a build or a guest."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from command import hotswap

from hotswap.cli.output import VERDICT_EXITS, VERDICT_STYLES
from hotswap.driver.build import DriverBuild
from hotswap.driver.package import known_updates
from hotswap.swap.drive import RUNTIMES
from hotswap.swap.expectations import SWAP_EXPECTATIONS
from hotswap.trace.expect import Verdict
from support.past_runs import make_run

SHELLS = ("bash", "zsh", "fish")
HEAVY = ("numpy", "pyarrow", "pefile", "cryptography", "jinja2", "clang")


def test_help_imports_nothing_that_takes_long(runs: Path) -> None:
    script = (
        "import sys; from hotswap.cli.main import run; code = run(sys.argv[1:]);"
        "print([name for name in sys.modules if name.partition('.')[0] in sys.argv[0].split()]); sys.exit(code)"
    )
    script = f"import sys; sys.argv[0] = {' '.join(HEAVY)!r}; {script}"
    for arguments in (["--help"], ["swap", "--help"], ["runs", "list"], ["swap", "--workers", "0"]):
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            env={**os.environ, "HOTSWAP_RUNS": str(runs)},
            capture_output=True,
            text=True,
        )
        heavy = done.stdout.splitlines()[-1] if done.stdout else done.stderr
        assert heavy == "[]" or arguments[-1] == "0", f"{arguments} imports {heavy}"


def test_help_takes_less_than_two_fifths_of_a_second(runs: Path) -> None:
    def seconds() -> float:
        # Of processor time, for this computer has other things to do.
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert hotswap("--help", runs=runs).code == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 0.4


@pytest.mark.parametrize(("arguments", "first"), [([], "Usage: hotswap [OPTIONS]"), (["runs"], "Usage: hotswap runs")])
def test_without_a_command_there_is_help_to_read(runs: Path, arguments: list[str], first: str) -> None:
    done = hotswap(*arguments, runs=runs)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(first)
    assert len(done.err.splitlines()) > 8


def test_verdicts_are_known_by_the_text_that_traces_use() -> None:
    assert {*VERDICT_EXITS} == {*VERDICT_STYLES} == {str(verdict) for verdict in Verdict}


def completed(shell: str, line: str, runs: Path, **env: str) -> list[str]:
    """What the shell is offered for the word at the end of `line`."""
    words = line.split(" ")
    asked = {
        "bash": {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": line},
        "fish": {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    done = subprocess.run(
        [sys.executable, "-m", "hotswap"],
        env={**os.environ, "HOTSWAP_RUNS": str(runs), "_HOTSWAP_COMPLETE": f"complete_{shell}", **asked, **env},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [line for line in done.stdout.splitlines() if line]


def offered(shell: str, line: str, value: str, runs: Path) -> bool:
    lines = completed(shell, line, runs)
    if shell == "zsh":
        return any(f'"{value}"' in text for text in lines)
    return any(text.split("\t")[0] == value for text in lines)


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_options_and_values_are_completed(runs: Path, build: DriverBuild, shell: str) -> None:
    run = make_run(runs, 1, "pass")
    for line, value in (
        ("hotswap do", "doctor"),
        ("hotswap runs pr", "prune"),
        ("hotswap swap --see", "--seed"),
        ("hotswap swap --machine w", "wine"),
        ("hotswap swap --to tw", "twice"),
        ("hotswap swap --from v1 --to lose", "lose-wakeup"),
        ("hotswap swap --runtime pl", "plain"),
        ("hotswap swap --disable signals-", "signals-accounted"),
        ("hotswap swap --keep f", "failed"),
        ("hotswap runs show 2026", run.name),
        ("hotswap runs open la", "last"),
        ("hotswap runs list --verdict inc", "inconclusive"),
    ):
        assert offered(shell, line, value, runs), f"{line!r}: {completed(shell, line, runs)}"


def test_all_values_are_offered_and_only_fitting_ones(runs: Path, build: DriverBuild) -> None:
    assert {*completed("bash", "hotswap swap --runtime ", runs)} == {*RUNTIMES}
    assert {*completed("bash", "hotswap swap --disable ", runs)} == {item.id for item in SWAP_EXPECTATIONS}
    assert {*completed("bash", "hotswap swap --to ", runs)} >= {update.name for update in known_updates(build)}
    assert completed("bash", "hotswap swap --to v9", runs) == []


def test_updates_are_known_before_anything_was_built_and_files_by_their_path(runs: Path, tmp_path: Path) -> None:
    empty = str(tmp_path / "no cache")
    names = completed("bash", "hotswap swap --to ", runs, HOTSWAP_CACHE=empty)
    assert {"v1", "v2", "twice", "lose-wakeup"} <= {*names}
    assert not Path(empty).exists(), "completion builds nothing"
    (tmp_path / "mine.sys").touch()
    (tmp_path / "mine.txt").touch()
    (tmp_path / "minor").mkdir()
    assert completed("bash", f"hotswap swap --to {tmp_path}/min", runs) == [
        f"{tmp_path}/mine.sys",
        f"{tmp_path}/minor/",
    ]


@pytest.mark.parametrize("line", ["hotswap runs show ", "hotswap swap --to /no/such/"])
def test_completion_is_silent_whatever_is_wrong(tmp_path: Path, line: str) -> None:
    (tmp_path / "file").write_text("x")
    assert completed("bash", line, tmp_path / "file" / "runs") == []


@pytest.mark.parametrize("shell", SHELLS)
def test_the_completion_script_is_shown_and_installed_for_the_shell_in_use(tmp_path: Path, shell: str) -> None:
    # The shell is told by the parents of the process, so a program of that name is one.
    fake = tmp_path / shell
    fake.symlink_to("/bin/bash")
    home = tmp_path / "home"
    home.mkdir()

    def ask(option: str) -> str:
        done = subprocess.run(
            [fake, "-c", f'"{sys.executable}" -m hotswap {option}; exit $?'],
            env={**os.environ, "HOME": str(home)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    script = ask("--show-completion")
    assert "_HOTSWAP_COMPLETE=complete_" in script
    assert "installed in" in ask("--install-completion")
    assert any("_HOTSWAP_COMPLETE" in path.read_text() for path in home.rglob("*") if path.is_file())


def test_a_shell_that_is_not_known_is_bad_usage(tmp_path: Path) -> None:
    line = ["setsid", "--wait", sys.executable, "-m", "hotswap", "--install-completion"]
    done = subprocess.run(
        line,
        env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_bash_really_completes_with_the_script(tmp_path: Path) -> None:
    # The script calls `hotswap`, wherever that is: here this one.
    (tmp_path / "hotswap").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m hotswap "$@"\n')
    (tmp_path / "hotswap").chmod(0o755)
    script = f"""
        PATH="{tmp_path}:$PATH"
        eval "$(_HOTSWAP_COMPLETE=source_bash hotswap)"
        COMP_WORDS=(hotswap swap --runtime pla) COMP_CWORD=3
        _hotswap_completion hotswap pla --runtime
        echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "plain", done.stderr
