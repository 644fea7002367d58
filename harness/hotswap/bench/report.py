"""What a report costs, of a swap run and of any trace: writing it, its size, opening it in Chromium, and a frame."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

from hotswap.bench.made_up import made_up_result, made_up_trace
from hotswap.bench.table import Row
from hotswap.report.browser import Browser
from hotswap.report.html import write_report
from hotswap.report.trace_html import write_trace_report
from hotswap.trace.etl import EtlFile
from hotswap.trace.source import ChosenEvents

SIZES = (100_000, 1_000_000)
OPENINGS = 3
_ZOOMS = 60
_AIMS = {"open": 2000.0, "frame": 16.0, "besides": 1.0}
_MILLION = {"open": 1500.0, "frame": 16.0, "besides": 1.0}
"""Of a million events of any trace."""

# Every frame that is drawn, with the time it took to draw and the time since the one before.
_RECORD = """
(() => {
  const canvas = document.getElementById("lanes");
  const seen = (window.seen = []);
  let frames = canvas.dataset.frames, before = performance.now();
  const look = (now) => {
    if (canvas.dataset.frames !== frames) seen.push([Number(canvas.dataset.drawMs), now - before]);
    frames = canvas.dataset.frames;
    before = now;
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
  canvas.focus();
  canvas.scrollIntoView({ block: "center" });
  const box = canvas.getBoundingClientRect();
  return JSON.stringify([box.left + box.width * 0.6, box.top + box.height / 2]);
})()
"""


def run(sizes: tuple[int, ...] = SIZES) -> tuple[list[Row], dict[str, Any]]:
    """Reports of made-up swap runs, each also as that of any trace; milliseconds and megabytes."""
    rows: list[Row] = []
    details: dict[str, Any] = {"openings": OPENINGS, "zoom_steps": _ZOOMS}
    with tempfile.TemporaryDirectory(prefix="hotswap-bench-") as name, Browser() as browser:
        details["browser"] = browser.call("Browser.getVersion")["product"]
        for size in sizes:
            etl = made_up_trace(size)
            folder = Path(name)
            result = made_up_result(etl, folder)
            aims = _AIMS if size <= SIZES[0] else {}
            rows += _measure(etl, "swap run", partial(write_report, result, etl, None), browser, folder, aims)
            aims = _AIMS if size <= SIZES[0] else _MILLION
            rows += _measure(etl, "any trace", partial(_any, etl), browser, folder, aims)
    return rows, details


def _any(etl: EtlFile) -> str:
    return write_trace_report(ChosenEvents(etl, traced=True))


def _measure(
    etl: EtlFile, what: str, write: Callable[[], str], browser: Browser, folder: Path, aims: Mapping[str, float]
) -> list[Row]:
    begun = monotonic()
    html = write()
    written = (monotonic() - begun) * 1000
    path = folder / "report.html"
    path.write_text(html, "utf-8")
    _, _, rest = html.partition('id="trace-columns">')
    data = rest.index("</script>")
    opened: list[float] = []
    for _ in range(OPENINGS):
        browser.open(path)
        browser.wait_until("document.getElementById('lanes').dataset.ready === 'true'")
        opened.append(float(browser.evaluate("Number(document.getElementById('lanes').dataset.readyMs)")))
    drawn, between = _zoom(browser)
    what = f"{what}, {len(etl.events):,} events"
    return [
        _row(f"{what}: write the report", written, "ms", None),
        _row(f"{what}: size besides the data", (len(html) - data) / 1e6, "MB", aims.get("besides")),
        _row(f"{what}: size of the data", data / 1e6, "MB", None),
        _row(f"{what}: open, until drawn", median(opened), "ms", aims.get("open")),
        _row(f"{what}: draw a frame while zooming, median", median(drawn), "ms", aims.get("frame")),
        _row(f"{what}: draw a frame while zooming, 95 %", _high(drawn), "ms", None),
        _row(f"{what}: from frame to frame while zooming, median", median(between), "ms", None),
    ]


def _zoom(browser: Browser) -> tuple[list[float], list[float]]:
    """Wheel in and out again over the middle of the timeline: milliseconds to draw, and between frames."""
    x, y = json.loads(browser.evaluate(_RECORD))
    for turn in range(_ZOOMS):
        delta = -120 if turn < _ZOOMS / 2 else 120
        browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=delta)
    browser.wait_until(f"window.seen.length >= {_ZOOMS // 4}")
    seen = browser.evaluate("window.seen")
    return [drawn for drawn, _ in seen], [between for _, between in seen]


def _high(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.95)]


def _row(what: str, value: float, unit: str, aim: float | None) -> Row:
    """A figure of ours with the most it may be."""
    told = "" if aim is None else f"<= {aim:g} {unit}"
    return Row(what, round(value, 2), None, unit, None, told, None if aim is None else value <= aim)
