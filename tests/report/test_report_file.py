"""The report as a file: one, offline, whole for every kind of run, and nothing from outside is ever markup."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from hotswap.report.html import write_report
from hotswap.report.model import TraceModel
from hotswap.swap.swaps import Outcome
from hotswap.swap.witnesses import WAIT_ALL, WAIT_ANY, WorkerDefinition
from hotswap.trace.etl import parse_etl
from hotswap.trace.expect import ExpectationResult, Verdict
from hotswap.trace.writer import build_etl
from support.reports import HOSTILE, failed, hostile_report, passed, refused, report_of, result_of, timed
from support.swap_trace import Run, Simulation


class Elements(HTMLParser):
    """Every element with its attributes, and the text outside of scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self.inside = tag
        self.text += " "

    def handle_data(self, data: str) -> None:
        if self.inside not in ("script", "style"):
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""


def test_the_file_asks_for_nothing_from_outside() -> None:
    html = report_of(failed())
    assert re.findall(r"https?://[^\s\"'<)]+", html) == ["http://www.w3.org/2000/svg"] * html.count("http://")
    for tag, attributes in Elements(html).found:
        assert tag not in ("link", "iframe", "object", "embed", "base", "img"), tag
        for name in ("src", "href", "action", "srcset"):
            value = attributes.get(name)
            assert value is None or value.startswith("#"), (tag, name, value)
    assert "url(" not in re.sub(r"url\(#[\w$\-{} %.]+\)", "", html)


def test_beside_its_data_the_file_is_small() -> None:
    html = report_of(passed())
    data = re.search(r'id="trace-columns">([^<]*)<', html)
    assert data is not None
    assert len(html) - len(data[1]) < 300_000


def test_nothing_from_outside_becomes_markup() -> None:
    html = hostile_report()
    page = Elements(html)
    assert [attributes.get("type") for tag, attributes in page.found if tag == "script"] == [
        "application/json",
        "application/octet-stream",
        None,
    ]
    assert not [tag for tag, attributes in page.found if tag == "img" or any(n.startswith("on") for n in attributes)]
    assert page.text.count(HOSTILE) >= 8, "shown as text, in full"
    assert "<script>document.title" not in html


def test_a_script_that_is_not_the_reports_own_would_not_run() -> None:
    policy = next(a["content"] for tag, a in Elements(report_of(passed())).found if a.get("http-equiv"))
    assert policy is not None
    assert "default-src 'none'" in policy
    assert re.search(r"script-src 'sha256-[\w+/=]{44}';", policy)


def test_a_run_without_a_trace_still_says_what_is_known() -> None:
    run = passed()
    empty = parse_etl(build_etl([]))
    whole = result_of(run, run.etl())
    result = dataclasses.replace(
        whole,
        verdict=Verdict.INCONCLUSIVE,
        reason="the run was interrupted",
        events=0,
        signals=0,
        iterations=0,
        updates=(),
        expectations=(),
        slices={},
        steps={},
    )
    for witnesses in (None, run.witnesses):
        text = Elements(write_report(result, empty, witnesses)).text
        for words in ("Inconclusive", "the run was interrupted", "Nothing was checked", "hotswap swap --seed 1"):
            assert words in text
        assert "did not get to an update" in text


@pytest.mark.parametrize("keep", [1, 5, 40, 200])
def test_a_trace_that_ends_anywhere_gives_a_report(keep: int) -> None:
    run = passed()
    run.events = sorted(run.events, key=lambda event: event.tick)[:keep]
    html = report_of(run)
    assert "Inconclusive" in html or "Fail" in html


def test_an_expectation_that_the_report_does_not_know_is_shown() -> None:
    run = passed()
    etl = run.etl()
    result = result_of(run, etl)
    new = ExpectationResult("something-new", Verdict.FAIL, "it did not hold", (10**9, 3))
    text = Elements(write_report(dataclasses.replace(result, expectations=(new,)), etl, None)).text
    assert "something-new" in text
    assert "it did not hold" in text


def test_environment_and_command_are_told_in_full() -> None:
    text = " ".join(Elements(report_of(passed())).text.split())
    for words in ("hotswap_v1.sys " + "b1" * 32, "Windows 10.0.26100, Wine 8.0", "seed 1", "Runtime in use compat"):
        assert words in text, words
    assert "hotswap swap --seed 1" in text
    assert "start machine 900" in text


