"""What a report costs: writing it, its size, opening it in Chromium, and a frame while zooming."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

from hotswap.bench.made_up import made_up_result, made_up_trace
from hotswap.bench.table import Row
from hotswap.report.browser import Browser
from hotswap.report.html import write_report

SIZES = (100_000, 1_000_000)
OPENINGS = 3
_ZOOMS = 60
_OPEN_MS, _FRAME_MS, _BESIDES_MB = 2000.0, 16.0, 1.0

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
    """Reports of made-up traces; milliseconds and megabytes. Aims are stated for 100,000 events."""
    rows: list[Row] = []
    details: dict[str, Any] = {"openings": OPENINGS, "zoom_steps": _ZOOMS}
    with tempfile.TemporaryDirectory(prefix="hotswap-bench-") as name, Browser() as browser:
        details["browser"] = browser.call("Browser.getVersion")["product"]
        for size in sizes:
            rows += _measure(size, Path(name), browser, aims=size <= SIZES[0])
    return rows, details


def _measure(size: int, folder: Path, browser: Browser, *, aims: bool) -> list[Row]:
    etl = made_up_trace(size)
    result = made_up_result(etl, folder)
    begun = monotonic()
    html = write_report(result, etl, None)
    written = (monotonic() - begun) * 1000
    path = folder / f"report-{size}.html"
    path.write_text(html, "utf-8")
    _, _, rest = html.partition('id="trace-columns">')
    data = rest.index("</script>")
    opened: list[float] = []
    for _ in range(OPENINGS):
        browser.open(path)
        browser.wait_until("document.getElementById('lanes').dataset.ready === 'true'")
        opened.append(float(browser.evaluate("Number(document.getElementById('lanes').dataset.readyMs)")))
    drawn, between = _zoom(browser)
    what = f"{len(etl.events):,} events"
    return [
        _row(f"{what}: write the report", written, "ms", None),
        _row(f"{what}: size besides the data", (len(html) - data) / 1e6, "MB", _BESIDES_MB if aims else None),
        _row(f"{what}: size of the data", data / 1e6, "MB", None),
        _row(f"{what}: open, until drawn", median(opened), "ms", _OPEN_MS if aims else None),
        _row(f"{what}: draw a frame while zooming, median", median(drawn), "ms", _FRAME_MS if aims else None),
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
