"""Runs are found, named and removed; what is no run, or still runs, is never touched."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hotswap.errors import UsageError
from hotswap.machine.proc import Owner
from hotswap.runs import Selection, find_run, find_runs, prune, remove_leftovers, remove_run
from support.past_runs import make_run


def test_runs_are_listed_newest_first_and_strangers_are_not(tmp_path: Path) -> None:
    make_run(tmp_path, 1, "pass")
    make_run(tmp_path, 3, "fail")
    make_run(tmp_path, 2, "inconclusive")
    (tmp_path / "notes").mkdir()
    (tmp_path / "20261101T000000Z-abcdef").mkdir()  # named like a run, holds nothing of one
    (tmp_path / "20261102T000000Z-abcdef").write_text("a file")
    (tmp_path / "20261103T000000Z-abcdef").symlink_to(make_run(tmp_path / "elsewhere", 4, "pass"))
    assert [run.verdict for run in find_runs(tmp_path)] == ["fail", "inconclusive", "pass"]
    assert find_runs(tmp_path / "no such folder") == []


def test_a_row_has_time_duration_seed_command_and_reason(tmp_path: Path) -> None:
    (run,) = [*map(_found, [make_run(tmp_path, 1, "fail", reason="it broke", seed=7, seconds=2.5)])]
    assert (run.verdict, run.reason, run.seed, run.seconds) == ("fail", "it broke", 7, 2.5)
    assert run.command == "hotswap swap"
    assert run.when == datetime(2026, 11, 1, 0, 0, 1, tzinfo=UTC)


def _found(path: Path):  # type: ignore[no-untyped-def]
    return find_run(path.name, path.parent)


def test_a_run_that_a_test_made_names_it(tmp_path: Path) -> None:
    test = "tests/test_mine.py::test_x"
    command = {"command": f"pytest '{test}'"}
    run = _found(make_run(tmp_path, 1, "pass", test=test, environment=command))
    assert (run.test, run.command, run.seed) == (test, f"pytest '{test}'", None)
    assert _found(make_run(tmp_path, 2, "pass", test=test, environment={})).command == test


def test_a_run_whose_process_is_gone_was_killed_and_one_whose_lives_is_running(tmp_path: Path) -> None:
    child = subprocess.Popen(["true"])
    dead = {**Owner.own().to_json(), "pid": child.pid, "started": 1}
    child.wait()
    killed = _found(make_run(tmp_path, 1, "inconclusive", state="running", owner=dead))
    running = _found(make_run(tmp_path, 2, "inconclusive", state="running", owner=Owner.own().to_json()))
    unknown = _found(make_run(tmp_path, 3, "inconclusive", state="running"))
    assert (killed.outcome, killed.is_running) == ("killed", False)
    assert (running.outcome, running.is_running) == ("running", True)
    assert unknown.is_running, "without an owner nobody can say that it has ended"


def test_a_damaged_summary_is_told_and_does_not_hide_the_others(tmp_path: Path) -> None:
    for number, text in enumerate(["{", "[]", '"x"', "[" * 100_000], 1):
        (make_run(tmp_path, number, "pass") / "run.json").write_text(text)
    make_run(tmp_path, 9, "pass")
    found = find_runs(tmp_path)
    assert len(found) == 5
    assert [run.verdict for run in found] == ["pass", *["inconclusive"] * 4]
    assert all("run.json" in run.reason for run in found[1:])


def test_values_of_other_types_than_ours_harm_nothing(tmp_path: Path) -> None:
    path = make_run(tmp_path, 1, "pass")
    content = {"verdict": ["pass"], "reason": 5, "state": None, "environment": [], "owner": 3, "expectations": None}
    (path / "run.json").write_text(json.dumps(content))
    run = _found(path)
    assert (run.verdict, run.seed, run.command) == ("inconclusive", None, "")
    (path / "run.json").write_text(json.dumps({"state": "running", "owner": {"pid": "x"}}))
    assert _found(path).is_running


def test_a_run_is_named_by_id_prefix_path_or_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = make_run(tmp_path, 1, "pass"), make_run(tmp_path, 2, "fail")
    other = make_run(tmp_path / "other", 3, "pass")
    names = {
        first.name: first,
        first.name[:16]: first,
        "last": second,
        str(other): other,
        f"{other}/": other,
        str(other / "run.json"): other,
    }
    for name, path in names.items():
        assert find_run(name, tmp_path).path == path.resolve(), name
    monkeypatch.chdir(other)
    assert find_run(".", tmp_path).path == other


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("2026", "is the beginning of 2 runs: "),
        ("2025", "there is no run '2025'"),
        ("", "there is no run ''"),
        ("/etc", "there is no run '/etc'"),
        ("a\0b", "there is no run"),
    ],
)
def test_a_name_of_none_or_of_several_is_refused(tmp_path: Path, name: str, why: str) -> None:
    make_run(tmp_path, 1, "pass")
    make_run(tmp_path, 2, "pass")
    with pytest.raises(UsageError, match=why):
        find_run(name, tmp_path)


def test_there_is_no_last_run_of_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no run in .* yet"):
        find_run("last", tmp_path)


def test_a_selection_is_by_verdict_then_by_number_then_by_age(tmp_path: Path) -> None:
    for number, verdict in enumerate(["pass", "fail", "pass", "inconclusive", "pass"], 1):
        make_run(tmp_path, number, verdict)
    runs = find_runs(tmp_path)
    now = datetime(2026, 11, 1, 0, 0, 6, tzinfo=UTC)

    def chosen(**options) -> list[int]:  # type: ignore[no-untyped-def]
        return [run.when.second for run in Selection(**options).of(runs, now)]

    assert chosen(keep=2) == [3, 2, 1]
    assert chosen(verdicts=frozenset({"pass"})) == [5, 3, 1]
    assert chosen(verdicts=frozenset({"pass"}), keep=1) == [3, 1]
    assert chosen(older_than=timedelta(seconds=3)) == [2, 1]
    assert chosen(older_than=timedelta(seconds=3), keep=4) == [1]
    assert chosen() == [5, 4, 3, 2, 1]


def test_pruning_frees_what_it_says_and_never_takes_a_running_one(tmp_path: Path) -> None:
    old = make_run(tmp_path, 1, "pass")
    (old / "trace.etl").write_bytes(b"x" * 100_000)
    running = make_run(tmp_path, 2, "inconclusive", state="running", owner=Owner.own().to_json())
    (tmp_path / "notes.txt").write_text("mine")
    done = prune(Selection().of(find_runs(tmp_path), datetime.now(UTC)))
    assert [run.id for run in done.removed] == [old.name]
    assert done.freed >= 100_000
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([running.name, "notes.txt"])


def test_one_run_that_resists_does_not_keep_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resisting, other = make_run(tmp_path, 2, "pass"), make_run(tmp_path, 1, "pass")
    monkeypatch.setattr("hotswap.runs.remove_run", lambda path: _resist(path, resisting))
    done = prune(find_runs(tmp_path))
    assert [run.id for run in done.removed] == [other.name]
    assert done.failed == {resisting.name: "Permission denied"}


def _resist(path: Path, resisting: Path) -> None:
    if path == resisting:
        raise PermissionError(13, "Permission denied")
    remove_run(path)


def test_what_a_killed_prune_left_is_not_listed_and_goes_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_run(tmp_path, 1, "pass")

    def killed(_path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hotswap.runs.remove_tree", killed)
    with pytest.raises(KeyboardInterrupt):
        remove_run(path)
    monkeypatch.undo()
    assert len([*tmp_path.iterdir()]) == 1
    assert find_runs(tmp_path) == []
    (tmp_path / ".pruned-by-hand").mkdir()
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".pruned-by-hand"]
