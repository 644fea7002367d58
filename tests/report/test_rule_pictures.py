"""The proof of a rule as a picture: it stands for itself, nothing lies on anything else, and no colour is needed."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_report_colours import BLIND, contrast, lab, linear

from hotswap.errors import HotswapError
from hotswap.report.browser import Browser
from hotswap.trace.rules import Answer, Proof, at_most, each, event, never, sequence, statement
from hotswap.trace.rules.picture import WIDTH
from support.rule_traces import E, small
from support.swap_trace import good_run

_BOXES = """[...document.querySelectorAll('text')].map(text => {
  const box = text.getBBox(); return [text.textContent, box.x, box.y, box.width, box.height];
})"""


def dense() -> Answer:
    """Twelve events within a microsecond, on many threads."""
    trace = small([E("A", 1000 + i // 3, i % 2, i % 5) for i in range(20)])
    return at_most(11, "A").named("dense").on(trace.view)


def sparse() -> Answer:
    """Two events far apart, of which the first was to be answered in time."""
    trace = small([E("A", 1000, s="a"), E("B", 400_001_000), E("C", 400_002_000)])
    return each("A").followed_by("B", within="50 ms").named("far-apart").on(trace.view)


def long_words() -> Answer:
    """A message, names and fields that are too long for a line."""

    @statement("It is long.")
    def long(view: Any) -> Proof:
        rows = tuple(range(1, len(view.table)))
        lanes = dict.fromkeys(rows, "a lane of a name that is much too long for the room that there is for it")
        return Proof("so long a message " * 30, rows, rows[-1:], lanes)

    return long.named("long").on(small([E("A", 1000 + 7 * i, s="x" * 300) for i in range(6)]).view)


def of_a_swap() -> Answer:
    run = good_run()
    run.remove(run.find("IterationEnd", Worker=1)[3])
    rule = sequence("IterationBegin", "EndpointWork", "IterationEnd", per="Worker")
    return rule.named("way-of-a-worker").on(run.etl())


def in_a_window() -> Answer:
    return never("EndpointWork").between("SwapBegin", "SwapEnd", match="Swap").named("held").on(good_run().etl())


ANSWERS = {answer.__name__: answer for answer in (dense, sparse, long_words, of_a_swap, in_a_window)}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ANSWERS)
def test_nothing_lies_on_anything_else_or_outside(chromium: Browser, tmp_path: Path, name: str, scheme: str) -> None:
    answer = ANSWERS[name]()
    path = tmp_path / f"{name}.svg"
    path.write_text(answer.picture(), encoding="utf-8")
    chromium.size(1000, 800)
    chromium.media(prefers_color_scheme=scheme)
    chromium.open(path)
    texts = chromium.evaluate(_BOXES)
    height = chromium.evaluate("document.documentElement.viewBox.baseVal.height")
    chromium.screenshot(tmp_path / f"{name}-{scheme}.png")
    assert chromium.complaints() == []
    chromium.media()
    assert len(texts) >= 2 * len(answer.rows)
    for text, x, y, width, tall in texts:
        assert x >= 0, text
        assert x + width <= WIDTH, text
        assert y >= 0, text
        assert y + tall <= height, text
    for one, other in combinations(texts, 2):
        apart = (
            one[1] + one[3] <= other[1] + 1 or other[1] + other[3] <= one[1] + 1
            or one[2] + one[4] <= other[2] + 4 or other[2] + other[4] <= one[2] + 4
        )  # fmt: skip
        assert apart, f"{one[0]!r} lies on {other[0]!r}"


@pytest.mark.parametrize("name", ANSWERS)
def test_what_is_wrong_is_told_by_its_form_too(name: str) -> None:
    answer = ANSWERS[name]()
    picture = answer.picture()
    assert answer.proof is not None
    wrong = [row for row in answer.rows if row in answer.proof.marked]
    assert picture.count('<path class="wrong"') == len(wrong) > 0
    assert picture.count('<circle class="event"') == len(answer.rows) - len(wrong)
    assert picture.count('class="mono strong"') == len(wrong)
    assert f"<title>{answer.verdict}: " in picture
    assert not re.search(r"href|url\(|<script|@import", picture)


@pytest.mark.parametrize("sight", BLIND)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_differ_for_every_kind_of_sight(scheme: str, sight: str) -> None:
    style = dense().picture().partition("<style>")[2].partition("</style>")[0]
    light, _, dark = style.partition("@media (prefers-color-scheme: dark)")
    known = dict(re.findall(r"\.(\w+) \{ fill: (#[0-9a-f]{6})", light))
    if scheme == "dark":
        known |= dict(re.findall(r"\.(\w+) \{ fill: (#[0-9a-f]{6})", dark))
    event_, wrong, ground = (BLIND[sight] @ linear(known[name]) for name in ("event", "wrong", "ground"))
    assert float(np.linalg.norm(lab(event_) - lab(wrong))) > 20
    assert contrast(linear(known["event"]), linear(known["ground"])) > 3
    assert contrast(linear(known["wrong"]), linear(known["ground"])) > 3
    assert float(np.linalg.norm(lab(event_) - lab(ground))) > 20


def test_there_is_no_picture_without_events() -> None:
    answer = each("A").followed_by("B").on(small([]).view)
    with pytest.raises(HotswapError, match="no event to draw"):
        answer.picture()


def test_texts_of_a_trace_cannot_be_markup() -> None:
    trace = small([E("A", 1000, s="<script>alert(1)</script>&\x1b[2J")])
    picture = never(event("A", S="<script>alert(1)</script>&\x1b[2J")).named("<b>").on(trace.view).picture()
    assert "<script" not in picture
    assert "\x1b" not in picture
