"""`hotswap conformance` as its users start it: table, page, JSON, exit codes, nothing left."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest
from command import Command, Done, hotswap

from hotswap.cli.main import run
from hotswap.conformance import check as check_module
from hotswap.conformance.check import Check, expect
from hotswap.conformance.clauses import clauses

PASS, FAIL, USAGE, INCONCLUSIVE, INTERRUPTED = 0, 1, 2, 3, 130
KEYS = {"clause", "source", "runtime", "machine", "result", "reason"}
pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--clause", "W99"], "no clause 'W99'; there are W1-W61, R1-R33"),
        (["--clause", "two"], "no clause 'two'"),
        (["--runtime", "plain"], "--runtime is 'plain'; it must be one of auto, compat, native"),
        (["--machine", "nowhere"], "nowhere"),
        (["--json", "--markdown"], "--json and --markdown cannot both go to standard output"),
        (["--markdown", "no/such/folder/x.md"], "--markdown no/such/folder/x.md cannot be written"),
        (["--markdown", "."], "--markdown '.' is a folder"),
        (["--json", "no/such/folder/x.json"], "--json no/such/folder/x.json cannot be written"),
    ],
)
def test_bad_input_is_refused_before_a_guest_is_started(arguments: list[str], complaint: str, runs: Path) -> None:
    done = hotswap("conformance", *arguments, runs=runs)
    assert done.code == USAGE
    assert complaint in done.complaint(progress=False)


def test_json_alone_goes_to_standard_output_and_has_a_result_for_each_clause_asked_for(runs: Path) -> None:
    done = hotswap("conformance", "--clause", "W24-W26", "--clause", "w2", "--clause", "W1", "--json", runs=runs)
    content = json.loads(done.out)
    assert done.code == PASS, content
    assert (content["schema"], content["verdict"]) == (1, "pass")
    rows = content["clauses"]
    assert [row["clause"] for row in rows] == ["W1", "W2", "W24", "W25", "W26"]
    assert all(row.keys() >= KEYS and all(row[key] for key in KEYS) for row in rows)
    assert {row["result"] for row in rows[1:]} == {"pass"}
    assert rows[0]["result"] == "not-shown"
    assert {(row["runtime"], row["machine"]) for row in rows} == {("compat", "wine")}
    assert "W25: " in done.err, "progress"


def test_the_table_and_the_page_say_the_same(runs: Path, tmp_path: Path) -> None:
    page = tmp_path / "conformance.md"
    done = hotswap("conformance", "--clause", "W1-W3", "--markdown", page, "--quiet", runs=runs)
    assert (done.code, done.err) == (PASS, "")
    lines = done.out.splitlines()
    assert re.match(r"W1 +D +compat +wine +not-shown +cannot be shown here: ", row(lines, "W1"))
    assert re.match(r"W2 +D +compat +wine +pass +\d+ checks", row(lines, "W2"))
    assert lines[-1] == "pass: 3 clauses: 2 pass, 0 fail, 1 cannot be shown here"
    written = page.read_text().splitlines()
    assert [line.split(" | ")[0] for line in written if line.startswith("| W")] == ["| W1", "| W2", "| W3"]


def row(lines: list[str], clause: str) -> str:
    (found,) = [line for line in lines if line.startswith(f"{clause} ")]
    return found.rstrip()


def test_nothing_shown_is_inconclusive(runs: Path) -> None:
    done = hotswap("conformance", "--clause", "W1", "-q", runs=runs)
    assert done.code == INCONCLUSIVE
    assert done.out.splitlines()[-1].startswith("inconclusive: 1 clauses: 0 pass")


def test_a_kernel_without_the_functions_shows_nothing_of_workers_and_says_so(runs: Path) -> None:
    done = hotswap("conformance", "--runtime", "native", "--clause", "W2", "--json", "-q", runs=runs)
    (only,) = json.loads(done.out)["clauses"]
    assert (done.code, only["result"], only["runtime"]) == (INCONCLUSIVE, "not-shown", "absent")
    assert "without the exports" in only["reason"]


def test_a_clause_that_fails_ends_in_1_and_is_named_with_what_was_seen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = Check("W2-good", "W2", "holds", lambda _driver: None)
    bad = Check("W2-sees-too-much", "W2", "does not", lambda _driver: expect(False, "expected 1, saw 2"))
    crashing = Check("W3-again", "W3", "holds", lambda driver: expect(driver.counters().extensions == 0, "not reset"))
    monkeypatch.setattr(check_module, "all_checks", lambda: (good, bad, crashing))
    assert run(["conformance", "--clause", "W2-W4", "-q"]) == FAIL
    lines = capsys.readouterr().out.splitlines()
    assert re.search(r"fail +W2-sees-too-much: expected 1, saw 2$", row(lines, "W2"))
    assert re.search(r"pass +1 check$", row(lines, "W3"))
    assert re.search(r"not-shown +nothing here checks it$", row(lines, "W4"))
    assert lines[-1] == "fail: 3 clauses: 1 pass, 1 fail, 0 cannot be shown here, 1 inconclusive"


def test_ctrl_c_ends_it_and_leaves_no_guest(runs: Path) -> None:
    command = Command("conformance", runs=runs)
    machine = command.machine()
    command.signal(signal.SIGINT, group=True)
    done: Done = command.done()
    assert done.code == INTERRUPTED
    assert machine.left() == []


def test_completion_knows_the_clauses() -> None:
    from hotswap.cli.complete import clauses as complete

    offered = complete("W5")
    assert [item[0] for item in offered] == [id_ for id_ in clauses() if id_.startswith("W5")]
