"""How many: `exactly`, `at_least`, `at_most`, `exactly_once`; in all, in each window, per key, or in any time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from hotswap.errors import UsageError
from hotswap.trace.rules.absence import place_text
from hotswap.trace.rules.answer import MAX_SLICE, Proof
from hotswap.trace.rules.key import Key, Per, codes_of
from hotswap.trace.rules.matched import Matched, View
from hotswap.trace.rules.order import Ints, Mask
from hotswap.trace.rules.pattern import Pattern, pattern_of
from hotswap.trace.rules.rate import AtLeastInEvery, AtMostInAny
from hotswap.trace.rules.refer import no_references
from hotswap.trace.rules.rule import Judgement, Rule, at_text, named
from hotswap.trace.rules.scope import Members, Windows, held_fields, members_of, windows_of
from hotswap.trace.rules.span import Span


@dataclass(frozen=True, eq=False)
class Count(Rule):
    """So many events: at least `low`, at most `high` (None: any number)."""

    pattern: Pattern
    low: int | None
    high: int | None
    key: Key
    for_each: Pattern | None
    _comma = ""

    @property
    def bounds(self) -> str:
        """`exactly 1`, `at least 2`, `at most 5`, `2 to 5`."""
        if self.low == self.high:
            return f"exactly {self.low}"
        if self.low is None or self.high is None:
            return f"at most {self.high}" if self.low is None else f"at least {self.low}"
        return f"{self.low} to {self.high}"

    def sentence(self) -> str:
        """The statement in words."""
        keys = self.key.each() if self.for_each is None else f"for each {self.for_each}{self.key.of_same()}, "
        return f"{keys}there {'is' if self.bounds.endswith(' 1') else 'are'} {self.bounds} {self.pattern}"

    def judge(self, view: View) -> Judgement:
        """One instance a window and key."""
        matched, windows = (
            view.match(self.pattern, [*self.key.fields, *held_fields(self.scope)]),
            windows_of(view, self.scope),
        )
        members = members_of(view, self.scope, windows, matched)
        groups = _Groups.of(view, self, matched, windows, members)
        sure = np.bincount(groups.of_member[members.sure], minlength=len(groups))[: len(groups)]
        maybe = np.bincount(groups.of_member, minlength=len(groups))[: len(groups)]
        too_many = np.zeros(len(groups), np.bool_) if self.high is None else sure > self.high
        too_few = np.zeros(len(groups), np.bool_) if self.low is None else maybe < self.low
        low, high = windows.start[groups.window], windows.end[groups.window]
        surplus = self._surplus(groups, members, matched, too_many)
        # What is too many stays so, whatever is missing; but what closes the window could be missing.
        closing = self.scope is not None and self.scope.closer is not None
        tick = view.table.tick
        low = np.where(too_many & (not closing), 1, low)
        high = np.where(too_many, tick[surplus] if closing else 0, high)
        if self.high is None:
            enough = ~too_few
            low, high = np.where(enough, 1, low), np.where(enough, 0, high)
        at = np.where(too_many, surplus, np.maximum(windows.end_row[groups.window], groups.row))
        looked_at = (matched, *windows.looked_at, *([groups.asked] if groups.asked is not None else []))
        return Judgement(
            too_many | too_few, low, high, at,
            lambda i: self._proof(view, matched, windows, members, groups, i),
            lambda: self._holds(groups, maybe), looked_at, self._nothing(),
        )  # fmt: skip

    def _surplus(self, groups: _Groups, members: Members, matched: Matched, too_many: Mask) -> Ints:
        """The row of the first event that is one too many."""
        row = np.zeros(len(groups), np.int64)
        for group in np.flatnonzero(too_many).tolist()[:MAX_SLICE]:
            mine = members.event[(groups.of_member == group) & members.sure]
            row[group] = matched.rows[mine[self.high or 0]]
        for group in np.flatnonzero(too_many).tolist()[MAX_SLICE:]:
            row[group] = groups.row[group]
        return row

    def _nothing(self) -> str:
        if self.for_each is not None:
            return f"the trace has no {self.for_each}"
        if self.scope is not None and (self.scope.opener or self.scope.closer):
            return f"there is no {self.scope.opener or self.scope.closer}"
        return f"the trace has no {self.pattern}"

    def _holds(self, groups: _Groups, counts: Ints) -> str:
        if len(groups) == 1:
            return f"{int(counts[0]):,} {self.pattern}"
        return f"{int(counts.sum()):,} {self.pattern}, {self.bounds} in each of {len(groups):,}"

    def _proof(
        self, view: View, matched: Matched, windows: Windows, members: Members, groups: _Groups, instance: int
    ) -> Proof:
        mine = members.event[groups.of_member == instance]
        rows = matched.rows[mine].tolist()
        window = int(groups.window[instance])
        whom = f" for {groups.name(self.key, instance)}" if self.key else ""
        if self.for_each is not None:
            row = int(groups.row[instance])
            whom += f" (the {named(self.for_each, view, row)} {at_text(view, row)})"
        where = (
            "the trace has"
            if self.scope is None
            else f"{place_text(self.scope.text(), view, windows, window)} there are"
        )
        text = f"expected {self.bounds} {self.pattern}{whom}, {where} {len(rows)}"
        edges = [int(edge[window]) for edge in (windows.start_row, windows.end_row) if edge[window] >= 0]
        if self.high is not None and len(rows) > self.high:
            shown = rows[: self.high + 1][-(MAX_SLICE - len(edges)) :]
            return Proof(text, (*edges, *shown), tuple(shown[self.high :] or shown[-1:]))
        asked = [int(groups.row[instance])] if self.for_each is not None else []
        return Proof(text, (*edges, *asked, *rows[: MAX_SLICE - len(edges) - len(asked)]), tuple(asked))


@dataclass(frozen=True)
class _Groups:
    """Windows and keys that are counted in. `row`: an event of the group, or -1."""

    window: Ints
    row: Ints
    of_member: Ints
    named_by: Matched
    example: Ints
    """Index of an event in `named_by` that has the key."""
    asked: Matched | None

    def __len__(self) -> int:
        return len(self.window)

    @classmethod
    def of(cls, view: View, rule: Count, matched: Matched, windows: Windows, members: Members) -> _Groups:
        none = np.full(len(windows), -1)
        if not rule.key:
            return cls(np.arange(len(windows)), none, members.window, matched, none, None)
        asked, wanted = matched, members
        if rule.for_each is not None:
            asked = view.match(rule.for_each, [*rule.key.fields, *held_fields(rule.scope)])
            wanted = members_of(view, rule.scope, windows, asked).surely()
        parts = [[asked[name][wanted.event], matched[name][members.event]] for name in rule.key.fields]
        codes = codes_of([*parts, [wanted.window, members.window]], [len(wanted.event), len(members.event)], 1)
        distinct, first = np.unique(codes[0], return_index=True)
        at = np.searchsorted(distinct, codes[1])
        known = (
            (at < len(distinct)) & (distinct[np.minimum(at, max(len(distinct) - 1, 0))] == codes[1])
            if len(distinct)
            else at < 0
        )
        example = wanted.event[first]
        # Events of a key that is not asked about are counted nowhere: in a group beyond the last.
        of_member = np.where(known, at, len(distinct))
        return cls(wanted.window[first], asked.rows[example], of_member, asked, example, asked)

    def name(self, key: Key, group: int) -> str:
        return key.text(self.named_by, int(self.example[group]))


def exactly(
    count: int, pattern: Pattern | str, *, per: Per | None = None, for_each: Pattern | str | None = None
) -> Count:
    """There are so many: in all, in each window, for each key (of those events, or of the events `for_each`)."""
    return _count(pattern, count, count, per, for_each)


def exactly_once(pattern: Pattern | str, *, per: Per | None = None, for_each: Pattern | str | None = None) -> Count:
    """There is one: `exactly_once("WorkerThreadStart", per="Worker", for_each="WorkerCreate")`."""
    return _count(pattern, 1, 1, per, for_each)


def at_least(
    count: int,
    pattern: Pattern | str,
    *,
    per: Per | None = None,
    for_each: Pattern | str | None = None,
    in_every: str | timedelta | None = None,
) -> Rule:
    """There are so many or more. `in_every`: in every stretch of time of that length, while the trace was recorded."""
    if in_every is None:
        return _count(pattern, count, None, per, for_each)
    if for_each is not None:
        raise UsageError("at_least: in_every and for_each do not go together")
    _check(count)
    return AtLeastInEvery(_alone(pattern), max(count, 1), Key.of(per), Span.of(in_every))


def at_most(
    count: int,
    pattern: Pattern | str,
    *,
    per: Per | None = None,
    for_each: Pattern | str | None = None,
    in_any: str | timedelta | None = None,
) -> Rule:
    """There are so many or fewer. `in_any`: never more in less than that time."""
    if in_any is None:
        return _count(pattern, None, count, per, for_each)
    if for_each is not None:
        raise UsageError("at_most: in_any and for_each do not go together")
    _check(count)
    return AtMostInAny(_alone(pattern), count, Key.of(per), Span.of(in_any))


def _count(
    pattern: Pattern | str, low: int | None, high: int | None, per: Per | None, for_each: Pattern | str | None
) -> Count:
    for bound in (low, high):
        if bound is not None:
            _check(bound)
    if for_each is not None and not Key.of(per):
        raise UsageError("for_each needs per=: what its events and those that are counted have in common")
    return Count(_alone(pattern), low, high, Key.of(per), None if for_each is None else _alone(for_each))


def _check(count: int) -> None:
    if not isinstance(count, int) or count < 0:
        raise UsageError(f"{count!r} is no number of events")


def _alone(pattern: Pattern | str) -> Pattern:
    chosen = pattern_of(pattern)
    no_references(chosen)
    return chosen
