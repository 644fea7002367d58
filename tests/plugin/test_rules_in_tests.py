"""Rules as plain asserts: pytest shows sentence, statement and events, for the trace of a test and for any file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hotswap.trace.rules
from hotswap.codes import CodeTable
from hotswap.testing import Inconclusive, Trace
from hotswap.trace.expect import Verdict
from hotswap.trace.rules import each, event, load_rules, never, open_trace, sequence
from support.swap_trace import good_run

TESTS = """
from hotswap.trace.rules import each, event, never, open_trace

trace = open_trace("good.etl")
rule = never(event("EndpointWork", Version=2)).named("no-new-work")


def test_on_a_file():
    assert rule.on(trace)


def test_on_its_table():
    assert each("SwapBegin").followed_by("SwapEnd", per="Swap").on(trace.table) and rule.on(trace.table)


def test_holds():
    assert trace.holds(rule), "a message of one's own"


def test_that_it_does_not():
    assert not trace.holds(rule)


def test_open():
    assert trace.holds(each("Nothing").followed_by("HostStop"))


def test_good():
    assert trace.holds(never("SwapRolledBack"))
"""


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("rules")
    (folder / "good.etl").write_bytes(good_run().to_bytes())
    (folder / "test_mine.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "test_mine.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ""})
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def section(output: str, test: str) -> str:
    return output.partition(f"_ {test} _")[2].partition("\n____")[0]


@pytest.mark.parametrize("test", ["test_on_a_file", "test_on_its_table", "test_holds"])
def test_a_failed_assert_shows_the_sentence_the_statement_and_the_events(output: str, test: str) -> None:
    text = section(output, test)
    assert "fail: no-new-work: EndpointWork at " in text
    assert ("E       AssertionError: a message of one's own" in text) == (test == "test_holds")
    assert "E       stated: There is no EndpointWork (Version=2)." in text
    assert "Version=2 WaitStatus=" in text
    assert "+us    tid cpu  event" in text


def test_an_open_question_explains_itself_too(output: str) -> None:
    text = section(output, "test_open")
    assert "inconclusive: the trace has no Nothing, so that nothing could be checked" in text


def test_what_holds_passes_in_either_direction(output: str) -> None:
    assert "4 failed, 2 passed" in output


class Source:
    def __init__(self, missing: str = "") -> None:
        self.etl = good_run().etl()
        self.missing = missing


def trace(missing: str = "") -> Trace:
    return Trace(Source(missing), CodeTable())  # type: ignore[arg-type]


def test_the_trace_of_a_test_takes_rules_and_knows_what_is_missing() -> None:
    assert trace().holds(sequence("IterationBegin", "EndpointWork", "IterationEnd", per="worker"))
    assert each("SwapBegin").followed_by("SwapEnd", per="swap").on(trace())
    answer = trace("3 events dropped").holds(never("SwapRolledBack"))
    assert answer.verdict is Verdict.INCONCLUSIVE
    assert "3 events dropped" in answer.message
    with pytest.raises(Inconclusive):
        answer.require()


def test_an_event_of_the_fixtures_is_a_pattern_of_rules(tmp_path: Path) -> None:
    path = tmp_path / "good.etl"
    path.write_bytes(good_run().to_bytes())
    begun = event("SwapBegin")
    assert each(begun).followed_by(event("SwapEnd", swap=begun["Swap"])).on(open_trace(path))
    first, _ = trace().assert_order(event("SwapBegin", swap=2), event("SwapEnd", swap=(2, 3)))
    assert first.swap == 2


def test_the_rules_of_the_readme_hold_and_what_it_names_is_there(tmp_path: Path) -> None:
    readme = (
        (Path(__file__).parents[2] / "README.md")
        .read_text()
        .partition("## Rules for any trace")[2]
        .partition("\n## ")[0]
    )
    (block,) = re.findall(r"```py\n(.*?)```", readme, re.DOTALL)
    path = tmp_path / "rules.py"
    path.write_text(block)
    known = load_rules(path)
    etl = good_run().etl()
    assert len(known.rules) == 6
    assert [rule.id for rule in known.rules if not rule.on(etl)] == []
    for name in set(re.findall(r"[`{ (]([a-z_]+)\(", readme)) - {"open_trace", "percentile", "satisfies", "range"}:
        assert hasattr(hotswap.trace.rules, name) or name in METHODS, name


METHODS = {
    *(
        "followed_by",
        "preceded_by",
        "agrees_with",
        "at_most",
        "at_least",
        "longest",
        "median",
        "allow_none",
        "holds",
        "on",
    ),
    *("between", "during", "after", "before", "from_to"),
}
