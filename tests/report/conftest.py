"""One Chromium for the tests of this process, and pages made of synthetic runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hotswap.report.browser import Browser
from support.reports import report_of
from support.swap_trace import Run

Open = Callable[..., Browser]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture
def page(chromium: Browser, tmp_path: Path) -> Iterator[Open]:
    """Open the report of a run, ready to be used: no motion, light, 1280 pixels wide."""

    def open_report(run: Run | str, *, width: int = 1280, height: int = 900, scheme: str = "light") -> Browser:
        path = tmp_path / "report.html"
        path.write_text(run if isinstance(run, str) else report_of(run), "utf-8")
        chromium.size(width, height)
        chromium.media(prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
        chromium.open(path)
        chromium.wait_until("document.documentElement.className.includes('scripted')")
        if "firstTick" in path.read_text("utf-8") and '"recorded":0,' not in path.read_text("utf-8"):
            chromium.wait_until("document.getElementById('lanes').dataset.ready === 'true'")
        return chromium

    yield open_report
    complaints = chromium.complaints()
    chromium.media()
    assert complaints == []
