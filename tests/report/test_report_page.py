"""The report in Chromium: what is drawn, and what pointer, keys and buttons do."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from hotswap.bench.made_up import made_up_result, made_up_trace
from hotswap.report.browser import Browser
from hotswap.report.html import write_report
from hotswap.swap.swaps import Outcome
from hotswap.trace.expect import format_slice
from support.reports import (
    ENVIRONMENT,
    HOSTILE,
    failed,
    hostile_report,
    open_question,
    passed,
    refused,
    report_of,
    result_of,
    timed,
)
from support.swap_trace import Run

LANES = "document.getElementById('lanes')"


def state(browser: Browser) -> dict[str, Any]:
    """What the timeline says of itself, after the next frame."""
    frame = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    text = browser.evaluate(f"{frame}.then(() => JSON.stringify({LANES}.dataset))")
    return {
        name: int(value) if name in ("from", "to", "lanes", "events") or (value and name.endswith("Row")) else value
        for name, value in json.loads(text).items()
    }


def click(browser: Browser, selector: str, nth: int = 0) -> None:
    browser.evaluate(f"document.querySelectorAll({json.dumps(selector)})[{nth}].click()")


def text(browser: Browser, selector: str) -> str:
    found = browser.evaluate(f"document.querySelector({json.dumps(selector)}).innerText")
    assert isinstance(found, str)
    return found


def focus(browser: Browser) -> dict[str, float]:
    """Focus the timeline and tell its box."""
    box = f"(() => {{ const b = {LANES}.getBoundingClientRect(); return JSON.stringify([b.left, b.top, b.width]); }})()"
    browser.evaluate(f"{LANES}.focus(); {LANES}.scrollIntoView({{block: 'center'}})")
    left, top, width = json.loads(browser.evaluate(box))
    return {"left": left, "top": top, "width": width}


def span(told: dict[str, Any]) -> int:
    return int(told["to"]) - int(told["from"])


@pytest.mark.parametrize("make", [passed, failed, open_question, refused])
def test_a_report_opens_without_a_complaint_and_draws_every_lane(page: Any, make: Any) -> None:
    run: Run = make()
    browser = page(run)
    told = state(browser)
    assert told["lanes"] == 2 + 6, "versions, host, six workers"
    assert told["events"] == len(run.events) + 1, "with the event that is the file's header"
    first, last = min(e.tick for e in run.events), max(e.tick for e in run.events)
    assert told["from"] < 0
    assert told["to"] > (last - first) * 100
    assert browser.evaluate("document.getElementById('legend').children.length") >= 8


def test_the_canvas_is_not_blank_and_shows_both_versions(page: Any) -> None:
    browser = page(passed())
    counted = browser.evaluate(
        "(() => { const c = document.getElementById('lanes');"
        " const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; const seen = {};"
        " for (let i = 0; i < d.length; i += 4) { const k = d[i] + ',' + d[i + 1] + ',' + d[i + 2];"
        " seen[k] = (seen[k] || 0) + 1; } return JSON.stringify(seen); })()"
    )
    colours = json.loads(counted)
    for name in ("--v0", "--v1"):
        value = browser.evaluate(f"getComputedStyle(document.documentElement).getPropertyValue('{name}').trim()")
        rgb = ",".join(str(int(value[i : i + 2], 16)) for i in (1, 3, 5))
        assert colours.get(rgb, 0) > 500, (name, value)


def test_keys_zoom_move_and_show_the_whole_again(page: Any) -> None:
    browser = page(passed())
    focus(browser)
    whole = state(browser)
    browser.key("+")
    near = state(browser)
    assert span(near) == pytest.approx(span(whole) / 2, rel=0.01)
    browser.key("d")
    assert state(browser)["from"] > near["from"]
    browser.key("a", "-")
    assert span(state(browser)) == pytest.approx(span(whole), rel=0.01)
    browser.key("+", "+", "0")
    assert {k: state(browser)[k] for k in ("from", "to")} == {k: whole[k] for k in ("from", "to")}


def test_the_wheel_zooms_about_the_pointer_once_the_timeline_is_in_use(page: Any) -> None:
    browser = page(passed())
    whole = state(browser)
    browser.evaluate(f"{LANES}.scrollIntoView({{block: 'center'}})")
    box = focus(browser)
    browser.evaluate(f"{LANES}.blur()")
    x, y = box["left"] + box["width"] * 0.75, box["top"] + 100
    browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=-200)
    assert span(state(browser)) == span(whole), "a page that scrolls does not get stuck"
    box = focus(browser)
    x, y = box["left"] + box["width"] * 0.75, box["top"] + 100
    browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=-200)
    near = state(browser)
    assert span(near) < span(whole) * 0.8
    share = (x - box["left"] - 152) / (box["width"] - 160)
    before, after = (told["from"] + span(told) * share for told in (whole, near))
    assert after == pytest.approx(before, abs=span(whole) * 0.01)


def test_dragging_moves_and_the_overview_jumps(page: Any) -> None:
    browser = page(passed())
    box = focus(browser)
    browser.key("+", "+")
    before = state(browser)
    x, y = box["left"] + 600, box["top"] + 120
    browser.mouse("mousePressed", x, y, button="left", clickCount=1)
    browser.mouse("mouseMoved", x - 200, y, button="left", buttons=1)
    browser.mouse("mouseReleased", x - 200, y, button="left", clickCount=1)
    after = state(browser)
    assert after["from"] > before["from"]
    assert span(after) == pytest.approx(span(before), rel=0.001)
    assert after["selectedRow"] == "", "a drag selects nothing"
    browser.click(box["left"] + 170, box["top"] - 22)
    assert state(browser)["from"] < after["from"]


def test_arrow_keys_walk_the_events_of_a_lane_and_are_read_out(page: Any) -> None:
    run = failed()
    browser = page(run)
    table = run.etl().events
    focus(browser)
    browser.key("ArrowDown", "ArrowDown", "Home")
    told = state(browser)
    assert told["lane"] == "Worker 1"
    mine = [r for r in range(len(table)) if (table.row(r)["fields"] or {}).get("Worker") == 1]  # type: ignore[attr-defined]
    assert told["selectedRow"] == mine[0]
    for row in mine[1:4]:
        browser.key("ArrowRight")
        assert state(browser)["selectedRow"] == row
    said = text(browser, "#live")
    assert str(table.row(mine[3])["event"]) in said
    assert "lane Worker 1" in said
    browser.key("ArrowLeft")
    assert state(browser)["selectedRow"] == mine[2]
    browser.key("End")
    assert state(browser)["selectedRow"] == mine[-1]
    browser.key("Escape")
    assert state(browser)["selectedRow"] == ""


def test_brackets_and_buttons_go_from_swap_to_swap(page: Any) -> None:
    browser = page(passed())
    focus(browser)
    whole = state(browser)
    browser.key("]")
    first = state(browser)
    assert span(first) < span(whole) / 5
    browser.key("]")
    second = state(browser)
    assert second["from"] > first["from"]
    assert "Swap 2, version 1 to 2" in text(browser, "#live")
    browser.key("[")
    assert state(browser)["from"] == first["from"]
    click(browser, "#zoom-swaps button", 1)
    assert state(browser)["from"] == second["from"]
    browser.key("0")
    click(browser, "#updates button[data-swap]", 1)
    assert state(browser)["from"] == second["from"]


def test_pointing_shows_an_event_with_its_exact_time_and_all_fields(page: Any) -> None:
    run = passed()
    browser = page(run)
    table = run.etl().events
    row = int(table.events("IterationBegin").rows[20])
    worker = int(table.events("IterationBegin")["Worker"][20])
    focus(browser)
    click(browser, "[data-do=fit]")
    # Zoom to it: select in the table is by row, so search with the keys from there.
    browser.evaluate(
        "document.getElementById('filter-kind').value = 'IterationBegin';"
        "document.getElementById('filter-kind').dispatchEvent(new Event('change'))"
    )
    browser.evaluate(
        f"document.querySelector('tr[data-row=\"{row}\"]') || document.getElementById('events-scroll')"
        ".scrollTo(0, 20 * 25)"
    )
    browser.wait_until(f"document.querySelector('tr[data-row=\"{row}\"]')")
    click(browser, f'tr[data-row="{row}"]')
    box = focus(browser)
    browser.key("Enter")
    told = state(browser)
    assert told["selectedRow"] == row
    ns = int(table.ns[row]) - int(table.ns[0])
    x = box["left"] + 152 + (ns - told["from"]) / span(told) * (box["width"] - 160)
    y = box["top"] + 26 + 40 + 32 + (worker - 1) * 34 + 8
    browser.mouse("mouseMoved", x + 1, y)
    assert state(browser)["hoverRow"] == row
    tip = text(browser, "#tip").replace("\u2009", "")
    assert "IterationBegin" in tip
    assert f"{int(table.ns[row]) / 1e9:.7f}s" in tip
    assert str(int(table.tick[row])) in tip
    fields = table.row(row)["fields"]
    assert isinstance(fields, dict)
    for name in fields:
        assert name in tip
    browser.mouse("mouseMoved", 2, 2)
    assert state(browser)["hoverRow"] == ""


def test_the_table_says_what_the_trace_holds_row_by_row(page: Any) -> None:
    run = passed()
    for stop in run.find("WorkerStop"):
        stop.fields["FinalStateMask"] = (1 << 64) - 2
    for create in run.find("WorkerCreate"):
        create.fields["Timeout"] = -(1 << 62)
    browser = page(run)
    etl = run.etl()
    expected = format_slice(etl.events, range(len(etl.events))).splitlines()[1:]
    seen: dict[int, str] = {}
    lines = (
        "JSON.stringify([...document.querySelectorAll('#events-table tr[data-row]')].map(r => [Number(r.dataset.row),"
        " r.cells[4].textContent, r.cells[5].textContent]))"
    )
    for top in range(0, len(expected) * 25, 250):
        browser.evaluate(
            f"new Promise(done => {{ document.getElementById('events-scroll').scrollTop = {top};"
            " requestAnimationFrame(() => requestAnimationFrame(done)); })"
        )
        seen |= {row: " ".join([name, *fields.split()]) for row, name, fields in json.loads(browser.evaluate(lines))}
    assert sorted(seen) == list(range(len(expected)))
    sources = (" (IOCTL)", " (load)", " (stop)", " (restart)")
    # Row 0 is the file's header.
    for row, line in enumerate(expected[1:], 1):
        words = seen[row]
        for source in sources:
            words = words.replace(source, "")
        assert words == " ".join(line.split()[4:]), row


def test_filters_count_and_selecting_in_the_table_moves_the_timeline(page: Any) -> None:
    run = passed()
    browser = page(run)
    browser.evaluate(
        "document.getElementById('filter-kind').value = 'SwapSwitched';"
        "document.getElementById('filter-kind').dispatchEvent(new Event('change'))"
    )
    switched = len(run.find("SwapSwitched"))
    assert text(browser, "#events-count").startswith(f"{switched} of")
    focus(browser)
    browser.key("+", "+", "+", "+")
    click(browser, "#events-table tr[data-row]", switched - 1)
    told = state(browser)
    assert told["lane"] == "Version"
    tick = max(e.tick for e in run.find("SwapSwitched"))
    ns = (tick - run.session.first_tick) * 100
    assert told["from"] <= ns <= told["to"], "brought into sight"
    assert "SwapSwitched" in text(browser, "#selected")


def test_from_an_iteration_one_gets_to_the_signal_that_woke_it(page: Any) -> None:
    run = passed()
    browser = page(run)
    focus(browser)
    browser.key("ArrowDown", "ArrowDown", "Home")
    for _ in range(12):
        browser.key("ArrowRight")
        if "Woken by" in text(browser, "#selected"):
            break
    row = state(browser)["selectedRow"]
    browser.evaluate("[...document.querySelectorAll('#selected button.link')].at(-1).click()")
    told = state(browser)
    assert told["selectedRow"] < row
    assert run.etl().events.row(told["selectedRow"])["event"] == "SignalBegin"


def test_a_proof_is_shown_in_the_timeline_by_its_button(page: Any) -> None:
    run = failed()
    timed(run)
    etl = run.etl()
    (answer,) = [item for item in run.evaluate().values() if item.slice and str(item.verdict) == "fail"]
    browser = page(write_report(result_of(run, etl), etl, run.witnesses))
    whole = state(browser)
    click(browser, f'button[data-jump="{answer.id}"]')
    told = state(browser)
    assert told["proof"] == answer.id
    assert told["selectedRow"] == answer.slice[0]
    times = [int(etl.events.ns[row]) - int(etl.events.ns[0]) for row in answer.slice]
    assert told["from"] < min(times)
    assert max(times) < told["to"]
    assert span(told) < span(whole) / 10
    assert browser.evaluate("document.activeElement.id") == "lanes"


def test_hundred_thousand_events_are_drawn(page: Any, tmp_path: Path) -> None:
    etl = made_up_trace(100_000)
    browser = page(write_report(made_up_result(etl, tmp_path), etl, None))
    told = state(browser)
    assert told["events"] >= 100_000
    assert told["lanes"] == 2 + 8


def test_the_command_is_copied_or_left_selected(page: Any) -> None:
    browser = page(passed())
    click(browser, "[data-copy=command]")
    browser.wait_until("['Copied', 'Selected'].includes(document.querySelector('[data-copy=command]').textContent)")
    assert ENVIRONMENT["command"] in (
        browser.evaluate("navigator.clipboard ? navigator.clipboard.readText().catch(() => '') : ''"),
        browser.evaluate("getSelection().toString()"),
    )


def test_hostile_names_are_text_on_the_page_as_well(page: Any) -> None:
    browser = page(hostile_report())
    assert state(browser)["ready"] == "true"
    assert "owned" not in browser.evaluate("document.title")
    assert text(browser, "#command") == f"hotswap swap --to '{HOSTILE}'"
    assert browser.evaluate("document.querySelectorAll('img').length") == 0


def test_a_run_without_events_says_so_instead_of_a_timeline(page: Any) -> None:
    run = passed()
    timed(run)
    etl = run.etl()
    result = dataclasses.replace(result_of(run, etl), expectations=(), updates=(), slices={})
    run.events = []
    browser = page(write_report(result, run.etl(), None))
    browser.wait_until("!document.getElementById('timeline-problem').hidden")
    assert "no trace of this run" in text(browser, "#timeline-problem")
    assert browser.evaluate("getComputedStyle(document.getElementById('stage')).display") == "none"


def test_without_javascript_all_but_the_timeline_is_there(chromium: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(report_of(failed()))
    chromium.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        chromium.open(path)
        shown = chromium.call("DOM.getDocument", depth=0)["root"]["nodeId"]
        found = {
            name: chromium.call("DOM.querySelector", nodeId=shown, selector=selector)["nodeId"]
            for name, selector in (("noscript", "noscript p"), ("slice", "svg.slice"), ("hist", "svg.histogram"))
        }
        assert all(found.values()), found
    finally:
        chromium.call("Emulation.setScriptExecutionDisabled", value=False)


@pytest.mark.parametrize("width", [400, 1600])
def test_the_page_fits_its_window(page: Any, width: int) -> None:
    browser = page(failed(), width=width)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_a_refused_update_is_marked_in_the_timeline(page: Any) -> None:
    browser = page(refused(Outcome.POST_PROCESS))
    assert "roll back" in text(browser, "#legend")
    title = browser.evaluate("document.querySelectorAll('#zoom-swaps button')[1].title")
    assert "its PostProcess callback refused (STATUS_DEVICE_NOT_READY)" in title
