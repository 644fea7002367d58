"""`hotswap trace check` as its users drive it: rules files, verdicts, exit codes, pictures, and errors in one line."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from command import called, hotswap

from support.swap_trace import good_run

GOOD = """
from hotswap.trace.rules import each, event, exactly_once, latency, never, sequence

way_of_a_worker = sequence("IterationBegin", "EndpointWork", "IterationEnd", per="Worker")
released = each("SwapStalled").followed_by("SwapReleased", per="Swap", within="50 ms")
held = never("IterationBegin").between("SwapDrained", "SwapReleased", match="Swap")
more = [never("SwapRolledBack"), exactly_once("HostStart").named("one-start", "The host starts once.")]
by_name = {"hold time": latency("SwapStalled", "SwapReleased", per="Swap").percentile(99).at_most("20 ms")}
_private = never("HostStart")
same = held
"""
BAD = GOOD + "\nno_work = never(event('EndpointWork', Version=2))\nopen_one = each('Nothing').followed_by('HostStop')\n"


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trace") / "good.etl"
    path.write_bytes(good_run().to_bytes())
    return path


def rules(folder: Path, text: str) -> Path:
    path = folder / "rules.py"
    path.write_text(text)
    return path


def test_rules_that_hold_are_a_pass(trace: Path, tmp_path: Path, runs: Path) -> None:
    done = hotswap("trace", "check", rules(tmp_path, GOOD), trace, runs=runs)
    assert (done.code, done.err) == (0, "")
    *lines, last = done.out.splitlines()
    assert last == "pass: all 6 rules hold"
    assert [line.split()[1] for line in lines[:3]] == ["way-of-a-worker", "released", "held"]
    assert "one-start" in done.out
    assert "hold time" in done.out


def test_a_failure_shows_its_events_and_draws_them(trace: Path, tmp_path: Path, runs: Path) -> None:
    pictures = tmp_path / "pictures"
    done = called(
        "trace",
        "check",
        rules(tmp_path, BAD),
        trace,
        "--only",
        "no-work",
        "--only",
        "held",
        "--svg",
        pictures,
        runs=runs,
    )
    assert done.code == 1
    assert "fail" in done.out
    assert "EndpointWork" in done.out
    assert "Version=2" in done.out
    assert done.out.splitlines()[-1].startswith("fail: no-work: EndpointWork at ")
    assert [path.name for path in pictures.iterdir()] == ["no-work.svg"]
    picture = ET.parse(pictures / "no-work.svg").getroot()
    assert picture.tag.endswith("svg")
    text = "".join(picture.itertext())
    assert "EndpointWork" in text
    assert not [item for item in picture.iter() if any("href" in name for name in item.attrib)]


def test_an_open_question_is_inconclusive(trace: Path, tmp_path: Path, runs: Path) -> None:
    done = called("trace", "check", rules(tmp_path, BAD), trace, "--only", "open-one", runs=runs)
    assert done.code == 3
    assert done.out.splitlines()[-1].startswith("inconclusive: open-one: the trace has no Nothing")


def test_json_has_the_verdict_of_all_and_each_answer_with_its_events(trace: Path, tmp_path: Path, runs: Path) -> None:
    done = called("trace", "check", rules(tmp_path, BAD), trace, "--json", runs=runs)
    content = json.loads(done.out)
    assert done.code == 1
    assert content["verdict"] == "fail"
    assert content["reason"].startswith("no-work: ")
    assert content["missing"] == []
    by_id = {item["id"]: item for item in content["results"]}
    assert (by_id["held"]["verdict"], by_id["held"]["checked"], by_id["held"]["slice"]) == ("pass", 3, [])
    (shown,) = by_id["no-work"]["slice"]
    assert (shown["event"], shown["fields"]["Version"]) == ("EndpointWork", 2)
    assert by_id["no-work"]["failed"] == 1
    assert by_id["open-one"]["verdict"] == "inconclusive"


def test_the_rules_are_listed_without_a_trace(tmp_path: Path, runs: Path) -> None:
    path = rules(tmp_path, GOOD)
    done = called("trace", "check", path, "--list", runs=runs)
    assert done.code == 0
    assert "released         Each SwapStalled is followed by a SwapReleased of the same Swap within 50 ms." in done.out
    assert "one-start        The host starts once." in done.out
    listed = json.loads(called("trace", "check", path, "--list", "--json", runs=runs).out)["rules"]
    assert [item["id"] for item in listed] == [
        "way-of-a-worker", "released", "held", "more-1", "one-start", "hold time",
    ]  # fmt: skip
    assert listed[0]["line"] == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = (", ":1: '(' was never closed"),
        ("\nimport nothing_of_the_kind\n", ":2: ModuleNotFoundError: No module named 'nothing_of_the_kind'"),
        ("from hotswap.trace.rules import each\n\nx = each('A').followed_by('B', within=5)\n",
         ":3: 5 is no time; say it with a unit, like '50 ms' (units: ns, us, ms, s, min)"),
        ("x = 1\n", ":1: there is no rule in it"),
        ("from hotswap.trace.rules import never\na = never('A').named('x')\nb = never('B').named('x')\n",
         ":3: there are two rules 'x'"),
        ("from hotswap.trace.rules import each, event\n\n\nx = each('SwapStalled').satisfies(Stat=0)\n",
         ":4: x: SwapStalled has no field 'Stat' (did you mean Status?)"),
        ("from hotswap.trace.rules import statement\n\n@statement('It is so.')\ndef x(view):\n    return 1 / 0\n",
         ":5: x: ZeroDivisionError: division by zero"),
        ("from hotswap.trace.rules import never, event\nx = never(event('HostStart', RingSlots=lambda v: v.nope))\n",
         ":2: x: AttributeError"),
        ("raise SystemExit(7)", ":1: SystemExit: 7"),
    ],
)  # fmt: skip
def test_an_error_in_a_rules_file_is_one_line_with_its_place(
    trace: Path, tmp_path: Path, runs: Path, text: str, message: str
) -> None:
    path = rules(tmp_path, text)
    done = called("trace", "check", path, trace, runs=runs)
    assert done.code == 2
    assert done.complaint(progress=False).startswith(f"{path}{message}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere.py", "TRACE"), "reading the rules in nowhere.py: No such file or directory"),
        (("RULES", "nowhere.etl"), "nowhere.etl"),
        (("RULES",), "FILE is missing"),
        (("RULES", "RULES"), "not an ETL file"),
        (("RULES", "TRACE", "--only", "hed"), "has no rule 'hed'; it has: way-of-a-worker, released"),
        (("RULES", "TRACE", "--only", "no-work", "--svg", "/dev/null/x"), "writing pictures to /dev/null/x"),
    ],
)  # fmt: skip
def test_bad_usage_is_one_line(
    trace: Path, tmp_path: Path, runs: Path, arguments: tuple[str, ...], message: str
) -> None:
    names = {"RULES": str(rules(tmp_path, BAD)), "TRACE": str(trace)}
    done = called("trace", "check", *(names.get(item, item) for item in arguments), runs=runs)
    assert done.code == (4 if "writing" in message else 2)
    assert message in done.complaint(progress=False)


def test_the_rules_that_come_along_hold_of_a_correct_swap_and_catch_a_broken_one(
    trace: Path, tmp_path: Path, runs: Path
) -> None:
    done = called("trace", "check", "swap", trace, runs=runs)
    assert done.code == 0, done.out
    broken = good_run()
    work = broken.find("EndpointWork", Worker=1)[-1]
    work.fields["Version"] = 2
    broken.remove(broken.find("SignalEnd", Worker=2)[3])
    bad = tmp_path / "bad.etl"
    bad.write_bytes(broken.to_bytes())
    content = json.loads(called("trace", "check", "swap", bad, "--json", runs=runs).out)
    failed = {item["id"] for item in content["results"] if item["verdict"] == "fail"}
    assert failed == {"versions", "same-version", "signals-return", "signals-accounted"}


def test_rules_that_do_not_come_along_are_told(trace: Path, runs: Path) -> None:
    done = called("trace", "check", "swop", trace, runs=runs)
    assert done.code == 2
    assert done.complaint(progress=False).endswith("no rules of that name come along; those that do: swap")
