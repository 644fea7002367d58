"""The report of any trace in Chromium: what is drawn, and what keys, pointer, search and choices do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_trace import BEGIN, WORKERS, etl_of, event, page_of, rows

from hotswap.report.browser import Browser
from hotswap.trace.etl import read_etl
from hotswap.trace.latency import LatencyCollector
from hotswap.trace.lines import EventLines, LineFormat
from hotswap.trace.losses import losses_of
from hotswap.trace.select import Selection
from hotswap.trace.shape import Loss
from support.real_samples import samples_folder
from support.reports import HOSTILE

LANES = "document.getElementById('lanes')"


def state(browser: Browser) -> dict[str, Any]:
    frame = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    told = json.loads(browser.evaluate(f"{frame}.then(() => JSON.stringify({LANES}.dataset))"))
    numbers = ("from", "to", "lanes", "events", "matches", "selectedRow", "hoverRow")
    return {name: int(value) if value and name in numbers else value for name, value in told.items()}


def choose(browser: Browser, name: str, value: str) -> None:
    checked, given = json.dumps(value == "on"), json.dumps(value)
    browser.evaluate(
        f"(() => {{ const field = document.getElementById({json.dumps(name)});"
        f" if (field.type === 'checkbox') field.checked = {checked}; else field.value = {given};"
        f" if (field.type !== 'checkbox' && field.value !== {given}) throw new Error('no such choice');"
        " field.dispatchEvent(new Event('change')); })()"
    )


def text(browser: Browser, selector: str) -> str:
    found = browser.evaluate(f"document.querySelector({json.dumps(selector)}).innerText")
    assert isinstance(found, str)
    return found.replace("\u2009", "")


def focus(browser: Browser) -> dict[str, float]:
    browser.evaluate(f"{LANES}.focus(); {LANES}.scrollIntoView({{block: 'center'}})")
    box = f"(() => {{ const b = {LANES}.getBoundingClientRect(); return JSON.stringify([b.left, b.top, b.width]); }})()"
    left, top, width = json.loads(browser.evaluate(box))
    return {"left": left, "top": top, "width": width}


def find(browser: Browser, question: str) -> None:
    browser.evaluate("document.getElementById('search').value = ''; document.getElementById('search').focus()")
    browser.call("Input.insertText", text=question)
    browser.key("Enter")


def test_a_page_opens_without_a_complaint_and_has_a_lane_for_each_thread(page: Any) -> None:
    etl = etl_of(rows())
    html = page_of(etl)
    data = re.search(r'id="trace-columns">([^<]*)<', html)
    assert data is not None
    assert len(html) - len(data[1]) < 400_000
    assert re.findall(r"https?://[^\s\"'<)]+", html) == ["http://www.w3.org/2000/svg"] * html.count("http://")
    browser = page(html)
    told = state(browser)
    assert told["events"] == len(etl.events) - 1
    assert told["lanes"] == WORKERS + 4, "workers, who signals, who notes, the manifest's and the kernel's"
    legend = text(browser, "#legend")
    for name in ("Work", "Signal", "Note"):
        assert name in legend
    assert text(browser, "#events-count") == str(len(etl.events) - 1)


def test_the_table_says_of_each_event_what_the_command_line_says(page: Any) -> None:
    etl = etl_of(rows())
    browser = page(page_of(etl))
    chosen = np.arange(1, len(etl.events))
    lines = EventLines(etl.events, chosen, LineFormat(whole=True)).lines()
    expected = ["".join(piece.text for piece in line if piece.role in ("field", "value")).strip() for line in lines]
    seen: dict[int, list[str]] = {}
    for top in range(0, len(chosen) * 25, 250):
        browser.evaluate(
            f"new Promise(done => {{ document.getElementById('events-scroll').scrollTop = {top};"
            " requestAnimationFrame(() => requestAnimationFrame(done)); })"
        )
        cells = "[Number(e.dataset.row), [...e.cells].map(c => c.textContent)]"
        seen |= dict(of_all(browser, "#events-table tr[data-row]", cells))
    assert sorted(seen) == list(range(len(chosen)))
    table = etl.events
    for row, line in seen.items():
        at = row + 1
        place = ["" if value < 0 else str(value) for value in (int(table.owner_pid[at]), int(table.owner_tid[at]))]
        assert line[2:6] == [*place, str(int(table.cpu[at])), table.names[at]]
        if table.names[at] in ("hook 0x0f2e", "id 17"):
            assert line[6].startswith("not decoded=nothing describes its payload  payload=")
            shown = table.payload(at)[:48].hex() + ("… (100 bytes)" if table.names[at] == "id 17" else "")
            assert line[6].endswith(f"payload={shown}")
        else:
            assert " ".join(line[6].split()) == " ".join(expected[row].split()), row


def test_keys_walk_events_and_lanes_and_zoom(page: Any) -> None:
    etl = etl_of(rows())
    browser = page(page_of(etl))
    focus(browser)
    whole = state(browser)
    browser.key("+", "+")
    assert state(browser)["to"] - state(browser)["from"] == pytest.approx((whole["to"] - whole["from"]) / 4, rel=0.01)
    browser.key("0", "Home")
    first = state(browser)
    mine = np.flatnonzero(etl.events.tid == 300) - 1
    browser.key("ArrowDown", "Home")
    lane = state(browser)["lane"]
    assert lane != first["lane"]
    tid = int(lane.removeprefix("thread "))
    mine = np.flatnonzero(etl.events.tid == tid) - 1
    for row in mine[1:4].tolist():
        browser.key("ArrowRight")
        assert state(browser)["selectedRow"] == row
    assert f"lane thread {tid}" in text(browser, "#live")
    assert browser.evaluate("document.querySelector('#events-table tr[aria-selected]').dataset.row") == str(mine[3])
    browser.key("Escape")
    assert state(browser)["selectedRow"] == ""


def test_lanes_are_made_by_what_is_chosen(page: Any) -> None:
    etl = etl_of(rows())
    browser = page(page_of(etl))
    names = set(etl.events.names[1:].tolist())
    for value, lanes in ((".Worker", WORKERS + 1), ("cpu", 2), ("event", len(names)), ("process", 2), (".Text", 13)):
        choose(browser, "lanes-by", value)
        told = state(browser)
        assert (told["grouping"], told["lanes"]) == (value, lanes)
    choose(browser, "lanes-by", ".Worker")
    focus(browser)
    browser.key("Home")
    assert state(browser)["lane"] == "Worker 0"
    choose(browser, "filter-lane", "2")
    expected = sum(getattr(row, "values", {}).get("Worker") == 2 for row in rows())
    assert text(browser, "#events-count").startswith(f"{expected} of")


def test_searching_finds_what_there_is(page: Any) -> None:
    table = etl_of(rows()).events
    browser = page(page_of(etl_of(rows())))
    decoded = [(table.names[at], table.row(at)["fields"] or {}) for at in range(1, len(table))]
    for question, fits in QUESTIONS.items():
        expected = [row for row, (name, values) in enumerate(decoded) if fits(name, values)]
        find(browser, question)
        assert state(browser)["matches"] == len(expected), question
        said = text(browser, "#search-count")
        assert said.endswith(f"{len(expected)} found" if expected else "nothing found")


def test_a_range_is_measured_by_dragging_with_shift_or_by_two_marks(page: Any) -> None:
    etl = etl_of(rows())
    browser = page(page_of(etl))
    box = focus(browser)
    whole = state(browser)
    x, y = box["left"] + 400, box["top"] + 120
    shift = 8
    browser.mouse("mousePressed", x, y, button="left", clickCount=1, modifiers=shift)
    browser.mouse("mouseMoved", x + 200, y, button="left", buttons=1, modifiers=shift)
    browser.mouse("mouseReleased", x + 200, y, button="left", clickCount=1, modifiers=shift)
    told = state(browser)
    assert (told["from"], told["to"]) == (whole["from"], whole["to"]), "it does not move"
    assert told["selectedRow"] == ""
    low, high = map(int, told["range"].split())
    ns = etl.events.ns[1:] - int(etl.events.ns[1])
    inside = int(np.count_nonzero((ns >= low) & (ns <= high)))
    assert 20 < inside < 100
    assert text(browser, "#range").endswith(f"{inside} events")
    choose(browser, "filter-range", "on")
    assert text(browser, "#events-count").startswith(f"{inside} of")
    browser.key("Escape")
    assert state(browser)["range"] == ""
    browser.key("ArrowDown", "Home", "m", "ArrowRight", "ArrowRight", "m")
    mine = np.flatnonzero(etl.events.tid == int(state(browser)["lane"].removeprefix("thread "))) - 1
    assert [int(ns[mine[0]]), int(ns[mine[2]])] == [*map(int, state(browser)["range"].split())]


def figures(browser: Browser) -> dict[str, str]:
    browser.wait_until("document.getElementById('latency-answer').dataset.pairs")
    names, values = (text(browser, "#latency-answer .mini").splitlines()[i::2] for i in (0, 1))
    return dict(zip(names, values, strict=True))


def test_latencies_are_those_that_the_command_line_tells(page: Any) -> None:
    etl = etl_of(rows())
    browser = page(page_of(etl))
    assert figures(browser)["Pairs"] == "60", "spans come first"
    choose(browser, "latency-what", "pair")
    choose(browser, "latency-first", "Signal")
    choose(browser, "latency-second", "WorkBegin")
    choose(browser, "latency-per", ".Worker")
    collector = LatencyCollector("Signal", "WorkBegin", ["Worker"])
    collector.add(etl.events, np.arange(len(etl.events)))
    found = collector.result()
    told = figures(browser)
    assert told["Pairs"] == str(len(found.nanoseconds))
    assert told["max"] == f"{found.nanoseconds.max() / 1000:g}µs"
    ordered = np.sort(found.nanoseconds)
    assert told["p50"] == f"{ordered[int(np.ceil(len(ordered) / 2)) - 1] / 1000:g}µs"
    bars = [(low, high, count) for low, high, count in found.histogram() if count]
    titles = of_all(browser, "#latency-answer .bar title", "e.textContent")
    assert [int(title.rsplit(": ", 1)[1]) for title in titles] == [count for _, _, count in bars]
    browser.evaluate("document.querySelector('.slowest button').click()")
    slowest = int(np.argmax(found.nanoseconds))
    signals = np.flatnonzero(etl.events.names == "Signal") - 1
    assert state(browser)["selectedRow"] == signals[slowest]
    assert browser.evaluate("document.activeElement.id") == "lanes"
    choose(browser, "latency-second", "Note")
    choose(browser, "latency-per", "thread")
    assert "No such pair" in text(browser, "#latency-answer")


def test_pointing_and_clicking_select_spans_and_events(page: Any) -> None:
    table = etl_of(rows()).events
    browser = page(page_of(etl_of(rows())))
    begin = next(row for row in range(len(table)) if table.names[row] == "WorkBegin" and table.tid[row] == 302)
    find(browser, "Worker=2")
    box = focus(browser)
    browser.key("Enter")
    told = state(browser)
    ns = int(table.ns[begin]) - int(table.ns[1])
    x = box["left"] + 152 + (ns - told["from"]) / (told["to"] - told["from"]) * (box["width"] - 160) + 3
    height = browser.evaluate(f"{LANES}.clientHeight")
    for y in range(30, height - 4, 4):
        browser.mouse("mouseMoved", x, box["top"] + y)
        if state(browser)["hoverRow"] == begin - 1:
            break
    else:
        pytest.fail("the span was not found under the pointer")
    tip = text(browser, "#tip")
    for words in ("WorkBegin", "Lasted", "Ended by", "STATUS_SUCCESS", "HotSwap.Page"):
        assert words in tip
    browser.click(x, box["top"] + y)
    assert state(browser)["selectedRow"] == begin - 1
    browser.evaluate("document.querySelector('#selected button.link').click()")
    assert table.names[state(browser)["selectedRow"] + 1] == "WorkEnd"


def test_losses_are_listed_and_drawn_where_they_are(page: Any) -> None:
    losses = (Loss(None, None, "3 events"), Loss(200_000, 300_000, "buffer 7 is missing", 1))
    browser = page(page_of(etl_of(rows()), losses=losses))
    note = "#timeline details.note"
    assert "2 times" in text(browser, note)
    browser.evaluate(f"document.querySelector('{note}').open = true")
    assert "3 events: nobody knows when" in text(browser, note)
    assert "buffer 7 is missing (CPU 1): from 0.000200 s to 0.000300 s" in text(browser, note)
    told = state(browser)
    first = 1_000
    share = [(ns - first - told["from"]) / (told["to"] - told["from"]) for ns in (200_000, 300_000)]
    colour = browser.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--fail').trim()")
    wanted = json.dumps([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    script = (
        f"const c = {LANES}; const scale = c.width / c.clientWidth; const found = [];"
        " const data = c.getContext('2d').getImageData(0, 23 * scale, c.width, 1).data;"
        f" const like = (i) => {wanted}.every((value, k) => Math.abs(data[4 * i + k] - value) < 3);"
        " for (let i = 0; i < c.width; i++) if (like(i)) found.push(i / scale);"
        " return JSON.stringify([found[0], found.at(-1), c.clientWidth]);"
    )
    *marked, width = json.loads(browser.evaluate(f"(() => {{ {script} }})()"))
    assert marked == pytest.approx([152 + part * (width - 160) for part in share], abs=2)


def test_many_lanes_scroll_and_keys_bring_them_into_sight(page: Any) -> None:
    events = [event(100 + i, 1000 + i % 200, BEGIN, {"Worker": i % 3, "Status": 0}) for i in range(1000)]
    browser = page(page_of(etl_of(events)))
    assert state(browser)["lanes"] == 200
    assert browser.evaluate(f"{LANES}.clientHeight") <= 620
    focus(browser)
    for _ in range(60):
        browser.key("ArrowDown")
    assert browser.evaluate("document.getElementById('lanes-scroll').scrollTop") > 500
    seen = state(browser)
    browser.evaluate("document.getElementById('lanes-scroll').scrollTop = 0")
    assert state(browser)["selectedRow"] == seen["selectedRow"]


def test_only_what_was_chosen_is_on_the_page(page: Any) -> None:
    etl = etl_of(rows())
    chosen = np.flatnonzero(etl.events.names == "Note")
    browser = page(page_of(etl, chosen=Selection(["Note"])))
    assert state(browser)["events"] == len(chosen)
    first = browser.evaluate("document.querySelector('#events-table tr[data-row=\"0\"]').cells[0].textContent")
    assert first == str(chosen[0])


def test_pairs_that_are_asked_for_are_drawn_and_measured(page: Any) -> None:
    browser = page(page_of(etl_of(rows()), pairs=["Signal:WorkEnd:Worker"]))
    assert figures(browser)
    choices = of_all(browser, "#latency-what option", "e.textContent")
    assert "Signal → WorkEnd · 60 spans" in choices


def test_a_trace_without_events_says_so(page: Any) -> None:
    browser = page(page_of(etl_of([])))
    browser.wait_until("!document.getElementById('timeline-problem').hidden")
    assert "no events in this trace" in text(browser, "#timeline-problem")


@pytest.mark.parametrize("width", [400, 1600])
def test_the_page_fits_its_window(page: Any, width: int) -> None:
    browser = page(page_of(etl_of(rows()), losses=(Loss(None, 200_000, "x" * 200),)), width=width)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert "owned" not in browser.evaluate("document.title")


def test_everything_can_be_reached_and_has_a_name(page: Any) -> None:
    browser = page(page_of(etl_of(rows())))
    named = (
        "[e.outerHTML, Boolean(e.ariaLabel || e.getAttribute('aria-labelledby') || e.closest('label')"
        " || (e.tagName === 'BUTTON' && e.textContent.trim()))]"
    )
    controls = "button, select, input, canvas[tabindex], [role=region]"
    assert [markup for markup, has in of_all(browser, controls, named) if not has] == []
    seen = "[e.id || e.tagName, Boolean(e.offsetParent) && e.tabIndex >= 0]"
    reached = of_all(browser, "main button, main select, main input, main [tabindex]", seen)
    order = [name for name, can in reached if can]
    places = [order.index(name) for name in ("lanes-by", "search", "lanes", "events-scroll", "latency-what")]
    assert places == sorted(places)


@pytest.mark.parametrize("name", ["kernel-clr-compressed-8cpu", "tl-kernel-lxcore", "manifest-win7-kernel-process"])
def test_real_traces_open_and_can_be_searched(page: Any, name: str) -> None:
    folder = samples_folder()
    if folder is None:
        pytest.skip("real samples: not run")
    etl = read_etl(folder / f"{name}.etl")
    browser = page(page_of(etl, losses=losses_of(etl)))
    told = state(browser)
    assert told["events"] == int(np.count_nonzero(etl.events.recorded))
    kind = max(range(len(etl.events.kinds)), key=lambda index: int(np.count_nonzero(etl.events.kind == index)))
    find(browser, etl.events.kinds[kind].name)
    assert state(browser)["matches"] >= int(np.count_nonzero(etl.events.kind == kind))
    for lanes in ("process", "cpu", "event"):
        choose(browser, "lanes-by", lanes)
        assert state(browser)["grouping"] == lanes


def test_without_javascript_head_kinds_and_file_are_there(chromium: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(page_of(etl_of(rows())), "utf-8")
    chromium.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        chromium.open(path)
        root = chromium.call("DOM.getDocument", depth=0)["root"]["nodeId"]
        for selector in ("noscript p", "#kinds table tbody tr", "#file dl"):
            assert chromium.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"], selector
    finally:
        chromium.call("Emulation.setScriptExecutionDisabled", value=False)


def of_all(browser: Browser, selector: str, expression: str) -> list[Any]:
    """What an expression of the element `e` is for each that fits."""
    found = f"[...document.querySelectorAll({json.dumps(selector)})].map(e => {expression})"
    return list(json.loads(browser.evaluate(f"JSON.stringify({found})")))


QUESTIONS: dict[str, Callable[[str, dict[str, Any]], bool]] = {
    "WorkBegin": lambda name, values: name == "WorkBegin",
    "workbeg": lambda name, values: name == "WorkBegin",
    "NÖTE 2": lambda name, values: "nöte 2" in str(values.get("Text")),
    "Worker=3": lambda name, values: values.get("Worker") == 3,
    "worker >= 2": lambda name, values: values.get("Worker", -1) >= 2,
    "Status=STATUS_UNSUCCESSFUL": lambda name, values: values.get("Status") == 0xC0000001,
    "Status != status_success": lambda name, values: values.get("Status", 0) != 0,
    "0xC0000001": lambda name, values: values.get("Status") == 0xC0000001,
    "unsuccessful": lambda name, values: values.get("Status") == 0xC0000001,
    "Load<1": lambda name, values: values.get("Load", 9) < 1,
    "Signed=-4611686018427387909": lambda name, values: values.get("Signed") == -4611686018427387909,
    "Huge = 18446744073709551610": lambda name, values: values.get("Huge") == 18446744073709551610,
    "</script": lambda name, values: values.get("Text") == HOSTILE,
    "nowhere": lambda name, values: False,
}


def test_matches_are_walked_with_keys_and_narrow_the_table(page: Any) -> None:
    table = etl_of(rows()).events
    browser = page(page_of(etl_of(rows())))
    find(browser, "WorkBegin")
    expected = (np.flatnonzero(table.names == "WorkBegin") - 1).tolist()
    assert state(browser)["selectedRow"] == expected[0]
    assert text(browser, "#search-count") == f"1 of {len(expected)} found"
    focus(browser)
    browser.key("n")
    assert state(browser)["selectedRow"] == expected[1]
    browser.key("p", "p")
    assert state(browser)["selectedRow"] == expected[-1], "around the ends"
    choose(browser, "filter-found", "on")
    browser.wait_until(f"document.getElementById('events-count').textContent.startsWith('{len(expected)} of')")
    browser.key("/")
    assert browser.evaluate("document.activeElement.id") == "search"
    browser.key("Escape")
    assert state(browser)["matches"] == ""
    assert browser.evaluate("document.activeElement.id") == "lanes"
