"""`each(...)`: statements about every event of a pattern and the event that answers it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from hotswap.errors import UsageError
from hotswap.trace.rules.agreement import AgreesWith
from hotswap.trace.rules.answer import Proof
from hotswap.trace.rules.condition import FieldCondition, condition_of
from hotswap.trace.rules.key import Key, Per, key_codes
from hotswap.trace.rules.matched import Matched, View
from hotswap.trace.rules.order import BEGINNING, END_OF_TIME, Ints, Lanes
from hotswap.trace.rules.partner import Partners, find_partners
from hotswap.trace.rules.pattern import Pattern, pattern_of
from hotswap.trace.rules.refer import equal_fields, no_references, own_references
from hotswap.trace.rules.rule import Judgement, Rule, at_text, named
from hotswap.trace.rules.satisfies import Satisfies
from hotswap.trace.rules.span import Span


@dataclass(frozen=True)
class Among:
    """So many events; see `events`."""

    count: int
    pattern: Pattern | None

    def __str__(self) -> str:
        what = "event" if self.pattern is None else str(self.pattern)
        return (
            f"the next {what}" if self.count == 1 else f"the next {self.count} {what}{'s' if what == 'event' else ''}"
        )


def events(count: int, pattern: Pattern | str | None = None) -> Among:
    """A distance: fewer than `count` such events (of the trace, or of a pattern and the same key) lie between."""
    if count < 1:
        raise UsageError(f"events({count}): a distance is at least 1")
    return Among(count, None if pattern is None else pattern_of(pattern))


@dataclass(frozen=True, eq=False)
class Answered(Rule):
    """Each subject is followed, or preceded, by a target of its key."""

    subject: Pattern
    target: Pattern
    within: Span | Among | None
    key: Key
    own: bool
    backward: bool

    @property
    def _word(self) -> str:
        return "preceded" if self.backward else "followed"

    def sentence(self) -> str:
        """The statement in words."""
        own = " of its own" if self.own else ""
        within = "" if self.within is None else f" within {self.within}"
        return f"each {self.subject} is {self._word} by {_article(str(self.target))}{own}{self.key.of_same()}{within}"

    def judge(self, view: View) -> Judgement:
        """One instance a subject."""
        found = find_partners(view, self.subject, self.target, self.key, self.scope, before=self.backward, own=self.own)
        start, partner = found.subject_tick, found.partner_tick
        distance = np.abs(partner - start)
        none = found.partner < 0
        failed = none.copy()
        low, high = self._reach(found)
        undecided = np.zeros(len(found), np.bool_)
        matched: tuple[Matched, ...] = (found.subjects, found.targets)
        if isinstance(self.within, Span):
            limit = self.within.ticks(view.table.frequency)
            failed |= distance > limit
            due = start - limit if self.backward else start + limit
            low, high = (np.maximum(low, due), high) if self.backward else (low, np.minimum(high, due))
            edge = view.evidence.start if self.backward else view.evidence.end
            beyond = due < edge if self.backward else due > edge
            closed = found.windows.start_row if self.backward else found.windows.end_row
            undecided = failed & beyond & (closed[found.window] < 0)
        elif self.within is not None:
            between, counted = self._between(view, found, self.within)
            failed |= between >= self.within.count
            matched = (*matched, *counted)
        settled = ~failed
        if self.own or isinstance(self.within, Among):
            # What is missing between the two could be what comes between, or what answers.
            low[settled] = np.minimum(start, partner)[settled]
            high[settled] = np.maximum(start, partner)[settled]
        else:
            low[settled], high[settled] = 1, 0
        cpu = found.subjects["cpu"][found.subject].astype(np.int64) if self.key.cpu else None
        return Judgement(
            failed, low, high, found.subject_row,
            lambda i: self._proof(view, found, i), lambda: self._holds(view, found),
            (*matched, *found.windows.looked_at), f"the trace has no {self.subject}", undecided,
            lambda i: self._not_due(view, found, i), cpu,
        )  # fmt: skip

    def _reach(self, found: Partners) -> tuple[Ints, Ints]:
        """From when to when each target was looked for."""
        windows = found.windows
        if self.backward:
            return windows.start[found.window], found.subject_tick.copy()
        return found.subject_tick.copy(), windows.end[found.window]

    def _between(self, view: View, found: Partners, within: Among) -> tuple[Ints, tuple[Matched, ...]]:
        """How many events lie between each subject and its partner."""
        first = np.minimum(found.subject_row, found.partner_row)
        last = np.maximum(found.subject_row, found.partner_row)
        if within.pattern is None:
            return np.maximum(last - first - 1, 0), ()
        counted = view.match(within.pattern, self.key.fields)
        codes = key_codes(self.key, (found.subjects, counted), len(view.table) + 1)
        lanes, key = Lanes(codes[1], counted.rows, view.order), codes[0][found.subject]
        return np.maximum(lanes.at(key, last) - lanes.at(key, first + 1), 0), (counted,)

    def _holds(self, view: View, found: Partners) -> str:
        longest = int(np.abs(found.partner_tick - found.subject_tick).max(initial=0))
        answer = f"each {self._word} by {_article(str(self.target))}"
        return f"{len(found):,} {self.subject}, {answer}; {view.span(longest)} at most"

    def _named(self, view: View, found: Partners, instance: int) -> str:
        event, row = int(found.subject[instance]), int(found.subject_row[instance])
        of = f" of {self.key.text(found.subjects, event)}" if self.key else ""
        return f"{named(self.subject, view, row)}{of} {at_text(view, row)}"

    def _proof(self, view: View, found: Partners, instance: int) -> Proof:
        row, partner = int(found.subject_row[instance]), int(found.partner_row[instance])
        side = "before" if self.backward else "after"
        own = " of its own" if self.own else ""
        target = f"{_article(str(self.target))}{own}"
        what = f"{self._named(view, found, instance)} is not {self._word} by {target}"
        spare = int(found.of_another[instance])
        if partner >= 0:
            return self._too_far(view, found, instance, what, (row, partner))
        rows: tuple[int, ...] = (row,)
        if spare >= 0:
            other = int(found.targets.rows[spare])
            rows, text = (row, other), f"{what}: the one {at_text(view, other)} belongs to another"
        elif self.scope is not None and (self.scope.opener or self.scope.closer):
            text = f"{what} {self.scope.text()}"
            edge = found.windows.start_row if self.backward else found.windows.end_row
            if (end := int(edge[found.window[instance]])) >= 0:
                rows = (row, end)
        else:
            text = f"{what}: none comes {side} it{self.key.of_same()}"
        return Proof(text, rows, (row,), window=self._window(found, instance))

    def _too_far(self, view: View, found: Partners, instance: int, what: str, rows: tuple[int, int]) -> Proof:
        ticks = abs(int(found.partner_tick[instance] - found.subject_tick[instance]))
        side = "earlier" if self.backward else "later"
        if isinstance(self.within, Span):
            late = view.span(ticks).ns - self.within.ns
            text = f"{what} within {self.within}: it comes {view.span(ticks)} {side}, {Span(late)} too far away"
            if not self.backward:
                text = f"{what} within {self.within}: it comes {view.span(ticks)} later, {Span(late)} too late"
        else:
            assert self.within is not None
            between, _ = self._between(view, found, self.within)
            text = f"{what} within {self.within}: {int(between[instance])} lie between"
        return Proof(text, rows, (rows[1],), window=self._window(found, instance))

    def _window(self, found: Partners, instance: int) -> tuple[int, int]:
        start = int(found.subject_tick[instance])
        if not isinstance(self.within, Span):
            return (BEGINNING, start) if self.backward else (start, END_OF_TIME)
        limit = self.within.ticks(found.subjects.view.table.frequency)
        return (start - limit, start) if self.backward else (start, start + limit)

    def _not_due(self, view: View, found: Partners, instance: int) -> str:
        evidence, tick = view.evidence, int(found.subject_tick[instance])
        target, name = _article(str(self.target)), self._named(view, found, instance)
        if self.backward:
            known = view.span(tick - evidence.start)
            return (
                f"{name}: {target} may have come within {self.within} before it, but the trace begins {known} before it"
            )
        left = view.span(max(evidence.end - tick, 0))
        return f"{name}: {target} may still come within {self.within}, but the trace ends {left} after it"


def _article(name: str) -> str:
    return f"{'an' if name[:1] in 'AEIOUaeiou' else 'a'} {name}"


@dataclass(frozen=True, eq=False)
class Each:
    """Every event of a pattern; its methods make rules."""

    pattern: Pattern

    def followed_by(
        self,
        target: Pattern | str,
        *,
        within: str | timedelta | Among | None = None,
        per: Per | None = None,
        own: bool = False,
    ) -> Answered:
        """After each comes such an event, of the same key, within a time (`"50 ms"`) or a number of events.

        `own`: one for each; else one may do for several. The target may refer to fields of this event. What is not yet
        due when the trace ends is inconclusive.
        """
        return self._answered(target, within, per, own, backward=False)

    def preceded_by(
        self,
        target: Pattern | str,
        *,
        within: str | timedelta | Among | None = None,
        per: Per | None = None,
        own: bool = False,
    ) -> Answered:
        """Before each came such an event; as `followed_by`."""
        return self._answered(target, within, per, own, backward=True)

    def _answered(
        self,
        target: Pattern | str,
        within: str | timedelta | Among | None,
        per: Per | None,
        own: bool,
        *,
        backward: bool,
    ) -> Answered:
        wanted = pattern_of(target)
        own_references(
            wanted, [self.pattern], f"here it can refer to {self.pattern} only, by the variable given to each"
        )
        no_references(self.pattern)
        if own and equal_fields(wanted)[1]:
            raise UsageError(f"own=True: {wanted} can only be compared for equality with its event")
        distance = within if within is None or isinstance(within, Among) else Span.of(within)
        return Answered(self.pattern, wanted, distance, Key.of(per), own, backward)

    def satisfies(self, **fields: FieldCondition) -> Satisfies:
        """These fields of each fulfil these conditions; `latest(...)` is what another event said last."""
        no_references(self.pattern)
        return Satisfies(self.pattern, tuple((name, condition_of(value)) for name, value in fields.items()))

    def agrees_with(self, other: Pattern | str, *fields: str, per: Per | None = None, **renamed: str) -> AgreesWith:
        """These fields are equal in each and in the event of the same key before it (or else after it).

        `agrees_with("WorkerCreate", per="Worker", tid="WorkerThreadId")` compares fields of different names. An event
        that has no such other is not looked at.
        """
        pattern = pattern_of(other)
        no_references(self.pattern, pattern)
        pairs = (*((name, name) for name in fields), *renamed.items())
        if not pairs:
            raise UsageError("agrees_with needs the fields that have to be equal")
        return AgreesWith(self.pattern, pattern, Key.of(per), pairs)


def each(pattern: Pattern | str) -> Each:
    """Every event of a pattern: `each("SwapStalled").followed_by("SwapReleased", per="Swap", within="50 ms")`."""
    return Each(pattern_of(pattern))
