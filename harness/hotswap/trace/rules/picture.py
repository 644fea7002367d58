"""The proof of an answer as a picture: an SVG that needs nothing else, and no colour to be understood."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from html import escape

from hotswap.trace.places import place_moments, spread
from hotswap.trace.printable import printable
from hotswap.trace.rules.answer import Answer
from hotswap.trace.rules.order import BEGINNING, END_OF_TIME
from hotswap.trace.rules.span import Span
from hotswap.trace.text import fields_text

WIDTH, _LEFT, _RIGHT = 1000.0, 190.0, 30.0
_LANE, _LINE, _MARK_GAP = 46.0, 19.0, 22.0
_WIDEST = 14.0
_TITLE_LETTERS, _TEXT_LETTERS, _LABEL_LETTERS = 140, 130, 25
# Blue and vermilion of Okabe and Ito; the event that is wrong also has a form of its own.
_STYLE = """
svg { font: 13px "Segoe UI", "Helvetica Neue", Arial, "Liberation Sans", sans-serif; }
.ground { fill: #ffffff; } text { fill: #171a21; } .quiet { fill: #565e6b; } .lane { stroke: #c9ced6; }
.stem { stroke: #8a93a1; stroke-dasharray: 3 3; } .window { fill: #0072b2; fill-opacity: 0.09; }
.edge { stroke: #0072b2; stroke-width: 1.5; stroke-dasharray: 6 4; } .event { fill: #0072b2; }
.wrong { fill: #d55e00; stroke: #171a21; } .mark { fill: #ffffff; stroke: #565e6b; }
.wrong-mark { fill: #171a21; stroke: #171a21; } .on-mark { fill: #ffffff; }
.mono { font: 12px ui-monospace, "Cascadia Mono", Menlo, Consolas, "Liberation Mono", monospace; white-space: pre; }
.verdict { font-weight: 700; } .strong { font-weight: 700; }
@media (prefers-color-scheme: dark) {
.ground { fill: #15181e; } text { fill: #e7e9ee; } .quiet { fill: #9ea6b4; } .lane { stroke: #3a414d; }
.event { fill: #56b4e9; } .edge { stroke: #56b4e9; } .window { fill: #56b4e9; fill-opacity: 0.14; }
.wrong { fill: #e69f00; stroke: #e7e9ee; } .mark { fill: #15181e; stroke: #9ea6b4; }
.wrong-mark { fill: #e7e9ee; stroke: #e7e9ee; } .on-mark { fill: #15181e; }
}
"""


def draw(answer: Answer) -> str:
    """The SVG of an answer that has a proof with events."""
    return "".join(_Picture(answer).parts())


class _Picture:
    def __init__(self, answer: Answer) -> None:
        assert answer.proof is not None
        self.answer = answer
        self.proof = answer.proof
        self.table = answer.table
        self.rows = answer.rows
        self.lane_of = {row: self.proof.lanes.get(row) or self._thread(row) for row in self.rows}
        self.lanes = list(dict.fromkeys(self.lane_of.values()))
        title = f"{answer.id}: {answer.message}" if answer.id else answer.message
        self.title = textwrap.wrap(printable(title), _TITLE_LETTERS) or [""]
        self.top = 34.0 + _LINE * len(self.title) + 34.0
        self.bottom = self.top + _LANE * len(self.lanes)
        self.height = self.bottom + 46.0 + _LINE * len(self.rows)
        ticks = sorted({int(self.table.tick[row]) for row in self.rows})
        self.window = self._window(ticks)
        room = WIDTH - _LEFT - _RIGHT - 40
        moments = sorted({*ticks, *(tick for tick in self.window if tick is not None)})
        self.place = place_moments(moments, self.table.frequency / 1e6, _LEFT + 20, room, _WIDEST)

    def _thread(self, row: int) -> str:
        tid = int(self.table.tid[row])
        return f"thread {tid}" if tid >= 0 else f"CPU {int(self.table.cpu[row])}"

    def _window(self, ticks: list[int]) -> tuple[int | None, int | None]:
        """The ends of the window that lie beside the events; those without an end are not drawn."""
        if self.proof.window is None or not ticks:
            return None, None
        start, end = self.proof.window
        return (None if start == BEGINNING else start), (None if end == END_OF_TIME else end)

    def parts(self) -> Iterator[str]:
        """The text of the picture, piece by piece."""
        words = _escaped(f"{self.answer.verdict}: {self.answer.message}")
        yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {self.height:g}" role="img" '
        yield f'width="{WIDTH:g}" height="{self.height:g}"><title>{words}</title><style>{_STYLE}</style>'
        yield f'<rect class="ground" width="{WIDTH:g}" height="{self.height:g}"/>'
        yield _text(16, 26, str(self.answer.verdict).upper(), "verdict")
        for number, line in enumerate(self.title):
            yield _text(16, 26 + _LINE * (number + 1), line)
        yield from self._draw_window()
        yield from self._draw_lanes()
        yield from self._draw_events()
        yield from self._draw_gaps()
        yield from self._draw_list()
        yield "</svg>\n"

    def _draw_window(self) -> Iterator[str]:
        start, end = self.window
        if self.proof.window is None:
            return
        left = _LEFT if start is None else self.place[start]
        right = WIDTH - _RIGHT if end is None else self.place[end]
        yield _rectangle("window", left, self.top, right - left, self.bottom - self.top)
        for tick in (start, end):
            if tick is not None:
                yield _line("edge", self.place[tick], self.top, self.place[tick], self.bottom)

    def _draw_lanes(self) -> Iterator[str]:
        for number, lane in enumerate(self.lanes):
            y = self.top + _LANE * (number + 0.5)
            yield _line("lane", _LEFT, y, WIDTH - _RIGHT, y)
            yield _text(16, y + 4, _cut(printable(lane), _LABEL_LETTERS))

    def _draw_events(self) -> Iterator[str]:
        spots = spread([self._x(row) for row in self.rows], _MARK_GAP, WIDTH - _RIGHT)
        marks = self.top - 16
        for number, (row, spot) in enumerate(zip(self.rows, spots, strict=True), 1):
            x, y = self._x(row), self.top + _LANE * (self.lanes.index(self.lane_of[row]) + 0.5)
            wrong = row in self.proof.marked
            yield _line("stem", spot, marks + 9, x, y)
            kind, on = ("wrong-mark", "on-mark") if wrong else ("mark", "")
            yield f'<circle class="{kind}" cx="{spot:g}" cy="{marks:g}" r="9"/>'
            yield f'<text class="{on}" x="{spot:g}" y="{marks + 4.5:g}" text-anchor="middle">{number}</text>'
            if wrong:
                yield f'<path class="wrong" d="M{x:g} {y - 10:g}l10 10-10 10-10-10z"/>'
            else:
                yield f'<circle class="event" cx="{x:g}" cy="{y:g}" r="5.5"/>'
        yield from self._draw_names()

    def _draw_names(self) -> Iterator[str]:
        """The names of events beside them, where there is room up to the next on the lane."""
        for lane in self.lanes:
            mine = [row for row in self.rows if self.lane_of[row] == lane]
            y = self.top + _LANE * (self.lanes.index(lane) + 0.5) + 18
            for row, after in zip(mine, [*mine[1:], None], strict=True):
                name = self.table.kinds[int(self.table.kind[row])].name
                room = (WIDTH if after is None else self._x(after)) - self._x(row)
                if 6.8 * len(name) < room:
                    yield _text(self._x(row) + 7, y, name, "quiet")

    def _draw_gaps(self) -> Iterator[str]:
        """The times between events, where there is room for them."""
        y, free = self.bottom + 14, _LEFT
        for one, other in zip(self.rows, self.rows[1:], strict=False):
            left, right = self._x(one), self._x(other)
            ticks = int(self.table.tick[other]) - int(self.table.tick[one])
            words = str(Span(ticks * 1_000_000_000 // self.table.frequency))
            middle, half = (left + right) / 2, 3.6 * len(words)
            if ticks and middle - half > free:
                yield f'<text class="quiet" x="{middle:g}" y="{y:g}" text-anchor="middle">{words}</text>'
                free = middle + half + 6

    def _draw_list(self) -> Iterator[str]:
        y = self.bottom + 40
        for number, row in enumerate(self.rows, 1):
            name = self.table.kinds[int(self.table.kind[row])].name
            us = int(self.table.ns[row]) / 1000
            line = f"{number:>2} {us:>14,.1f} us  {name}  {fields_text(self.table, row)}"
            wrong = " strong" if row in self.proof.marked else ""
            yield _text(16, y, f"{'>' if wrong else ' '} {_cut(printable(line), _TEXT_LETTERS)}", f"mono{wrong}")
            y += _LINE

    def _x(self, row: int) -> float:
        return self.place[int(self.table.tick[row])]


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else f"{text[: letters - 1]}…"


def _escaped(text: str) -> str:
    return escape(printable(text))


def _text(x: float, y: float, words: str, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:g}" y="{y:g}" xml:space="preserve">{_escaped(words)}</text>'


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"/>'


def _rectangle(kind: str, x: float, y: float, width: float, height: float) -> str:
    return f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{max(width, 0):g}" height="{height:g}"/>'
