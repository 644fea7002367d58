"""`hotswap trace report`, and what all commands on a trace do when they are stopped or take long."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from command import Command, called, on_terminal

from hotswap.deadline import Deadline
from support.swap_trace import good_run


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "trace.etl"
    path.write_bytes(good_run(rounds=20).to_bytes())
    return path


def test_a_page_is_written_beside_the_trace_or_where_it_is_asked_for(trace: Path, runs: Path, tmp_path: Path) -> None:
    done = called("trace", "report", trace, runs=runs)
    assert (done.code, done.out, done.err) == (0, f"{trace.with_suffix('.html')}\n", "")
    html = trace.with_suffix(".html").read_text("utf-8")
    assert html.startswith("<!doctype html>")
    assert f"hotswap trace report {trace}" in html, "how to make it again"
    out = tmp_path / "swaps.html"
    done = called("trace", "report", trace, "-o", out, "-e", "Swap*", "--pair", "SwapBegin:SwapEnd:Swap", runs=runs)
    assert (done.code, done.out) == (0, f"{out}\n")
    html = out.read_text("utf-8")
    assert "SwapBegin \\u2192 SwapEnd" in html
    assert "IterationBegin" not in html
    assert [path.name for path in tmp_path.iterdir()] == ["swaps.html"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["-o", "{trace}"], "is the trace itself and would be written over; give another file"),
        (["-o", "{folder}/none/x.html"], "cannot be written: No such file or directory"),
        (["-o", "{folder}"], "is a folder; give a file"),
        (["--pair", "SwapBegin"], "the pair 'SwapBegin' is not BEGIN:END"),
        (["--pair", "SwapBegin:SwapEdn"], "the trace has no event 'SwapEdn' (did you mean SwapEnd?)"),
        (["-e", "Nothing"], "the trace has no event 'Nothing'"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(
    trace: Path, runs: Path, tmp_path: Path, options: list[str], says: str
) -> None:
    before = trace.read_bytes()
    given = [option.format(trace=trace, folder=tmp_path) for option in options]
    done = called("trace", "report", trace, *given, runs=runs)
    assert (done.code, done.out) == (2, "")
    assert says in done.complaint()
    assert trace.read_bytes() == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [
        ["show", "{}"],
        ["stats", "{}"],
        ["diff", "{}", "{}"],
        ["export", "{}", "x.csv"],
        ["report", "{}"],
        ["info", "{}"],
    ],
)
def test_a_file_that_is_no_trace_is_one_line(runs: Path, tmp_path: Path, command: list[str]) -> None:
    path = tmp_path / "no.etl"
    for content in (b"", b"no trace at all", bytes(4096)):
        path.write_bytes(content)
        done = called("trace", *(part.format(path) for part in command), runs=runs)
        assert (done.code, done.out) == (2, "")
        assert str(path) in done.complaint()
    assert [one.name for one in tmp_path.iterdir()] == ["no.etl"]


@pytest.mark.parametrize("command", [["show"], ["report"], ["sql", "select 1"]])
def test_who_is_interrupted_leaves_nothing_and_says_so(runs: Path, tmp_path: Path, command: list[str]) -> None:
    pipe = tmp_path / "never.etl"
    os.mkfifo(pipe)
    name, *options = command
    running = Command("trace", name, pipe, *options, runs=runs)

    def read() -> int | None:
        """The other end of the pipe, which can only be opened once it is read."""
        assert running.process.poll() is None
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return None

    end = Deadline.after(60).wait_for(read, "the trace to be read", interval=0.02)
    running.signal(signal.SIGINT)
    done = running.done()
    os.close(end)
    assert (done.code, done.out) == (130, "")
    assert done.complaint() == "interrupted"
    assert [path.name for path in tmp_path.iterdir()] == ["never.etl"]


def test_progress_is_for_terminals_and_can_be_turned_off(trace: Path, runs: Path) -> None:
    assert "reading trace.etl" in on_terminal(["trace", "stats", str(trace)], runs, {})
    assert "reading" not in on_terminal(["trace", "stats", str(trace), "-q"], runs, {})
    assert called("trace", "stats", trace, runs=runs).err == ""
