"""Pictures of each verdict: light, dark, on paper, narrow and wide. They stay at $HOTSWAP_PICTURES to be looked at."""

from __future__ import annotations

import os
import re
import struct
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from hotswap.report.browser import Browser
from support.reports import failed, open_question, passed, refused, report_of

VERDICTS = {"pass": passed, "fail": failed, "inconclusive": open_question, "refused": refused}
LOOKS = {"light": ("light", 1280), "dark": ("dark", 1280), "narrow": ("light", 400), "wide": ("dark", 1900)}


@cache
def report(verdict: str) -> str:
    return report_of(VERDICTS[verdict]())


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = Path(os.environ.get("HOTSWAP_PICTURES") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def size(path: Path) -> tuple[int, int]:
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def background(browser: Browser) -> list[int]:
    value = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    return [int(number) for number in re.findall(r"\d+", value)[:3]]


@pytest.mark.parametrize("verdict", VERDICTS)
@pytest.mark.parametrize("look", LOOKS)
def test_a_picture_of_every_verdict_in_every_look(page: Any, pictures: Path, verdict: str, look: str) -> None:
    scheme, width = LOOKS[look]
    browser = page(report(verdict), width=width, scheme=scheme)
    told = size(browser.screenshot(pictures / f"report-{verdict}-{look}.png", whole=True))
    assert told[0] == width
    assert told[1] > 1500
    bright = sum(background(browser)) / 3
    assert bright > 230 if scheme == "light" else bright < 40


@pytest.mark.parametrize("verdict", VERDICTS)
def test_on_paper_it_is_light_and_whole_whatever_the_screen_shows(page: Any, pictures: Path, verdict: str) -> None:
    browser = page(report(verdict), scheme="dark")
    colour = (
        "(() => { const c = document.createElement('canvas').getContext('2d', { willReadFrequently: true });"
        " c.drawImage(document.getElementById('lanes'), 0, 0);"
        " return [...c.getImageData(40, 4, 1, 1).data].slice(0, 3).join() })()"
    )
    dark = browser.evaluate(colour)
    browser.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert browser.evaluate(colour) == "255,255,255" != dark
    browser.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert browser.evaluate(colour) == dark
    paper = browser.pdf(pictures / f"report-{verdict}.pdf").read_bytes()
    assert paper.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", paper)) <= 12
    assert browser.evaluate(colour) == dark, "printing leaves the screen as it was"


def test_print_styles_hide_what_only_a_screen_can_do(page: Any) -> None:
    browser = page(report("fail"))
    browser.media("print")
    for selector in ("nav", ".tools", ".split", ".jump"):
        assert browser.evaluate(f"getComputedStyle(document.querySelector('{selector}')).display") == "none" or (
            browser.evaluate(f"document.querySelector('{selector}').offsetHeight") == 0
        ), selector
    assert browser.evaluate("document.getElementById('lanes').offsetHeight") > 200
