"""Rates: never more than so many in a stretch of time, never fewer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hotswap.trace.rules.along import Along, along
from hotswap.trace.rules.answer import MAX_SLICE, Proof
from hotswap.trace.rules.key import Key
from hotswap.trace.rules.matched import View
from hotswap.trace.rules.order import BEGINNING, END_OF_TIME, Ints
from hotswap.trace.rules.pattern import Pattern
from hotswap.trace.rules.rule import Judgement, Rule, us_text
from hotswap.trace.rules.span import Span


@dataclass(frozen=True, eq=False)
class AtMostInAny(Rule):
    """Never more than `count` events in less than a time."""

    pattern: Pattern
    count: int
    key: Key
    time: Span

    def sentence(self) -> str:
        """The statement in words."""
        return f"{self.key.each()}there are never more than {self.count} {self.pattern} in {self.time}"

    def judge(self, view: View) -> Judgement:
        """One instance an event: those that follow it closely."""
        line = along(view, self.pattern, self.key, self.scope)
        tick, number = line.tick, len(line.event)
        group = line.group
        last = np.arange(number) + self.count
        there = last < number
        last = np.minimum(last, max(number - 1, 0))
        # Less than the time: in ticks, no more than the largest number that is.
        limit = -(-self.time.ns * view.table.frequency // 1_000_000_000) - 1
        failed = there & (group[last] == group) & (tick[last] - tick <= limit) if number else np.zeros(0, np.bool_)
        low, high = tick.copy(), tick + limit
        low[failed], high[failed] = 1, 0
        return Judgement(
            failed, low, high, line.row, lambda i: self._proof(view, line, i),
            lambda: f"{number:,} {self.pattern}, never more than {self.count} in {self.time}", line.looked_at,
            f"the trace has no {self.pattern}", cpu=line.cpu(self.key),
        )  # fmt: skip

    def _proof(self, view: View, line: Along, first: int) -> Proof:
        rows = line.row[first : first + self.count + 1].tolist()
        took = view.span(int(line.tick[first + self.count] - line.tick[first]))
        whom = f" of {self.key.text(line.matched, int(line.event[first]))}" if self.key else ""
        text = (
            f"{len(rows)} {self.pattern}{whom} within {took} from {view.us(rows[0]):,.1f} us on, "
            f"where at most {self.count} were expected in {self.time}"
        )
        shown = rows if len(rows) <= MAX_SLICE else [*rows[: MAX_SLICE - 1], rows[-1]]
        return Proof(text, tuple(shown), (rows[-1],))


@dataclass(frozen=True, eq=False)
class AtLeastInEvery(Rule):
    """In every stretch of time of a length, at least `count` events."""

    pattern: Pattern
    count: int
    key: Key
    time: Span

    def sentence(self) -> str:
        """The statement in words."""
        return f"{self.key.each()}there are at least {self.count} {self.pattern} in every {self.time}"

    def judge(self, view: View) -> Judgement:
        """One instance a gap: from each event, and from the begin of the window, to the one that is `count` later."""
        line = along(view, self.pattern, self.key, self.scope)
        gaps = self._gaps(view, line)
        long = gaps.end - gaps.start > self.time.ticks(view.table.frequency)
        # A recording that is shorter than the time shows it of no stretch, unless it holds enough.
        whole = (gaps.start_row < 0) & (gaps.end_row < 0) & ~long & self._recorded_only(line)
        # What is missing in a gap would have made it shorter.
        low, high = np.where(long, gaps.start, 1), np.where(long, gaps.end, 0)
        return Judgement(
            long, low, high, np.maximum(gaps.start_row, 0), lambda i: self._proof(view, line, gaps, i),
            lambda: self._holds(view, line, gaps), line.looked_at, f"the trace has no {self.pattern}", whole,
            lambda i: self._too_short(view, gaps, i),
        )  # fmt: skip

    def _recorded_only(self, line: Along) -> bool:
        """Whether it is the recording that bounds the time, not a window."""
        return bool((line.windows.start == BEGINNING).all() and (line.windows.end == END_OF_TIME).all())

    def _too_short(self, view: View, gaps: _Gaps, at: int) -> str:
        between, lasted = int(gaps.between[at]), view.span(int(gaps.end[at] - gaps.start[at]))
        seen = "no" if between == 0 else f"only {between}"
        return f"{seen} {self.pattern} in the {lasted} that were recorded, which are less than {self.time}"

    def _gaps(self, view: View, line: Along) -> _Gaps:
        starts, ends, windows = line.starts, line.ends, line.windows
        window = line.window[starts]
        if not self.key:
            # A window without any event is a gap, too.
            counts = np.bincount(line.window, minlength=len(windows))
            window, ends = np.arange(len(windows)), np.cumsum(counts)
            starts = ends - counts
        first, last = _recorded(view)
        begin, finish = windows.start[window], windows.end[window]
        begin, finish = np.where(begin == BEGINNING, first, begin), np.where(finish == END_OF_TIME, last, finish)
        # With its two edges a group of n events has n + 2 moments, and a gap reaches over `count` of them.
        size = ends - starts + 2
        group = np.repeat(np.arange(len(size)), size)
        offset = np.cumsum(size) - size
        at = np.arange(len(group)) - offset[group]
        at_begin, at_end = at == 0, at == size[group] - 1
        event = np.clip(starts[group] + at - 1, 0, max(len(line) - 1, 0))
        inner_tick = line.tick[event] if len(line) else np.zeros(len(group), np.int64)
        inner_row = line.row[event] if len(line) else np.zeros(len(group), np.int64)
        tick = np.where(at_begin, begin[group], np.where(at_end, finish[group], inner_tick))
        row = np.where(at_begin | at_end, -1, inner_row)
        here = np.flatnonzero(~at_end)
        there = np.minimum(here + self.count, (offset + size - 1)[group[here]])
        return _Gaps(tick[here], tick[there], row[here], row[there], there - here - 1, starts[group[here]])

    def _holds(self, view: View, line: Along, gaps: _Gaps) -> str:
        longest = view.span(int((gaps.end - gaps.start).max(initial=0)))
        return f"{len(line):,} {self.pattern}, the longest time with fewer than {self.count} is {longest}"

    def _proof(self, view: View, line: Along, gaps: _Gaps, at: int) -> Proof:
        whom = f" of {self.key.text(line.matched, int(line.event[gaps.example[at]]))}" if self.key else ""
        between, start, end = int(gaps.between[at]), int(gaps.start[at]), int(gaps.end[at])
        seen = "no" if between == 0 else f"only {between}"
        text = (
            f"{seen} {self.pattern}{whom} from {us_text(view, start)} to {us_text(view, end)} us "
            f"({view.span(end - start)}), where at least {self.count} were expected in every {self.time}"
        )
        rows = tuple(int(row) for row in (gaps.start_row[at], gaps.end_row[at]) if row >= 0)
        return Proof(text, rows, rows[-1:], window=(start, end))


@dataclass(frozen=True)
class _Gaps:
    """Stretches of time in which too few events can be: arrays of one length. A row of -1: there is no event."""

    start: Ints
    end: Ints
    start_row: Ints
    end_row: Ints
    between: Ints
    """How many events lie inside."""
    example: Ints
    """Where an event of the same key is."""


def _recorded(view: View) -> tuple[int, int]:
    """The ticks between which the trace was recorded."""
    tick, evidence = view.table.tick, view.evidence
    first = int(tick[0]) if len(tick) else 0
    last = int(tick[-1]) if len(tick) else 0
    return (
        first if evidence.start == BEGINNING else evidence.start,
        last if evidence.end == END_OF_TIME else evidence.end,
    )
