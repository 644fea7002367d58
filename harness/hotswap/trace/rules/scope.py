"""Windows of a trace that a statement is held to: between two events, after one, in a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from hotswap.trace.rules.evidence import Loss
from hotswap.trace.rules.key import NO_KEY, Key, key_codes
from hotswap.trace.rules.matched import Matched, View
from hotswap.trace.rules.order import BEGINNING, END_OF_TIME, Ints, Lanes, Mask
from hotswap.trace.rules.pattern import Pattern
from hotswap.trace.rules.span import NO_TIME, Span

_SECOND = 1_000_000_000


@dataclass(frozen=True)
class Scope:
    """Where a statement must hold. Made by the methods of a rule.

    A window goes from an `opener` to the first `closer` that may have come after it, or to the end of the trace.
    Further openers before that closer belong to the same window. Without an opener it begins with the trace.
    """

    opener: Pattern | None
    closer: Pattern | None
    per: Key = NO_KEY
    """Windows are of one key each, and hold only events of that key."""
    match: Key = NO_KEY
    """Opener and closer have this key in common, besides; the events between need not have it."""
    ends: bool = False
    """Opener and closer are inside, too, and a window that is not closed does not count."""
    start: Span = NO_TIME
    """Without events: from this time on, since the session started."""
    stop: Span | None = None

    def text(self) -> str:
        """`between SwapDrained and SwapReleased of the same Swap`."""
        if self.opener is None and self.closer is None:
            return f"from {self.start}" + ("" if self.stop is None else f" to {self.stop}")
        if self.opener is None:
            return f"before the first {self.closer}"
        if self.closer is None:
            return f"after the first {self.opener}"
        word = "during" if self.ends else "between"
        return f"{word} {self.opener} and {self.closer}{self.per.plus(self.match).of_same()}"


def held_fields(scope: Scope | None) -> tuple[str, ...]:
    """The fields that events must have to be in a window."""
    return () if scope is None or scope.opener is None else scope.per.fields


@dataclass(frozen=True)
class Windows:
    """The windows of a scope in a trace: arrays of one length. A row of -1: there is no such event."""

    opener: Matched | None
    closer: Matched | None
    opener_event: Ints
    """Index of the opener."""
    start_row: Ints
    """Row of the opener; -1: the window begins with the trace, or at a time."""
    end_row: Ints
    """Row of the closer; -1: the window ends with the trace, or at a time."""
    start: Ints
    end: Ints
    """Raw ticks; BEGINNING and END_OF_TIME where there is no event and no time."""
    ends: bool = False

    def __len__(self) -> int:
        return len(self.start)

    @property
    def looked_at(self) -> tuple[Matched, ...]:
        """The events that open and close them."""
        return tuple(edge for edge in (self.opener, self.closer) if edge is not None)

    @classmethod
    def all(cls) -> Self:
        """One window: the whole trace."""
        none = np.full(1, -1)
        return cls(None, None, none, none, none, np.array([BEGINNING]), np.array([END_OF_TIME]))


@dataclass(frozen=True)
class Members:
    """Which events lie in which window: pairs, by window and then by row.

    `sure`: whether the event certainly came after the opener and before the closer; the others may have.
    """

    event: Ints
    window: Ints
    sure: Mask

    def surely(self) -> Members:
        """Only those that certainly do."""
        sure = self.sure
        return self if sure.all() else Members(self.event[sure], self.window[sure], sure[sure])


def windows_of(view: View, scope: Scope | None, fields: Sequence[str] = ()) -> Windows:
    """The windows of a scope in a trace, in time order. `fields` will be asked of what opens them."""
    if scope is None:
        return Windows.all()
    if scope.opener is None and scope.closer is None:
        return _of_time(view, scope)
    key = scope.per.plus(scope.match)
    closer = None if scope.closer is None else view.match(scope.closer, key.fields)
    if scope.opener is None:
        assert closer is not None
        return _before(closer)
    opener = view.match(scope.opener, [*key.fields, *fields])
    if closer is None:
        return _after(opener)
    return _between(view, scope, opener, closer)


def _of_time(view: View, scope: Scope) -> Windows:
    none = np.full(1, -1)
    start, end = _ticks(view, scope)
    return Windows(None, None, none, none, none, np.array([start]), np.array([end]))


def _ticks(view: View, scope: Scope) -> tuple[int, int]:
    """The first and the last tick of a window in time, whether there are events at them or not."""
    table = view.table
    frequency, begin = table.frequency, 0
    if len(table):
        begin = int(table.tick[0]) + -int(table.ns[0]) * frequency // _SECOND
    start = begin - -scope.start.ns * frequency // _SECOND if scope.start.ns else BEGINNING
    if scope.stop is None:
        return min(start, END_OF_TIME), END_OF_TIME
    end = begin - -(scope.stop.ns + 1) * frequency // _SECOND - 1
    return min(start, END_OF_TIME), min(end, END_OF_TIME)


def not_recorded(view: View, scope: Scope | None) -> list[Loss]:
    """What a window in time reaches beyond the end of the recording: nothing is known of it."""
    if scope is None or scope.opener is not None or scope.closer is not None:
        return []
    start, end = _ticks(view, scope)
    last = view.evidence.end
    if last == END_OF_TIME or max(start, end if scope.stop is not None else start) <= last:
        return []
    return [Loss(last + 1, END_OF_TIME, f"the trace ends before {scope.start if start > last else scope.stop}")]


def _before(closer: Matched) -> Windows:
    rows, none = closer.rows[:1], np.full(len(closer.rows[:1]), -1)
    return Windows(None, closer, none, none, rows, none + 1 + BEGINNING, closer.tick[:1])


def _after(opener: Matched) -> Windows:
    rows, none = opener.rows[:1], np.full(len(opener.rows[:1]), -1)
    return Windows(opener, None, none + 1, rows, none, opener.tick[:1], none + 1 + END_OF_TIME)


def _between(view: View, scope: Scope, opener: Matched, closer: Matched) -> Windows:
    key = scope.per.plus(scope.match)
    codes = key_codes(key, (opener, closer), len(view.table) + 1)
    openers, closers = Lanes(codes[0], opener.rows, view.order), Lanes(codes[1], closer.rows, view.order)
    at = closers.first_after(openers.key, openers.row)
    # Openers with the same closer are of one window, which the first of them opened.
    fresh = openers.first_of_key | np.append(True, at[1:] != at[:-1])[: len(at)]
    if scope.ends:
        fresh &= at >= 0
    chosen = np.flatnonzero(fresh)
    chosen = chosen[np.argsort(openers.row[chosen], kind="stable")]
    at = at[chosen]
    end_row = np.where(at >= 0, closers.row[at] if len(closers) else -1, -1)
    tick = view.table.tick
    end = np.where(end_row >= 0, tick[end_row], END_OF_TIME)
    start_row = openers.row[chosen]
    return Windows(opener, closer, openers.events[chosen], start_row, end_row, tick[start_row], end, scope.ends)


def members_of(view: View, scope: Scope | None, windows: Windows, matched: Matched) -> Members:
    """The events in each window; they were matched with `held_fields`."""
    count = len(matched)
    if scope is None:
        return Members(np.arange(count), np.zeros(count, np.int64), np.ones(count, np.bool_))
    size = len(view.table) + 1
    if scope.per and windows.opener is not None:
        # Only the events of a window's own key.
        codes = key_codes(scope.per, (windows.opener, matched), size)
        lanes, window_key = Lanes(codes[1], matched.rows, view.order), codes[0][windows.opener_event]
    else:
        lanes, window_key = Lanes(np.zeros(count, np.int64), matched.rows, view.order), np.zeros(len(windows), np.int64)
    low, high = _reach(view, windows)
    begin, end = lanes.at(window_key, low), lanes.at(window_key, high)
    length = np.maximum(end - begin, 0)
    window = np.repeat(np.arange(len(windows)), length)
    position = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length) + np.repeat(begin, length)
    row = lanes.row[position] if len(lanes) else np.zeros(0, np.int64)
    maybe, sure = _inside(view, windows, window, row)
    events = lanes.events[position] if len(lanes) else position
    return Members(events[maybe], window[maybe], sure[maybe])


def _reach(view: View, windows: Windows) -> tuple[Ints, Ints]:
    """The rows from which to which the events of each window can be."""
    order, tick = view.order, view.table.tick
    low = np.where(windows.start_row >= 0, windows.start_row, np.searchsorted(tick, windows.start, "left"))
    high = np.where(windows.end_row >= 0, windows.end_row + 1, np.searchsorted(tick, windows.end, "right"))
    if order.tied:
        low = np.where(windows.start_row >= 0, order.tick_start[windows.start_row], low)
        high = np.where(windows.end_row >= 0, order.tick_end[windows.end_row], high)
    return low, high


def _inside(view: View, windows: Windows, window: Ints, row: Ints) -> tuple[Mask, Mask]:
    """For pairs of window and row: whether the row may be inside, and whether it certainly is."""
    before = view.order.before
    start, end = windows.start_row[window], windows.end_row[window]
    has_start, has_end = start >= 0, end >= 0
    maybe = ~(has_start & before(row, start)) & ~(has_end & before(end, row))
    sure = (~has_start | before(start, row)) & (~has_end | before(row, end))
    edge = (row == start) | (row == end)
    if windows.ends:
        return maybe | edge, sure | edge
    return maybe & ~edge, sure & ~edge
