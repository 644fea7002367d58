"""`never`: there is no such event."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hotswap.trace.rules.answer import Proof
from hotswap.trace.rules.matched import Matched, View
from hotswap.trace.rules.order import Ints
from hotswap.trace.rules.pattern import Pattern, pattern_of
from hotswap.trace.rules.refer import own_references, referred_fields, resolver
from hotswap.trace.rules.rule import Judgement, Rule, at_text, named
from hotswap.trace.rules.scope import Members, Windows, held_fields, members_of, windows_of


@dataclass(frozen=True, eq=False)
class Never(Rule):
    """No event fits the pattern: in the whole trace, or in each window."""

    pattern: Pattern
    _comma = ""

    def sentence(self) -> str:
        """The statement in words."""
        return f"there is no {self.pattern}"

    def judge(self, view: View) -> Judgement:
        """One instance a window; one for the whole trace."""
        opener = self.scope.opener if self.scope else None
        own_references(self.pattern, [opener], "only the event that opens the window can be referred to here")
        matched = view.match(self.pattern, held_fields(self.scope))
        windows = windows_of(view, self.scope, referred_fields(self.pattern))
        bad = members_of(view, self.scope, windows, matched).surely()
        if self.pattern.references:
            bad = _referring(windows, matched, bad)
        guilty, first = np.unique(bad.window, return_index=True)
        failed = np.zeros(len(windows), np.bool_)
        failed[guilty] = True
        culprit = np.full(len(windows), -1)
        culprit[guilty] = matched.rows[bad.event[first]]
        low, high = windows.start.copy(), windows.end.copy()
        if self.scope is None or self.scope.closer is None:
            # It is there, and nothing else can change that.
            low[failed], high[failed] = 1, 0
        else:
            # What closes the window could be missing.
            high[failed] = view.table.tick[culprit[failed]]
        return Judgement(
            failed, low, high, np.where(failed, culprit, windows.start_row),
            lambda i: self._proof(view, windows, culprit, i), lambda: self._holds(windows, matched),
            (matched, *windows.looked_at), self._nothing(), failures=len(bad.event),
        )  # fmt: skip

    def _nothing(self) -> str:
        scope = self.scope
        if scope is None or (scope.opener is None and scope.closer is None):
            return "the trace is empty"
        return f"there is no {scope.opener or scope.closer}"

    def _holds(self, windows: Windows, matched: Matched) -> str:
        close = matched.view.close_names(self.pattern)
        meant = f" (nor an event of that name at all; is {close[0]} meant?)" if close else ""
        if self.scope is None:
            return f"there is no {self.pattern}{meant}"
        plural = "window" if len(windows) == 1 else "windows"
        return f"no {self.pattern} in {len(windows):,} {plural} {self.scope.text()}{meant}"

    def _proof(self, view: View, windows: Windows, culprit: Ints, window: int) -> Proof:
        row = int(culprit[window])
        what = f"{named(self.pattern, view, row)} {at_text(view, row)}"
        if self.scope is None:
            return Proof(f"{what}, where none was expected", (row,), (row,))
        rows = tuple(int(edge[window]) for edge in (windows.start_row, windows.end_row) if edge[window] >= 0)
        where = place_text(self.scope.text(), view, windows, window)
        edges = int(windows.start[window]), int(windows.end[window])
        return Proof(f"{what}, {where}", (*rows, row), (row,), window=edges)


def place_text(where: str, view: View, windows: Windows, window: int) -> str:
    """Where in the trace a window is."""
    edges = [int(edge[window]) for edge in (windows.start_row, windows.end_row)]
    told = " to ".join(f"{view.us(row):,.1f}" for row in edges if row >= 0)
    return f"{where} ({told} us)" if told else where


def _referring(windows: Windows, matched: Matched, bad: Members) -> Members:
    """Those that fulfil the conditions which look at the opener."""
    opener = windows.opener
    assert opener is not None
    at = windows.opener_event[bad.window]
    held = matched.holds(bad.event, resolver(lambda field: opener[field][at]))
    return Members(bad.event[held], bad.window[held], bad.sure[held])


def never(pattern: Pattern | str) -> Never:
    """There is no such event: `never("SwapRolledBack")`, `never("IterationBegin").between("Drained", "Released")`."""
    return Never(pattern_of(pattern))
