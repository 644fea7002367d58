"""How long it takes from one event to another: `latency(...).percentile(99).at_most("5 ms")`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import numpy as np

from hotswap.errors import UsageError
from hotswap.trace.rules.answer import Proof
from hotswap.trace.rules.evidence import Evidence
from hotswap.trace.rules.key import Key, Per
from hotswap.trace.rules.matched import View
from hotswap.trace.rules.order import END_OF_TIME, Ints, Mask
from hotswap.trace.rules.partner import Partners, find_partners
from hotswap.trace.rules.pattern import Pattern, pattern_of
from hotswap.trace.rules.refer import no_references, own_references
from hotswap.trace.rules.rule import Judgement, Rule, at_text, evidence_for, named
from hotswap.trace.rules.span import Span


@dataclass(frozen=True)
class Latency:
    """From each event to the next one of another pattern, of the same key; its methods choose a figure."""

    first: Pattern
    second: Pattern
    key: Key
    own: bool

    def percentile(self, share: float) -> Figure:
        """That which `share` percent do not exceed: of n, the one of rank share * n / 100, rounded up."""
        if not 0 < share <= 100:
            raise UsageError(f"percentile({share}): it is more than 0 and at most 100")
        return Figure(self, share)

    def longest(self) -> Figure:
        """The longest of all."""
        return Figure(self, 100)

    def median(self) -> Figure:
        """The middle one."""
        return Figure(self, 50)

    def __str__(self) -> str:
        return f"from {self.first} to {self.second}{self.key.of_same()}"


@dataclass(frozen=True)
class Figure:
    """One figure of many latencies."""

    latency: Latency
    share: float

    @property
    def name(self) -> str:
        """`p99`, `median`, `longest`."""
        if self.share in (50, 100):
            return "median" if self.share == 50 else "longest"
        return f"p{self.share:g}"

    def at_most(self, limit: str | timedelta) -> LatencyLimit:
        """It is no longer than this."""
        return LatencyLimit(self, Span.of(limit), at_least=False)

    def at_least(self, limit: str | timedelta) -> LatencyLimit:
        """It is no shorter than this."""
        return LatencyLimit(self, Span.of(limit), at_least=True)


@dataclass(frozen=True, eq=False)
class LatencyLimit(Rule):
    """A figure of the latencies keeps a limit.

    Events that nobody answered are not counted (`each(...).followed_by(...)` asks for the answer). One whose answer may
    be missing can have taken any time: where that decides, the answer is inconclusive.
    """

    figure: Figure
    limit: Span
    at_least: bool

    def sentence(self) -> str:
        """The statement in words."""
        word = "at least" if self.at_least else "at most"
        return f"the {self.figure.name} time {self.figure.latency} is {word} {self.limit}"

    def judge(self, view: View) -> Judgement:
        """One instance: the figure."""
        latency = self.figure.latency
        found = find_partners(
            view, latency.first, latency.second, latency.key, self.scope, before=False, own=latency.own
        )
        looked_at = (found.subjects, found.targets, *found.windows.looked_at)
        answered = found.partner >= 0
        took = (found.partner_tick - found.subject_tick)[answered]
        start = found.subject_tick
        end = np.where(answered, found.partner_tick, found.windows.end[found.window])
        cpu = found.subjects["cpu"][found.subject].astype(np.int64) if latency.key.cpu else None
        evidence = evidence_for(view, looked_at)
        touched = evidence.hits(start, end, cpu)
        sure = took[~touched[answered]]
        open_ended = int(np.count_nonzero(touched))
        # The figure at its best and at its worst: what may be missing took no time, or no end.
        least = self._fails(view, _rank(sure, self.figure.share, before=open_ended, behind=0))
        most = self._fails(view, _rank(sure, self.figure.share, before=0, behind=open_ended))
        count = 1 if len(took) or open_ended else 0
        one = np.ones(count, np.int64)
        rows = found.subject_row[answered]
        return Judgement(
            np.full(count, least and most), one, one * 0, one * 0, partial(self._proof, view, found, answered, took),
            lambda: self._told(view, took) + self._left_out(int(np.count_nonzero(~answered))), looked_at,
            f"the trace has no {latency.first} with a {latency.second} after it",
            np.full(count, least != most),
            lambda _: self._why(view, took, evidence, (start[touched], end[touched])), failures=1 if len(rows) else 0,
        )  # fmt: skip

    def _fails(self, view: View, ticks: int | None) -> bool:
        if ticks is None:
            return not self.at_least
        ns = ticks * 1_000_000_000
        limit = self.limit.ns * view.table.frequency
        return ns < limit if self.at_least else ns > limit

    def _value(self, took: Ints) -> int:
        value = _rank(took, self.figure.share, before=0, behind=0)
        return 0 if value is None else value

    def _told(self, view: View, took: Ints) -> str:
        return f"{self.figure.name} {view.span(self._value(took))} {self.figure.latency}, of {len(took):,}"

    def _left_out(self, count: int) -> str:
        latency = self.figure.latency
        return f"; not counted: {count:,} {latency.first} without a {latency.second} after" if count else ""

    def _why(self, view: View, took: Ints, evidence: Evidence, times: tuple[Ints, Ints]) -> str:
        start, end = times
        losses = evidence.within(int(start[0]), int(end[0]))
        lost = losses[0].what if losses else "events are missing"
        return f"{self._told(view, took)}; what {len(start):,} more took is not known, and could decide: {lost}"

    def _proof(self, view: View, found: Partners, answered: Mask, took: Ints, _: int) -> Proof:
        value = self._value(took)
        word = "at least" if self.at_least else "at most"
        latency = self.figure.latency
        text = (
            f"{self.figure.name} time {latency} is {view.span(value)}, expected {word} {self.limit} (of {len(took):,})"
        )
        order = np.argsort(took, kind="stable")
        rank = int(np.searchsorted(took[order], value))
        at = np.flatnonzero(answered)[order[rank]]
        start, end = int(found.subject_row[at]), int(found.partner_row[at])
        text += f"; it is that from the {named(latency.first, view, start)} {at_text(view, start)}"
        return Proof(text, (start, end), (end,), window=(int(found.subject_tick[at]), END_OF_TIME))


def _rank(took: Ints, share: float, *, before: int, behind: int) -> int | None:
    """The value of a rank among latencies, with so many of no time and so many without end; None: without end."""
    count = before + len(took) + behind
    if not count:
        return 0
    rank = max(1, -int(-share * count // 100)) - before
    if rank < 1:
        return 0
    return int(np.partition(took, rank - 1)[rank - 1]) if rank <= len(took) else None


def latency(first: Pattern | str, second: Pattern | str, *, per: Per | None = None, own: bool = False) -> Latency:
    """The times from each event to the next one of another pattern, of the same key.

    `own`: no event answers two. `second` may refer to fields of `first`.
    """
    begin, end = pattern_of(first), pattern_of(second)
    no_references(begin)
    own_references(end, [begin], f"here it can refer to {begin} only")
    return Latency(begin, end, Key.of(per), own)
