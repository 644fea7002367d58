"""The catalogue has no gap, and the table says of each clause what is known and no more."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotswap.conformance.check import Check, all_checks
from hotswap.conformance.clauses import SOURCES, Clause, clauses, select
from hotswap.conformance.result import CheckResult, Outcome, Report, Result, applicable, judge
from hotswap.conformance.table import markdown, not_shown, terminal_table
from hotswap.errors import UsageError

NOT_SHOWN_LIMIT = 12
SHOWN = Clause("W2", "D/?", "It | holds.")
EXCUSED = Clause("W1", "D", "It cannot be seen.", {"wine": "no IRQL"})
NOWHERE = Clause("W34", "?", "It is not described.", {"*": "no source"})
NATIVE_ONLY = Clause("R1", "D", "It is for kernels.")
UNCHECKED = Clause("R2", "D", "Nobody looks.")
ALL = [EXCUSED, SHOWN, NOWHERE, NATIVE_ONLY, UNCHECKED]


def made_up(id_: str, *on: str) -> Check:
    return Check(id_, id_.partition("-")[0], "a statement", lambda _driver: None, on or ("compat", "native"))


CHECKS = [made_up("W2-one"), made_up("W2-two"), made_up("R1-one", "native")]


def report_of(one: Outcome = Outcome.PASS, two: Outcome | None = Outcome.PASS, chosen: list[Clause] = ALL) -> Report:
    done = [CheckResult(CHECKS[0], one, "expected 1, saw 2" if one is not Outcome.PASS else "")]
    if two is not None:
        done.append(CheckResult(CHECKS[1], two))
    return judge(chosen, CHECKS, {item.check.id: item for item in done}, runtime="compat", machine="wine")


def row(report: Report, clause: Clause) -> tuple[str, str]:
    found = next(item for item in report.clauses if item.clause is clause)
    return str(found.result), found.reason


def test_the_catalogue_has_every_clause_of_the_reference_in_order() -> None:
    wanted = [f"W{number}" for number in range(1, 62)] + [f"R{number}" for number in range(1, 34)]
    assert [id_ for id_ in clauses() if id_[0] in "WR"] == wanted
    for clause in clauses().values():
        assert set(clause.source.split("/")) <= SOURCES.keys(), clause
        assert clause.statement.endswith("."), clause
        assert "\n" not in clause.statement, clause


@pytest.mark.parametrize("machine", ["wine", "qemu"])
def test_every_clause_has_a_check_or_says_why_it_cannot_have_one(machine: str) -> None:
    on = ("compat", "native", "stub")
    bare = [
        clause.id
        for clause in clauses().values()
        if clause.reason(machine) is None and not any(applicable(clause, all_checks(), kind, machine) for kind in on)
    ]
    assert bare == [], "a clause that nothing checks and nobody has excused"


def test_on_the_embedded_guest_the_compat_runtime_has_a_check_for_every_clause_but_twelve() -> None:
    shown = {item.id for item in clauses().values() if applicable(item, all_checks(), "compat", "wine")}
    not_shown = [item.id for item in clauses().values() if item.id not in shown and item.id[0] in "WR"]
    assert len(not_shown) <= NOT_SHOWN_LIMIT, not_shown
    assert all(clauses()[id_].reason("wine") for id_ in not_shown), not_shown


def test_a_clause_passes_when_all_of_its_checks_do() -> None:
    assert row(report_of(), SHOWN) == ("pass", "2 checks")


def test_one_check_that_fails_fails_its_clause_and_is_named() -> None:
    assert row(report_of(Outcome.FAIL), SHOWN) == ("fail", "W2-one: expected 1, saw 2")
    assert row(report_of(Outcome.FAIL, Outcome.INCONCLUSIVE), SHOWN)[0] == "fail"
    assert report_of(Outcome.FAIL).verdict == "fail"


@pytest.mark.parametrize(("one", "two"), [(Outcome.INCONCLUSIVE, Outcome.PASS), (Outcome.PASS, None)])
def test_what_could_not_be_told_is_never_a_pass(one: Outcome, two: Outcome | None) -> None:
    report = report_of(one, two, [SHOWN])
    result, reason = row(report, SHOWN)
    assert result == "not-shown"
    assert reason.startswith("W2-one: " if two else "W2-two was not made")
    assert report.verdict == "inconclusive"


def test_what_cannot_be_shown_says_why_and_only_a_silent_gap_counts_against_the_verdict() -> None:
    report = report_of()
    assert row(report, EXCUSED) == ("not-shown", "no IRQL")
    assert row(report, NOWHERE) == ("not-shown", "no source")
    assert row(report, NATIVE_ONLY) == ("not-shown", "its checks are for native")
    assert row(report, UNCHECKED) == ("not-shown", "nothing here checks it")
    assert [item.clause.id for item in report.clauses if item.is_gap] == ["R2"]
    assert report.verdict == "inconclusive"
    assert report_of(chosen=ALL[:4]).verdict == "pass"


def test_nothing_shown_at_all_is_no_pass() -> None:
    assert report_of(chosen=[EXCUSED]).verdict == "inconclusive"


def test_an_excused_clause_is_not_checked_where_it_is_excused_and_is_elsewhere() -> None:
    check = made_up("W1-one")
    assert applicable(EXCUSED, [check], "compat", "wine") == []
    assert applicable(EXCUSED, [check], "compat", "qemu") == [check]


def test_the_summary_counts_every_clause_once() -> None:
    assert report_of().summary == "5 clauses: 1 pass, 0 fail, 3 cannot be shown here, 1 inconclusive"


def test_the_page_has_a_row_for_each_clause_and_no_blank() -> None:
    page = markdown(report_of())
    rows = [line for line in page.splitlines() if line.startswith(("| W", "| R"))]
    assert [line.split(" | ")[0] for line in rows] == ["| W1", "| W2", "| W34", "| R1", "| R2"]
    cells = [cell.strip() for line in rows for cell in line.replace("\\|", "").strip("|").split("|")]
    assert len(cells) == 7 * len(rows)
    assert all(cells)
    assert "cannot be shown here: no IRQL" in page
    assert "cannot be shown here: nothing here checks it" not in page
    assert terminal_table(report_of()).row_count == len(ALL)


def test_json_has_the_keys_of_the_contract() -> None:
    content = report_of(Outcome.FAIL).to_json()
    assert {"schema", "verdict", "clauses"} <= content.keys()
    for item in content["clauses"]:
        assert {"clause", "source", "runtime", "machine", "result", "reason"} <= item.keys()
        assert all(item[key] for key in ("clause", "source", "runtime", "machine", "result", "reason")), item
        assert item["result"] in [str(result) for result in Result]


def test_clauses_are_chosen_by_name_and_range() -> None:
    assert [item.id for item in select(["w24-w26", "R2", "W2", "W25"])] == ["W2", "W24", "W25", "W26", "R2"]
    assert [item.id for item in select(["W24-26"])] == ["W24", "W25", "W26"]
    assert len(select([])) == len(clauses())


def test_the_readme_says_of_each_clause_that_wine_cannot_show_why() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    told = readme.partition("<!-- not shown on wine -->\n")[2].partition("\n<!-- end -->")[0]
    assert told == not_shown("wine"), "put the output of hotswap.conformance.table.not_shown('wine') there"


@pytest.mark.parametrize("name", ["W0", "W62", "R34", "W60-W62", "W5-W3", "W", "2", "", "W2-R3", "W-2"])
def test_a_clause_that_does_not_exist_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"no clause .*W1-W61, R1-R33"):
        select([name])