def test_every_expectation_is_listed_with_its_statement_and_clauses() -> None:
    text = " ".join(Elements(report_of(passed())).text.split())
    assert "signals-accounted" in text
    assert "For each auto-reset event, accepted signals equal the iterations that name it" in text
    assert "W26" in text


@pytest.mark.parametrize("outcome", [Outcome.PRE_PROCESS, Outcome.PROXY_STALLED, Outcome.POST_PROCESS])
def test_a_refused_update_is_shown_with_its_reason_and_that_the_old_version_went_on(outcome: Outcome) -> None:
    page = Elements(report_of(refused(outcome)))
    text = " ".join(page.text.split())
    assert "v1 → v2 refused STATUS_DEVICE_NOT_READY" in text
    assert "version 1 went on" in text
    assert "1 refused" in text


def test_the_failed_slice_is_drawn_with_a_number_for_each_of_its_events() -> None:
    run = failed()
    timed(run)
    etl = run.etl()
    result = result_of(run, etl)
    (answer,) = [item for item in result.expectations if item.verdict is Verdict.FAIL]
    html = write_report(result, etl, run.witnesses)
    drawing = html[html.index('<section id="proof"') : html.index('<section id="timeline"')]
    numbers = re.findall(r'class="number"><circle [^>]*/><text [^>]*>(\d+)<', drawing)
    assert numbers == [str(n) for n in range(1, len(answer.slice) + 1)]
    assert "Worker 1" in drawing
    assert f'data-jump="{answer.id}"' in drawing
    for number, line in enumerate(result.slices[answer.id].splitlines()[1:], 1):
        assert f"{number:>3}  {line}" in drawing, "the text carries the numbers of the drawing"


def test_latency_counts_from_the_signal_that_woke_the_iteration() -> None:
    workers = (WorkerDefinition(1, WAIT_ANY, 2), WorkerDefinition(2, WAIT_ALL, 2))
    simulation = Simulation(workers=workers)
    simulation.start()
    begun: list[int] = []

    def signal(worker: int, event: int) -> int:
        at = simulation.now
        simulation.signal(worker, event)
        return next(e.tick for e in simulation.events if e.name == "SignalBegin" and e.tick > at)

    for _ in range(3):
        begun.append(signal(1, 1))
        simulation.signal(1, 1)  # found it set: not accepted, so nothing waits for it
        simulation.run(1)
        simulation.signal(2, 1)
        begun.append(signal(2, 0))  # completes the set
        simulation.run(2)
    run = simulation.finish((1,))
    model = TraceModel(run.etl(), run.witnesses)
    wakes, runs = model.wakes, model.trace.iterations
    assert sorted(model.trace.signals.begin[wakes.signal].tolist()) == begun
    assert np.array_equal(wakes.ticks, runs.begin[wakes.iteration] - model.trace.signals.begin[wakes.signal])
    assert wakes.unpaired == 0


def test_a_lost_wakeup_is_not_made_into_a_latency() -> None:
    good, bad = passed(), failed()
    models = [TraceModel(run.etl(), run.witnesses) for run in (good, bad)]
    assert models[1].wakes.unpaired == models[0].wakes.unpaired + 1
    assert len(models[1].wakes.ticks) == len(models[0].wakes.ticks) - 1


def test_after_a_lost_wakeup_later_latencies_are_not_counted_from_it() -> None:
    simulation = Simulation(workers=(WorkerDefinition(1, WAIT_ANY, 2),))
    simulation.start()
    simulation.signal(1, 0)
    simulation.state[1, 0] = False  # lost: taken, and no iteration runs
    simulation.signal(1, 1)
    simulation.run(1)
    simulation.signal(1, 1)
    simulation.run(1)  # its wait answers 1, so nothing was set at 0
    simulation.signal(1, 0)
    last = simulation.events[-2].tick
    simulation.run(1)
    run = simulation.finish((1,))
    model = TraceModel(run.etl(), run.witnesses)
    assert int(model.trace.signals.begin[model.wakes.signal[-1]]) == last
    assert model.wakes.unpaired == 1


def test_a_worker_that_never_returns_is_drawn_to_the_end() -> None:
    run: Run = passed()
    end = run.find("IterationEnd", Worker=1)[-1]
    run.events = [e for e in run.events if e.tick < end.tick]
    assert '"iteration.end"' in report_of(run)
