"""`hotswap trace diff` as its users drive it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from command import called

from support.swap_trace import good_run


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`a.etl`, `same.etl` (later, and with other threads), and `b.etl` with one event gone and one changed."""
    folder = tmp_path_factory.mktemp("traces")
    run = good_run(rounds=20)
    (folder / "a.etl").write_bytes(run.to_bytes())
    for event in run.events:
        event.tick, event.tid = event.tick + 1234, event.tid + 8
    (folder / "same.etl").write_bytes(run.to_bytes())
    works = run.find("EndpointWork")
    run.remove(works[10])
    works[20].fields["Result"] += 5
    (folder / "b.etl").write_bytes(run.to_bytes())
    return folder


def test_traces_that_mean_the_same_are_equal(traces: Path, runs: Path) -> None:
    done = called("trace", "diff", traces / "a.etl", traces / "same.etl", runs=runs)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1].startswith("equal in all ")
    assert "not compared for they hold ids: WorkerCreate.WorkerThreadId" in done.out


def test_the_first_difference_is_shown_between_what_is_around_it(traces: Path, runs: Path) -> None:
    done = called("trace", "diff", traces / "a.etl", traces / "b.etl", "-C", "2", "--per", "Worker", runs=runs)
    assert done.code == 1
    shown = done.out.splitlines()
    first = next(at for at, line in enumerate(shown) if line.startswith("first difference, Worker "))
    assert shown[first].endswith(": removed")
    assert [line[0] for line in shown[first + 2 : first + 7]] == [" ", " ", "-", " ", " "]
    assert "EndpointWork" in shown[first + 4]
    second = next(at for at, line in enumerate(shown) if line.startswith("difference 2, Worker "))
    assert [line[0] for line in shown[second + 2 : second + 9]] == [" ", " ", "-", "+", " ", " ", " "]
    assert "Result " in shown[second + 6], "which field it is that differs"
    assert " → " in shown[second + 6]
    assert "HotSwap.Host/EndpointWork" in done.out
    assert shown[-1].endswith("events 2 only in A, 1 only in B")
    one = called("trace", "diff", traces / "a.etl", traces / "b.etl", "--limit", "1", runs=runs)
    assert "… and 1 more difference; --limit 0 shows all" in one.out


def test_json_tells_all_that_differs(traces: Path, runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "diff.json"
    done = called("trace", "diff", traces / "a.etl", traces / "b.etl", "--limit", "0", "--json", out, runs=runs)
    assert done.code == 1
    told = json.loads(out.read_text())
    assert (told["equal"], told["differences"]) == (False, 2)
    assert [item["change"] for item in told["shown"]] == ["removed", "changed"]
    assert told["shown"][0]["a"][0]["event"] == "EndpointWork"
    assert told["shown"][0]["b"] == []
    assert told["a"]["events"] - told["b"]["events"] == 1
    (count,) = told["counts"]
    assert count == {"event": "HotSwap.Host/EndpointWork", "a": count["b"] + 1, "b": count["b"]}
    equal = called("trace", "diff", traces / "a.etl", traces / "same.etl", "--json", runs=runs)
    assert json.loads(equal.out)["equal"] is True


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--with", "colour"], "--with colour: it is one of time, ids, addresses, cpu"),
        (["--tolerance", "1ms"], "--tolerance 1ms: it goes with --with time"),
        (["--with", "time", "--tolerance", "soon"], "--tolerance soon is no time; give a number and ns, us, ms or s"),
        (["--with", "time", "--tolerance", "-1ms"], "--tolerance -1ms is out of range"),
        (["--per", "Wroker"], "--per Wroker: no event has such a field"),
        (["--ignore", "Reslut"], "--ignore: the trace has no field 'Reslut' (did you mean Result?)"),
        (["--context", "-1"], "--context is -1; it must not be negative"),
        (["-e", "Nothing"], "the trace has no event 'Nothing'"),
    ],
)
def test_what_cannot_be_compared_is_one_line(traces: Path, runs: Path, options: list[str], says: str) -> None:
    done = called("trace", "diff", traces / "a.etl", traces / "b.etl", *options, runs=runs)
    assert done.code == 2
    assert says in done.complaint()
    assert done.out == ""


def test_a_file_that_is_no_trace_is_one_line(traces: Path, runs: Path, tmp_path: Path) -> None:
    (tmp_path / "no.etl").write_bytes(b"no trace")
    for a, b in ((traces / "a.etl", tmp_path / "no.etl"), (tmp_path / "gone.etl", traces / "a.etl")):
        done = called("trace", "diff", a, b, runs=runs)
        assert done.code == 2
        assert done.complaint()


def test_what_is_compared_can_be_chosen(traces: Path, runs: Path) -> None:
    pair = (traces / "a.etl", traces / "b.etl")
    assert called("trace", "diff", *pair, "-e", "Signal*", runs=runs).code == 0
    assert called("trace", "diff", *pair, "-e", "EndpointWork", "--ignore", "Result", runs=runs).code == 1
    assert called("trace", "diff", traces / "a.etl", traces / "same.etl", "--with", "ids", runs=runs).code == 1
    timed = called("trace", "diff", traces / "a.etl", traces / "same.etl", "--with", "time", runs=runs)
    assert timed.code == 0, "the same distances in time"


def test_colours_only_where_they_are_asked_for(traces: Path, runs: Path) -> None:
    pair = (traces / "a.etl", traces / "b.etl")
    assert "\x1b" not in called("trace", "diff", *pair, runs=runs).out
    coloured = called("trace", "diff", *pair, "--color", runs=runs, env={"NO_COLOR": "1"})
    assert "\x1b[31m- " in coloured.out
    assert "\x1b[36m+ " in coloured.out
    assert "\x1b" not in called("trace", "diff", *pair, "--no-color", runs=runs, env={"FORCE_COLOR": "1"}).out


def test_a_reader_that_goes_away_is_no_error(traces: Path, runs: Path) -> None:
    command = [sys.executable, "-m", "hotswap", "trace", "diff", str(traces / "a.etl"), str(traces / "b.etl")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 1, "what was found is told all the same"
